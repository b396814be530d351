"""Measures MPEG audio: MP3 and its predecessors.

Source: http://www.mp3-tech.org/programmer/frame_header.html.
"""

import re
import struct
from dataclasses import dataclass
from typing import BinaryIO

from hero_broker.metering.audio.bounds import BLOCK_BYTES, Bounds, read_at

FIRST_FRAME_WITHIN = 4 * 1024 * 1024
MAX_CANDIDATES = 5_000  # for the first frame
FOLLOWERS = 3  # frames that must follow to confirm the first one
TOLERANCE = 0.1  # between header and frame count, which is inexact: frames are counted by a mark of two bytes

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


def mpeg_seconds(audio: BinaryIO, start: int, size: int, bounds: Bounds) -> float | None:
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
    claimed = _claimed_frames(read_at(audio, at, 200))
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
        block = read_at(audio, base, BLOCK_BYTES + 4)
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
        header = read_at(audio, at, 4)
    return True


def _count_frames(audio: BinaryIO, start: int, size: int, bounds: Bounds) -> dict[int, float]:
    """Count, by kind, the marks with which frames begin, with or without a checksum.

    A kind is the second byte of its marks: version and layer, and the lowest bit set.
    """
    counts = dict.fromkeys(_KINDS, 0)
    at = start
    while at < size and not bounds.are_exceeded():
        block = read_at(audio, at, BLOCK_BYTES + 1)  # a mark may span two blocks
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
