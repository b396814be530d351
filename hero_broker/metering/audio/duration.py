"""Measures the duration of uploaded audio, for usage that no provider reported.

The file is untrusted, and clients gain by a shorter duration. So the larger of the header's duration and that of the
frames counts, and each format has a maximum of bytes per second. The work is bounded in reads, bytes and time; if a
bound ends it, the rest is extrapolated from what was read. Sources: docs/explanation/estimates.md.
"""

import io
import math
import re
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from tinytag import TinyTag
from tinytag.tinytag import TinyTagException

from hero_broker.core.usage import AUDIO_BYTES_PER_S, RAW_AUDIO_BYTES_PER_S

LEAST_BYTES_PER_S = 100  # a duration with fewer bytes per second is rejected
OGG_BYTES_PER_S = 64_000  # 512 kbit/s
MP4_BYTES_PER_S = 192_000  # 1.5 Mbit/s, lossless music
FILM_BYTES_PER_S = 6_250_000  # 50 Mbit/s, with video

MAX_S = 0.5  # CPU time of the thread for one file, so that it does not depend on the machine's load
MAX_READS = 4_000  # by the header parser
MAX_READ_BYTES = 64 * 1024  # in one read
MAX_CHUNKS = 1_000  # of a WAV or an MP4
MAX_PAGES = 50_000  # of an Ogg
MAX_PACKETS = 200_000  # of an Opus
BLOCK_BYTES = 256 * 1024  # read at once to count frames
FIRST_FRAME_WITHIN = 4 * 1024 * 1024
MAX_CANDIDATES = 5_000  # for the first frame
FOLLOWERS = 3  # frames that must follow to confirm the first one
TOLERANCE = 0.1  # between header and frame count, which is inexact: frames are counted by a mark of two bytes


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


def duration_ms(audio: BinaryIO, size: int, is_over: Callable[[], bool]) -> int:
    """Return the duration of a file in milliseconds, estimated from its size if it cannot be measured.

    `is_over` is called frequently, from the calling thread; the work ends soon after it returns true.
    """
    bounds = Bounds(is_over)
    try:
        seconds = _seconds(audio, size, bounds)
    except (TinyTagException, TooMuchError, OSError, ValueError, ArithmeticError, LookupError, TypeError, struct.error):
        seconds = None
    is_plausible = seconds is not None and math.isfinite(seconds) and 0 < seconds <= size / LEAST_BYTES_PER_S
    return math.ceil((seconds if is_plausible and seconds is not None else size / AUDIO_BYTES_PER_S) * 1000)


def _seconds(audio: BinaryIO, size: int, bounds: Bounds) -> float | None:
    """Return the duration by the format that the first bytes identify; the client's file name is not trusted."""
    start = _skip_tags(audio)
    head = _at(audio, start, 12)
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return _wave_seconds(audio, start + 12, size)
    if head[:4] == b"OggS":
        return _larger(_ogg_seconds(audio, start, size, bounds), size / OGG_BYTES_PER_S)
    if head[4:8] in _MP4_FIRST:
        return _mp4_seconds(audio, start, size, bounds)
    if head[:4] not in (b"fLaC", b"FORM", b"\x30\x26\xb2\x75"):
        return _mpeg_seconds(audio, start, size, bounds)
    audio.seek(0)
    tag = TinyTag.get(file_obj=_Bounded(audio, bounds), tags=False)  # type: ignore[arg-type]  # it reads and seeks
    raw = (tag.samplerate or 0) * (tag.channels or 0) * (tag.bitdepth or 0) / 8
    return _larger(tag.duration, size / min(raw or RAW_AUDIO_BYTES_PER_S, RAW_AUDIO_BYTES_PER_S))


def _larger(seconds: float | None, least: float) -> float | None:
    return max(seconds, least) if seconds else None


class _Bounded:
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


def _at(audio: BinaryIO, at: int, length: int) -> bytes:
    audio.seek(at)
    return audio.read(length)


def _skip_tags(audio: BinaryIO) -> int:
    """Return the offset after the file's ID3v2 tags, which may contain pictures."""
    at = 0
    for _ in range(4):
        head = _at(audio, at, 10)
        if len(head) < 10 or head[:3] != b"ID3" or any(byte & 0x80 for byte in head[6:]):
            break
        at += 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]) + (10 if head[5] & 0x10 else 0)
    return at


# WAV


def _wave_seconds(audio: BinaryIO, at: int, size: int) -> float | None:
    """Return the duration of the samples at the lowest rate that the file states."""
    rate, samples = math.inf, 0
    for _ in range(MAX_CHUNKS):
        head = _at(audio, at, 8)
        if len(head) < 8:
            break
        kind, length = struct.unpack("<4sI", head)
        left = size - at - 8
        if kind == b"fmt ":
            tag, channels, per_s, bytes_per_s, block, bits = struct.unpack("<HHIIHH", _at(audio, at + 8, 16))
            # Readers of PCM go by the block or by channels and bits, and ignore the rest: the slowest rate counts.
            rates = (block * per_s, channels * -(-bits // 8) * per_s) if tag in (1, 3, 0xFFFE) else (bytes_per_s,)
            rate = min(rate, min(filter(None, rates), default=bytes_per_s or math.inf))
        elif kind == b"data":
            if length == 0 or length > left:  # written by a program that streamed it
                samples += left
                break
            samples += length
        at += 8 + length + length % 2
    return None if math.isinf(rate) or not samples else samples / min(rate, RAW_AUDIO_BYTES_PER_S)


# MPEG audio: MP3 and its predecessors. See http://www.mp3-tech.org/programmer/frame_header.html.

_KBITS = {  # by whether the version is 1, and the layer's bits
    (True, 3): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}  # by the version's bits
_FRAME = re.compile(rb"\xff[\xe2-\xe7\xf2-\xff][\x10-\xef]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Frame:
    samples: int
    rate: int
    length: int  # in bytes, header included


def _parse_frame(header: bytes) -> _Frame | None:
    """Parse the four bytes of a frame's header; return None if they are not a header."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    kbits, rate = header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or layer == 0 or kbits in (0, 15) or rate == 3:
        return None
    bits = _KBITS[(version == 3, layer)][kbits - 1] * 1000
    per_s, padding = _RATES[version][rate], header[2] >> 1 & 1
    if layer == 3:
        return _Frame(384, per_s, (12 * bits // per_s + padding) * 4)
    samples = 1152 if layer == 2 or version == 3 else 576
    return _Frame(samples, per_s, samples // 8 * bits // per_s + padding)


# The kinds of frames of layers 3 and 2, of MPEG 1, 2 and 2.5; what a frame lasts at least, in seconds, by version.
_KINDS = (0xFB, 0xF3, 0xE3, 0xFD, 0xF5, 0xE5)
_LEAST_FRAME_S = {3: 1152 / 48_000, 2: 576 / 24_000, 0: 576 / 12_000}


def _mpeg_seconds(audio: BinaryIO, start: int, size: int, bounds: Bounds) -> float | None:
    """Return the duration by counting frames; the header's count is used if it is about as large, or larger."""
    first = _first_frame(audio, start, size, bounds)
    if first is None:
        return None
    at, header = first
    frame = _parse_frame(header)
    if frame is None:
        return None
    counts = _count_frames(audio, at, size, bounds)
    counted = counts.pop(header[1] | 1, 0)
    claimed = _claimed_frames(_at(audio, at, 200))
    frames = claimed or (size - at) / frame.length
    if abs(frames - counted) > counted * TOLERANCE:
        frames = max(counted, claimed)
    # Frames of other kinds play too, each for no less than this; a few of their marks stand in any data by chance.
    chance = 2 * (size - at) / 65_536 * (1 + TOLERANCE) + FOLLOWERS
    others = sum(count * _LEAST_FRAME_S[kind >> 3 & 3] for kind, count in counts.items() if count > chance)
    return frames * frame.samples / frame.rate + others


def _first_frame(audio: BinaryIO, start: int, size: int, bounds: Bounds) -> tuple[int, bytes] | None:
    """Return the offset and the header of the first frame that is followed by others."""
    candidates = 0
    for base in range(start, min(size, start + FIRST_FRAME_WITHIN), BLOCK_BYTES):
        bounds.check()
        block = _at(audio, base, BLOCK_BYTES + 4)
        for match in _FRAME.finditer(block):
            candidates += 1
            if candidates > MAX_CANDIDATES:
                return None
            at, header = base + match.start(), block[match.start() : match.start() + 4]
            if match.start() < BLOCK_BYTES and _is_followed(audio, at, header, size, at == start):
                return at, header
    return None


def _is_followed(audio: BinaryIO, at: int, header: bytes, size: int, is_first: bool) -> bool:
    """Return whether more frames of the kind follow, which rules out chance, or the file ends with one."""
    kind = header[1] | 1
    for number in range(FOLLOWERS + 1):
        frame = _parse_frame(header)
        if frame is None or header[1] | 1 != kind:
            return False
        at += frame.length
        if at >= size and (number or is_first):
            return True
        header = _at(audio, at, 4)
    return True


def _count_frames(audio: BinaryIO, start: int, size: int, bounds: Bounds) -> dict[int, float]:
    """Count, by kind, the marks with which frames begin, with or without a checksum.

    A kind is the second byte of its marks: version and layer, and the lowest bit set.
    """
    counts = dict.fromkeys(_KINDS, 0)
    at = start
    while at < size and not bounds.are_exceeded():
        block = _at(audio, at, BLOCK_BYTES + 1)  # a mark may span two blocks
        if len(block) < 2:
            break
        for kind in _KINDS:
            counts[kind] += block.count(bytes((0xFF, kind))) + block.count(bytes((0xFF, kind & 0xFE)))
        at += BLOCK_BYTES
    scale = (size - start) / max(1, min(at, size) - start)
    return {kind: count * scale for kind, count in counts.items()}


def _claimed_frames(frame: bytes) -> int:
    """Return the number of frames that a header inside the first frame claims; 0 without such a header."""
    for name in (b"Xing", b"Info"):
        at = frame.find(name)
        if at != -1 and len(frame) >= at + 12:
            flags, frames = struct.unpack_from(">II", frame, at + 4)
            return int(frames) if flags & 1 else 0
    at = frame.find(b"VBRI")
    return int(struct.unpack_from(">I", frame, at + 14)[0]) if at != -1 and len(frame) >= at + 18 else 0


# Ogg. See RFC 3533; Opus, RFC 6716 §3.1 and RFC 7845.


@dataclass(slots=True)
class _Track:
    """One logical stream of an Ogg."""

    rate: int = 0  # samples per second; 0: unknown format
    is_opus: bool = False
    granule: int = 0  # samples up to the current page
    opus_ms: float = 0.0  # total of the packets


def _ogg_seconds(audio: BinaryIO, at: int, size: int, bounds: Bounds) -> float | None:
    """Return the total duration of all streams, by their positions or their packets."""
    tracks: dict[int, _Track] = {}
    packets = 0
    for _ in range(MAX_PAGES):
        head = _at(audio, at, 27 + 255)
        if len(head) < 27 or head[:5] != b"OggS\0" or packets > MAX_PACKETS or bounds.are_exceeded():
            break
        granule, serial = struct.unpack_from("<qI", head, 6)
        sizes = head[27 : 27 + head[26]]
        begins, length = at + 27 + head[26], sum(sizes)
        track = tracks.get(serial)
        if track is None:
            track = tracks[serial] = _parse_track(_at(audio, begins, 64))
        elif track.is_opus:
            packets += len(sizes)
            track.opus_ms += sum(_opus_packets(_at(audio, begins, length), sizes, is_rest=bool(head[5] & 1)))
        track.granule = max(track.granule, granule)
        at = begins + length
    seconds = sum(max(track.granule / track.rate, track.opus_ms / 1000) for track in tracks.values() if track.rate)
    return seconds * size / min(at, size) if seconds else None


def _parse_track(packet: bytes) -> _Track:
    if packet.startswith(b"OpusHead"):
        return _Track(48_000, is_opus=True)
    for name, at, form in ((b"\x01vorbis", 12, "<I"), (b"Speex   ", 36, "<I"), (b"\x7fFLAC", 27, ">I")):
        if packet.startswith(name) and len(packet) >= at + 4:
            rate = int(struct.unpack_from(form, packet, at)[0])
            return _Track(rate >> 12 if name == b"\x7fFLAC" else rate)
    return _Track()


def _opus_packets(page: bytes, sizes: bytes, *, is_rest: bool) -> Iterator[float]:
    """Yield the milliseconds of each packet that begins in a page; `is_rest`: the page continues a packet."""
    at, begins = 0, not is_rest
    for size in sizes:
        if begins and size and at + 1 < len(page) and not page.startswith(b"OpusTags", at):
            yield _opus_ms(page[at], page[at + 1])
        at += size
        begins = size < 255


def _opus_ms(kind: int, second: int) -> float:
    config = kind >> 3
    if config < 12:
        frames: tuple[float, ...] = (10, 20, 40, 60)
    else:
        frames = (10, 20, 10, 20) if config < 16 else (2.5, 5, 10, 20)
    return frames[config & 3] * (1, 2, 2, second & 0x3F)[kind & 3]


# MP4. See ISO/IEC 14496-12.

_MP4_FIRST = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
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


def _mp4_seconds(audio: BinaryIO, start: int, size: int, bounds: Bounds) -> float | None:
    """Return the longest duration: by the header, by the tracks' headers, or by their packets."""
    movie = _Movie()
    _read_boxes(audio, start, size, movie, bounds, 0)
    most = FILM_BYTES_PER_S if movie.has_pictures else MP4_BYTES_PER_S
    return _larger(movie.seconds, size / most)


def _read_boxes(audio: BinaryIO, at: int, end: int, movie: _Movie, bounds: Bounds, depth: int) -> None:
    while at + 8 <= end and movie.boxes < MAX_CHUNKS:
        bounds.check()
        movie.boxes += 1
        head = _at(audio, at, 16)
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
            _MP4_READERS[kind](movie, _at(audio, at + skip, min(length - skip, MAX_READ_BYTES)))
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
