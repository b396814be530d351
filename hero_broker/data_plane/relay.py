"""What leaves for a client: a head, chunks, the end. The pump sends; the request's own task waits for the client.

No queue stands between them: what the client does not take holds up the reading of the provider, for a while.
"""

import asyncio
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, Literal

import msgspec
from starlette.types import Receive, Send

from hero_broker.core.waiting import within


class Head(msgspec.Struct, frozen=True):
    """The start of an answer."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]


class _Mark(Enum):
    ABORT = 0


ABORT: Final = _Mark.ABORT  # the answer is cut off here: its client must not take it for a whole one
Item = Head | bytes | Literal[_Mark.ABORT]


class Relay:
    """One answer on its way to its client."""

    def __init__(self, send: Send, within_s: float) -> None:
        """Prepare to send; a client that takes nothing for `within_s` counts as gone."""
        self._send = send
        self._within_s = within_s
        self._when_left: Callable[[], None] | None = None
        self._waiting: asyncio.Task[object] | None = None  # the request's own task
        self._is_over = False
        self._is_cut_off = False
        self.is_gone = False  # the client has left
        self.has_begun = False  # the head is on its way
        self.is_events = False  # and says that events follow

    def when_left(self, call: Callable[[], None] | None) -> None:
        """Let `call` be called once, when the client leaves; now, if it has left. None: no longer."""
        self._when_left = call
        if self.is_gone and call is not None:
            call()

    async def put(self, item: Head | bytes) -> None:
        """Send what comes next. Returns at once when the client has left."""
        if not self.is_gone:
            try:
                await within(self._within_s, self._send_now(item, is_last=False))
            except (TimeoutError, OSError):
                self._leave()
                self._cut_off()

    async def finish(self, tail: Sequence[Item]) -> None:
        """Send what is left and end the answer; it is cut off where that fails, or where `tail` says so."""
        is_whole = False
        try:
            if not self.is_gone and ABORT not in tail:
                await within(self._within_s, self._end(tail))
                is_whole = True
        except (TimeoutError, OSError):
            self._leave()
        finally:
            self._is_over = True
            if not is_whole:
                self._cut_off()

    async def client(self, receive: Receive) -> None:
        """Return when the client has left, or its answer is over."""
        self._waiting = asyncio.current_task()
        try:
            while not self._is_cut_off and (await receive())["type"] != "http.disconnect":
                continue
        except asyncio.CancelledError:
            if not self._is_cut_off or self._waiting is None or self._waiting.uncancel():
                raise
        finally:
            self._waiting = None
            self._leave()

    def _cut_off(self) -> None:
        """Let `client` return, so that the server closes a connection whose answer is not whole."""
        self._is_cut_off = True
        if self._waiting is not None:
            self._waiting.cancel()

    def _leave(self) -> None:
        if self._is_over or self.is_gone:
            return
        self.is_gone = True
        if self._when_left is not None:
            self._when_left()

    async def _end(self, tail: Sequence[Item]) -> None:
        for item in tail:
            if isinstance(item, Head):
                await self._send_now(item, is_last=False)
        if self.has_begun:
            await self._send_now(b"".join([item for item in tail if isinstance(item, bytes)]), is_last=True)

    async def _send_now(self, item: Head | bytes, *, is_last: bool) -> None:
        if isinstance(item, Head):
            self.has_begun = True
            self.is_events = any(value.startswith(b"text/event-stream") for _, value in item.headers)
            headers = list(item.headers)
            await self._send({"type": "http.response.start", "status": item.status, "headers": headers})
        else:
            await self._send({"type": "http.response.body", "body": item, "more_body": not is_last})
