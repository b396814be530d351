"""Measures MP4, also in fragments: ISO/IEC 14496-12; AAC in it: ISO/IEC 14496-3."""

import contextlib
import math
import struct
import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from hero_broker.core.usage import AUDIO_BYTES_PER_S, RAW_AUDIO_BYTES_PER_S
from hero_broker.metering.audio.adts import AAC_RATES, AAC_SAMPLES
from hero_broker.metering.audio.bounds import LEAST_BYTES_PER_S, MAX_READ_BYTES, AudioFile, extended, longest
from hero_broker.metering.audio.opus import opus_ms

MP4_BYTES_PER_S = 192_000  # 1.5 Mbit/s, lossless music
FILM_BYTES_PER_S = 6_250_000  # 50 Mbit/s of pictures
MAX_BOXES = 200_000
MAX_DEPTH = 10
MAX_ENTRIES = 16  # descriptions of the samples of a track
MAX_RAW_SAMPLE_BYTES = 32  # a table of samples without compression may state a size that is not in bytes
MAX_OFFSETS = 100  # of packets of Opus that are read
UNKNOWN_SHARE = 0.1  # of the data may belong to no track, as after an edit
_MARKS = frozenset((b"ftyp", b"styp", b"moov", b"moof", b"mdat"))
_FOLDERS = frozenset(
    (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"mvex", b"edts", b"dinf", b"udta", b"sinf")
)
_RAW = frozenset((b"raw ", b"twos", b"sowt", b"in24", b"in32", b"fl32", b"fl64", b"lpcm", b"ipcm", b"fpcm", b"NONE"))
_LAW = frozenset((b"ulaw", b"alaw"))
_PICTURES = frozenset(
    (
        *(b"avc1", b"avc3", b"hvc1", b"hev1", b"dvh1", b"dvhe", b"vp08", b"vp09", b"av01", b"mp4v", b"s263", b"h263"),
        *(b"H263", b"jpeg", b"mjpa", b"mjpb", b"SVQ3", b"apco", b"apcs", b"apcn", b"apch", b"ap4h"),
    )
)
_PACKETS = {b"samr": 160 / 8_000, b"sawb": 320 / 16_000, b"ac-3": 1536 / 48_000, b"ec-3": 256 / 48_000}  # seconds


@dataclass(slots=True)
class _Samples:
    """What tables state about samples."""

    ticks: float = 0.0
    packets: int = 0
    size: float = 0.0  # bytes


@dataclass(frozen=True, slots=True)
class _Description:
    """One description of the samples of a track."""

    codec: bytes
    rate: int
    aac_rate: int  # that of the decoder; 0: not stated
    frame_size: int  # bytes of one sample of all channels, without compression
    packet_s: float  # what each packet lasts, if the codec says so

    def seconds(self, packets: int, size: float, scale: float) -> float:
        """Return what packets of `size` bytes last in total; 0 if the codec does not say it."""
        if self.codec == b"mp4a":
            return packets * AAC_SAMPLES / (self.aac_rate or min(scale, self.rate or AAC_RATES[0], AAC_RATES[0]))
        if self.codec in _LAW or self.codec in _RAW:
            return size / (self.frame_size * self.rate) if self.frame_size * self.rate else 0.0
        return packets * self.packet_s


@dataclass(slots=True)
class _Track:
    """What the boxes of a track state; if they disagree, the longer duration counts."""

    number: int = 0
    scale: float = math.inf  # ticks per second
    ticks: float = 0.0  # by its header
    table: _Samples = field(default_factory=_Samples)
    entries: list[_Description] = field(default_factory=list)
    sample_size: int = 0  # of all samples; 0: each has its own
    offsets: list[int] = field(default_factory=list)

    @property
    def has_pictures(self) -> bool:
        """Whether every description of the samples is of pictures; the handler's name could lie."""
        return bool(self.entries) and all(entry.codec in _PICTURES for entry in self.entries)

    @property
    def is_raw(self) -> bool:
        """Whether the samples are not compressed."""
        return any(entry.codec in _RAW for entry in self.entries)

    def seconds(self, audio: AudioFile, fragments: _Samples) -> float:
        """Return the track's duration, its fragments included."""
        size = min(self.table.size + fragments.size, audio.size)
        claimed = longest(audio.size, self.ticks / self.scale, (self.table.ticks + fragments.ticks) / self.scale)
        if self.has_pictures:
            return max(claimed, size / FILM_BYTES_PER_S)
        counted = size / (RAW_AUDIO_BYTES_PER_S if self.is_raw else MP4_BYTES_PER_S)
        packets = self.table.packets + fragments.packets
        for entry in self.entries:
            counted = max(counted, entry.seconds(packets, size, self.scale))
            if entry.codec == b"Opus":
                counted = max(counted, packets * max(opus_ms(audio.read(at, 2)) for at in self.offsets or [0]) / 1000)
        return max(claimed, min(counted, audio.size / LEAST_BYTES_PER_S))


@dataclass(slots=True)
class _Movie:
    """What the boxes of a file state."""

    claims: list[float] = field(default_factory=list)  # seconds
    scale: float = math.inf  # of the movie
    tracks: list[_Track] = field(default_factory=list)
    track: _Track = field(default_factory=_Track)  # the one that is read
    defaults: dict[int, tuple[int, int]] = field(default_factory=dict)  # ticks and bytes of a sample, by track
    fragments: dict[int, _Samples] = field(default_factory=dict)  # by track
    fragment_of: int = 0  # the track of the current fragment
    fragment_defaults: tuple[int, int] = (0, 0)
    data_size: int = 0  # bytes of media
    boxes: int = 0
    is_known: bool = False  # the file has a box that only an MP4 has
    is_unreadable: bool = False  # part of the header is compressed

    def end_track(self) -> None:
        """Close the current track."""
        self.tracks.append(self.track)
        self.track = _Track()


def mp4_seconds(audio: AudioFile, start: int) -> float:
    """Return the longest duration: by the header, by the tracks' headers, or by their packets."""
    movie = _Movie()
    at = _read_boxes(audio, start, audio.size, movie, 0)
    if not movie.is_known:
        return 0.0
    movie.end_track()
    known = {track.number for track in movie.tracks}
    orphans = sum(samples.size for number, samples in movie.fragments.items() if number not in known)
    seconds, used, pictures, raw, are_sizes_samples = 0.0, orphans, 0.0, 0.0, False
    for track in movie.tracks:
        fragments = movie.fragments.get(track.number, _Samples())
        size = track.table.size + fragments.size
        seconds = max(seconds, track.seconds(audio, fragments))
        used += size
        pictures += size if track.has_pictures else 0
        raw += size if track.is_raw else 0
        are_sizes_samples |= 0 < track.sample_size <= MAX_RAW_SAMPLE_BYTES
    if movie.is_unreadable:
        used = orphans
    unknown = max(0, movie.data_size - used)
    if movie.is_unreadable or (not are_sizes_samples and unknown > movie.data_size * UNKNOWN_SHARE):
        seconds += unknown / AUDIO_BYTES_PER_S
    seconds += min(orphans, audio.size) / AUDIO_BYTES_PER_S
    rest = max(0, audio.size - start - pictures - raw)
    seconds = max(seconds, rest / MP4_BYTES_PER_S)
    if audio.bounds.are_exceeded() or movie.boxes >= MAX_BOXES:
        seconds = extended(seconds, at, audio.size)
    return max(seconds, longest(audio.size, *movie.claims))


def _read_boxes(audio: AudioFile, at: int, end: int, movie: _Movie, depth: int) -> int:
    """Read the boxes up to `end`, and return the offset that was reached."""
    while at + 8 <= end and movie.boxes < MAX_BOXES and not audio.bounds.are_exceeded():
        movie.boxes += 1
        head = audio.read(at, 16)
        length, kind = struct.unpack_from(">I4s", head)
        skip = 8
        if length == 1 and len(head) == 16:
            length, skip = int.from_bytes(head[8:], "big"), 16
        length = end - at if length == 0 else length
        if length < skip:
            break
        movie.is_known |= kind in _MARKS
        inside, after = at + skip, min(end, at + length)
        if kind in (b"free", b"hoov") and audio.read(inside + 4, 4) in (b"mvhd", b"cmov"):
            kind = b"moov"  # a hidden header, which decoders look for
        if kind in _FOLDERS and depth < MAX_DEPTH:
            if kind == b"trak":
                movie.end_track()
            _read_boxes(audio, inside, after, movie, depth + 1)
            if kind == b"trak":
                movie.end_track()
        elif kind == b"meta":
            _read_boxes(audio, inside + 4, after, movie, MAX_DEPTH - 1)
        elif kind == b"mdat":
            movie.data_size += max(0, after - inside)
        elif kind == b"cmov":
            movie.is_unreadable = True
        elif kind in _READERS:
            with contextlib.suppress(struct.error, IndexError, ZeroDivisionError):  # a box that is too short
                _READERS[kind](movie, audio.read(inside, min(after - inside, MAX_READ_BYTES)))
        at += length
    return at


def _words(table: bytes) -> Sequence[int]:
    """Return the numbers of a table."""
    words = array("I", table[: len(table) // 4 * 4])
    if sys.byteorder == "little":
        words.byteswap()
    return words


def _read_header(box: bytes) -> tuple[int, int]:
    """Return the time scale and the duration of a movie or a track."""
    scale, ticks = struct.unpack_from(">IQ", box, 20) if box[0] == 1 else struct.unpack_from(">II", box, 12)
    is_open = ticks in (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
    return int(scale), 0 if is_open else int(ticks)


def _read_mvhd(movie: _Movie, box: bytes) -> None:
    scale, ticks = _read_header(box)
    if scale:
        movie.scale = min(movie.scale, scale)
        movie.claims.append(ticks / scale)


def _read_mehd(movie: _Movie, box: bytes) -> None:
    ticks = struct.unpack_from(">Q" if box[0] == 1 else ">I", box, 4)[0]
    movie.claims.append(ticks / movie.scale)


def _read_tkhd(movie: _Movie, box: bytes) -> None:
    movie.track.number = struct.unpack_from(">I", box, 20 if box[0] == 1 else 12)[0]


def _read_mdhd(movie: _Movie, box: bytes) -> None:
    scale, ticks = _read_header(box)
    if scale:
        movie.track.scale = min(movie.track.scale, scale)
    movie.track.ticks = max(movie.track.ticks, ticks)


def _read_stts(movie: _Movie, box: bytes) -> None:
    count = int(struct.unpack_from(">I", box, 4)[0])
    words = _words(box[8 : 8 + 8 * count])
    ticks = sum(times * delta for times, delta in zip(words[::2], words[1::2], strict=False))
    movie.track.table.ticks = max(movie.track.table.ticks, ticks)


def _read_stsz(movie: _Movie, box: bytes) -> None:
    size, count = struct.unpack_from(">II", box, 4)
    table, track = movie.track.table, movie.track
    table.packets = max(table.packets, count)
    track.sample_size = size
    words = _words(box[12 : 12 + 4 * count]) if not size else ()
    table.size = max(table.size, count * size if size else sum(words) * count / max(1, len(words)))


def _read_stz2(movie: _Movie, box: bytes) -> None:
    bits, count = box[7], struct.unpack_from(">I", box, 8)[0]
    table, sizes = movie.track.table, box[12 : 12 + count * bits // 8]
    table.packets = max(table.packets, count)
    if bits == 16:
        table.size = max(table.size, sum(sizes[::2]) * 256 + sum(sizes[1::2]))
    else:
        table.size = max(table.size, sum(sizes) if bits == 8 else sum((byte >> 4) + (byte & 15) for byte in sizes))


def _read_offsets(movie: _Movie, box: bytes) -> None:
    words = _words(box[8 : 8 + 4 * MAX_OFFSETS])
    movie.track.offsets += words[: struct.unpack_from(">I", box, 4)[0]]


def _read_stsd(movie: _Movie, box: bytes) -> None:
    at = 8
    while len(box) >= at + 36 and len(movie.track.entries) < MAX_ENTRIES:
        length = int.from_bytes(box[at : at + 4], "big")
        if length < 16:
            return
        movie.track.entries.append(_parse_description(box[at : at + length].ljust(36, b"\0")))
        at += length


def _parse_description(entry: bytes) -> _Description:
    codec = entry[4:8]
    channels, bits = struct.unpack_from(">HH", entry, 24)
    packet_s = _PACKETS.get(codec, 0.0)
    cookie = entry.find(b"alac", 8)
    if codec == b"alac" and len(entry) >= cookie + 32 > 32:
        samples, rate = struct.unpack_from(">I", entry, cookie + 8)[0], struct.unpack_from(">I", entry, cookie + 28)[0]
        packet_s = min(samples, 16_384) / rate if rate else 0.0
    return _Description(
        codec=codec,
        rate=struct.unpack_from(">H", entry, 32)[0],
        aac_rate=min(filter(None, _aac_rates(entry)), default=0),
        frame_size=channels * (1 if codec in _LAW else -(-bits // 8)),
        packet_s=packet_s,
    )


def _aac_rates(box: bytes) -> Iterator[int]:
    """Yield the rate of each AudioSpecificConfig in a sample description."""
    at = box.find(b"esds")
    while at >= 0:
        config = _descriptor(box, at + 8, (3, 4, 5))
        bits = int.from_bytes(config[:8].ljust(8, b"\0"), "big")
        left = 59  # bits after the object's type
        if bits >> 59 == 31:
            left -= 6
        rate = bits >> left - 4 & 15
        if config:
            yield (bits >> left - 28 & 0xFFFFFF) if rate == 15 else AAC_RATES[rate] if rate < len(AAC_RATES) else 0
        at = box.find(b"esds", at + 4)


def _descriptor(box: bytes, at: int, path: tuple[int, ...]) -> bytes:
    """Return the content of a descriptor inside others; empty if there is none."""
    for tag in path:
        if at >= len(box) or box[at] != tag:
            return b""
        at += 1
        for _ in range(3):
            if at < len(box) and box[at] & 0x80:
                at += 1
        at += 1
        if tag == 3:
            flags = box[at + 2] if at + 2 < len(box) else 0
            at += 3 + (2 if flags & 0x80 else 0) + (2 if flags & 0x20 else 0)
        elif tag == 4:
            at += 13
    return box[at:]


def _read_trex(movie: _Movie, box: bytes) -> None:
    number, _, ticks, size = struct.unpack_from(">IIII", box, 4)
    movie.defaults[number] = ticks, size


def _read_tfhd(movie: _Movie, box: bytes) -> None:
    flags, number = struct.unpack_from(">II", box)
    at = 8 + (8 if flags & 1 else 0) + (4 if flags & 2 else 0)
    ticks, size = movie.defaults.get(number, (0, 0))
    if flags & 8:
        ticks = struct.unpack_from(">I", box, at)[0]
        at += 4
    if flags & 0x10:
        size = struct.unpack_from(">I", box, at)[0]
    movie.fragment_of, movie.fragment_defaults = number, (ticks, size)


def _read_trun(movie: _Movie, box: bytes) -> None:
    flags, count = struct.unpack_from(">II", box)
    at = 8 + (4 if flags & 1 else 0) + (4 if flags & 4 else 0)
    fields = [flag for flag in (0x100, 0x200, 0x400, 0x800) if flags & flag]
    words = _words(box[at : at + 4 * len(fields) * count])
    if fields:
        count = min(count, len(words) // len(fields))
    ticks, size = (default * count for default in movie.fragment_defaults)
    if 0x100 in fields:
        ticks = sum(words[:: len(fields)])
    if 0x200 in fields:
        size = sum(words[fields.index(0x200) :: len(fields)])
    samples = movie.fragments.setdefault(movie.fragment_of, _Samples())
    samples.ticks += ticks
    samples.packets += count
    samples.size += size


_READERS: dict[bytes, Callable[[_Movie, bytes], None]] = {
    b"mvhd": _read_mvhd,
    b"mehd": _read_mehd,
    b"tkhd": _read_tkhd,
    b"mdhd": _read_mdhd,
    b"stts": _read_stts,
    b"stsz": _read_stsz,
    b"stz2": _read_stz2,
    b"stco": _read_offsets,
    b"stsd": _read_stsd,
    b"trex": _read_trex,
    b"tfhd": _read_tfhd,
    b"trun": _read_trun,
}
