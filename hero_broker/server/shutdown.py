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


class Shutdown:
    """Whether, and how soon, the broker is to end."""

    def __init__(self, on_terminal: bool) -> None:
        self._on_terminal = on_terminal
        self._requested = asyncio.Event()
        self._forced = asyncio.Event()
        self._on_request: Callable[[], None] | None = None

    def on_request(self, call: Callable[[], None]) -> None:
        """Let `call` be called at the first signal; now, if it has come."""
        self._on_request = call
        if self._requested.is_set():
            call()

    async def grace(self, grace_s: float) -> None:
        """Return `grace_s` after the first signal, or at the second one."""
        await self._requested.wait()
        try:
            async with asyncio.timeout(grace_s):
                await self._forced.wait()
        except TimeoutError:
            return

    def request(self) -> None:
        """Take note of one more signal."""
        if self._requested.is_set():
            log.info("stopping: the grace is skipped")
            self._forced.set()
            return
        log.info("stopping: calls in flight have their grace")
        self._requested.set()
        if self._on_request is not None:
            self._on_request()

    def on_sighup(self) -> None:
        """Take note that a terminal was closed, or that somebody would have a log reopened."""
        if self._on_terminal:
            self.request()
        else:
            log.info("SIGHUP is ignored: there is nothing to reopen or to read anew")


@contextmanager
def handle_signals() -> Iterator[Shutdown]:
    """Catch the signals for the time of the block, which is all of a broker's life; what comes later is ignored."""
    loop = asyncio.get_running_loop()
    stop = Shutdown(on_terminal=sys.stderr.isatty())
    acts = {signal.SIGTERM: stop.request, signal.SIGINT: stop.request}
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as it is under nohup
        acts[signal.SIGHUP] = stop.on_sighup
    for number, act in acts.items():
        loop.add_signal_handler(number, act)
    try:
        yield stop
    finally:
        for number in acts:  # the process ends now: by default a late signal would change its exit code
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
