"""Measures MPEG audio: MP3 and its predecessors.

Source: http://www.mp3-tech.org/programmer/frame_header.html.
"""

import re
from functools import lru_cache

from hero_broker.metering.audio.bounds import AudioFile, extended
from hero_broker.metering.audio.frames import Frame, FrameCounter

MAX_TAG_BYTES = 16 * 1024 * 1024  # a larger tag counts as audio
_BYTES_PER_S = {1: 40_000, 2: 48_000, 3: 56_000}  # at most, by the layer's bits
_KBITS = {  # by whether the version is 1, and the layer's bits
    (True, 3): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}  # by the version's bits
_MARK = re.compile(rb"\xff[\xe2-\xe7\xf2-\xff][\x10-\xef]", re.DOTALL)
_BYTES_PER_CHANCE = 150_000  # of random bytes have one mark of a kind: 17 bits, and 14 of 16 bit rates


def parse_frame(header: bytes) -> Frame | None:
    """Parse the first bytes of a frame; return None if they are not a header."""
    return _parse(header[:3])


@lru_cache(maxsize=8192)
def _parse(header: bytes) -> Frame | None:
    if len(header) < 3 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    kbits, rate = header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or layer == 0 or kbits in (0, 15) or rate == 3:
        return None
    bits = _KBITS[(version == 3, layer)][kbits - 1] * 1000
    per_s, padding = _RATES[version][rate], header[2] >> 1 & 1
    kind = version << 4 | layer << 2 | rate
    if layer == 3:
        return Frame(kind, 384 / per_s, (12 * bits // per_s + padding) * 4)
    samples = 1152 if layer == 2 or version == 3 else 576
    return Frame(kind, samples / per_s, samples // 8 * bits // per_s + padding)


def mpeg_seconds(audio: AudioFile, start: int, *, is_container: bool) -> float:
    """Return the duration of all frames; in a file of another container, of those in runs alone.

    Decoders skip bytes between frames, so that frames outside runs count too if no other container is known.
    """
    counter = FrameCounter(_MARK, parse_frame)
    counter.count(audio, start)
    seconds = counter.seconds
    if is_container:
        return extended(seconds, counter.end, audio.size) if counter.end < audio.size else seconds
    for kind in [kind for kind in counter.marks if _layer(kind) == 3 and not counter.frames[kind]]:
        del counter.marks[kind]  # padding of 0xFF looks like layer I
    seconds += counter.lone_seconds(2 * audio.size / _BYTES_PER_CHANCE + 3)
    if not seconds:
        return 0.0
    most = max((_BYTES_PER_S[_layer(kind)] for kind, count in counter.frames.items() if count), default=40_000)
    return max(extended(seconds, counter.end, audio.size), _untagged(audio, start) / most)


def _layer(kind: int) -> int:
    return kind >> 2 & 3


def _untagged(audio: AudioFile, start: int) -> int:
    """Return the file's bytes without its tags, of which those before `start` are known."""
    tags = start
    end = audio.size - 128 if audio.read(audio.size - 128, 3) == b"TAG" else audio.size
    tags += audio.size - end
    footer = audio.read(end - 32, 32) if end >= 32 else b""
    if footer[:8] == b"APETAGEX":
        tags += int.from_bytes(footer[12:16], "little") + (32 if footer[23] & 0x80 else 0)
    return audio.size - tags if tags <= min(audio.size, MAX_TAG_BYTES) else audio.size
