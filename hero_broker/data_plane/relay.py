"""What waits for a client: a head, chunks, the end. Bounded; never blocks once the client has left."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

QUEUE_CHUNKS = 64


@dataclass(frozen=True, slots=True)
class Head:
    """The start of an answer."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]


class _Mark(Enum):
    ABORT = 0


ABORT: Final = _Mark.ABORT  # the answer is cut off here: its client must not take it for a whole one
Item = Head | bytes | Literal[_Mark.ABORT]


class Relay:
    """One answer on its way from the pump to the client."""

    def __init__(self) -> None:
        self._items: deque[Item | None] = deque()
        self._arrived = asyncio.Event()
        self._has_room = asyncio.Event()
        self._when_left: Callable[[], None] | None = None
        self.is_gone = False  # the client has left
        self.has_begun = False  # the head is on its way
        self.is_events = False  # and says that events follow

    def when_left(self, call: Callable[[], None] | None) -> None:
        """Let `call` be called once, when the client leaves; now, if it has left. None: no longer."""
        self._when_left = call
        if self.is_gone and call is not None:
            call()

    def leave(self) -> None:
        """Note that the client has left; whoever waits in `put` or `take` goes on."""
        if self.is_gone:
            return
        self.is_gone = True
        self._items.clear()
        self._items.append(None)
        self._arrived.set()
        self._has_room.set()
        if self._when_left is not None:
            self._when_left()

    async def put(self, item: Item | None, within_s: float) -> None:
        """Add what comes next; None is the end. A client that takes nothing for `within_s` counts as gone."""
        if len(self._items) >= QUEUE_CHUNKS and not self.is_gone:
            await self._wait_for_room(within_s)
        if self.is_gone:
            return
        if isinstance(item, Head):
            self.has_begun = True
            self.is_events = any(value.startswith(b"text/event-stream") for _, value in item.headers)
        self._items.append(item)
        self._arrived.set()

    async def take(self) -> list[Item | None]:
        """Return all that has come since, once there is something."""
        while not self._items:
            self._arrived.clear()
            await self._arrived.wait()
        taken = list(self._items)
        self._items.clear()
        self._has_room.set()
        return taken

    async def _wait_for_room(self, within_s: float) -> None:
        try:
            async with asyncio.timeout(within_s):
                while len(self._items) >= QUEUE_CHUNKS and not self.is_gone:
                    self._has_room.clear()
                    await self._has_room.wait()
        except TimeoutError:
            self.leave()
