"""What leaves for a client: a head, chunks, the end.

No queue stands between them: what the client does not take holds up the reading of the provider, for a while.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, Literal

import msgspec

from hero_broker.edge.response_channel import ResponseChannel
from hero_broker.util.timeouts import wait_at_most


class ResponseHead(msgspec.Struct, frozen=True):
    """The start of an answer."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]


class _Mark(Enum):
    ABORT = 0


ABORT: Final = _Mark.ABORT  # the answer is cut off here: its client must not take it for a whole one
Item = ResponseHead | bytes | Literal[_Mark.ABORT]


class Relay:
    """One answer on its way to its client."""

    def __init__(self, client: ResponseChannel, within_s: float, on_disconnect: Callable[[], None]) -> None:
        """Prepare to send; a client that takes nothing for `within_s` counts as one that has left.

        `on_disconnect` is called once, when the client leaves before its answer is over.
        """
        self._client = client
        self._within_s = within_s
        self._on_disconnect = on_disconnect
        self._is_over = False
        self.is_gone = False  # the client has left
        self.has_begun = False  # the head is on its way
        self.is_events = False  # and says that events follow
        client.connection.on_disconnect(self._leave)

    def send_now(self, piece: bytes) -> bool:
        """Send a piece of a stream if nothing holds it up, as is most often so; return whether that is done."""
        return self.is_gone or self._client.connection.send_chunk(piece)

    async def send(self, item: ResponseHead | bytes) -> None:
        """Send what comes next. Returns at once when the client has left."""
        if not self.is_gone:
            try:
                await wait_at_most(self._within_s, self._send_item(item, is_last=False))
            except (TimeoutError, OSError):
                self._leave()
                self._client.connection.abort_response()

    async def finish(self, tail: Sequence[Item]) -> None:
        """Send what is left and end the answer; it is cut off where that fails, or where `tail` says so."""
        is_whole = False
        try:
            if self.is_gone or ABORT in tail:
                return
            if not self._finish_at_once(tail):
                await wait_at_most(self._within_s, self._end(tail))
            is_whole = True
        except (TimeoutError, OSError):
            self._leave()
        finally:
            self._is_over = True
            if not is_whole:
                self._client.connection.abort_response()

    def _finish_at_once(self, tail: Sequence[Item]) -> bool:
        """Send `tail` if it is a whole answer that nothing holds up, as most are; return whether it was sent."""
        if self.has_begun or len(tail) != 2:
            return False
        head, body = tail
        if not isinstance(head, ResponseHead) or not isinstance(body, bytes):
            return False
        self.has_begun = self._client.send_response(head.status, head.headers, body)
        return self.has_begun

    def _leave(self) -> None:
        if self._is_over or self.is_gone:
            return
        self.is_gone = True
        self._on_disconnect()

    async def _end(self, tail: Sequence[Item]) -> None:
        for item in tail:
            if isinstance(item, ResponseHead):
                await self._send_item(item, is_last=False)
        if self.has_begun:
            await self._send_item(b"".join([item for item in tail if isinstance(item, bytes)]), is_last=True)

    async def _send_item(self, item: ResponseHead | bytes, *, is_last: bool) -> None:
        if isinstance(item, ResponseHead):
            self.has_begun = True
            self.is_events = any(value.startswith(b"text/event-stream") for _, value in item.headers)
            headers = list(item.headers)
            await self._client.send({"type": "http.response.start", "status": item.status, "headers": headers})
        else:
            await self._client.send({"type": "http.response.body", "body": item, "more_body": not is_last})
