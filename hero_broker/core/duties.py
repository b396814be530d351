"""What the broker does by itself, again and again, and whether it fails.

A duty that begins to fail is logged, and logged again when it works; `system.health` shows it meanwhile.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


class Duty:
    """One duty, and whether its last attempt failed. One thread attempts it, and any may look."""

    def __init__(self, name: str, task: str) -> None:
        """Take its name in `system.health`, and what it does as the log says it ("rows are moved to the database")."""
        self.name = name
        self._task = task
        self._began = 0.0  # monotonic seconds of the first of the failures that follow each other
        self.failing_since: int | None = None  # unix seconds; None if its last attempt succeeded
        self.last_error: str | None = None  # of the last failure, also after it works again
        self.failures = 0  # since the start

    @property
    def is_failing(self) -> bool:
        """Whether its last attempt failed."""
        return self.failing_since is not None

    def failed(self, why: str) -> None:
        """Take note of a failure; `why` is a sentence for everybody, without names, addresses and rows."""
        self.failures += 1
        self.last_error = why
        if self.failing_since is None:  # said once: an outage of hours is no reason to fill a disk with its log
            self._began = time.monotonic()
            self.failing_since = int(time.time())
            log.warning("duty %s fails: %s: %s", self.name, self._task, why)

    def succeeded(self) -> None:
        """Take note of a success."""
        if self.failing_since is not None:
            self.failing_since = None
            log.warning("duty %s works again after %.1f s: %s", self.name, time.monotonic() - self._began, self._task)

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Attempt it in the block. What it raises is a failure, and ends nothing: the next attempt is due too."""
        try:
            yield
        except Exception as error:
            self.failed(type(error).__name__)
            log.error("duty %s: a fault of the broker's own", self.name, exc_info=error)
        else:
            self.succeeded()

    def report(self) -> dict[str, object]:
        """Return what `system.health` shows."""
        return {
            "duty": self.name,
            "status": "failing" if self.is_failing else "ok",
            "failing_since": self.failing_since,
            "last_error": self.last_error,
            "failures": self.failures,
        }
