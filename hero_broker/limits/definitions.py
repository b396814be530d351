"""What operators set of limits while the broker runs, as it was at one time."""

from dataclasses import dataclass

from hero_broker.core.limits import Grant
from hero_broker.limits.limit import Limit

Revision = tuple[int, int]  # of the definitions, and of the grants


@dataclass(frozen=True, slots=True)
class Definitions:
    """The limits that are set over RPC, and the grants on any budgets, as of a revision."""

    revision: Revision = (0, 0)
    limits: tuple[Limit, ...] = ()  # by name; without those of the settings file
    grants: tuple[Grant, ...] = ()  # in the order in which they were made; those that end may have ended since

    def granted(self, limit: Limit, at: int) -> dict[tuple[str | None, ...], int]:
        """Return what is granted of a budget at a time (unix seconds): by subject, in the unit of the budget."""
        sums: dict[tuple[str | None, ...], int] = {}
        for grant in self.grants:
            if grant.name == limit.name and grant.is_in_force(at):
                subject = tuple(grant.subject[name] for name in limit.per)
                sums[subject] = sums.get(subject, 0) + grant.amount
        return sums
