"""Measures Matroska and WebM: RFC 9559."""

import math
import struct
from dataclasses import dataclass, field

from hero_broker.core.usage import RAW_AUDIO_BYTES_PER_S
from hero_broker.metering.audio.adts import AAC_RATES, AAC_SAMPLES
from hero_broker.metering.audio.bounds import LEAST_BYTES_PER_S, AudioFile, extended, longest
from hero_broker.metering.audio.flac import count_flac_seconds
from hero_broker.metering.audio.mpeg import parse_frame
from hero_broker.metering.audio.opus import opus_ms
from hero_broker.metering.audio.vorbis import VorbisBlocks

EBML = b"\x1a\x45\xdf\xa3"
LOSSY_BYTES_PER_S = 64_000  # 512 kbit/s
FLAC_BYTES_PER_S = 192_000  # 1.5 Mbit/s
FILM_BYTES_PER_S = 6_250_000  # 50 Mbit/s of pictures
MAX_ELEMENTS = 2_000_000
MAX_PRIVATE_BYTES = 256 * 1024
CHECK_EVERY = 100  # elements
_TRACK, _CLUSTER, _CODEC, _PRIVATE = 0xAE, 0x1F43B675, 0x86, 0x63A2
_SEGMENT, _INFO, _TRACKS, _AUDIO, _GROUP = 0x18538067, 0x1549A966, 0x1654AE6B, 0xE1, 0xA0
_FOLDERS = frozenset((_SEGMENT, _INFO, _TRACKS, _TRACK, _AUDIO, _CLUSTER, _GROUP))
_SCALE, _DURATION, _NUMBER, _TYPE, _RATE, _TIME, _SIMPLE, _BLOCK = 0x2AD7B1, 0x4489, 0xD7, 0x83, 0xB5, 0xE7, 0xA3, 0xA1
_BITS, _CHANNELS = 0x6264, 0x9F
_PICTURES = 1  # a type of track


@dataclass(slots=True)
class _MatroskaTrack:
    """One track and its blocks."""

    number: int = 0
    kind: int = 0
    codec: bytes = b""
    private: bytes = b""
    rate: float = 0.0
    channels: int = 1
    bits: int = 0
    vorbis: VorbisBlocks | None = None
    size: int = 0  # bytes of all blocks
    seconds: float = 0.0  # of all packets, if the codec says what they last

    def add(self, packet: bytes, count: int, size: int) -> None:
        """Add a block of `count` packets, the first of which begins with `packet`."""
        self.size += size
        if self.codec == b"A_OPUS":
            self.seconds += count * opus_ms(packet) / 1000
        elif self.codec.startswith(b"A_MPEG"):
            frame = parse_frame(packet)
            self.seconds += count * frame.seconds if frame else 0.0
        elif self.codec.startswith(b"A_AAC"):
            self.seconds += count * AAC_SAMPLES / min(self.rate or AAC_RATES[0], AAC_RATES[0])
        elif self.codec == b"A_VORBIS" and packet:
            self.vorbis = self.vorbis or _vorbis(self.private)
            rate = self.vorbis.rate or 48_000
            self.seconds += sum(self.vorbis.samples(packet[0]) for _ in range(count)) / rate

    def least(self, audio: AudioFile) -> float:
        """Return the least duration that the track's bytes allow."""
        most = float(LOSSY_BYTES_PER_S)
        if self.kind == _PICTURES:
            most = FILM_BYTES_PER_S
        elif self.codec.startswith(b"A_PCM"):
            most = min(self.rate * self.channels * self.bits / 8 or math.inf, RAW_AUDIO_BYTES_PER_S)
        elif self.codec == b"A_FLAC":
            return max(self.size / FLAC_BYTES_PER_S, count_flac_seconds(audio, int(self.rate)))
        return self.size / most


@dataclass(slots=True)
class _Segment:
    """What the elements of a file state."""

    scale: int = 1_000_000  # nanoseconds per tick
    durations: list[float] = field(default_factory=list)  # in ticks
    cluster: int = 0  # the time of the current cluster, in ticks
    last: int = 0  # the time of the last block, in ticks
    tracks: list[_MatroskaTrack] = field(default_factory=list)


def matroska_seconds(audio: AudioFile, start: int) -> float:
    """Return the longest duration: by the header, by the blocks' times, or by their packets."""
    segment = _Segment()
    at, ends = start, [audio.size]  # where the folders end that the offset is in
    for number in range(MAX_ELEMENTS):
        if number % CHECK_EVERY == 0 and audio.bounds.are_exceeded():
            break
        head = audio.read(at, 12)
        kind, skip = _element_id(head)
        length, more = _number(head, skip)
        ends = [end for end in ends if end > at] or [audio.size]
        after = at + skip + more + max(0, length)
        if not skip or not more or (kind not in _FOLDERS and after > min(ends) < audio.size):
            # Decoders read on at the next cluster, too, if an element exceeds the one around it.
            found = audio.find(_CLUSTER.to_bytes(4, "big"), at + 1)
            if found < 0:
                at = at if audio.bounds.are_exceeded() else audio.size
                break
            at = found
            continue
        at += skip + more
        if kind in _FOLDERS:
            if length >= 0:
                ends.append(min(after, audio.size))
            if kind == _TRACK:
                segment.tracks.append(_MatroskaTrack())
            continue  # its content is read next, so that its size does not matter
        if length < 0:
            continue
        _read_element(segment, audio, kind, at, min(length, audio.size - at))
        at += length
    tick_s = segment.scale / 1e9
    seconds = longest(audio.size, segment.last * tick_s)
    for track in segment.tracks:
        seconds = max(seconds, min(track.seconds, audio.size / LEAST_BYTES_PER_S), track.least(audio))
    data = sum(track.size for track in segment.tracks)
    if not data:
        return 0.0
    claimed = longest(audio.size, *(ticks * tick_s for ticks in segment.durations))
    return max(extended(seconds, at, audio.size), claimed)


def _read_element(segment: _Segment, audio: AudioFile, kind: int, at: int, length: int) -> None:
    if kind in (_SIMPLE, _BLOCK):
        _read_block(segment, audio.read(at, min(length, 16)), length)
        return
    if kind in (_SCALE, _DURATION, _TIME):
        content = audio.read(at, min(length, 8))
        if kind == _SCALE:
            segment.scale = int.from_bytes(content, "big") or segment.scale
        elif kind == _TIME:
            segment.cluster = int.from_bytes(content, "big")
        else:
            segment.durations.append(_float(content))
        return
    if not segment.tracks:
        return
    track = segment.tracks[-1]
    if kind == _CODEC:
        track.codec = audio.read(at, min(length, 32)).rstrip(b"\0")
    elif kind == _PRIVATE:
        track.private = audio.read(at, min(length, MAX_PRIVATE_BYTES))
    elif kind == _RATE:
        track.rate = _float(audio.read(at, min(length, 8)))
    elif kind in (_NUMBER, _TYPE, _BITS, _CHANNELS):
        value = int.from_bytes(audio.read(at, min(length, 8)), "big")
        if kind == _NUMBER:
            track.number = value
        elif kind == _TYPE:
            track.kind = value
        elif kind == _BITS:
            track.bits = value
        else:
            track.channels = value


def _read_block(segment: _Segment, block: bytes, length: int) -> None:
    number, skip = _number(block, 0)
    if not skip or len(block) < skip + 3:
        return
    time, flags = struct.unpack_from(">hB", block, skip)
    segment.last = max(segment.last, segment.cluster + time)
    at, count = skip + 3, 1
    lacing = flags >> 1 & 3
    if lacing and len(block) > at:
        count = block[at] + 1
        at += 1
        if lacing == 1:  # sizes of 255 and less, one for each packet but the last
            sizes = count - 1
            while sizes and at < len(block):
                sizes -= block[at] < 255
                at += 1
        elif lacing == 3:
            for _ in range(count - 1):
                at += _number(block, at)[1] or 1
    for track in segment.tracks:
        if track.number == number:
            track.add(block[at : at + 6] or block[-1:], count, length)


def _vorbis(private: bytes) -> VorbisBlocks:
    """Read the three headers of Vorbis, which are laced."""
    sizes, at = [0, 0], 1
    for index in range(2):
        while at < len(private):
            sizes[index] += private[at]
            at += 1
            if private[at - 1] < 255:
                break
    blocks = VorbisBlocks(private[at : at + sizes[0]])
    blocks.read_setup(private[at + sum(sizes) :])
    return blocks


def _element_id(head: bytes) -> tuple[int, int]:
    """Return the id of an element and its length in bytes, 0 if it is not one."""
    length = 9 - head[0].bit_length() if head else 9
    return (int.from_bytes(head[:length], "big"), length) if length <= 4 and len(head) > length else (0, 0)


def _number(head: bytes, at: int) -> tuple[int, int]:
    """Return a number (-1: unknown) of variable length, and its length in bytes (0: there is no number)."""
    length = 9 - head[at].bit_length() if at < len(head) else 9
    if length > 8 or at + length > len(head):
        return 0, 0
    most = (1 << 7 * length) - 1
    value = int.from_bytes(head[at : at + length], "big") & most
    return (-1 if value == most else value), length


def _float(content: bytes) -> float:
    value = struct.unpack(">f" if len(content) == 4 else ">d", content)[0] if len(content) in (4, 8) else 0.0
    return value if math.isfinite(value) else 0.0
