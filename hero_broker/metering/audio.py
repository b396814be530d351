"""Bytes that a client calls audio → how long they last, for usage that no provider reported.

A client chooses every byte, and would like to pay for less. So the larger counts of what a header says and what the
frames behind it make, and no format is believed to take more bytes a second than it ever does. The work is bounded in
reads, in bytes and in time; where a bound ends it, what was read stands for the rest. Sources:
docs/explanation/estimates.md.
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

LEAST_BYTES_PER_S = 100  # a duration that takes fewer bytes is not believed
OGG_BYTES_PER_S = 64_000  # 512 kbit/s
MP4_BYTES_PER_S = 192_000  # 1.5 Mbit/s, of music without loss
FILM_BYTES_PER_S = 6_250_000  # 50 Mbit/s, with pictures

MAX_S = 0.5  # of the thread's own work on one file, however busy the machine is
MAX_READS = 4_000  # of a header's reader
MAX_READ_BYTES = 64 * 1024  # at once
MAX_CHUNKS = 1_000  # of a WAV or an MP4
MAX_PAGES = 50_000  # of an Ogg
MAX_PACKETS = 200_000  # of an Opus
BLOCK_BYTES = 256 * 1024  # in which frames are counted
FIRST_FRAME_WITHIN = 4 * 1024 * 1024
MAX_CANDIDATES = 5_000  # for the first frame
FOLLOWERS = 3  # frames that show that the first is one
TOLERANCE = 0.1  # between a header and the frames, which are counted by two bytes that other data may have too


class TooMuchError(Exception):
    """A file takes more work than a duration is worth, or nobody waits for it any longer."""


class Bounds:
    """Ends the work on a file."""

    def __init__(self, is_over: Callable[[], bool]) -> None:
        """Begin to count this thread's time; `is_over` says whether nobody waits any longer."""
        self._is_over = is_over
        self._ends_at = time.thread_time() + MAX_S

    def are_met(self) -> bool:
        """Return whether the work may not go on."""
        return self._is_over() or time.thread_time() > self._ends_at

    def check(self) -> None:
        """Go on.

        Raises:
            TooMuchError: the work may not go on.
        """
        if self.are_met():
            raise TooMuchError


def duration_ms(audio: BinaryIO, size: int, is_over: Callable[[], bool]) -> int:
    """Return the duration of a file, in milliseconds; by its size where it is not known.

    `is_over` is asked again and again, from the calling thread; the work ends soon after it returns true.
    """
    bounds = Bounds(is_over)
    try:
        found = _seconds(audio, size, bounds)
    except (TinyTagException, TooMuchError, OSError, ValueError, ArithmeticError, LookupError, TypeError, struct.error):
        found = None
    is_plausible = found is not None and math.isfinite(found) and 0 < found <= size / LEAST_BYTES_PER_S
    return math.ceil((found if is_plausible and found is not None else size / AUDIO_BYTES_PER_S) * 1000)


def _seconds(audio: BinaryIO, size: int, bounds: Bounds) -> float | None:
    """Return the duration by the format that the first bytes tell; the name is the client's word alone."""
    start = _behind_tags(audio)
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
    found = TinyTag.get(file_obj=_Bounded(audio, bounds), tags=False)  # type: ignore[arg-type]  # it reads and seeks
    raw = (found.samplerate or 0) * (found.channels or 0) * (found.bitdepth or 0) / 8
    return _larger(found.duration, size / min(raw or RAW_AUDIO_BYTES_PER_S, RAW_AUDIO_BYTES_PER_S))


def _larger(found: float | None, least: float) -> float | None:
    return max(found, least) if found else None


class _Bounded:
    """A file for a reader that has no bounds of its own."""

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


def _behind_tags(audio: BinaryIO) -> int:
    """Return where the file begins behind its ID3v2 tags, which may hold pictures."""
    at = 0
    for _ in range(4):
        head = _at(audio, at, 10)
        if len(head) < 10 or head[:3] != b"ID3" or any(byte & 0x80 for byte in head[6:]):
            break
        at += 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]) + (10 if head[5] & 0x10 else 0)
    return at


# WAV


def _wave_seconds(audio: BinaryIO, at: int, size: int) -> float | None:
    """Return how long the samples last at the slowest rate that the file names."""
    rate, samples = math.inf, 0
    for _ in range(MAX_CHUNKS):
        head = _at(audio, at, 8)
        if len(head) < 8:
            break
        kind, length = struct.unpack("<4sI", head)
        left = size - at - 8
        if kind == b"fmt ":
            tag, per_s, bytes_per_s, block = struct.unpack("<HxxIIH", _at(audio, at + 8, 14))
            plain = block * per_s if tag in (1, 3, 0xFFFE) else bytes_per_s
            rate = min(rate, plain or bytes_per_s or math.inf)
        elif kind == b"data":
            if length == 0 or length > left:  # written by what did not know its end
                samples += left
                break
            samples += length
        at += 8 + length + length % 2
    return None if math.isinf(rate) or not samples else samples / min(rate, RAW_AUDIO_BYTES_PER_S)


# MPEG audio: MP3 and its elders. See http://www.mp3-tech.org/programmer/frame_header.html.

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
    length: int  # in bytes, the header too


def _frame_of(header: bytes) -> _Frame | None:
    """Return what the four bytes of a frame's header say; None where they are no header."""
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


def _mpeg_seconds(audio: BinaryIO, start: int, size: int, bounds: Bounds) -> float | None:
    """Return the duration by all frames; the header's own number where it is about that many, or more."""
    first = _first_frame(audio, start, size, bounds)
    if first is None:
        return None
    at, header = first
    frame = _frame_of(header)
    if frame is None:
        return None
    counted = _count_frames(audio, at, size, header[1], bounds)
    claimed = _claimed_frames(_at(audio, at, 200))
    frames = claimed or (size - at) / frame.length
    if abs(frames - counted) > counted * TOLERANCE:
        frames = max(counted, claimed)
    return frames * frame.samples / frame.rate


def _first_frame(audio: BinaryIO, start: int, size: int, bounds: Bounds) -> tuple[int, bytes] | None:
    """Return where the first frame that another one follows begins, and its header."""
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
    """Return whether more frames of the kind follow, as by chance they do not, or the file ends with one of them."""
    kind = header[1] | 1
    for number in range(FOLLOWERS + 1):
        frame = _frame_of(header)
        if frame is None or header[1] | 1 != kind:
            return False
        at += frame.length
        if at >= size and (number or is_first):
            return True
        header = _at(audio, at, 4)
    return True


def _count_frames(audio: BinaryIO, start: int, size: int, kind: int, bounds: Bounds) -> float:
    """Return how often the bytes with which a frame of this kind begins are there, with a checksum or without."""
    marks = (bytes((0xFF, kind | 1)), bytes((0xFF, kind & 0xFE)))
    counted, at = 0, start
    while at < size and not bounds.are_met():
        block = _at(audio, at, BLOCK_BYTES + 1)  # a mark may lie across two blocks
        if len(block) < 2:
            break
        counted += sum(map(block.count, marks))
        at += BLOCK_BYTES
    return counted * (size - start) / (min(at, size) - start)


def _claimed_frames(frame: bytes) -> int:
    """Return how many frames a header within the first frame claims; 0 where there is none."""
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

    rate: int = 0  # samples a second; 0: no audio that is known
    is_opus: bool = False
    granule: int = 0  # samples until here
    opus_ms: float = 0.0  # of the packets


def _ogg_seconds(audio: BinaryIO, at: int, size: int, bounds: Bounds) -> float | None:
    """Return the duration of all streams, one after the other, by their positions or their packets."""
    tracks: dict[int, _Track] = {}
    packets = 0
    for _ in range(MAX_PAGES):
        head = _at(audio, at, 27 + 255)
        if len(head) < 27 or head[:5] != b"OggS\0" or packets > MAX_PACKETS or bounds.are_met():
            break
        granule, serial = struct.unpack_from("<qI", head, 6)
        sizes = head[27 : 27 + head[26]]
        begins, length = at + 27 + head[26], sum(sizes)
        track = tracks.get(serial)
        if track is None:
            track = tracks[serial] = _track_of(_at(audio, begins, 64))
        elif track.is_opus:
            packets += len(sizes)
            track.opus_ms += sum(_opus_packets(_at(audio, begins, length), sizes, is_rest=bool(head[5] & 1)))
        track.granule = max(track.granule, granule)
        at = begins + length
    seconds = sum(max(track.granule / track.rate, track.opus_ms / 1000) for track in tracks.values() if track.rate)
    return seconds * size / min(at, size) if seconds else None


def _track_of(packet: bytes) -> _Track:
    if packet.startswith(b"OpusHead"):
        return _Track(48_000, is_opus=True)
    for name, at, form in ((b"\x01vorbis", 12, "<I"), (b"Speex   ", 36, "<I"), (b"\x7fFLAC", 27, ">I")):
        if packet.startswith(name) and len(packet) >= at + 4:
            rate = int(struct.unpack_from(form, packet, at)[0])
            return _Track(rate >> 12 if name == b"\x7fFLAC" else rate)
    return _Track()


def _opus_packets(page: bytes, sizes: bytes, *, is_rest: bool) -> Iterator[float]:
    """Yield the milliseconds of each packet that begins in a page; `is_rest`: it begins with another's end."""
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
_AAC_SAMPLES, _AAC_RATE = 1024, 96_000  # of one packet, and the fastest


@dataclass(slots=True)
class _Movie:
    """What the boxes of an MP4 say; of several that say the same, what makes it longer."""

    seconds: float = 0.0
    scale: float = math.inf  # of the track that is being read
    ticks: float = 0.0
    packets: int = 0
    is_aac: bool = False
    has_pictures: bool = False
    boxes: int = 0

    def end_track(self) -> None:
        """Count what was read of one track."""
        self.seconds = max(self.seconds, self.ticks / self.scale)
        if self.is_aac:
            self.seconds = max(self.seconds, self.packets * _AAC_SAMPLES / min(self.scale, _AAC_RATE))
        self.scale, self.ticks, self.packets, self.is_aac = math.inf, 0.0, 0, False


def _mp4_seconds(audio: BinaryIO, start: int, size: int, bounds: Bounds) -> float | None:
    """Return the duration by the header, by the tracks' own, or by their packets."""
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
    """Return time scale and duration of a movie or a track."""
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
