"""All open connections: how many there may be, and when each must have got on. One look a second, no timer each."""

import asyncio
import logging
import math
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from hero_broker.core.duties import Duty

SWEEP_EVERY_S = 1.0
LOG_EVERY_S = 60.0
NEVER = math.inf

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What connections may take."""

    most: int  # open at once
    header_timeout_s: float  # from its first chance to send a head to its whole head
    keep_alive_s: float  # from an answer to the next head's first byte
    idle_timeout_s: float  # without taking anything of what it is sent


class TrackedConnection(Protocol):
    """A connection as it is watched."""

    deadline: float  # by the event loop's clock

    @property
    def is_closing(self) -> bool:
        """Whether it only waits for its client to take what was sent."""

    def on_deadline(self, now: float) -> None:
        """Close it, or set another deadline."""

    def abort(self) -> None:
        """Close it at once."""


class ConnectionTracker:
    """Knows every connection, and which of them no call would miss."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._open: set[TrackedConnection] = set()
        self._idle: OrderedDict[TrackedConnection, None] = OrderedDict()  # those without a request, the longest first
        self._turned_away = 0
        self._told_at = -NEVER
        self.watching = Duty("connections", "connections whose time is over are closed")

    def add(self, connection: TrackedConnection) -> None:
        """Count a connection; at the limit, close the one that has been without a request for longest.

        That is this one, where all others have one. Whoever opens connections and sends nothing shuts nobody out:
        a newcomer has the time that it takes to open as many again.
        """
        self._open.add(connection)
        self._idle[connection] = None
        if len(self._open) > self.limits.most:
            longest, _ = self._idle.popitem(last=False)
            longest.abort()
            self._turned_away += 1

    def mark_busy(self, connection: TrackedConnection) -> None:
        """Note that a request has come."""
        self._idle.pop(connection, None)

    def mark_idle(self, connection: TrackedConnection) -> None:
        """Note that no request is being answered."""
        self._idle[connection] = None

    def remove(self, connection: TrackedConnection) -> None:
        """Forget a connection."""
        self._open.discard(connection)
        self._idle.pop(connection, None)

    def sweep(self, now: float) -> None:
        """Let every connection act whose time is over."""
        for connection in list(self._open):
            if connection.deadline <= now:
                connection.on_deadline(now)
            elif connection.deadline == NEVER and connection.is_closing:
                connection.deadline = now + self.limits.idle_timeout_s
        if self._turned_away and now >= self._told_at + LOG_EVERY_S:
            log.warning(
                "connections: %d are open, which is the limit; closed without a request: %d",
                self.limits.most,
                self._turned_away,
            )
            self._turned_away, self._told_at = 0, now

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look at all connections again and again for the time of the block."""
        watching = asyncio.create_task(self._watch(), name="connections")
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            with self.watching.attempt():
                self.sweep(loop.time())
