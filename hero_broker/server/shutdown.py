"""What a signal means to a running broker, from its first step to its last.

SIGTERM and SIGINT: the first is an orderly stop, the second skips the grace. SIGHUP: a terminal that is closed stops
the broker in order; without a terminal there is nothing to reopen (the log is standard error) nor to read anew
(settings are read at start), and it is ignored.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


class Stop:
    """Whether, and how soon, the broker is to end."""

    def __init__(self, on_terminal: bool) -> None:
        self._on_terminal = on_terminal
        self._asked = asyncio.Event()
        self._in_a_hurry = asyncio.Event()
        self._when_asked: Callable[[], None] | None = None

    def when_asked(self, call: Callable[[], None]) -> None:
        """Let `call` be called at the first signal; now, if it has come."""
        self._when_asked = call
        if self._asked.is_set():
            call()

    async def grace(self, grace_s: float) -> None:
        """Return `grace_s` after the first signal, or at the second one."""
        await self._asked.wait()
        try:
            async with asyncio.timeout(grace_s):
                await self._in_a_hurry.wait()
        except TimeoutError:
            return

    def ask(self) -> None:
        """Take note of one more signal."""
        if self._asked.is_set():
            log.info("stopping: the grace is skipped")
            self._in_a_hurry.set()
            return
        log.info("stopping: calls in flight have their grace")
        self._asked.set()
        if self._when_asked is not None:
            self._when_asked()

    def hang_up(self) -> None:
        """Take note that a terminal was closed, or that somebody would have a log reopened."""
        if self._on_terminal:
            self.ask()
        else:
            log.info("SIGHUP is ignored: there is nothing to reopen or to read anew")


@contextmanager
def caught() -> Iterator[Stop]:
    """Catch the signals for the time of the block, which is all of a broker's life; what comes later is ignored."""
    loop = asyncio.get_running_loop()
    stop = Stop(on_terminal=sys.stderr.isatty())
    acts = {signal.SIGTERM: stop.ask, signal.SIGINT: stop.ask}
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as it is under nohup
        acts[signal.SIGHUP] = stop.hang_up
    for number, act in acts.items():
        loop.add_signal_handler(number, act)
    try:
        yield stop
    finally:
        for number in acts:  # the process ends now: by default a late signal would change its exit code
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
