"""Reads how long an Opus packet lasts: RFC 6716 §3.1."""

MAX_PACKET_MS = 120.0


def opus_ms(packet: bytes) -> float:
    """Return the milliseconds of the packet that begins with these two bytes."""
    if not packet:
        return 0.0
    config, code = packet[0] >> 3, packet[0] & 3
    if config < 12:
        frames: tuple[float, ...] = (10, 20, 40, 60)
    else:
        frames = (10, 20, 10, 20) if config < 16 else (2.5, 5, 10, 20)
    count = (1, 2, 2, packet[1] & 0x3F if len(packet) > 1 else 0)[code]
    return min(frames[config & 3] * count, MAX_PACKET_MS)
