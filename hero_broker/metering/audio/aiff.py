"""Measures AIFF and AIFF-C."""

import struct

from hero_broker.core.usage import AUDIO_BYTES_PER_S, RAW_AUDIO_BYTES_PER_S
from hero_broker.metering.audio.bounds import MAX_CHUNKS, AudioFile, longest

AIFF_FORMS = (b"AIFF", b"AIFC")
_RAW = (b"NONE", b"none", b"raw ", b"twos", b"sowt", b"in24", b"in32", b"fl32", b"FL32", b"fl64", b"FL64")
_BYTES_PER_SAMPLE = {b"ulaw": 1, b"ULAW": 1, b"alaw": 1, b"ALAW": 1, b"ima4": 34 / 64, b"GSM ": 33 / 160}


def aiff_seconds(audio: AudioFile, start: int) -> float:
    """Return the duration of the samples at the slowest rate that the file states."""
    is_plain = audio.read(start + 8, 4) == b"AIFF"
    at, claims, rates, samples = start + 12, [], [], 0
    for _ in range(MAX_CHUNKS):
        head = audio.read(at, 8)
        if len(head) < 8:
            break
        kind, length = struct.unpack(">4sI", head)
        left = audio.size - at - 8
        if kind == b"COMM" and left >= 18:
            channels, count, bits, exponent, mantissa = struct.unpack(">HIHHQ", audio.read(at + 8, 18))
            per_s = mantissa * 2.0 ** (max(-1000, min((exponent & 0x7FFF) - 16_383 - 63, 900)))
            form = b"NONE" if is_plain else audio.read(at + 26, 4)
            size = -(-bits // 8) if form in _RAW else _BYTES_PER_SAMPLE.get(form)
            rate = channels * size * per_s if size else AUDIO_BYTES_PER_S
            rates.append(min(rate, RAW_AUDIO_BYTES_PER_S))
            claims.append(count / per_s if per_s else 0.0)
        elif kind == b"SSND":
            samples += length if 0 < length <= left else left
        at += 8 + length + length % 2
    else:
        samples = audio.size  # a file with so many chunks hides something
    claims += [max(0, samples - 8) / rate for rate in rates if rate]
    seconds = longest(audio.size, *claims)
    return max(seconds, audio.size / RAW_AUDIO_BYTES_PER_S) if seconds else 0.0
