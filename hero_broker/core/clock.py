"""Time, in one replaceable place."""

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for rows, monotonic time for durations."""

    def now(self) -> int:
        """Return unix seconds, UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start that no clock change moves."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> int:
        return int(time.time())

    def monotonic(self) -> float:
        return time.monotonic()
