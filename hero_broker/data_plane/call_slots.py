"""Bounds the calls in flight, in all and of each address."""

from typing import Self

from hero_broker.core.calls import Caller
from hero_broker.core.errors import Overloaded, TooManyCalls


class CallSlots:
    """The slots of calls in flight. Use it from one event loop.

    All callers on Unix sockets count as one address, "unknown".
    """

    def __init__(self, max_calls: int, max_calls_per_address: int) -> None:
        self._max_calls = max_calls
        self._max_calls_per_address = min(max_calls, max_calls_per_address)
        self._in_flight = 0
        self._in_flight_of: dict[str, int] = {}  # only addresses with calls in flight

    @property
    def in_flight(self) -> int:
        """The number of calls that hold a slot now."""
        return self._in_flight

    @property
    def addresses(self) -> int:
        """The number of addresses in memory: those with calls in flight."""
        return len(self._in_flight_of)

    def check(self, caller: Caller) -> None:
        """Check that a slot is free for the caller; an `EarlyCheck`.

        Raises:
            TooManyCalls: this address has reached its limit; other addresses may still call.
            Overloaded: all slots are in use.
        """
        ip = caller.ip
        if self._in_flight_of.get(ip, 0) >= self._max_calls_per_address:
            raise TooManyCalls(
                f"{self._in_flight_of[ip]} calls of {ip} are in flight, the limit for one address; try again shortly."
            )
        if self._in_flight >= self._max_calls:
            raise Overloaded(f"{self._max_calls} calls are in flight, the limit; try again shortly.")

    def slot(self, ip: str) -> "Slot":
        """Return a slot for one call in flight of `ip`, for which `check` has just passed; hold it in a `with`."""
        return Slot(self, ip)


class Slot:
    """One call in flight, counted until the `with` block ends or `release` is called."""

    __slots__ = ("_ip", "_is_held", "_slots")

    def __init__(self, slots: CallSlots, ip: str) -> None:
        self._slots = slots
        self._ip = ip
        self._is_held = False

    def __enter__(self) -> Self:
        counts = self._slots._in_flight_of
        counts[self._ip] = counts.get(self._ip, 0) + 1
        self._slots._in_flight += 1
        self._is_held = True
        return self

    def __exit__(self, *_failure: object) -> None:
        self.release()

    def release(self) -> None:
        """Free the slot; do nothing if it is free already."""
        if not self._is_held:
            return
        self._is_held = False
        counts = self._slots._in_flight_of
        if counts[self._ip] == 1:
            del counts[self._ip]
        else:
            counts[self._ip] -= 1
        self._slots._in_flight -= 1
