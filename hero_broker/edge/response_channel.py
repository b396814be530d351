"""The client of one request: it is answered, with the request's id, and it may leave at any time."""

from collections.abc import Callable, Sequence
from typing import Protocol

from starlette.types import Message, Send

Headers = Sequence[tuple[bytes, bytes]]


class ConnectionControl(Protocol):
    """What a server's connection can do beyond ASGI; `server.http1.protocol` has it, as `state.connection`."""

    def on_disconnect(self, call: Callable[[], None]) -> None:
        """Let `call` be called once, if the client leaves before its answer is over; now, if it has left."""
        ...

    def take_body(self) -> bytes | None:
        """Return the request's body, once, if all of it has come; None where it must be received."""
        ...

    def send_response(self, status: int, headers: Headers, body: bytes) -> bool:
        """Send a whole answer at once; False, and nothing is sent, where that would have to wait.

        `headers` have the length of `body`, and no control character.
        """
        ...

    def send_chunk(self, piece: bytes) -> bool:
        """Send more of an answer that has begun, at once; False, and nothing is sent, where that would have to wait.

        `piece` is not empty.
        """
        ...

    def abort_response(self) -> None:
        """Close the connection, so that an answer that is not whole is not taken for one."""
        ...


class ResponseChannel:
    """Whoever waits for the answer to a request."""

    __slots__ = ("_send", "connection", "has_begun", "headers")

    def __init__(self, connection: ConnectionControl, send: Send, request_id: str) -> None:
        self.connection = connection
        self._send = send
        self.headers: Headers = ((b"x-request-id", request_id.encode()),)  # of every answer
        self.has_begun = False  # the head of an answer is on its way

    async def send(self, message: Message) -> None:
        """Send an ASGI message."""
        if message["type"] == "http.response.start":
            self.has_begun = True
            message["headers"] = [*message.get("headers", ()), *self.headers]
        await self._send(message)

    def send_response(self, status: int, headers: Headers, body: bytes) -> bool:
        """Send a whole answer at once, as `Connection.answer` does."""
        self.has_begun = self.connection.send_response(status, [*headers, *self.headers], body)
        return self.has_begun
