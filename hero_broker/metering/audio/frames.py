"""Counts frames that follow each other without a container: MPEG audio and ADTS."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from hero_broker.metering.audio.bounds import BLOCK_BYTES, AudioFile

RUN = 4  # frames that must follow each other, which rules out chance
HEADER_BYTES = 6  # of a frame, that its parser reads
CHECK_EVERY = 500  # marks


@dataclass(frozen=True, slots=True)
class Frame:
    """What the first bytes of a frame state."""

    kind: int  # equal in all frames of a run
    seconds: float
    length: int  # in bytes, header included


class FrameCounter:
    """Counts the frames of a file, and the marks with which frames begin.

    A run is a row of frames of one kind, where each begins at the end of the one before. Runs that overlap all count,
    because decoders differ in which of them they play.
    """

    def __init__(self, mark: re.Pattern[bytes], parse: Callable[[bytes], Frame | None]) -> None:
        self._mark = mark
        self._parse = parse
        self._runs: dict[int, tuple[int, int]] = {}  # by the offset where the next frame is expected: length and kind
        self._seconds_of: dict[int, float] = {}
        self.frames: Counter[int] = Counter()  # in runs, by kind
        self.marks: Counter[int] = Counter()  # by kind, frames included
        self.end = 0  # what follows was not read

    @property
    def seconds(self) -> float:
        """The duration of all runs."""
        return sum(count * self._seconds_of[kind] for kind, count in self.frames.items())

    def lone_seconds(self, by_chance: float) -> float:
        """Return the duration of the marks outside runs, for each kind that has more of them than `by_chance`."""
        lone = {kind: count - self.frames[kind] for kind, count in self.marks.items()}
        return sum(count * self._seconds_of[kind] for kind, count in lone.items() if count > by_chance)

    def count(self, audio: AudioFile, start: int) -> None:
        """Read the whole file, or what the bounds allow; a frame at `start` counts without a run."""
        for base in range(0, audio.size, BLOCK_BYTES):
            block = audio.read(base, BLOCK_BYTES + HEADER_BYTES)
            for number, match in enumerate(self._mark.finditer(block, 0, BLOCK_BYTES + 2)):
                if number % CHECK_EVERY == 0 and audio.bounds.are_exceeded():
                    return
                begin = match.start()
                frame = self._parse(block[begin : begin + HEADER_BYTES]) if begin < BLOCK_BYTES else None
                if frame is not None:
                    self._add(frame, base + begin, is_first=base + begin == start)
            self.end = min(base + BLOCK_BYTES, audio.size)
            self._runs = {at: run for at, run in self._runs.items() if at >= self.end}
            if audio.bounds.are_exceeded():
                return

    def _add(self, frame: Frame, at: int, *, is_first: bool) -> None:
        kind = frame.kind
        self._seconds_of[kind] = frame.seconds
        self.marks[kind] += 1
        length, kind_before = self._runs.pop(at, (0, kind))
        length = RUN + 1 if is_first else 1 + (length if kind_before == kind else 0)
        if length >= RUN:
            self.frames[kind] += RUN if length == RUN else 1
        after = at + frame.length
        if self._runs.get(after, (0, kind))[0] < length:
            self._runs[after] = length, kind
