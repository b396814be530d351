"""Runs queries on the store in threads of their own, so that slow reports take no threads from calls."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from hero_broker.core.errors import StoreUnavailable, TooWide
from hero_broker.metering.workers import NICE, lower_priority
from hero_broker.store.counting import STOPPING, CountingSession
from hero_broker.store.database import Database
from hero_broker.store.statement_timeout import cancel

CLOSE_WITHIN_S, CANCEL_EVERY_S = 3.0, 0.01
CANCEL_WITHIN_S = (
    1.0  # a server that takes longer stands still; `Database.disconnect` ends the queries that wait for it
)

Result = TypeVar("Result")
P = ParamSpec("P")


class QueryPool:
    """A few threads that read; each query has its own transaction."""

    def __init__(self, database: Database, threads: int, nice: int = NICE) -> None:
        self._database = database
        self._threads = ThreadPoolExecutor(
            threads, thread_name_prefix="reader", initializer=lower_priority, initargs=(nice,)
        )
        self._lock = threading.Lock()
        self._open: set[Connection] = set()
        self._closed = False

    async def query(
        self,
        deadline_s: float | None,
        statements: Callable[Concatenate[Connection, P], Result],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Result:
        """Return the result of `statements`, called with a connection in one of the threads.

        Raises:
            StoreUnavailable: the database does not answer, or the pool was closed.
            TooWide: a statement took longer than `deadline_s`, or a sum exceeds the integers of the store.
        """
        return await self.run(self._read, deadline_s, lambda connection: statements(connection, *args, **kwargs))

    async def count(
        self,
        step_deadline_s: float,
        work: Callable[Concatenate[CountingSession, P], Result],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Result:
        """Return the result of `work`, called with a counting session in one of the threads.

        Raises:
            StoreUnavailable: the database does not answer, or the pool was closed.
            TooWide: a step took longer than `step_deadline_s`.
        """
        return await self.run(self._count, step_deadline_s, lambda session: work(session, *args, **kwargs))

    async def run(self, work: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        """Run `work` in one of the threads and return its result.

        Raises:
            StoreUnavailable: the pool was closed.
        """
        if self._closed:
            raise StoreUnavailable(STOPPING)
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(*args, **kwargs))

    def close(self) -> None:
        """Cancel running queries, and end the threads. Blocks for at most about `CLOSE_WITHIN_S`."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        ends_at = time.monotonic() + CLOSE_WITHIN_S
        while time.monotonic() < ends_at:
            with self._lock:
                if not self._open:
                    return
                for connection in self._open:  # repeatedly: between two statements a cancel has no effect
                    if not cancel(connection, CANCEL_WITHIN_S):
                        return
            time.sleep(CANCEL_EVERY_S)

    def _read(self, deadline_s: float | None, statements: Callable[[Connection], Result]) -> Result:
        with self._naming_the_stop(), self._database.reading(deadline_s) as connection, self._cancellable(connection):
            return statements(connection)

    def _count(self, step_deadline_s: float, work: Callable[[CountingSession], Result]) -> Result:
        counting = self._database.counting(step_deadline_s, lambda: self._closed)
        with self._naming_the_stop(), counting as session, self._cancellable(session.connection):
            return work(session)

    @contextmanager
    def _naming_the_stop(self) -> Iterator[None]:
        """Say why a query failed if the pool was closed: whatever cancelled it looks like a deadline or a fault."""
        try:
            yield
        except (StoreUnavailable, TooWide) as error:
            if self._closed:
                raise StoreUnavailable(STOPPING) from error
            raise

    @contextmanager
    def _cancellable(self, connection: Connection) -> Iterator[None]:
        with self._lock:
            if self._closed:  # `close` may have looked at the open connections already
                raise StoreUnavailable(STOPPING)
            self._open.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._open.remove(connection)


def close_together(*closes: Callable[[], None]) -> None:
    """Call functions that may block, such as `QueryPool.close`, at the same time; return when all have returned."""
    with ThreadPoolExecutor(len(closes), thread_name_prefix="close") as threads:
        for closing in [threads.submit(close) for close in closes]:
            closing.result()
