"""Measures MP4. See ISO/IEC 14496-12."""

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from hero_broker.metering.audio.bounds import MAX_CHUNKS, MAX_READ_BYTES, Bounds, larger, read_at

MP4_BYTES_PER_S = 192_000  # 1.5 Mbit/s, lossless music
FILM_BYTES_PER_S = 6_250_000  # 50 Mbit/s, with video

MP4_FIRST = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
_MP4_FOLDERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
_AAC_SAMPLES, _AAC_RATE = 1024, 96_000  # samples per packet, and the highest rate


@dataclass(slots=True)
class _Movie:
    """What the boxes of an MP4 state; if they disagree, the longer duration counts."""

    seconds: float = 0.0
    scale: float = math.inf  # ticks per second of the current track
    ticks: float = 0.0
    packets: int = 0
    is_aac: bool = False
    has_pictures: bool = False
    boxes: int = 0

    def end_track(self) -> None:
        """Add the current track to the movie, and reset it."""
        self.seconds = max(self.seconds, self.ticks / self.scale)
        if self.is_aac:
            self.seconds = max(self.seconds, self.packets * _AAC_SAMPLES / min(self.scale, _AAC_RATE))
        self.scale, self.ticks, self.packets, self.is_aac = math.inf, 0.0, 0, False


def mp4_seconds(audio: BinaryIO, start: int, size: int, bounds: Bounds) -> float | None:
    """Return the longest duration: by the header, by the tracks' headers, or by their packets."""
    movie = _Movie()
    _read_boxes(audio, start, size, movie, bounds, 0)
    most = FILM_BYTES_PER_S if movie.has_pictures else MP4_BYTES_PER_S
    return larger(movie.seconds, size / most)


def _read_boxes(audio: BinaryIO, at: int, end: int, movie: _Movie, bounds: Bounds, depth: int) -> None:
    while at + 8 <= end and movie.boxes < MAX_CHUNKS:
        bounds.check()
        movie.boxes += 1
        head = read_at(audio, at, 16)
        length, kind = struct.unpack_from(">I4s", head)
        skip = 8
        if length == 1 and len(head) == 16:
            length, skip = int.from_bytes(head[8:]), 16
        length = end - at if length == 0 else length
        if length < skip:
            return
        if kind in _MP4_FOLDERS and depth < len(_MP4_FOLDERS):
            _read_boxes(audio, at + skip, min(end, at + length), movie, bounds, depth + 1)
            if kind == b"trak":
                movie.end_track()
        elif kind in _MP4_READERS:
            _MP4_READERS[kind](movie, read_at(audio, at + skip, min(length - skip, MAX_READ_BYTES)))
        at += length


def _read_header(box: bytes) -> tuple[int, int]:
    """Return the time scale and the duration of a movie or a track."""
    scale, ticks = struct.unpack_from(">IQ", box, 20) if box[0] == 1 else struct.unpack_from(">II", box, 12)
    is_open = ticks in (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
    return int(scale), 0 if is_open else int(ticks)


def _read_mvhd(movie: _Movie, box: bytes) -> None:
    scale, ticks = _read_header(box)
    movie.seconds = max(movie.seconds, ticks / scale if scale else 0.0)


def _read_mdhd(movie: _Movie, box: bytes) -> None:
    scale, ticks = _read_header(box)
    if scale:
        movie.scale = min(movie.scale, scale)
    movie.ticks = max(movie.ticks, ticks)


def _read_stts(movie: _Movie, box: bytes) -> None:
    count = int(struct.unpack_from(">I", box, 4)[0])
    entries = box[8 : 8 + 8 * count]
    ticks: int = sum(times * delta for times, delta in struct.iter_unpack(">II", entries[: len(entries) // 8 * 8]))
    movie.ticks = max(movie.ticks, ticks * max(1.0, 8 * count / max(8, len(entries))))


def _read_stsz(movie: _Movie, box: bytes) -> None:
    movie.packets = max(movie.packets, int(struct.unpack_from(">I", box, 8)[0]))


def _read_stsd(movie: _Movie, box: bytes) -> None:
    movie.is_aac |= box[12:16] == b"mp4a"


def _read_hdlr(movie: _Movie, box: bytes) -> None:
    movie.has_pictures |= box[8:12] == b"vide"


_MP4_READERS: dict[bytes, Callable[[_Movie, bytes], Any]] = {
    b"mvhd": _read_mvhd,
    b"mdhd": _read_mdhd,
    b"stts": _read_stts,
    b"stsz": _read_stsz,
    b"stsd": _read_stsd,
    b"hdlr": _read_hdlr,
}
