"""Bounds the work on one file of untrusted audio."""

import io
import time
from collections.abc import Callable
from typing import BinaryIO

MAX_S = 0.5  # CPU time of the thread for one file, so that it does not depend on the machine's load
MAX_READS = 4_000  # by the header parser
MAX_READ_BYTES = 64 * 1024  # in one read
BLOCK_BYTES = 256 * 1024  # read at once to count frames
MAX_CHUNKS = 1_000  # of a WAV or an MP4


class TooMuchError(Exception):
    """The file exceeds the bounds on work, or no caller waits for the result any longer."""


class Bounds:
    """Bounds the work on one file."""

    def __init__(self, is_over: Callable[[], bool]) -> None:
        """Start to measure this thread's CPU time; `is_over` returns whether the caller has stopped waiting."""
        self._is_over = is_over
        self._ends_at = time.thread_time() + MAX_S

    def are_exceeded(self) -> bool:
        """Return whether the work must stop."""
        return self._is_over() or time.thread_time() > self._ends_at

    def check(self) -> None:
        """Check the bounds.

        Raises:
            TooMuchError: the work must stop.
        """
        if self.are_exceeded():
            raise TooMuchError


def larger(seconds: float | None, least: float) -> float | None:
    return max(seconds, least) if seconds else None


class BoundedFile:
    """A file that bounds the reads of a parser."""

    def __init__(self, audio: BinaryIO, bounds: Bounds) -> None:
        self._audio = audio
        self._bounds = bounds
        self._reads = 0

    def read(self, size: int) -> bytes:
        self._reads += 1
        if self._reads > MAX_READS or not 0 <= size <= MAX_READ_BYTES:
            raise TooMuchError
        self._bounds.check()
        return self._audio.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._audio.seek(offset, whence)

    def tell(self) -> int:
        return self._audio.tell()


def read_at(audio: BinaryIO, at: int, length: int) -> bytes:
    audio.seek(at)
    return audio.read(length)
