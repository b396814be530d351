"""Asks the store in threads of its own: a slow report takes none from the calls."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from hero_broker.core.errors import StoreUnavailable
from hero_broker.metering.workers import lower_priority
from hero_broker.store.database import Database
from hero_broker.store.statement_timeout import cancel

CLOSE_WITHIN_S, CANCEL_EVERY_S = 3.0, 0.01

Answer = TypeVar("Answer")
P = ParamSpec("P")


class QueryPool:
    """A few threads that read; each question has a transaction of its own."""

    def __init__(self, database: Database, threads: int) -> None:
        self._database = database
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="reader", initializer=lower_priority)
        self._lock = threading.Lock()
        self._open: set[Connection] = set()
        self._closed = False

    async def query(
        self,
        deadline_s: float | None,
        question: Callable[Concatenate[Connection, P], Answer],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Answer:
        """Return what `question` finds within `deadline_s`.

        Raises:
            StoreUnavailable: the database does not answer, or the reader was closed.
            TooWide: it took longer.
        """
        return await self.run(self._read, deadline_s, lambda connection: question(connection, *args, **kwargs))

    async def run(self, work: Callable[P, Answer], *args: P.args, **kwargs: P.kwargs) -> Answer:
        """Return what `work` returns, from one of the threads."""
        if self._closed:
            raise StoreUnavailable("the broker is stopping")
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(*args, **kwargs))

    def close(self) -> None:
        """End what is being asked, and the threads."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        ends_at = time.monotonic() + CLOSE_WITHIN_S
        while time.monotonic() < ends_at:
            with self._lock:
                if not self._open:
                    return
                for connection in self._open:  # again and again: one that is between two statements does not notice
                    cancel(connection)
            time.sleep(CANCEL_EVERY_S)

    def _read(self, deadline_s: float | None, question: Callable[[Connection], Answer]) -> Answer:
        with self._database.reading(deadline_s) as connection:
            with self._lock:
                self._open.add(connection)
            try:
                return question(connection)
            finally:
                with self._lock:
                    self._open.remove(connection)
