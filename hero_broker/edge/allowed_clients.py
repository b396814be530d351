"""Decides which addresses may call."""

import logging
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network

from hero_broker.core.addresses import UNKNOWN, parse_ip
from hero_broker.core.calls import Caller
from hero_broker.core.errors import ClientRefused
from hero_broker.edge.paths import classify_path
from hero_broker.util.once_per_minute import OncePerMinute

log = logging.getLogger(__name__)


class AllowedClients:
    """Refuses addresses that may not call."""

    def __init__(self, networks: Sequence[IPv4Network | IPv6Network]) -> None:
        self._networks = tuple(networks)
        self._may_call = lru_cache(maxsize=4096)(self._is_allowed)
        self._warnings = OncePerMinute()

    def check(self, caller: Caller, path: str) -> None:
        """Check that the caller's address may call. A Unix socket is guarded by its file mode instead.

        This machine may always query health and the admin plane, because its commands and probes do.

        Raises:
            ClientRefused: no allowed network contains the address.
            InvalidRequest: no allowed network contains the address, and the path has a control character.
        """
        if not self._may_call(caller.ip) and not (_is_this_machine(caller) and _is_health_or_admin(path)):
            if self._warnings.is_due(caller.ip):
                log.warning("edge: %s is refused: it is not in server.allowed_clients", caller.ip)
            raise ClientRefused(f"The address {caller.ip} is not among the allowed clients.")

    def _is_allowed(self, ip: str) -> bool:
        if ip == UNKNOWN:
            return True
        address = parse_ip(ip)
        return any(address in network for network in self._networks)


def _is_this_machine(caller: Caller) -> bool:
    """Return whether the caller is on loopback, and so is its proxy, if any: a remote proxy cannot vouch for this."""
    return all(parse_ip(ip).is_loopback for ip in (caller.ip, caller.peer_ip) if ip not in (None, UNKNOWN))


def _is_health_or_admin(path: str) -> bool:
    info = classify_path(path)
    return info.is_guarded or info.is_health
