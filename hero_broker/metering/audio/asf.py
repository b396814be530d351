"""Measures ASF, the container of WMA, by its header."""

import struct

from hero_broker.metering.audio.bounds import AudioFile, longest

ASF_BYTES_PER_S = 96_000  # 768 kbit/s, the highest of WMA Professional
MAX_OBJECTS = 100
_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


def asf_seconds(audio: AudioFile, start: int) -> float:
    """Return the longest duration that a header states, or that the size allows."""
    seconds, at = audio.size / ASF_BYTES_PER_S, start + 30
    for _ in range(MAX_OBJECTS):
        head = audio.read(at, 88)
        if len(head) < 24:
            break
        length = int.from_bytes(head[16:24], "little")
        if head[:16] == _PROPERTIES and len(head) == 88:
            ticks, _, before_ms = struct.unpack_from("<QQQ", head, 64)  # of 100 ns
            seconds = max(seconds, longest(audio.size, ticks / 10_000_000 - before_ms / 1000))
        at += max(24, length)
    return seconds
