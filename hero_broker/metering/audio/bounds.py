"""Bounds the work on one file of untrusted audio, and what its claims can do."""

import time
from collections.abc import Callable
from typing import BinaryIO

from hero_broker.core.usage import AUDIO_BYTES_PER_S

MAX_S = 0.5  # CPU time of the thread for one file, so that it does not depend on the machine's load
MAX_READ_BYTES = 4 * 1024 * 1024  # in one read
BLOCK_BYTES = 256 * 1024  # read at once
MAX_CHUNKS = 1_000  # of a WAV or an AIFF
LEAST_BYTES_PER_S = 100  # a duration with fewer bytes per second is rejected


class Bounds:
    """Bounds the work on one file."""

    def __init__(self, is_over: Callable[[], bool], max_s: float = MAX_S) -> None:
        """Start to measure this thread's CPU time; `is_over` returns whether the caller has stopped waiting."""
        self._is_over = is_over
        self._ends_at = time.thread_time() + max_s

    def are_exceeded(self) -> bool:
        """Return whether the work must stop."""
        return self._is_over() or time.thread_time() > self._ends_at


class AudioFile:
    """A file that is read block by block, so that small reads are cheap."""

    def __init__(self, audio: BinaryIO, size: int, bounds: Bounds) -> None:
        self._audio = audio
        self.size = size
        self.bounds = bounds
        self._block = b""
        self._block_at = 0

    def read(self, at: int, length: int) -> bytes:
        """Return up to `length` bytes from offset `at`; fewer only at the end of the file or above MAX_READ_BYTES."""
        length = min(length, MAX_READ_BYTES, self.size - at)
        if at < 0 or length <= 0:
            return b""
        begin = at - self._block_at
        if begin >= 0 and begin + length <= len(self._block):
            return self._block[begin : begin + length]
        if length >= BLOCK_BYTES:
            self._audio.seek(at)
            return self._audio.read(length)
        self._audio.seek(at)
        self._block, self._block_at = self._audio.read(BLOCK_BYTES), at
        return self._block[:length]

    def find(self, mark: bytes, at: int) -> int:
        """Return the offset of the next `mark` from `at` on; -1 if there is none, or if the bounds end the search."""
        while at < self.size and not self.bounds.are_exceeded():
            found = self.read(at, BLOCK_BYTES).find(mark)
            if found >= 0:
                return at + found
            at += BLOCK_BYTES - len(mark) + 1
        return -1


def longest(size: int, *claims: float) -> float:
    """Return the longest claim that is plausible for `size` bytes; 0 if there is none."""
    return max((claim for claim in claims if 0 < claim <= size / LEAST_BYTES_PER_S), default=0.0)


def extended(seconds: float, at: int, size: int) -> float:
    """Return the duration of the whole file, whose first `at` bytes last `seconds`; the rest was not read."""
    if at >= size:
        return seconds
    return max(seconds * size / max(1, at), seconds + (size - at) / AUDIO_BYTES_PER_S)
