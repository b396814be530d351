"""The counters of limits, in memory: calls in flight, and requests per minute."""

from typing import NamedTuple
from weakref import WeakValueDictionary

from hero_broker.limits.limit import CONCURRENT, Dimensions, Limit

MINUTE_NS = 60_000_000_000
MAX_SUBJECTS = 100_000  # of one limit; further ones share a counter

Subject = tuple[str | None, ...]


class SlotCounter:
    """The calls in flight of one subject."""

    __slots__ = ("__weakref__", "amount", "in_flight", "of", "subject")

    def __init__(self, of: "LimitCounters", subject: Subject) -> None:
        self.of = of
        self.subject = subject
        self.amount = of.limit.amount
        self.in_flight = 0


class RateCounter:
    """The requests per minute of one subject, by the generic cell rate algorithm (GCRA).

    It keeps one integer: when the next request would come if all came evenly. A request may be early by `burst - 1`
    distances. Times are monotonic nanoseconds times the amount, so that the distance of two requests is an integer.
    """

    __slots__ = ("__weakref__", "_due", "_early", "amount", "is_kept", "of", "subject")

    def __init__(self, of: "LimitCounters", subject: Subject) -> None:
        self.of = of
        self.subject = subject
        self.amount = of.limit.amount
        self._early = (of.limit.burst - 1) * MINUTE_NS
        self._due = 0
        self.is_kept = False  # while `plan.Matcher` keeps it although no cached caller has it

    def wait_ns(self, now_ns: int) -> int:
        """Return how long until a request is admitted; 0 if it is admitted now."""
        early = self._due - now_ns * self.amount - self._early
        return -(-early // self.amount) if early > 0 else 0

    def take(self, now_ns: int) -> None:
        """Count a request that is admitted now."""
        now = now_ns * self.amount
        self._due = (self._due if self._due > now else now) + MINUTE_NS

    def give_back(self) -> None:
        """Undo a `take` of a request that was not made."""
        self._due -= MINUTE_NS

    def remaining(self, now_ns: int) -> int:
        """Return how many requests would be admitted now."""
        ahead = self._due - now_ns * self.amount
        return (self._early - (ahead if ahead > 0 else 0)) // MINUTE_NS + 1

    def full_ns(self, now_ns: int) -> int:
        """Return how long until a whole burst is admitted again."""
        ahead = self._due - now_ns * self.amount
        return -(-ahead // self.amount) if ahead > 0 else 0

    def next_ns(self, now_ns: int) -> int:
        """Return how long until one more request is admitted than now; 0 if a whole burst is."""
        ahead = self._due - now_ns * self.amount
        return -(-(ahead % MINUTE_NS or MINUTE_NS) // self.amount) if ahead > 0 else 0


class LimitCounters:
    """A limit with its counters, and how often it refused."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.refused = 0  # calls, since the start
        self.would_refuse = 0  # in shadow mode
        self.shared = 0  # how often a subject had to share a counter with others
        self._make = SlotCounter if limit.unit == CONCURRENT else RateCounter
        # A counter lives as long as a cached caller or a call in flight refers to it, or as `plan.Matcher` keeps it.
        self._counters: WeakValueDictionary[Subject, SlotCounter | RateCounter] = WeakValueDictionary()
        self._common: SlotCounter | RateCounter | None = None

    @property
    def subjects(self) -> int:
        """The number of counters in memory."""
        return len(self._counters)

    def counter(self, call: Dimensions) -> SlotCounter | RateCounter:
        """Return the counter of a call that the limit matches."""
        subject = self.limit.subject(call)
        counter = self._counters.get(subject)
        if counter is None:
            if len(self._counters) >= MAX_SUBJECTS:
                return self._shared_counter()
            counter = self._counters[subject] = self._make(self, subject)
        return counter

    def _shared_counter(self) -> SlotCounter | RateCounter:
        self.shared += 1
        if self._common is None:
            self._common = self._make(self, ("others",) * len(self.limit.per))
        return self._common


class Matched(NamedTuple):
    """The counters of the limits that match a call."""

    of_server: tuple[SlotCounter, ...]
    slots: tuple[SlotCounter, ...]
    rates: tuple[RateCounter, ...]


NOTHING = Matched((), (), ())  # no limit matches
