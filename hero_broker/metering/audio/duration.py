"""Measures the duration of uploaded audio, for usage that no provider reported.

The file is untrusted, and clients gain by a shorter duration. So the larger of the header's duration and that of the
frames counts, and each format has a maximum of bytes per second. The work is bounded in reads, bytes and time; if a
bound ends it, the rest is extrapolated from what was read. Sources: docs/explanation/estimates.md.
"""

import math
import struct
import time
from collections.abc import Callable
from typing import BinaryIO

from hero_broker.core.usage import AUDIO_BYTES_PER_S
from hero_broker.metering.audio.adts import adts_seconds
from hero_broker.metering.audio.aiff import AIFF_FORMS, aiff_seconds
from hero_broker.metering.audio.asf import asf_seconds
from hero_broker.metering.audio.bounds import LEAST_BYTES_PER_S, MAX_S, AudioFile, Bounds
from hero_broker.metering.audio.flac import flac_seconds
from hero_broker.metering.audio.matroska import EBML, matroska_seconds
from hero_broker.metering.audio.mp4 import mp4_seconds
from hero_broker.metering.audio.mpeg import mpeg_seconds
from hero_broker.metering.audio.ogg import ogg_seconds
from hero_broker.metering.audio.wav import WAV_FORMS, wav_seconds

CONTAINER_SHARE = 0.8  # of the time; the rest is left to look for frames of MPEG audio
MAX_TAGS = 4  # before the audio
Reader = Callable[[AudioFile, int], float]  # returns seconds, 0 if unknown
_READERS: dict[bytes, Reader] = {
    b"OggS": ogg_seconds,
    b"fLaC": flac_seconds,
    b"\x30\x26\xb2\x75": asf_seconds,
    EBML: matroska_seconds,
}


def duration_ms(audio: BinaryIO, size: int, is_over: Callable[[], bool]) -> int:
    """Return the duration of a file in milliseconds, estimated from its size if it cannot be measured.

    `is_over` is called frequently, from the calling thread; the work ends soon after it returns true.
    """
    began = time.thread_time()
    try:
        file = AudioFile(audio, size, Bounds(is_over, CONTAINER_SHARE * MAX_S))
        start = _skip_tags(file)
        seconds = _container_seconds(file, start)
        frames = AudioFile(audio, size, Bounds(is_over, MAX_S - (time.thread_time() - began)))
        seconds = max(seconds, mpeg_seconds(frames, start, is_container=seconds > 0))
    except OSError:
        seconds = 0.0
    seconds = min(seconds, size / LEAST_BYTES_PER_S) if seconds > 0 else size / AUDIO_BYTES_PER_S
    return math.ceil(seconds * 1000)


def _container_seconds(audio: AudioFile, start: int) -> float:
    """Return the duration by the format that the first bytes identify; the client's file name is not trusted."""
    head = audio.read(start, 12)
    reader = _READERS.get(head[:4])
    if head[:4] in WAV_FORMS and head[8:12] == b"WAVE":
        reader = wav_seconds
    elif head[:4] == b"FORM" and head[8:12] in AIFF_FORMS:
        reader = aiff_seconds
    readers = (reader,) if reader else (mp4_seconds, adts_seconds)  # decoders look for an MP4 behind unknown boxes, too
    seconds = 0.0
    for read in readers:
        try:
            seconds = max(seconds, read(audio, start))
        except (ValueError, ArithmeticError, LookupError, struct.error):  # the format is broken
            continue
    return seconds if math.isfinite(seconds) else 0.0


def _skip_tags(audio: AudioFile) -> int:
    """Return the offset after the file's ID3v2 tags, which may contain pictures."""
    at = 0
    for _ in range(MAX_TAGS):
        head = audio.read(at, 10)
        if len(head) < 10 or head[:3] != b"ID3" or any(byte & 0x80 for byte in head[6:]):
            break
        at += 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]) + (10 if head[5] & 0x10 else 0)
    return at
