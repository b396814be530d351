"""Commands forked from a process that has imported the program already: most of a start is imports.

What a command is told and shows is the same as of `python -m hero_broker`, which other tests start.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

from hero_broker.cli import main

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.preloaded", __name__])

STDIN, STDOUT, STDERR = range(3)


class Forked:
    """A command of the program in a process of its own; the part of `subprocess.Popen` that tests need."""

    def __init__(
        self,
        arguments: Sequence[str],
        environ: Mapping[str, str],
        directory: Path,
        streams: Mapping[int, int] | None = None,
        prepare: Callable[[], object] | None = None,
    ) -> None:
        """Start it.

        `streams` has the descriptors that become its standard ones; without it, `stderr` reads what it writes to its
        standard error. `prepare` is what it does first: a function of a module, or a partial of one.
        """
        writing = None
        if streams is None:
            reading, writing = os.pipe()
            self.stderr = os.fdopen(reading)
            streams = {STDERR: writing}
        passed = {number: _Descriptor(descriptor) for number, descriptor in streams.items()}
        self._process = _CONTEXT.Process(target=_run, args=(arguments, dict(environ), str(directory), passed, prepare))
        self._process.start()
        if writing is not None:
            os.close(writing)

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


def run(
    arguments: Sequence[str],
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
    *,
    prepare: Callable[[], object] | None = None,
    timeout: float = 60,
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, as `subprocess.run` does that captures its output.

    Raises:
        subprocess.TimeoutExpired: it ran longer than `timeout` seconds, and was killed.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, Path(os.devnull).open("rb") as nothing:
        streams = {STDIN: nothing.fileno(), STDOUT: out.fileno(), STDERR: err.fileno()}
        process = Forked(arguments, environ or os.environ, directory or Path.cwd(), streams, prepare)
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(arguments, code, out.read().decode(), err.read().decode())


class _Descriptor:
    """A descriptor that is passed to the new process, in which it has another number."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (DupFd(self._number),)


def _received(passed: Any) -> int:
    return int(passed.detach())


def _run(
    arguments: Sequence[str],
    environ: Mapping[str, str],
    directory: str,
    streams: Mapping[int, int],
    prepare: Callable[[], object] | None,
) -> None:
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    os.chdir(directory)
    for number, descriptor in streams.items():
        os.dup2(descriptor, number)
        os.close(descriptor)
    _open_streams(streams)
    if prepare is not None:
        prepare()
    sys.argv = ["hero-broker", *arguments]
    main()


def _open_streams(numbers: Mapping[int, int]) -> None:
    """Make the objects of the standard streams as the interpreter makes them: buffered by lines on a terminal."""
    if STDIN in numbers:
        sys.stdin = open(STDIN, encoding="utf-8", closefd=False)  # noqa: SIM115
    if STDOUT in numbers:
        sys.stdout = open(STDOUT, "w", 1 if os.isatty(STDOUT) else -1, "utf-8", closefd=False)  # noqa: SIM115
    if STDERR in numbers:
        sys.stderr = open(STDERR, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115
