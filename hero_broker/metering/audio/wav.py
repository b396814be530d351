"""Measures WAV."""

import math
import struct
from typing import BinaryIO

from hero_broker.core.usage import RAW_AUDIO_BYTES_PER_S
from hero_broker.metering.audio.bounds import MAX_CHUNKS, read_at


def wav_seconds(audio: BinaryIO, at: int, size: int) -> float | None:
    """Return the duration of the samples at the lowest rate that the file states."""
    rate, samples = math.inf, 0
    for _ in range(MAX_CHUNKS):
        head = read_at(audio, at, 8)
        if len(head) < 8:
            break
        kind, length = struct.unpack("<4sI", head)
        left = size - at - 8
        if kind == b"fmt ":
            tag, channels, per_s, bytes_per_s, block, bits = struct.unpack("<HHIIHH", read_at(audio, at + 8, 16))
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
