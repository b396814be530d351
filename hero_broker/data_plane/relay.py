"""Sends a response to a client: a head, chunks, the end.

There is no queue: a client that reads slowly slows the reading of the provider, up to a timeout.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, Literal

import msgspec

from hero_broker.edge.response_channel import ResponseChannel
from hero_broker.util.timeouts import wait_at_most

MAX_JOINED_BYTES = 256 * 1024  # of a tail that is sent at once; a longer one is sent in its pieces, as they came


class ResponseHead(msgspec.Struct, frozen=True):
    """The status and headers of a response."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]


class _Mark(Enum):
    ABORT = 0


ABORT: Final = _Mark.ABORT  # cut the response off here, so that its client cannot take it for a whole one
Item = ResponseHead | bytes | Literal[_Mark.ABORT]


class Relay:
    """One response on its way to its client."""

    def __init__(self, client: ResponseChannel, write_timeout_s: float, on_client_left: Callable[[], None]) -> None:
        """Prepare to send. A client that reads nothing for `write_timeout_s` counts as disconnected.

        `on_client_left` is called once if the client disconnects before its response has ended.
        """
        self._client = client
        self._write_timeout_s = write_timeout_s
        self._on_client_left = on_client_left
        self._is_over = False
        self.is_gone = False  # the client has disconnected
        self.has_begun = False  # the head has been sent, or is being sent
        self.is_events = False  # the head says that events follow
        client.connection.on_disconnect(self._mark_gone)

    def send_now(self, piece: bytes) -> bool:
        """Send a piece of a stream if that need not wait, the common case; return whether it is done."""
        return self.is_gone or self._client.connection.send_chunk(piece)

    async def send(self, item: ResponseHead | bytes) -> None:
        """Send the next item; return at once if the client has disconnected."""
        if not self.is_gone:
            try:
                await wait_at_most(self._write_timeout_s, self._send_item(item, is_last=False))
            except (TimeoutError, OSError):
                self._mark_gone()
                self._client.connection.abort_response()

    def finish_at_once(self, tail: Sequence[Item]) -> bool:
        """Send `tail` if it is a whole response that need not wait, the common case; return whether it was sent."""
        if self.has_begun or self.is_gone or len(tail) != 2:
            return False
        head, body = tail
        if not isinstance(head, ResponseHead) or not isinstance(body, bytes):
            return False
        self.has_begun = self._is_over = self._client.send_response(head.status, head.headers, body)
        return self.has_begun

    async def finish(self, tail: Sequence[Item]) -> None:
        """Send the tail and end the response; abort it if that fails, or if `tail` says so."""
        is_complete = False
        try:
            if self.is_gone or ABORT in tail:
                return
            if not self.finish_at_once(tail):
                tail = await self._send_most(tail)
                await wait_at_most(self._write_timeout_s, self._end(tail))
            is_complete = True
        except (TimeoutError, OSError):
            self._mark_gone()
        finally:
            self._is_over = True
            if not is_complete:
                self._client.connection.abort_response()

    def _mark_gone(self) -> None:
        if self._is_over or self.is_gone:
            return
        self.is_gone = True
        self._on_client_left()

    async def _send_most(self, tail: Sequence[Item]) -> Sequence[Item]:
        """Send a stream's tail but for its last pieces, which are returned; what is short is all returned."""
        first = 0
        if self.has_begun and len(tail) > 1:
            left = sum(len(item) for item in tail if isinstance(item, bytes))
            while left > MAX_JOINED_BYTES and isinstance(item := tail[first], bytes):
                await wait_at_most(self._write_timeout_s, self._send_item(item, is_last=False))
                left -= len(item)
                first += 1
        return tail[first:]

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
