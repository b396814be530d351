"""Takes a connection from aiohttp's pool and returns it, without waiting.

aiohttp's `connect` does the same in a coroutine, with a time-out and an object that watches over its own release. It is
needed only if no pooled connection is free. This module is the only one that knows the pool's private parts.
"""

import time

import aiohttp
from aiohttp.client_reqrep import ConnectionKey

from hero_broker.providers.upstream.connection import Connection


class PooledConnection:
    """A connection from the pool, until `release` or `close`."""

    __slots__ = ("_connector", "_key", "protocol")

    def __init__(self, connector: aiohttp.TCPConnector, key: ConnectionKey, protocol: Connection) -> None:
        self._connector = connector
        self._key = key
        self.protocol: Connection | None = protocol  # None once it has been returned

    def release(self) -> None:
        """Return it to the pool, which closes it if it cannot be reused."""
        self._end(should_close=False)

    def close(self) -> None:
        """Close it."""
        self._end(should_close=True)

    def _end(self, *, should_close: bool) -> None:
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            self._connector._release(self._key, protocol, should_close=should_close)


def take_pooled(connector: aiohttp.TCPConnector, key: ConnectionKey) -> PooledConnection | None:
    """Take a free connection; None if the pool has none that can be used."""
    free = connector._conns.get(key)
    if not free:
        return None
    oldest_use = time.monotonic() - (connector._keepalive_timeout or 0.0)
    while free:
        protocol, last_use = free.popleft()
        if last_use >= oldest_use and protocol.is_connected():
            connector._acquired.add(protocol)
            return PooledConnection(connector, key, protocol)  # type: ignore[arg-type]  # `open_upstream` makes no others
        protocol.close()
    return None
