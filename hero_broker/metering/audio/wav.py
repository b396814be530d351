"""Measures WAV: RIFF, its big-endian form RIFX, and its form for large files, RF64."""

import struct

from hero_broker.core.usage import AUDIO_BYTES_PER_S, RAW_AUDIO_BYTES_PER_S
from hero_broker.metering.audio.bounds import MAX_CHUNKS, AudioFile, longest
from hero_broker.metering.audio.mpeg import mpeg_seconds

WAV_FORMS = (b"RIFF", b"RIFX", b"RF64", b"BW64")
_PCM = (1, 3, 0xFFFE)
_MPEG = (0x50, 0x55)
_MPEG_BYTES_PER_S = 48_000


def wav_seconds(audio: AudioFile, start: int) -> float:
    """Return the duration of the samples at the slowest rate that the file states."""
    order = ">" if audio.read(start, 4) == b"RIFX" else "<"
    at, rates, samples, is_mpeg = start + 12, [], 0, False
    for _ in range(MAX_CHUNKS):
        head = audio.read(at, 8)
        if len(head) < 8:
            break
        kind, length = head[:4], struct.unpack_from(order + "I", head, 4)[0]
        left = audio.size - at - 8
        if kind == b"fmt " and left >= 16:
            fields = struct.unpack(order + "HHIIHH", audio.read(at + 8, 16))
            rates += _bytes_per_s(*fields)
            is_mpeg |= fields[0] in _MPEG
        elif kind == b"data":
            if length == 0 or length > left:  # written by a program that streamed it
                samples += left
                break
            samples += length
        at += 8 + length + length % 2
    else:
        samples = audio.size  # a file with so many chunks hides something
    seconds = mpeg_seconds(audio, start, is_container=False) if is_mpeg else 0.0
    seconds = max(seconds, longest(audio.size, *(samples / rate for rate in rates)))
    return max(seconds, audio.size / RAW_AUDIO_BYTES_PER_S) if seconds else 0.0


def _bytes_per_s(tag: int, channels: int, per_s: int, bytes_per_s: int, block: int, bits: int) -> list[float]:
    """Return the rates at which readers of the format play it, without those that are 0.

    Readers take the rate and the blocks of a format that they know, and ignore the bytes per second.
    """
    rates: tuple[float, ...]
    if tag in _PCM:
        rates = (block * per_s, channels * -(-bits // 8) * per_s)
    elif tag in (6, 7):  # A-law, mu-law: a byte for each sample
        rates = (channels * per_s,)
    elif tag in (2, 0x11) and channels and block > 7 * channels:  # ADPCM of Microsoft and IMA: a nibble for each
        begin, extra = (7, 2) if tag == 2 else (4, 1)
        rates = (block * per_s / ((block - begin * channels) * 2 / channels + extra),)
    elif tag == 0x31:  # GSM
        rates = (65 * per_s / 320,)
    elif tag in _MPEG:  # its frames count too
        rates = (min(bytes_per_s, _MPEG_BYTES_PER_S),)
    else:
        rates = (min(bytes_per_s, AUDIO_BYTES_PER_S),)
    return [min(rate, RAW_AUDIO_BYTES_PER_S) for rate in rates if rate]
