"""Turns signals into an orderly shutdown.

SIGTERM and SIGINT: the first one begins an orderly stop, the second one skips the grace. SIGHUP: on a terminal, which
has been closed, it begins an orderly stop. Without a terminal it is ignored: the log is standard error, so there is
nothing to reopen, and settings are read only at start.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


class Shutdown:
    """Whether a signal to stop has come, and whether the broker may still take its grace."""

    def __init__(self, on_terminal: bool) -> None:
        self._on_terminal = on_terminal
        self._requested = asyncio.Event()
        self._forced = asyncio.Event()
        self._on_request: Callable[[], None] | None = None

    def on_request(self, call: Callable[[], None]) -> None:
        """Call `call` at the first signal; now, if it has come."""
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
        """Begin to stop; at a second signal, skip the grace."""
        if self._requested.is_set():
            log.info("stopping now: a second signal skips the grace")
            self._forced.set()
            return
        log.info("stopping: waiting for calls in flight")
        self._requested.set()
        if self._on_request is not None:
            self._on_request()

    def on_sighup(self) -> None:
        """Begin to stop if the broker runs on a terminal, which was closed; otherwise ignore the signal."""
        if self._on_terminal:
            self.request()
        else:
            log.info("SIGHUP is ignored: there is no log file to reopen, and settings are read only at start")


@contextmanager
def handle_signals() -> Iterator[Shutdown]:
    """Handle the signals during the block, which is all of a broker's life; ignore those that come later."""
    loop = asyncio.get_running_loop()
    stop = Shutdown(on_terminal=sys.stderr.isatty())
    handlers = {signal.SIGTERM: stop.request, signal.SIGINT: stop.request}
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as it is under nohup
        handlers[signal.SIGHUP] = stop.on_sighup
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield stop
    finally:
        for number in handlers:  # the process ends now: by default a late signal would change its exit code
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
