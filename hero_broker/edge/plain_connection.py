"""The connection of a request under any ASGI server: slower than our own, because everything goes through messages."""

import asyncio
from collections.abc import Callable

from starlette.types import Message, Receive

from hero_broker.edge.response_channel import Headers


class ResponseAborted(Exception):
    """A response broke off: the server must close the connection, so that its client cannot take it for a whole one."""


class PlainConnection:
    """A `ConnectionControl` made of ASGI's messages. Its counterpart is `server.http1.protocol.ClientConnection`.

    The application must receive through `receive`: once the body has ended, the next message is that the client left.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._has_body = asyncio.Event()
        self._has_left = False
        self._on_disconnect: Callable[[], None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._is_aborted = False

    @property
    def is_broken_off(self) -> bool:
        """Whether a client that is still there got a part of a response only."""
        return self._is_aborted and not self._has_left

    async def receive(self) -> Message:
        """Receive the next message."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._leave()
        elif not message.get("more_body", False):
            self._has_body.set()
        return message

    def on_disconnect(self, call: Callable[[], None]) -> None:
        """Call `call` once if the client disconnects before `stop`; at once if it already has."""
        if self._has_left:
            call()
            return
        self._on_disconnect = call
        self._watch = asyncio.create_task(self._wait_for_disconnect(), name="client")

    def take_body(self) -> bytes | None:
        """Return None: the body must be received."""
        return None

    def send_response(self, _status: int, _headers: Headers, _body: bytes) -> bool:
        """Return False: responses are sent as messages."""
        return False

    def send_chunk(self, _piece: bytes) -> bool:
        """Return False: responses are sent as messages."""
        return False

    def abort_response(self) -> None:
        """Note that the response breaks off; the edge then raises ResponseAborted."""
        self._is_aborted = True

    def stop(self) -> None:
        """Stop waiting for the client to leave: its request has been answered."""
        self._on_disconnect = None
        if self._watch is not None:
            self._watch.cancel()

    async def _wait_for_disconnect(self) -> None:
        await self._has_body.wait()
        while (await self._receive())["type"] != "http.disconnect":
            continue
        self._leave()

    def _leave(self) -> None:
        self._has_left = True
        if self._on_disconnect is not None:
            call, self._on_disconnect = self._on_disconnect, None
            call()
