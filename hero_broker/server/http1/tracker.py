"""Tracks all open connections: limits their number and checks their deadlines, once a second for all."""

import asyncio
import logging
import math
from collections import OrderedDict
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from hero_broker.core.duties import Duty

SWEEP_EVERY_S = 1.0
LOG_EVERY_S = 60.0
NEVER = math.inf

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections may be open, and how long each may wait."""

    max_open: int  # at once
    header_timeout_s: float  # from the first chance to send a head to its end
    keep_alive_s: float  # from a response to the first byte of the next head
    idle_timeout_s: float  # without reading anything of the response


class TrackedConnection(Protocol):
    """A connection, as the tracker sees it."""

    deadline: float  # by the event loop's clock

    @property
    def is_closing(self) -> bool:
        """Whether it only waits for its client to read what was sent."""

    def on_deadline(self, now: float) -> None:
        """Close the connection, or set another deadline."""

    def abort(self) -> None:
        """Close the connection at once."""


class ConnectionTracker:
    """Knows all open connections, and which of them are idle."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._open: set[TrackedConnection] = set()
        self._idle: OrderedDict[TrackedConnection, None] = (
            OrderedDict()
        )  # connections without a request, the longest idle first
        self._evicted = 0
        self._logged_at = -NEVER
        self.watching = Duty("connections", "connections past their deadline are closed")

    def add(self, connection: TrackedConnection) -> None:
        """Add a connection; beyond the limit, evict the one that has been idle for longest.

        If all others are busy, that is the new one. A client that only opens connections cannot lock others out: a new
        connection lasts until as many again have been opened.
        """
        self._open.add(connection)
        self._idle[connection] = None
        if len(self._open) > self.limits.max_open:
            oldest, _ = self._idle.popitem(last=False)
            oldest.abort()
            self._evicted += 1

    def mark_busy(self, connection: TrackedConnection) -> None:
        """Record that a request has begun."""
        self._idle.pop(connection, None)

    def mark_idle(self, connection: TrackedConnection) -> None:
        """Record that no request is being answered."""
        self._idle[connection] = None

    def remove(self, connection: TrackedConnection) -> None:
        """Remove a closed connection."""
        self._open.discard(connection)
        self._idle.pop(connection, None)

    def sweep(self, now: float) -> None:
        """Call `on_deadline` of every connection whose deadline has passed."""
        for connection in list(self._open):
            if connection.deadline <= now:
                connection.on_deadline(now)
            elif connection.deadline == NEVER and connection.is_closing:
                connection.deadline = now + self.limits.idle_timeout_s
        if self._evicted and now >= self._logged_at + LOG_EVERY_S:
            log.warning(
                "the limit of %d open connections is reached; idle connections evicted: %d",
                self.limits.max_open,
                self._evicted,
            )
            self._evicted, self._logged_at = 0, now

    def running(self) -> AbstractAsyncContextManager[None]:
        """Sweep all connections every `SWEEP_EVERY_S` during the block."""
        now = asyncio.get_running_loop().time
        return self.watching.repeated(lambda: self.sweep(now()), SWEEP_EVERY_S)
