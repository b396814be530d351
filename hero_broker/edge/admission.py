"""Decides which addresses may call, and how many calls may be in flight."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network
from typing import Self

from hero_broker.core.addresses import UNKNOWN, parse_ip
from hero_broker.core.calls import Caller
from hero_broker.core.errors import ClientRefused, Overloaded, TooManyCalls
from hero_broker.edge.paths import classify_path


class Admission:
    """Refuses addresses that may not call, and calls beyond the limits in flight. Use it from one event loop."""

    def __init__(
        self, allowed: Sequence[IPv4Network | IPv6Network], max_calls: int, max_calls_per_address: int
    ) -> None:
        self._allowed = tuple(allowed)
        self._max_calls = max_calls
        self._max_calls_per_address = max_calls_per_address
        self._in_flight = 0
        self._in_flight_of: dict[str, int] = {}  # only addresses with calls in flight
        self._may_call = lru_cache(maxsize=4096)(self._is_allowed)

    @property
    def in_flight(self) -> int:
        """The number of calls that hold a slot now."""
        return self._in_flight

    @property
    def addresses(self) -> int:
        """The number of addresses in memory: those with calls in flight."""
        return len(self._in_flight_of)

    def check_address(self, caller: Caller, path: str) -> None:
        """Check that the caller's address may call. A Unix socket is guarded by its file mode instead.

        This machine may always query health and the admin plane, because its commands and probes do.

        Raises:
            ClientRefused: no allowed network contains the address.
            InvalidRequest: no allowed network contains the address, and the path has a control character.
        """
        if not self._may_call(caller.ip) and not (_is_this_machine(caller) and _is_health_or_admin(path)):
            raise ClientRefused(f"The address {caller.ip} is not among the allowed clients.")

    def slot(self, ip: str) -> "Slot":
        """Return a slot for one call in flight of `ip`; hold it in a `with`.

        All callers on Unix sockets count as one address, "unknown".

        Raises:
            TooManyCalls: this address has reached its limit; other addresses may still call.
            Overloaded: all slots are in use.
        """
        if self._in_flight_of.get(ip, 0) >= min(self._max_calls_per_address, self._max_calls):
            raise TooManyCalls(
                f"{self._in_flight_of[ip]} calls of {ip} are in flight, the limit for one address; try again shortly."
            )
        if self._in_flight >= self._max_calls:
            raise Overloaded(f"{self._max_calls} calls are in flight, the limit; try again shortly.")
        return Slot(self, ip)

    def _is_allowed(self, ip: str) -> bool:
        if ip == UNKNOWN:
            return True
        address = parse_ip(ip)
        return any(address in network for network in self._allowed)


def _is_this_machine(caller: Caller) -> bool:
    """Return whether the caller is on loopback, and so is its proxy, if any: a remote proxy cannot vouch for this."""
    return all(parse_ip(ip).is_loopback for ip in (caller.ip, caller.peer_ip) if ip not in (None, UNKNOWN))


def _is_health_or_admin(path: str) -> bool:
    info = classify_path(path)
    return info.is_guarded or info.is_health


class Slot:
    """One call in flight, counted until the `with` block ends or `release` is called."""

    __slots__ = ("_admission", "_ip", "_is_held")

    def __init__(self, admission: Admission, ip: str) -> None:
        self._admission = admission
        self._ip = ip
        self._is_held = False

    def __enter__(self) -> Self:
        counts = self._admission._in_flight_of
        counts[self._ip] = counts.get(self._ip, 0) + 1
        self._admission._in_flight += 1
        self._is_held = True
        return self

    def __exit__(self, *_failure: object) -> None:
        self.release()

    def release(self) -> None:
        """Free the slot; do nothing if it is free already."""
        if not self._is_held:
            return
        self._is_held = False
        counts = self._admission._in_flight_of
        if counts[self._ip] == 1:
            del counts[self._ip]
        else:
            counts[self._ip] -= 1
        self._admission._in_flight -= 1
