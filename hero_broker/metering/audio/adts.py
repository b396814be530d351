"""Measures AAC without a container: ADTS, ISO/IEC 13818-7."""

import re
from functools import lru_cache

from hero_broker.metering.audio.bounds import AudioFile, extended
from hero_broker.metering.audio.frames import Frame, FrameCounter

AAC_SAMPLES = 1024  # of a packet
AAC_RATES = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350)
ADTS_BYTES_PER_S = 72_000  # 576 kbit/s: 6,144 bits for each packet of two channels, at 48 kHz
_BYTES_PER_CHANCE = 250_000  # of random bytes have one mark of a kind: 14 bits, and 4 of the rate
_MARK = re.compile(rb"\xff[\xf0\xf1\xf8\xf9][\x00-\xf3]", re.DOTALL)


@lru_cache(maxsize=8192)
def _parse(header: bytes) -> Frame | None:
    if len(header) < 6:
        return None
    rate = header[2] >> 2 & 15
    length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    if rate >= len(AAC_RATES) or length < 7:
        return None
    return Frame(rate, AAC_SAMPLES / AAC_RATES[rate], length)


def adts_seconds(audio: AudioFile, start: int) -> float:
    """Return the duration of all frames, also of those with bytes between them."""
    counter = FrameCounter(_MARK, _parse)
    counter.count(audio, start)
    if not counter.seconds:
        return 0.0
    seconds = counter.seconds + counter.lone_seconds(2 * audio.size / _BYTES_PER_CHANCE + 3)
    return max(extended(seconds, counter.end, audio.size), (audio.size - start) / ADTS_BYTES_PER_S)
