"""Threads for work that takes as long as a caller's bytes make it: none of the calls' own, and each address in turn.

What runs here has a bound in bytes and in time of its own; here nobody gets more of it than others.
"""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

NICE = 10
THREADS = 2

Answer = TypeVar("Answer")


class Workers:
    """A few threads, and the order in which addresses get them."""

    def __init__(self, threads: int = THREADS) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="estimates", initializer=step_back)
        self._turns: dict[str, _Turn] = {}  # of the addresses that have work now

    @asynccontextmanager
    async def turn(self, address: str) -> AsyncIterator[None]:
        """Wait until nothing else of this address is worked on; others wait for one piece of work of it at most."""
        turn = self._turns.setdefault(address, _Turn())
        turn.wanted += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.wanted -= 1
            if not turn.wanted:
                del self._turns[address]

    async def run(self, work: Callable[[Callable[[], bool]], Answer]) -> Answer:
        """Return what `work` returns, from a thread.

        It is given a question that it has to ask often: whether nobody waits for it any longer.
        """
        is_over = threading.Event()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, is_over.is_set)
        finally:
            is_over.set()

    def close(self) -> None:
        """End the threads, once what they do has seen that nobody waits."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Turn:
    """One address's."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.wanted = 0


def step_back() -> None:
    """Let the thread of the calls go first where there are fewer cores than threads that want one."""
    if sys.platform == "linux":  # elsewhere a thread has no priority of its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
