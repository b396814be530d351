"""Who may call, and how many calls at once."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network
from typing import Self

from hero_broker.core.addresses import UNKNOWN, parse_ip
from hero_broker.core.calls import Caller
from hero_broker.core.errors import ClientRefused, Overloaded, TooManyCalls
from hero_broker.edge.paths import place_of


class Admission:
    """Refuses addresses that may not call, and calls beyond a number in flight; used from one event loop."""

    def __init__(
        self, allowed: Sequence[IPv4Network | IPv6Network], max_calls: int, max_calls_per_address: int
    ) -> None:
        self._allowed = tuple(allowed)
        self._max_calls = max_calls
        self._max_calls_per_address = max_calls_per_address
        self._in_flight = 0
        self._in_flight_of: dict[str, int] = {}  # addresses with calls in flight, and no others
        self._may_call = lru_cache(maxsize=4096)(self._is_allowed)

    @property
    def in_flight(self) -> int:
        """Calls that hold a slot now."""
        return self._in_flight

    @property
    def addresses(self) -> int:
        """Addresses that are remembered: those of the calls in flight."""
        return len(self._in_flight_of)

    def check_address(self, caller: Caller, path: str) -> None:
        """Return if the caller's address may call; a Unix socket is guarded by its file mode instead.

        This machine may ask for health and the admin plane, whatever is allowed: its commands and probes do.

        Raises:
            ClientRefused: the address is in none of the allowed networks.
            InvalidRequest: nor is it, and the path has a control character.
        """
        if not self._may_call(caller.ip) and not (_is_this_machine(caller) and _is_own(path)):
            raise ClientRefused(f"The address {caller.ip} is not among the allowed clients.")

    def slot(self, ip: str) -> "Slot":
        """Return one of the slots for calls in flight, to be held in a `with` by a caller at `ip`.

        All callers of a Unix socket are one address, "unknown".

        Raises:
            TooManyCalls: this address holds its share; others may still call.
            Overloaded: all slots are held.
        """
        if self._in_flight_of.get(ip, 0) >= min(self._max_calls_per_address, self._max_calls):
            raise TooManyCalls(
                f"{self._in_flight_of[ip]} calls of {ip} are in flight, the limit of one address; try again shortly."
            )
        if self._in_flight >= self._max_calls:
            raise Overloaded(f"{self._max_calls} calls are in flight, which is the limit; try again shortly.")
        return Slot(self, ip)

    def _is_allowed(self, ip: str) -> bool:
        if ip == UNKNOWN:
            return True
        address = parse_ip(ip)
        return any(address in network for network in self._allowed)


def _is_this_machine(caller: Caller) -> bool:
    """Return whether a loopback address asks, through a proxy or not; a proxy elsewhere cannot say so of a caller."""
    return all(parse_ip(ip).is_loopback for ip in (caller.ip, caller.peer_ip) if ip not in (None, UNKNOWN))


def _is_own(path: str) -> bool:
    place = place_of(path)
    return place.is_guarded or place.is_health


class Slot:
    """A place among the calls in flight, held for the time of a block, or until it is given back before that."""

    __slots__ = ("_admission", "_ip", "_is_held")

    def __init__(self, admission: Admission, ip: str) -> None:
        self._admission = admission
        self._ip = ip
        self._is_held = False

    def __enter__(self) -> Self:
        held = self._admission._in_flight_of
        held[self._ip] = held.get(self._ip, 0) + 1
        self._admission._in_flight += 1
        self._is_held = True
        return self

    def __exit__(self, *_failure: object) -> None:
        self.release()

    def release(self) -> None:
        """Hold it no longer."""
        if not self._is_held:
            return
        self._is_held = False
        held = self._admission._in_flight_of
        if held[self._ip] == 1:
            del held[self._ip]
        else:
            held[self._ip] -= 1
        self._admission._in_flight -= 1
