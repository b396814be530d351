"""Lets what a stream holds of budgets grow with its output, and ends a stream whose budget has no room for that."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hero_broker.core.errors import BudgetExceeded
from hero_broker.data_plane.client_call import ClientCall
from hero_broker.limits.counters import Held
from hero_broker.limits.limit import CUT, ENFORCE, MEAN, SHADOW, USD
from hero_broker.limits.refusals import cut_off
from hero_broker.metering.holds import BOUND_RULES, BoundRule, highest_output_cost, most_output, output_bound
from hero_broker.metering.recent_outputs import RecentOutputs
from hero_broker.providers.routes import Route

GROWS_AT = 5, 4  # an output that is 4/5 of what is held is taken for one that needs more

log = logging.getLogger(__name__)


def rule_of(hold: str, route: Route, outputs: RecentOutputs | None) -> tuple[BoundRule | None, int | None]:
    """Return how one of `limit.HOLDS` bounds a call, and how long the output of the model is at most, or on average."""
    most = route.max_output_tokens
    if hold == MEAN and outputs is not None:
        most = outputs.mean(route.model) or most
    return BOUND_RULES.get(hold), most


def growth_of(held: list[Held], call: ClientCall, route: Route, outputs: RecentOutputs | None) -> "Growth | None":
    """Return what grows of the holds of a call; None if they cover all of its output."""
    kind, request = call.kind, call.request
    tariffs = [target.tariff for target in route.targets]
    most = most_output(kind, request, route.max_output_tokens)
    parts = []
    for number, one in enumerate(held):
        limit = one.counter.of.limit
        rule, usual = rule_of(limit.hold, route, outputs)
        if rule is None or not limit.grows:
            continue
        tokens = output_bound(kind, request, rule, usual)
        if not tokens or (most is not None and most <= tokens):
            continue

        def cost(tokens: int, rule: BoundRule = rule) -> int:
            return highest_output_cost(request, tariffs, call.context.started_at, rule, tokens)

        parts.append(_Part(number, tokens, tokens, cost if limit.unit == USD else int))
    return Growth(held, parts, most) if parts else None


@dataclass(slots=True)
class _Part:
    """What grows of one hold."""

    number: int  # of the hold
    step: int  # tokens of output that were held at first, and that it grows by
    covered: int  # tokens of output that are held so far
    amount: Callable[[int], int]  # of so many tokens of output, in the unit of the budget

    @property
    def grows_at(self) -> int:
        return -(-self.covered * GROWS_AT[1] // GROWS_AT[0])


class Growth:
    """The holds of one stream. A hold that a budget has no room for stays as it is, or the budget cuts the stream."""

    __slots__ = ("_held", "_most", "_parts", "refused")

    def __init__(self, held: list[Held], parts: Sequence[_Part], most: int | None) -> None:
        """Take the holds of the call, which are replaced as they grow, and the most tokens that the output can have."""
        self._held = held
        self._parts = list(parts)
        self._most = most
        self.refused: BudgetExceeded | None = None  # once a budget cuts the stream

    @property
    def grows_at(self) -> int | None:
        """After how many pieces of text some hold grows next; None if none does."""
        return min((part.grows_at for part in self._parts), default=None)

    @property
    def may_cut(self) -> bool:
        """Whether some budget may cut the stream."""
        return any(_cuts(self._held[part.number]) for part in self._parts)

    def reached(self, deltas: int) -> int | None:
        """Let holds grow for an output of so many pieces of text; return `grows_at`, or None if a budget cuts it."""
        while (at := self.grows_at) is not None and at <= deltas:
            self._parts = [part for part in self._parts if part.grows_at > deltas or self._grow(part)]
            if self.refused is not None:
                return None
        return at

    def _grow(self, part: _Part) -> bool:
        """Let one hold grow if its budget has room; return whether it may have to grow again."""
        held = self._held[part.number]
        window, counter, before = held
        tokens = part.step if self._most is None else min(part.step, self._most - part.covered)
        more = part.amount(tokens)
        part.covered += tokens
        if window.spent + window.held + more <= counter.amount:
            window.held += more
            self._held[part.number] = held._replace(amount=before + more)
        elif _cuts(held):
            self.refused = cut_off(counter, window)
            counter.of.refused += 1
            log.warning("limits: %s cuts a stream after about %d tokens", counter.of.limit.name, part.grows_at)
        elif counter.of.limit.mode == SHADOW:
            counter.of.would_refuse += 1
        return self._most is None or part.covered < self._most


def _cuts(held: Held) -> bool:
    limit = held.counter.of.limit
    return limit.on_exceed == CUT and limit.mode == ENFORCE
