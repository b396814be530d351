"""Wall time and monotonic time, behind a protocol that tests replace."""

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for rows, monotonic time for durations."""

    def now(self) -> int:
        """Return unix seconds, UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start; setting the clock does not change them."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> int:
        return int(time.time())

    monotonic = staticmethod(time.monotonic)
