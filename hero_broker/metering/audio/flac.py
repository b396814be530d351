"""Measures FLAC, RFC 9639."""

import re

from hero_broker.core.usage import RAW_AUDIO_BYTES_PER_S
from hero_broker.metering.audio.bounds import BLOCK_BYTES, LEAST_BYTES_PER_S, AudioFile, extended, longest

HEADER_BYTES = 16  # of a frame, at most
CHECK_EVERY = 500  # marks
_MARK = re.compile(rb"\xff[\xf8\xf9][\x10-\xfe][\x00-\xaf]", re.DOTALL)
_BLOCKS = {
    1: 192,
    **{code: 576 << code - 2 for code in range(2, 6)},
    **{code: 256 << code - 8 for code in range(8, 16)},
}
_RATES = (0, 88_200, 176_400, 192_000, 8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000)


def _crc_table() -> bytes:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte << 1 ^ (0x07 if byte & 0x80 else 0)) & 0xFF
        table.append(byte)
    return bytes(table)


_CRC = _crc_table()


def flac_seconds(audio: AudioFile, start: int) -> float:
    """Return the duration: the header's, or that of the frames if it is longer."""
    info = audio.read(start + 8, 18)
    if len(info) < 18:
        return 0.0
    fields = int.from_bytes(info[10:18], "big")
    rate, channels, bits, samples = (
        fields >> 44,
        (fields >> 41 & 7) + 1,
        (fields >> 36 & 31) + 1,
        fields & (1 << 36) - 1,
    )
    raw = rate * channels * bits / 8
    least = audio.size / min(raw or RAW_AUDIO_BYTES_PER_S, RAW_AUDIO_BYTES_PER_S)
    counted = min(count_flac_seconds(audio, rate), audio.size / LEAST_BYTES_PER_S)
    seconds = max(longest(audio.size, samples / rate if rate else 0.0), counted)
    return max(seconds, least) if seconds else 0.0


def count_flac_seconds(audio: AudioFile, rate: int) -> float:
    """Return the duration of all frames, which a checksum of their headers confirms; `rate`: if a frame has none."""
    seconds, end = 0.0, 0
    for base in range(0, audio.size, BLOCK_BYTES):
        block = audio.read(base, BLOCK_BYTES + HEADER_BYTES)
        for number, match in enumerate(_MARK.finditer(block)):
            begin = match.start()
            if begin >= BLOCK_BYTES or (number % CHECK_EVERY == 0 and audio.bounds.are_exceeded()):
                break
            seconds += _frame_seconds(block[begin : begin + HEADER_BYTES], rate)
        if audio.bounds.are_exceeded():
            break
        end = min(base + BLOCK_BYTES, audio.size)
    return extended(seconds, end, audio.size)


def _frame_seconds(header: bytes, rate: int) -> float:
    """Return what a frame lasts by its header; 0 if the header's checksum is wrong."""
    if len(header) < HEADER_BYTES:
        header = header.ljust(HEADER_BYTES, b"\0")
    block_code, rate_code, first = header[2] >> 4, header[2] & 15, header[4]
    number = 1 if first < 0x80 else 8 - (first ^ 0xFF).bit_length()  # bytes of the coded number, as in UTF-8
    if header[3] & 1 or not (number == 1 or 2 <= number <= 7):
        return 0.0
    at = 4 + number
    samples = _BLOCKS.get(block_code, 0)
    if block_code in (6, 7):
        width = block_code - 5
        samples = int.from_bytes(header[at : at + width], "big") + 1
        at += width
    if rate_code in range(1, 12):
        rate = _RATES[rate_code]
    elif rate_code in (12, 13, 14):
        width = 1 if rate_code == 12 else 2
        rate = int.from_bytes(header[at : at + width], "big") * {12: 1000, 13: 1, 14: 10}[rate_code]
        at += width
    crc = 0
    for byte in header[:at]:
        crc = _CRC[crc ^ byte]
    return samples / rate if at < HEADER_BYTES and crc == header[at] and rate else 0.0
