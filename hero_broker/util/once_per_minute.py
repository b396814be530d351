"""Decides when a warning about a peer or a page is due: once a minute for each, within bounds."""

import time
from collections.abc import Callable

EVERY_S = 60.0
MAX_REMEMBERED = 1000  # subjects whose last warning is remembered


class OncePerMinute:
    """Remembers which subjects a warning named in the last minute."""

    def __init__(self, max_remembered: int = MAX_REMEMBERED, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_remembered = max_remembered
        self._clock = clock
        self._warned: dict[str, float] = {}  # subject → time of its last warning, the oldest first

    def __len__(self) -> int:
        return len(self._warned)

    def is_due(self, subject: str) -> bool:
        """Return whether to warn of `subject` now; False also while too many others were warned of in this minute."""
        now = self._clock()
        warned_at = self._warned.get(subject)
        if warned_at is not None and now < warned_at + EVERY_S:
            return False
        while self._warned and now >= next(iter(self._warned.values())) + EVERY_S:
            del self._warned[next(iter(self._warned))]
        if len(self._warned) >= self._max_remembered:
            return False
        self._warned[subject] = now
        return True
