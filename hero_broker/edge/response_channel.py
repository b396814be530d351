"""Sends the response to one request, with the request's id; the client may disconnect at any time."""

from collections.abc import Callable, Sequence
from typing import Protocol

from starlette.types import Message, Send

Headers = Sequence[tuple[bytes, bytes]]


class ConnectionControl(Protocol):
    """What a connection can do beyond ASGI. `server.http1.protocol` implements it and sets it as `state.connection`."""

    def on_disconnect(self, call: Callable[[], None]) -> None:
        """Call `call` once if the client disconnects before its response has ended; at once if it already has."""
        ...

    def take_body(self) -> bytes | None:
        """Return the request's body, once, if all of it has arrived; None if it must be received."""
        ...

    def send_response(self, status: int, headers: Headers, body: bytes) -> bool:
        """Send a whole response at once; if that would have to wait, send nothing and return False.

        `headers` must have the length of `body`, and no control character.
        """
        ...

    def send_chunk(self, piece: bytes) -> bool:
        """Send a piece of the body at once; if that would have to wait, send nothing and return False.

        The response has begun, and `piece` is not empty.
        """
        ...

    def abort_response(self) -> None:
        """Close the connection, so that the client cannot take a truncated response for a whole one."""
        ...


class ResponseChannel:
    """The way to the client of one request."""

    __slots__ = ("_send", "connection", "has_begun", "headers")

    def __init__(self, connection: ConnectionControl, send: Send, request_id: str) -> None:
        self.connection = connection
        self._send = send
        self.headers: Headers = ((b"x-request-id", request_id.encode()),)  # of every response
        self.has_begun = False  # the head has been sent, or is being sent

    async def send(self, message: Message) -> None:
        """Send an ASGI message."""
        if message["type"] == "http.response.start":
            self.has_begun = True
            message["headers"] = [*message.get("headers", ()), *self.headers]
        await self._send(message)

    def send_response(self, status: int, headers: Headers, body: bytes) -> bool:
        """Send a whole response at once, as `ConnectionControl.send_response` does."""
        self.has_begun = self.connection.send_response(status, [*headers, *self.headers], body)
        return self.has_begun
