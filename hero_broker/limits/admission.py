"""Asks all limits of a call whether they have room, and takes from all of them or from none."""

import logging
import time
from collections.abc import Callable, Collection, Hashable, Sequence

from hero_broker.core.calls import Caller
from hero_broker.limits.counters import NOTHING, LimitCounters, Matched, RateCounter, SlotCounter
from hero_broker.limits.headers import IETF, OPENAI, Pairs, ietf_headers, openai_headers
from hero_broker.limits.limit import SHADOW, Dimensions, Limit
from hero_broker.limits.plan import Matcher
from hero_broker.limits.refusals import SECOND_NS, refusal

LOG_EVERY_NS = 60 * SECOND_NS

log = logging.getLogger(__name__)


class Slot:
    """One call in flight, with what it holds of limits until `end`."""

    __slots__ = ("_held", "_of_server", "rates", "slots", "taken")

    def __init__(self, matched: Matched) -> None:
        self._of_server = matched.of_server
        self._held = self.slots = matched.slots
        self.rates = matched.rates
        self.taken: Sequence[RateCounter] | None = None  # the rates that count the call; None until it is admitted

    def release(self) -> None:
        """Free what the call holds of the server's own limits, because its client has disconnected."""
        for counter in self._of_server:
            counter.in_flight -= 1
        self._of_server = ()

    def end(self) -> None:
        """Free all that the call holds; do nothing if it is free already."""
        for counter in self._of_server:
            counter.in_flight -= 1
        for counter in self._held:
            counter.in_flight -= 1
        self._of_server = self._held = ()

    def hold(self, slots: Sequence[SlotCounter], rates: tuple[RateCounter, ...]) -> None:
        """Hold what further limits count of the call."""
        if slots:
            for counter in slots:
                counter.in_flight += 1
            self._held = self.slots = (*self.slots, *slots)
        self.rates = rates

    def give_back(self) -> None:
        """Let no rate count the call, because it was not made."""
        for rate in self.taken or ():
            rate.give_back()
        self.taken = ()


class Admission:
    """Admits calls within limits. Use it from one event loop; nothing here waits."""

    def __init__(
        self,
        limits: Sequence[Limit],
        headers: Collection[str] = (OPENAI,),
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Take the limits in the order in which they refuse, and the forms of headers for callers."""
        self.limits = tuple(LimitCounters(limit) for limit in limits)
        self._now_ns = now_ns
        self._early = Matcher([one for one in self.limits if one.limit.is_early], now_ns)
        late = [one for one in self.limits if not one.limit.is_early]
        self._late = Matcher(late, now_ns) if late else None
        self._uses_context = any(
            "context" in one.limit.per or one.limit.match.context is not None for one in self.limits
        )
        self._sends_openai, self._sends_ietf = OPENAI in headers, IETF in headers
        self._logged: dict[str, int] = {}  # when the log last said that a limit refuses

    @property
    def is_asked_late(self) -> bool:
        """Whether calls must pass `admit`: there is a rate, or a limit that looks at the body."""
        return self._late is not None or any(not one.limit.is_of_server for one in self.limits)

    def check(self, caller: Caller) -> None:
        """Check that limits by address have room; takes nothing.

        Raises:
            RateLimitExceeded, TooManyCalls, Overloaded: a limit has none.
        """
        now_ns = self._now_ns()
        for counter in self._full(self._matched(caller.ip), now_ns):
            if counter.of.limit.mode != SHADOW:
                raise refusal(counter, caller.ip, now_ns)

    def enter(self, caller: Caller) -> Slot:
        """Take a slot of each limit of calls in flight by address, and look at the rates.

        Call `Slot.end` when the call is over.

        Raises:
            RateLimitExceeded, TooManyCalls, Overloaded: a limit has no room; nothing is taken.
        """
        ip = caller.ip
        matched = self._early.cached.get(ip) or self._matched(ip)
        for counter in matched.of_server:
            if counter.in_flight >= counter.amount:
                self._refuse(counter, matched, ip)
        if matched.slots or matched.rates:
            self._enter_further(matched, ip)
        for counter in matched.of_server:
            counter.in_flight += 1
        return Slot(matched)

    def admit(
        self, slot: Slot, ip: str, context: str | None, model: str, provider: str, kind: str
    ) -> Sequence[tuple[bytes, bytes]]:
        """Take what the limits of a call count of it, for a call that has entered; return headers for its caller.

        Raises:
            RateLimitExceeded, TooManyCalls: a limit has no room; nothing more is taken than by `enter`.
        """
        late = NOTHING
        if self._late is not None:
            key: Hashable = (ip, model, provider, kind, context) if self._uses_context else (ip, model, provider, kind)
            found = self._late.cached.get(key)
            late = self._late.match(key, Dimensions(ip, context, model, provider, kind)) if found is None else found
        if late is NOTHING and not slot.rates and not slot.slots:
            slot.taken = ()
            return ()
        self._take(slot, late.slots, slot.rates + late.rates, ip)
        return self.headers(slot)

    def _take(self, slot: Slot, slots: Sequence[SlotCounter], rates: tuple[RateCounter, ...], ip: str) -> None:
        now_ns = self._now_ns()
        full: list[RateCounter | SlotCounter] = [one for one in slots if one.in_flight >= one.amount]
        full.extend([rate for rate in rates if rate.wait_ns(now_ns)])
        for refusing in full:
            if refusing.of.limit.mode != SHADOW:
                self._count(refusing, ip)
                raise refusal(refusing, ip, now_ns)
        for refusing in full:
            refusing.of.would_refuse += 1
        slot.taken = [rate for rate in rates if rate not in full] if full else rates
        for rate in slot.taken:
            rate.take(now_ns)
        slot.hold(slots, rates)

    def headers(self, slot: Slot) -> Pairs:
        """Return the headers that tell a caller what is left of the limits of a call."""
        return self._headers(slot.slots, slot.rates, self._now_ns())

    def _headers(self, slots: Sequence[SlotCounter], rates: Sequence[RateCounter], now_ns: int) -> Pairs:
        pairs = openai_headers(rates, now_ns) if self._sends_openai else []
        return pairs + ietf_headers(slots, rates, now_ns) if self._sends_ietf else pairs

    def _matched(self, ip: str) -> Matched:
        return self._early.cached.get(ip) or self._early.match(ip, Dimensions(ip))

    def _full(self, matched: Matched, now_ns: int) -> list[SlotCounter | RateCounter]:
        """Return the counters without room."""
        slots = [one for one in (*matched.of_server, *matched.slots) if one.in_flight >= one.amount]
        return [*slots, *(rate for rate in matched.rates if rate.wait_ns(now_ns))]

    def _enter_further(self, matched: Matched, ip: str) -> None:
        """Do what `enter` does for the limits that are not the server's own."""
        now_ns = self._now_ns()
        for counter in matched.slots:
            if counter.in_flight >= counter.amount and counter.of.limit.mode != SHADOW:
                self._refuse(counter, matched, ip)
        for rate in matched.rates:
            if rate.wait_ns(now_ns) and rate.of.limit.mode != SHADOW:
                self._refuse(rate, matched, ip)
        for counter in matched.slots:
            counter.of.would_refuse += counter.in_flight >= counter.amount
            counter.in_flight += 1

    def _refuse(self, counter: SlotCounter | RateCounter, matched: Matched, ip: str) -> None:
        self._count(counter, ip)
        now_ns = self._now_ns()
        error = refusal(counter, ip, now_ns)
        error.headers = (*error.headers, *self._headers(matched.slots, matched.rates, now_ns))
        raise error

    def _count(self, counter: SlotCounter | RateCounter, ip: str) -> None:
        """Count a refusal; log it, but each limit only once a minute."""
        of, now_ns = counter.of, self._now_ns()
        of.refused += 1
        logged_ns = self._logged.get(of.limit.name)
        if logged_ns is None or now_ns >= logged_ns + LOG_EVERY_NS:
            self._logged[of.limit.name] = now_ns
            log.warning("limits: %s refuses calls of %s; %d calls since the start", of.limit.name, ip, of.refused)
