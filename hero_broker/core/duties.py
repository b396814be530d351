"""Background work that the broker repeats by itself, and whether it is failing.

A duty is logged once when it begins to fail and once when it works again; `system.health` reports it meanwhile.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

log = logging.getLogger(__name__)


class Duty:
    """One duty, and whether its last attempt failed. One thread attempts it; any thread may read it."""

    def __init__(self, name: str, task: str) -> None:
        """Take its name in `system.health`, and its task in the words of the log ("rows are moved to the database")."""
        self.name = name
        self._task = task
        self._began = 0.0  # monotonic seconds of the first failure of the current outage
        self.failing_since: int | None = None  # unix seconds; None if its last attempt succeeded
        self.last_error: str | None = None  # of the last failure; kept after the duty works again
        self.failures = 0  # since the start

    @property
    def is_failing(self) -> bool:
        """Whether its last attempt failed."""
        return self.failing_since is not None

    def failed(self, why: str) -> None:
        """Record a failure. `why` is public: no names, addresses or rows in it."""
        self.failures += 1
        self.last_error = why
        if self.failing_since is None:  # logged once: an outage of hours must not fill the disk with its log
            self._began = time.monotonic()
            self.failing_since = int(time.time())
            log.warning("duty %s fails: %s: %s", self.name, self._task, why)

    def succeeded(self) -> None:
        """Record a success."""
        if self.failing_since is not None:
            self.failing_since = None
            # Not how long it failed: the attempt that succeeded may have come long after it could have.
            log.warning(
                "duty %s works again; the first failure was %.1f s ago: %s",
                self.name,
                time.monotonic() - self._began,
                self._task,
            )

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Attempt the duty in the block. An exception is recorded and swallowed: the next attempt must run."""
        try:
            yield
        except Exception as error:  # whatever the block raises, the caller's loop must go on to its next attempt
            self.failed(type(error).__name__)
            log.error("duty %s: an internal error", self.name, exc_info=error)
        else:
            self.succeeded()

    @asynccontextmanager
    async def repeated(self, work: Callable[[], None], every_s: float) -> AsyncIterator[None]:
        """Attempt `work` on the event loop every `every_s` seconds, inside the block; first after one such time."""
        repeating = asyncio.create_task(self._repeat(work, every_s), name=self.name)
        try:
            yield
        finally:
            repeating.cancel()
            with suppress(asyncio.CancelledError):
                await repeating

    async def _repeat(self, work: Callable[[], None], every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            with self.attempt():
                work()

    def report(self) -> dict[str, object]:
        """Return the object of `system.health`."""
        return {
            "duty": self.name,
            "status": "failing" if self.is_failing else "ok",
            "failing_since": self.failing_since,
            "last_error": self.last_error,
            "failures": self.failures,
        }
