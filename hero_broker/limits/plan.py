"""Finds the limits that match a call, once for each caller and model: later calls find their counters in a cache."""

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

from hero_broker.limits.counters import (
    NOTHING,
    BudgetCounter,
    LimitCounters,
    Matched,
    RateCounter,
    SlotCounter,
    TokenRateCounter,
)
from hero_broker.limits.limit import Dimensions

MAX_CACHED = 10_000  # callers whose counters are in the cache; the oldest leave it first
MAX_DROPPED = 64  # kept counters that one miss of the cache looks at, so that none takes long

KeptCounter = TypeVar("KeptCounter", RateCounter, BudgetCounter)


class Matcher:
    """The counters of calls, for some limits."""

    def __init__(self, limits: Iterable[LimitCounters], now_ns: Callable[[], int], now: Callable[[], int]) -> None:
        """Take the limits in the order of the settings, the monotonic time, and the time of the clock."""
        self.cached: dict[Hashable, Matched] = {}
        self._now_ns, self._now = now_ns, now
        self._by_ip: dict[str | None, list[tuple[int, LimitCounters]]] = {}
        self._in_force = set[LimitCounters]()
        # The counters of callers that were cached when all were forgotten; a few of them are looked at with each call.
        self._leaving: deque[Iterator[Matched]] = deque()
        # Counters that no cached caller has, and that are not as new ones would be: a caller must not get a new burst,
        # or a new budget, because it left the cache.
        self._kept_rates: deque[RateCounter] = deque()
        self._kept_budgets: deque[BudgetCounter] = deque()
        self.use(limits)

    def use(self, limits: Iterable[LimitCounters]) -> None:
        """Match calls with these limits from now on."""
        self.forget()
        # Limits of one address are found by it, so that a thousand of them cost as much as one.
        limits = list(limits)
        self._in_force = set(limits)
        self._by_ip = {}
        for number, one in enumerate(limits):
            self._by_ip.setdefault(one.limit.match.ip, []).append((number, one))

    def match(self, key: Hashable, call: Dimensions) -> Matched:
        """Return the counters of a call, and cache them under `key`."""
        self._make_room()
        of_server: list[SlotCounter] = []
        slots: list[SlotCounter] = []
        rates: list[RateCounter] = []
        budgets: list[BudgetCounter] = []
        tokens: list[TokenRateCounter] = []
        for limit in self.limits(call):
            counter = limit.counter(call)
            if isinstance(counter, BudgetCounter):
                budgets.append(counter)
            elif isinstance(counter, TokenRateCounter):
                tokens.append(counter)
            elif isinstance(counter, RateCounter):
                rates.append(counter)
            else:
                (of_server if limit.limit.is_of_server else slots).append(counter)
        is_unlimited = not (slots or rates or budgets or tokens)
        matched = Matched(tuple(of_server), tuple(slots), tuple(rates), tuple(budgets), tuple(tokens), is_unlimited)
        self.cached[key] = matched = NOTHING if matched == NOTHING else matched
        return matched

    def limits(self, call: Dimensions) -> list[LimitCounters]:
        """Return the limits that match a call, in their order."""
        candidates = sorted([*self._by_ip.get(None, ()), *self._by_ip.get(call.ip, ())], key=lambda pair: pair[0])
        return [limit for _, limit in candidates if limit.limit.match.covers(call)]

    def keep(self, counter: BudgetCounter) -> None:
        """Keep a counter until its windows are over, whether a cached caller has it or not."""
        if not counter.is_kept:
            counter.is_kept = True
            self._kept_budgets.append(counter)

    def keep_rate(self, counter: RateCounter) -> None:
        """Keep a counter until a whole burst is admitted again, whether a cached caller has it or not."""
        if not counter.is_kept:
            counter.is_kept = True
            self._kept_rates.append(counter)

    def forget(self) -> None:
        """Match all callers again, because their labels or the limits have changed. `cached` is another object then."""
        if self.cached:
            self._leaving.append(iter(self.cached.values()))
            self.cached = {}

    def _keep_all(self, leaving: Matched, now_ns: int) -> None:
        """Keep the counters of a caller that leaves the cache, unless they are as new ones would be."""
        for rate in (*leaving.rates, *leaving.tokens):
            if rate.full_ns(now_ns):
                self.keep_rate(rate)
        for budget in leaving.budgets:
            if not budget.is_idle(self._now()):
                self.keep(budget)

    def _make_room(self) -> None:
        now_ns = self._now_ns()
        if len(self.cached) >= MAX_CACHED:
            self._keep_all(self.cached.pop(next(iter(self.cached))), now_ns)
        while self._leaving:
            some = list(islice(self._leaving[0], MAX_DROPPED))
            for leaving in some:
                self._keep_all(leaving, now_ns)
            if some:
                break
            self._leaving.popleft()
        if self._kept_rates:
            self._let_go(self._kept_rates, lambda rate: not rate.full_ns(now_ns))
        if self._kept_budgets:
            now = self._now()
            self._let_go(self._kept_budgets, lambda budget: budget.is_idle(now))

    def _let_go(self, kept: deque[KeptCounter], is_as_new: Callable[[KeptCounter], bool]) -> None:
        """Look at some kept counters, and keep them no longer if they are as new ones would be, or of a former limit.

        The others are looked at again after all the rest: one whose window is long holds up none of the others.
        """
        for _ in range(min(MAX_DROPPED, len(kept))):
            counter = kept.popleft()
            if counter.of in self._in_force and not is_as_new(counter):
                kept.append(counter)
            else:
                counter.is_kept = False
