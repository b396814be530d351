"""Who may call, and how many calls at once."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network

from hero_broker.core.addresses import UNKNOWN, parse_ip
from hero_broker.core.calls import Caller
from hero_broker.core.errors import ClientRefused, Overloaded


class Admission:
    """Refuses addresses that may not call, and calls beyond a number in flight; used from one event loop."""

    def __init__(self, allowed: Sequence[IPv4Network | IPv6Network], max_calls: int) -> None:
        self._allowed = tuple(allowed)
        self._max_calls = max_calls
        self._in_flight = 0
        self._may_call = lru_cache(maxsize=4096)(self._is_allowed)

    @property
    def in_flight(self) -> int:
        """Calls that hold a slot now."""
        return self._in_flight

    def check_address(self, caller: Caller) -> None:
        """Return if the caller's address may call; a Unix socket is guarded by its file mode instead.

        Raises:
            ClientRefused: the address is in none of the allowed networks.
        """
        if not self._may_call(caller.ip):
            raise ClientRefused(f"The address {caller.ip} is not among the allowed clients.")

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold one of the slots for calls in flight.

        Raises:
            Overloaded: all slots are held.
        """
        if self._in_flight >= self._max_calls:
            raise Overloaded(f"{self._max_calls} calls are in flight, which is the limit; try again shortly.")
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    def _is_allowed(self, ip: str) -> bool:
        if ip == UNKNOWN:
            return True
        address = parse_ip(ip)
        return any(address in network for network in self._allowed)
