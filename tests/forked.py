"""Brokers forked from a process that has imported the program already: most of a start is imports.

What a broker is told and shows is the same as of `python -m hero_broker`, which other tests start.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from hero_broker.cli import main

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["hero_broker.cli.serve", __name__])


class Forked:
    """A command of the program in a process of its own; the part of `subprocess.Popen` that tests need."""

    def __init__(self, arguments: Sequence[str], environ: Mapping[str, str], directory: Path) -> None:
        reading, writing = _CONTEXT.Pipe(duplex=False)
        self._process = _CONTEXT.Process(target=_run, args=(arguments, dict(environ), str(directory), writing))
        self._process.start()
        writing.close()
        self.stderr = os.fdopen(os.dup(reading.fileno()))
        reading.close()

    @property
    def pid(self) -> int:
        """The process's id."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """How it ended, a signal being negative; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return `returncode`."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal to it, if it runs."""
        if self._process.is_alive():
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM to it, if it runs."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to it, if it runs."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Return how it ended.

        Raises:
            subprocess.TimeoutExpired: it runs on.
        """
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("hero-broker", timeout or 0)
        return self._process.exitcode


def _run(arguments: Sequence[str], environ: Mapping[str, str], directory: str, errors: Connection) -> None:
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(directory)
    os.dup2(errors.fileno(), 2)
    errors.close()
    sys.argv = ["hero-broker", *arguments]
    main()
