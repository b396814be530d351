"""Decides which requests with a short body wait in their connection until all of it has come."""

from collections.abc import Callable, Collection, Mapping, Sequence

from hero_broker.core.calls import Caller
from hero_broker.core.errors import BrokerError
from hero_broker.edge.admin_auth import AdminGate
from hero_broker.edge.allowed_clients import AllowedClients
from hero_broker.edge.source_ip import SourceIp

_OF_PAGES = frozenset({b"origin", b"sec-fetch-site"})


class ShortRequests:
    """The requests that wait for their body: those of no web page whose head is no reason to refuse them.

    Others begin at once, so that they are refused before their body is read. It decides by the same objects as the
    application, and only about a body that did not come with its head.
    """

    def __init__(
        self,
        targets: Collection[bytes],
        source_ip: SourceIp,
        allowed: AllowedClients,
        gate: AdminGate,
        early_checks: Sequence[Callable[[Caller], None]],
        check_head: Callable[[Mapping[bytes, bytes]], object],
    ) -> None:
        """Take the targets of calls, byte for byte, and what decides about a call by its caller and by its headers.

        The checks raise BrokerError.
        """
        self.targets = frozenset(targets)
        self._source_ip = source_ip
        self._allowed = allowed
        self._gate = gate
        self._early_checks = tuple(early_checks)
        self._check_head = check_head

    def may_wait(self, client: tuple[str, int] | None, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        """Return whether a request may wait, by its head; header names are lower-case."""
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) != 1 or any(name in _OF_PAGES for name, _ in headers):
            return False
        path = target.decode("ascii")
        try:
            self._gate.check_host(client, hosts[0])
            caller = self._source_ip.resolve(client, headers, path)
            self._allowed.check(caller, path)
            for check in self._early_checks:
                check(caller)
            self._check_head(dict(headers))
        except (BrokerError, ValueError):  # the application responds
            return False
        return True
