"""What operators set of limits while the broker runs, as it was at one time."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from hero_broker.core.limits import Grant, LimitDefinition
from hero_broker.limits.limit import Limit

Subject = tuple[str | None, ...]

Revision = tuple[int, int]  # of the definitions, and of the grants


@dataclass(frozen=True, slots=True)
class Definitions:
    """The limits that are set over RPC, and the grants on any budgets, as of a revision."""

    revision: Revision = (0, 0)
    limits: tuple[Limit, ...] = ()  # by name; without those of the settings file
    grants: tuple[Grant, ...] = ()  # in the order in which they were made; those that end may have ended since
    # What these were read from, with what this broker cannot use.
    defined: tuple[LimitDefinition, ...] = field(default=(), compare=False)
    granted: tuple[Grant, ...] = field(default=(), compare=False)

    def in_force(self, at: int) -> dict[str, list[Grant]]:
        """Return the grants that are in force at a time (unix seconds), by limit."""
        found: dict[str, list[Grant]] = {}
        for grant in self.grants:
            if grant.is_in_force(at):
                found.setdefault(grant.name, []).append(grant)
        return found

    def first_end(self, after: int) -> int | None:
        """Return when the first grant ends that is in force at a time (unix seconds); None if none ends."""
        return min((one.until for one in self.grants if one.until is not None and one.until > after), default=None)


def granted(limit: Limit, grants: Iterable[Grant]) -> dict[Subject, int]:
    """Return what grants on a budget add up to: by subject, in the unit of the budget."""
    sums: dict[Subject, int] = {}
    for grant in grants:
        subject = tuple(grant.subject[name] for name in limit.per)
        sums[subject] = sums.get(subject, 0) + grant.amount
    return sums
