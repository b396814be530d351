"""The least that a gateway can cost in Python: bytes between two sockets. `python -m tests.benchmarks.relay PORT`.

PORT is the provider's; prints its own. A request is read by its content-length, and written unchanged to a connection
that is kept. The answer's bytes are handed back as they come, up to its content-length or its last chunk. It bills
nothing, checks nothing, and trusts both sides: no gateway, but the limit that one is compared with.
"""

import asyncio
import sys
from typing import cast

import uvloop

HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length:"
LAST_CHUNK = b"\r\n0\r\n\r\n"


class _Message:
    """Finds where a message ends, of which the head comes in one piece with its beginning."""

    def __init__(self) -> None:
        self._left: int | None = None  # bytes to come; None: chunks
        self._tail = b""
        self._is_begun = False

    def ends_with(self, data: bytes) -> bool:
        """Return whether the message is whole, now that `data` has come; the next piece begins another one then."""
        if not self._is_begun:
            self._begin(data)
        elif self._left is not None:
            self._left -= len(data)
        if self._left is None:
            self._tail = (self._tail + data[-len(LAST_CHUNK) :])[-len(LAST_CHUNK) :]
            is_whole = self._tail.endswith(LAST_CHUNK)
        else:
            is_whole = self._left <= 0
        self._is_begun = not is_whole
        return is_whole

    def _begin(self, data: bytes) -> None:
        self._is_begun = True
        self._tail = b""
        head, _, body = data.partition(HEAD_END)
        _, found, after = head.lower().partition(LENGTH)
        self._left = int(after.partition(b"\r\n")[0]) - len(body) if found else None


class _ToProvider(asyncio.Protocol):
    """One kept connection; `client` is the one whose answer it brings."""

    def __init__(self, idle: list["_ToProvider"]) -> None:
        self._idle = idle
        self._answer = _Message()
        self.client: _FromClient | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self in self._idle:
            self._idle.remove(self)
        if self.client is not None:
            self.client.transport.close()

    def data_received(self, data: bytes) -> None:
        client = self.client
        if client is None:
            self.transport.abort()
            return
        if self._answer.ends_with(data):
            self.client = client.provider = None
            self._idle.append(self)
        client.transport.write(data)


class _FromClient(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, port: int, idle: list[_ToProvider]) -> None:
        self._port = port
        self._idle = idle
        self._request = _Message()
        self._pieces: list[bytes] = []
        self._opening: asyncio.Task[None] | None = None
        self.provider: _ToProvider | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self.provider is not None:
            self.provider.client = None
            self.provider.transport.abort()

    def data_received(self, data: bytes) -> None:
        self._pieces.append(data)
        if not self._request.ends_with(data):
            return
        request = b"".join(self._pieces)
        self._pieces.clear()
        if self._idle:
            self._send(self._idle.pop(), request)
        else:
            self._opening = asyncio.get_running_loop().create_task(self._open(request), name="connect")

    async def _open(self, request: bytes) -> None:
        loop = asyncio.get_running_loop()
        _, provider = await loop.create_connection(lambda: _ToProvider(self._idle), "127.0.0.1", self._port)
        self._send(provider, request)

    def _send(self, provider: _ToProvider, request: bytes) -> None:
        if self.transport.is_closing():
            provider.transport.abort()
            return
        self.provider, provider.client = provider, self
        provider.transport.write(request)


async def _serve(port: int) -> None:
    idle: list[_ToProvider] = []
    server = await asyncio.get_running_loop().create_server(
        lambda: _FromClient(port, idle), "127.0.0.1", 0, backlog=1024
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
