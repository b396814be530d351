"""Measures Ogg: RFC 3533; Opus in it: RFC 7845."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from hero_broker.metering.audio.bounds import LEAST_BYTES_PER_S, AudioFile, extended, longest
from hero_broker.metering.audio.flac import count_flac_seconds
from hero_broker.metering.audio.opus import opus_ms
from hero_broker.metering.audio.vorbis import VorbisBlocks

OGG_BYTES_PER_S = 64_000  # 512 kbit/s
FLAC_BYTES_PER_S = 192_000  # 1.5 Mbit/s
MAX_PAGES = 500_000
MAX_SETUP_BYTES = 256 * 1024
_FIRST, _REST = 2, 1  # flags of a page: the first of its stream; begins with the rest of a packet


@dataclass(slots=True)
class _Stream:
    """One logical stream."""

    rate: int = 0  # samples per second; 0: unknown format
    is_opus: bool = False
    is_flac: bool = False
    vorbis: VorbisBlocks | None = None
    setup: bytearray = field(default_factory=bytearray)  # the third header of Vorbis, as it is read
    granule: int = 0  # the position of the last page
    before: int = 0  # samples before the position last began again
    packets_s: float = 0.0

    def add_page(self, granule: int, page: bytes, sizes: bytes, *, is_rest: bool) -> None:
        """Count what a page adds."""
        if granule >= 0:
            if granule < self.granule:
                self.before += self.granule
            self.granule = granule
        if self.is_opus:
            self.packets_s += sum(opus_ms(packet) for packet in _packets(page, sizes, is_rest=is_rest)) / 1000
        elif self.vorbis is not None and self.rate:
            self._read_setup(page, sizes, is_rest=is_rest)
            samples = sum(self.vorbis.samples(packet[0]) for packet in _packets(page, sizes, is_rest=is_rest))
            self.packets_s += samples / self.rate

    def _read_setup(self, page: bytes, sizes: bytes, *, is_rest: bool) -> None:
        if self.vorbis is None or len(self.setup) > MAX_SETUP_BYTES:
            return
        at, begins = 0, not is_rest
        for size in sizes:
            part = page[at : at + size]
            if part.startswith(b"\x05vorbis") if begins else self.setup:
                self.setup += part
                if size < 255:
                    self.vorbis.read_setup(bytes(self.setup))
                    self.setup.clear()
            at += size
            begins = size < 255

    def seconds(self, size: int) -> float:
        """Return the longer of what the positions claim and what the packets last."""
        if not self.rate:
            return 0.0
        claimed = longest(size, (self.before + self.granule) / self.rate)
        return max(claimed, min(self.packets_s, size / LEAST_BYTES_PER_S))


def ogg_seconds(audio: AudioFile, start: int) -> float:
    """Return the total duration of all streams, by their positions or their packets."""
    streams: list[_Stream] = []
    current: dict[int, _Stream] = {}  # by serial number, which a later stream may have again
    at = start
    for _ in range(MAX_PAGES):
        if audio.bounds.are_exceeded() or at >= audio.size:
            break
        head = audio.read(at, 27 + 255)
        if head[:5] != b"OggS\0" or len(head) < 27:
            found = audio.find(b"OggS\0", at + 1)
            if found < 0:
                at = audio.size if not audio.bounds.are_exceeded() else at
                break
            at = found
            continue
        granule, serial = struct.unpack_from("<qI", head, 6)
        sizes = head[27 : 27 + head[26]]
        page = audio.read(at + 27 + head[26], sum(sizes))
        stream = current.get(serial)
        if stream is None or head[5] & _FIRST:
            stream = _parse_stream(page)
            streams.append(stream)
            current[serial] = stream
        else:
            stream.add_page(granule, page, sizes, is_rest=bool(head[5] & _REST))
        at += 27 + len(sizes) + len(page)
    seconds = sum(stream.seconds(audio.size) for stream in streams)
    has_flac = any(stream.is_flac for stream in streams)
    if has_flac:
        seconds = max(seconds, count_flac_seconds(audio, max(stream.rate for stream in streams if stream.is_flac)))
    if not seconds:
        return 0.0
    return max(extended(seconds, at, audio.size), audio.size / (FLAC_BYTES_PER_S if has_flac else OGG_BYTES_PER_S))


def _parse_stream(packet: bytes) -> _Stream:
    if packet.startswith(b"OpusHead"):
        return _Stream(48_000, is_opus=True)
    if packet.startswith(b"\x01vorbis"):
        vorbis = VorbisBlocks(packet)
        return _Stream(vorbis.rate, vorbis=vorbis)
    if packet.startswith(b"Speex   ") and len(packet) >= 40:
        return _Stream(int(struct.unpack_from("<I", packet, 36)[0]))
    if packet.startswith(b"\x7fFLAC") and len(packet) >= 31:
        return _Stream(int(struct.unpack_from(">I", packet, 27)[0]) >> 12, is_flac=True)
    return _Stream()


def _packets(page: bytes, sizes: bytes, *, is_rest: bool) -> Iterator[bytes]:
    """Yield the first two bytes of each packet that begins in a page; `is_rest`: the page continues a packet."""
    at, begins = 0, not is_rest
    for size in sizes:
        if begins and size and not page.startswith(b"OpusTags", at) and at < len(page):
            yield page[at : at + 2]
        at += size
        begins = size < 255
