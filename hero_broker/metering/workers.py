"""Runs slow work on callers' data in threads of its own, and shares them fairly among addresses.

The work itself is bounded in bytes and in time; this module only shares the threads.
"""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

# How far threads stand back behind the one that serves calls. A thread that is short of time may hold Python's lock for
# long if other programs keep the cores busy, so only work that holds the lock rarely is the last.
NICE, LAST = 10, 19
THREADS = 2

Result = TypeVar("Result")


class Workers:
    """A few threads that addresses use in turn."""

    def __init__(self, threads: int = THREADS) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="estimates", initializer=lower_priority)
        self._turns: dict[str, _Turn] = {}  # by address; only of those that have work

    @asynccontextmanager
    async def turn(self, address: str) -> AsyncIterator[None]:
        """Wait until no other work of this address runs, so that no address uses more than one thread."""
        turn = self._turns.setdefault(address, _Turn())
        turn.users += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[address]

    async def run(self, work: Callable[[Callable[[], bool]], Result]) -> Result:
        """Run `work` in a thread and return its result.

        Its argument is a function that returns whether the caller has stopped waiting; `work` must call it often.
        """
        is_over = threading.Event()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, is_over.is_set)
        finally:
            is_over.set()

    def close(self) -> None:
        """Stop the threads as soon as their work notices that no caller waits."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Turn:
    """The queue of one address."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0


def lower_priority(nice: int = NICE) -> None:
    """Let the thread that serves calls go first if there are fewer cores than busy threads."""
    if sys.platform == "linux":  # on other systems, threads have no priority of their own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
