"""Finds the limits that match a call, once for each caller and model: later calls find their counters in a cache."""

from collections import deque
from collections.abc import Callable, Hashable, Iterable

from hero_broker.limits.counters import NOTHING, LimitCounters, Matched, RateCounter, SlotCounter
from hero_broker.limits.limit import Dimensions

MAX_CACHED = 10_000  # callers whose counters are in the cache; the oldest leave it first
MAX_DROPPED = 64  # kept counters that one miss of the cache lets go, so that none takes long


class Matcher:
    """The counters of calls, for some limits."""

    def __init__(self, limits: Iterable[LimitCounters], now_ns: Callable[[], int]) -> None:
        self.cached: dict[Hashable, Matched] = {}
        self._now_ns = now_ns
        # Limits of one address are found by it, so that a thousand of them cost as much as one.
        self._by_ip: dict[str | None, list[tuple[int, LimitCounters]]] = {}
        for number, one in enumerate(limits):
            self._by_ip.setdefault(one.limit.match.ip, []).append((number, one))
        # Rate counters that no cached caller has, and that are not full yet: a caller must not get a new burst because
        # it left the cache.
        self._kept: deque[RateCounter] = deque()

    def match(self, key: Hashable, call: Dimensions) -> Matched:
        """Return the counters of a call, and cache them under `key`."""
        self._make_room()
        of_server: list[SlotCounter] = []
        slots: list[SlotCounter] = []
        rates: list[RateCounter] = []
        candidates = sorted([*self._by_ip.get(None, ()), *self._by_ip.get(call.ip, ())], key=lambda pair: pair[0])
        for _, limit in candidates:
            if limit.limit.match.covers(call):
                counter = limit.counter(call)
                if isinstance(counter, RateCounter):
                    rates.append(counter)
                else:
                    (of_server if limit.limit.is_of_server else slots).append(counter)
        matched = Matched(tuple(of_server), tuple(slots), tuple(rates))
        self.cached[key] = matched = NOTHING if matched == NOTHING else matched
        return matched

    def _make_room(self) -> None:
        now_ns = self._now_ns()
        if len(self.cached) >= MAX_CACHED:
            for rate in self.cached.pop(next(iter(self.cached))).rates:
                if not rate.is_kept and rate.full_ns(now_ns):
                    rate.is_kept = True
                    self._kept.append(rate)
        for _ in range(MAX_DROPPED):
            if not self._kept or self._kept[0].full_ns(now_ns):
                return
            self._kept.popleft().is_kept = False
