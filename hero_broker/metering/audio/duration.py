"""Measures the duration of uploaded audio, for usage that no provider reported.

The file is untrusted, and clients gain by a shorter duration. So the larger of the header's duration and that of the
frames counts, and each format has a maximum of bytes per second. The work is bounded in reads, bytes and time; if a
bound ends it, the rest is extrapolated from what was read. Sources: docs/explanation/estimates.md.
"""

import math
import struct
from collections.abc import Callable
from typing import BinaryIO

from tinytag import TinyTag
from tinytag.tinytag import TinyTagException

from hero_broker.core.usage import AUDIO_BYTES_PER_S, RAW_AUDIO_BYTES_PER_S
from hero_broker.metering.audio.bounds import BoundedFile, Bounds, TooMuchError, larger, read_at
from hero_broker.metering.audio.mp4 import MP4_FIRST, mp4_seconds
from hero_broker.metering.audio.mpeg import mpeg_seconds
from hero_broker.metering.audio.ogg import OGG_BYTES_PER_S, ogg_seconds
from hero_broker.metering.audio.wav import wav_seconds

LEAST_BYTES_PER_S = 100  # a duration with fewer bytes per second is rejected


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
    head = read_at(audio, start, 12)
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return wav_seconds(audio, start + 12, size)
    if head[:4] == b"OggS":
        return larger(ogg_seconds(audio, start, size, bounds), size / OGG_BYTES_PER_S)
    if head[4:8] in MP4_FIRST:
        return mp4_seconds(audio, start, size, bounds)
    if head[:4] not in (b"fLaC", b"FORM", b"\x30\x26\xb2\x75"):
        return mpeg_seconds(audio, start, size, bounds)
    audio.seek(0)
    tag = TinyTag.get(file_obj=BoundedFile(audio, bounds), tags=False)  # type: ignore[arg-type]  # it reads and seeks
    raw = (tag.samplerate or 0) * (tag.channels or 0) * (tag.bitdepth or 0) / 8
    return larger(tag.duration, size / min(raw or RAW_AUDIO_BYTES_PER_S, RAW_AUDIO_BYTES_PER_S))


def _skip_tags(audio: BinaryIO) -> int:
    """Return the offset after the file's ID3v2 tags, which may contain pictures."""
    at = 0
    for _ in range(4):
        head = read_at(audio, at, 10)
        if len(head) < 10 or head[:3] != b"ID3" or any(byte & 0x80 for byte in head[6:]):
            break
        at += 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]) + (10 if head[5] & 0x10 else 0)
    return at
