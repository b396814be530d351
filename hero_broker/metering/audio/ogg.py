"""Measures Ogg. See RFC 3533; for Opus, RFC 6716 §3.1 and RFC 7845."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from hero_broker.metering.audio.bounds import Bounds, read_at

OGG_BYTES_PER_S = 64_000  # 512 kbit/s
MAX_PAGES = 50_000
MAX_PACKETS = 200_000  # of an Opus


@dataclass(slots=True)
class _Track:
    """One logical stream of an Ogg."""

    rate: int = 0  # samples per second; 0: unknown format
    is_opus: bool = False
    granule: int = 0  # samples up to the current page
    opus_ms: float = 0.0  # total of the packets


def ogg_seconds(audio: BinaryIO, at: int, size: int, bounds: Bounds) -> float | None:
    """Return the total duration of all streams, by their positions or their packets."""
    tracks: dict[int, _Track] = {}
    packets = 0
    for _ in range(MAX_PAGES):
        head = read_at(audio, at, 27 + 255)
        if len(head) < 27 or head[:5] != b"OggS\0" or packets > MAX_PACKETS or bounds.are_exceeded():
            break
        granule, serial = struct.unpack_from("<qI", head, 6)
        sizes = head[27 : 27 + head[26]]
        begins, length = at + 27 + head[26], sum(sizes)
        track = tracks.get(serial)
        if track is None:
            track = tracks[serial] = _parse_track(read_at(audio, begins, 64))
        elif track.is_opus:
            packets += len(sizes)
            track.opus_ms += sum(_opus_packets(read_at(audio, begins, length), sizes, is_rest=bool(head[5] & 1)))
        track.granule = max(track.granule, granule)
        at = begins + length
    seconds = sum(max(track.granule / track.rate, track.opus_ms / 1000) for track in tracks.values() if track.rate)
    return seconds * size / min(at, size) if seconds else None


def _parse_track(packet: bytes) -> _Track:
    if packet.startswith(b"OpusHead"):
        return _Track(48_000, is_opus=True)
    for name, at, form in ((b"\x01vorbis", 12, "<I"), (b"Speex   ", 36, "<I"), (b"\x7fFLAC", 27, ">I")):
        if packet.startswith(name) and len(packet) >= at + 4:
            rate = int(struct.unpack_from(form, packet, at)[0])
            return _Track(rate >> 12 if name == b"\x7fFLAC" else rate)
    return _Track()


def _opus_packets(page: bytes, sizes: bytes, *, is_rest: bool) -> Iterator[float]:
    """Yield the milliseconds of each packet that begins in a page; `is_rest`: the page continues a packet."""
    at, begins = 0, not is_rest
    for size in sizes:
        if begins and size and at + 1 < len(page) and not page.startswith(b"OpusTags", at):
            yield _opus_ms(page[at], page[at + 1])
        at += size
        begins = size < 255


def _opus_ms(kind: int, second: int) -> float:
    config = kind >> 3
    if config < 12:
        frames: tuple[float, ...] = (10, 20, 40, 60)
    else:
        frames = (10, 20, 10, 20) if config < 16 else (2.5, 5, 10, 20)
    return frames[config & 3] * (1, 2, 2, second & 0x3F)[kind & 3]
