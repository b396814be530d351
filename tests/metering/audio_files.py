"""Builds audio files, honest and lying, for the tests of their durations. No codec is needed: the payload is zeros."""

import struct

from tests.data_plane.test_upload import sound

# MPEG 1, layer III, 128 kbit/s, 44.1 kHz: 417 bytes for 1152 samples.
FRAME = b"\xff\xfb\x90\x64" + bytes(413)
FRAME_MS = 1152 / 44.1
SHORT_FRAME = b"\xff\xfb\x10\x64" + bytes(100)  # at 32 kbit/s


def xing(frames: int) -> bytes:
    """Return a frame that says how many there are."""
    return (FRAME[:36] + b"Xing" + struct.pack(">III", 3, frames, min(417 * frames, 2**32 - 1))).ljust(417, b"\0")


def id3(size: int) -> bytes:
    """Return a tag of `size` bytes, as pictures need."""
    parts = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x04\0\0" + parts + bytes(size)


def ogg_page(granule: int, packets: list[bytes], flags: int = 0) -> bytes:
    sizes = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets)
    head = b"OggS\0" + bytes([flags]) + struct.pack("<qI", granule, 7) + bytes(8) + bytes([len(sizes)])
    return head + sizes + b"".join(packets)


def opus(seconds: int, *, granules: bool = True) -> bytes:
    """Return an Opus file of packets of 20 ms; without `granules`, its positions say that it has no length."""
    start = ogg_page(0, [b"OpusHead\x01\x01" + bytes(9)], 2) + ogg_page(0, [b"OpusTags" + bytes(8)])
    pages = [ogg_page(48_000 * (at + 1) if granules else 1, [b"\x08" + bytes(60)] * 50) for at in range(seconds)]
    return start + b"".join(pages)


def vorbis(seconds: int, granule: int | None = None) -> bytes:
    head = b"\x01vorbis" + struct.pack("<IBIIII", 0, 1, 16_000, 0, 16_000, 0) + b"\xb8\x01"
    pages = [ogg_page(16_000 * (at + 1) if granule is None else granule, [bytes(200)] * 10) for at in range(seconds)]
    return ogg_page(0, [head], 2) + b"".join(pages)


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def stsd(codec: bytes, rate: int, extra: bytes = b"", channels: int = 1, bits: int = 16) -> bytes:
    """Return a sample description of one entry."""
    entry = codec + bytes(6) + struct.pack(">HHHIHHHHI", 1, 0, 0, 0, channels, bits, 0, 0, rate << 16) + extra
    return box(b"stsd", struct.pack(">III", 0, 1, 4 + len(entry)) + entry)


def esds(rate_index: int) -> bytes:
    """Return the configuration of AAC-LC of one channel."""
    config = struct.pack(">H", 2 << 11 | rate_index << 7 | 1 << 3)
    content = b"\x04" + bytes([15 + len(config)]) + b"\x40" + bytes(12) + b"\x05" + bytes([len(config)]) + config
    return box(b"esds", bytes(4) + b"\x03" + bytes([3 + len(content)]) + bytes(3) + content)


def track(
    packets: int,
    size: int,
    *,
    number: int = 1,
    handler: bytes = b"soun",
    delta: int = 1024,
    ticks: int = 0,
    scale: int = 16_000,
    description: bytes | None = None,
    sizes: bytes | None = None,
    offset: int = 0,
) -> bytes:
    """Return a track of packets of `size` bytes each."""
    table = stsd(b"mp4a", 16_000, esds(8)) if description is None else description
    table += box(b"stts", struct.pack(">IIII", 0, 1, packets, delta))
    table += box(b"stsz", struct.pack(">III", 0, size, packets)) if sizes is None else sizes
    table += box(b"stco", struct.pack(">III", 0, 1, offset))
    header = box(b"mdhd", struct.pack(">IIIII", 0, 0, 0, scale, ticks) + bytes(4))
    media = header + box(b"hdlr", bytes(8) + handler + bytes(12)) + box(b"minf", box(b"stbl", table))
    return box(b"trak", box(b"tkhd", struct.pack(">IIII", 0, 0, 0, number) + bytes(68)) + box(b"mdia", media))


def movie(*tracks: bytes, ms: int = 0) -> bytes:
    return box(b"moov", box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 1000, ms) + bytes(80)) + b"".join(tracks))


FTYP = box(b"ftyp", b"M4A " + bytes(4))


def mp4(seconds: int, *, movie_ms: int | None = None, track_ms: int | None = None, times: bool = True) -> bytes:
    """Return an MP4 with AAC of 16 kHz and 32 kbit/s; the duration in each box can be chosen."""
    packets = seconds * 16_000 // 1024
    durations_ms = [1000 * seconds if ms is None else ms for ms in (movie_ms, track_ms)]
    audio = track(packets, 256, ticks=durations_ms[1] * 16, delta=1024 if times else 0)
    return FTYP + movie(audio, ms=durations_ms[0]) + box(b"mdat", bytes(256 * packets))


def fragmented(
    seconds: int, *, delta: int = 1024, default: str = "trun", scale: int = 16_000, description: bytes | None = None
) -> bytes:
    """Return an MP4 whose packets, of `delta` ticks each, stand in fragments of about a second.

    `default` says which box states the ticks and the bytes of a packet: `trun`, `tfhd` or `trex`.
    """
    trex = struct.pack(">IIIIII", 0, 1, 1, delta if default == "trex" else 0, 256 if default == "trex" else 0, 0)
    start = movie(track(0, 0, scale=scale, description=description), box(b"mvex", box(b"trex", trex)))
    packets, parts = 16, [FTYP, start]
    for _ in range(seconds * 16_000 // 1024 // packets):
        if default == "trun":
            run = struct.pack(">III", 0x301, packets, 0) + struct.pack(">II", delta, 256) * packets
        else:
            run = struct.pack(">III", 1, packets, 0)
        head = struct.pack(">II", 0x20000, 1)
        if default == "tfhd":
            head = struct.pack(">IIII", 0x20018, 1, delta, 256)
        fragment = box(b"traf", box(b"tfhd", head) + box(b"tfdt", bytes(8)) + box(b"trun", run))
        parts += [box(b"moof", box(b"mfhd", bytes(8)) + fragment), box(b"mdat", bytes(256 * packets))]
    return b"".join(parts)


def flac(samples: int, size: int) -> bytes:
    """Return a header that states `samples` of 16 kHz, and `size` bytes that are no frames."""
    info = struct.pack(">HH6sQ16s", 4096, 4096, bytes(6), 16_000 << 44 | 15 << 36 | samples, bytes(16))
    return b"fLaC\x80" + len(info).to_bytes(3, "big") + info + bytes(size)


def crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ (0x07 if crc & 0x80 else 0)) & 0xFF
    return crc


def flac_frames(seconds: int, frame_bytes: int = 1000) -> bytes:
    """Return frames of 4,096 samples of 16 kHz."""
    frames = []
    for number in range(seconds * 16_000 // 4096):
        head = b"\xff\xf8\xc5\x08" + chr(number).encode()
        frames.append((head + bytes([crc8(head)])).ljust(frame_bytes, b"\0"))
    return b"".join(frames)


def adts(seconds: int, size: int = 256) -> bytes:
    """Return AAC of 16 kHz without a container."""
    head = bytes((0xFF, 0xF1, 0x40 | 8 << 2, 0x40 | size >> 11, size >> 3 & 0xFF, (size & 7) << 5 | 0x1F, 0xFC))
    return (head + bytes(size - 7)) * (seconds * 16_000 // 1024)


def element(kind: int, content: bytes, *, is_open: bool = False) -> bytes:
    """Return an element of Matroska; `is_open`: its size is unknown."""
    size = b"\x01" + b"\xff" * 7 if is_open else struct.pack(">Q", 1 << 56 | len(content))
    return kind.to_bytes(-(-kind.bit_length() // 8), "big") + size + content


def webm(
    seconds: int,
    *,
    codec: bytes = b"A_OPUS",
    ms: float | None = None,
    times: bool = True,
    is_open: bool = False,
    packet: bytes = b"\x08" + bytes(60),
    packet_ms: int = 20,
    private: bytes = b"",
    extra_track: bytes = b"",
    kind: int = 2,
) -> bytes:
    """Return a WebM in clusters of a second; `ms` is the duration that it states, `times`: its blocks have times."""
    info = element(0x2AD7B1, b"\x0f\x42\x40") + (element(0x4489, struct.pack(">d", ms)) if ms is not None else b"")
    entry = element(0xD7, b"\1") + element(0x83, bytes([kind])) + element(0x86, codec) + element(0x63A2, private)
    entry += element(0xE1, element(0xB5, struct.pack(">f", 16_000)))
    clusters = []
    for second in range(seconds):
        blocks = b"".join(
            element(0xA3, b"\x81" + struct.pack(">hB", at if times else 0, 0x80) + packet)
            for at in range(0, 1000, packet_ms)
        )
        time = element(0xE7, (second * 1000 if times else 0).to_bytes(4, "big"))
        clusters.append(element(0x1F43B675, time + blocks, is_open=is_open))
    content = element(0x1549A966, info) + element(0x1654AE6B, element(0xAE, entry) + extra_track) + b"".join(clusters)
    return element(0x1A45DFA3, element(0x4282, b"webm")) + element(0x18538067, content, is_open=is_open)


def vorbis_setup() -> bytes:
    """Return the third header of Vorbis, of which only the modes are real: a short and a long block."""
    bits, at = (1 << 400) - 1, 400  # what stands before the modes
    for value, width in ((1, 6), (0, 41), (1, 41), (1, 1)):
        bits |= value << at
        at += width
    return b"\x05vorbis" + bits.to_bytes(-(-at // 8), "little")


def vorbis_head(rate: int = 16_000) -> bytes:
    return b"\x01vorbis" + struct.pack("<IBIIII", 0, 1, rate, 0, 16_000, 0) + b"\xb8\x01"


def vorbis_blocks(seconds: int, *, granules: bool = True) -> bytes:
    """Return a Vorbis whose packets are long blocks of 1,024 new samples each."""
    start = ogg_page(0, [vorbis_head()], 2) + ogg_page(0, [b"\x03vorbis" + bytes(9), vorbis_setup()])
    packets = 16_000 // 1024 + 1
    return start + b"".join(
        ogg_page(1024 * packets * (at + 1) if granules else 1, [b"\x02" + bytes(100)] * packets)
        for at in range(seconds * 16_000 // 1024 // packets)
    )


def riff(form: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    content = b"".join(kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(content)) + form + content


def wav(data: bytes, tag: int, *, rate: int, per_s: int, block: int, bits: int, channels: int = 1) -> bytes:
    head = struct.pack("<HHIIHH", tag, channels, rate, per_s, block, bits)
    return riff(b"WAVE", (b"fmt ", head), (b"data", data))


def ape_tag(size: int, *, claimed: int | None = None) -> bytes:
    """Return a tag for the end of a file."""
    footer = b"APETAGEX" + struct.pack("<IIII", 2000, size + 32 if claimed is None else claimed, 1, 0) + bytes(8)
    return bytes(size) + footer


def aiff(seconds: int, *, exponent: int = 13) -> bytes:
    """Return silence of 16 kHz; a larger `exponent` states a higher rate."""
    rate = struct.pack(">HQ", 16_383 + exponent, 16_000 << 50)
    common = struct.pack(">hIh", 1, 16_000 * seconds, 16) + rate
    samples = bytes(32_000 * seconds + 8)
    chunks = b"".join(
        kind + struct.pack(">I", len(data)) + data for kind, data in ((b"COMM", common), (b"SSND", samples))
    )
    return b"FORM" + struct.pack(">I", 4 + len(chunks)) + b"AIFF" + chunks


def second_format(seconds: int) -> bytes:
    fast = struct.pack("<HHIIHH", 1, 1, 1_600_000_000, 3_200_000_000, 2, 16)
    return sound(seconds) + b"fmt " + struct.pack("<I", len(fast)) + fast


def fast_format(seconds: int) -> bytes:
    audio = bytearray(sound(seconds))
    struct.pack_into("<II", audio, 24, 2_000_000_000, 4_000_000_000)
    return bytes(audio)


def other_kind_first(frames: int) -> bytes:
    """Return four frames of MPEG 2 (64 kbit/s at 22.05 kHz), then frames of MPEG 1."""
    return (b"\xff\xf3\x80\x64" + bytes(204)) * 4 + SHORT_FRAME * frames


def wide_blocks(seconds: int) -> bytes:
    """Return a WAV of 16 kHz, one channel and 16 bits, whose header has blocks of 96 bytes."""
    head = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 16_000 * 96, 96, 16)
    data = b"data" + struct.pack("<I", seconds * 32_000) + bytes(seconds * 32_000)
    return b"RIFF" + struct.pack("<I", 4 + len(head) + len(data)) + b"WAVE" + head + data


def slow_format(seconds: int) -> bytes:
    slow = struct.pack("<HHIIHH", 1, 1, 1, 2, 2, 16)
    return sound(seconds) + b"fmt " + struct.pack("<I", len(slow)) + slow


def ima_blocks(seconds: int) -> bytes:
    """Return ADPCM of 8 kHz in blocks of 256 bytes, which are 505 samples."""
    return bytes(256) * (seconds * 8000 // 505)


def id3_of(content: bytes) -> bytes:
    """Return a tag that has `content` in it, and nothing behind it."""
    return id3(len(content))[:10] + content


def many_sizes() -> bytes:
    return box(b"stsz", struct.pack(">III", 0, 0, 5_000_000) + b"\0\0\1\0" * 5_000_000)


def film(seconds: int, pictures: int = 1_000_000) -> bytes:
    """Return an MP4 with a second track, of `pictures` bytes."""
    packets = seconds * 16_000 // 1024
    video = track(
        25 * seconds,
        pictures // (25 * seconds),
        number=2,
        handler=b"vide",
        delta=640,
        ticks=16_000 * seconds,
        description=stsd(b"avc1", 0),
    )
    data = box(b"mdat", bytes(256 * packets + pictures))
    return FTYP + data + movie(video, track(packets, 256, ticks=16_000 * seconds), ms=1000 * seconds)


def two_tracks(seconds: int) -> bytes:
    """Return an MP4 whose track of pictures claims all data and has none."""
    packets = seconds * 16_000 // 1024
    video = track(packets, 256, number=2, handler=b"vide", delta=1)
    return FTYP + movie(video, track(packets, 256, delta=1)) + box(b"mdat", bytes(256 * packets))


def hidden_movie(seconds: int) -> bytes:
    packets = seconds * 16_000 // 1024
    header = movie(track(packets, 256, delta=1), ms=1)
    return FTYP + box(b"mdat", bytes(256 * packets)) + box(b"free", header[8:])


def compressed_movie(seconds: int) -> bytes:
    """Return an MP4 with a visible header that is short, and one that no tool of ours reads."""
    packets = seconds * 16_000 // 1024
    header = box(b"moov", box(b"cmov", bytes(100)))
    return FTYP + movie(ms=1) + header + box(b"mdat", bytes(256 * packets))


def fast_aac(seconds: int) -> bytes:
    packets = seconds * 16_000 // 1024
    audio = track(packets, 256, delta=1, scale=96_000, description=stsd(b"mp4a", 48_000, esds(8)))
    return FTYP + movie(audio) + box(b"mdat", bytes(256 * packets))


def compact_sizes(seconds: int) -> bytes:
    packets = seconds * 16_000 // 1024
    sizes = box(b"stz2", struct.pack(">II", 0, 16) + struct.pack(">I", packets) + b"\1\0" * packets)
    return FTYP + movie(track(packets, 0, delta=1, sizes=sizes)) + box(b"mdat", bytes(256 * packets))


PICTURES = element(0xAE, element(0xD7, b"\2") + element(0x83, b"\1") + element(0x86, b"V_VP8"))


def handler_first(seconds: int) -> bytes:
    packets = seconds * 16_000 // 1024
    handler = box(b"hdlr", bytes(8) + b"vide" + bytes(12))
    return FTYP + handler + movie(track(packets, 256, delta=1)) + box(b"mdat", bytes(256 * packets))


def two_descriptions(seconds: int) -> bytes:
    """Return an MP4 of AAC whose last description is of a codec that nobody knows."""
    packets = seconds * 16_000 // 1024
    entries = stsd(b"mp4a", 16_000, esds(8))[16:] + stsd(b"XXXX", 0)[16:]
    audio = track(packets, 256, delta=1, description=box(b"stsd", struct.pack(">II", 0, 2) + entries))
    return FTYP + movie(audio) + box(b"mdat", bytes(256 * packets))


def overflowing_webm(seconds: int) -> bytes:
    """Return a WebM whose first cluster has an element that claims the rest of the file."""
    whole = webm(seconds, ms=1, times=False)
    at = whole.index(b"\x1f\x43\xb6\x75") + 12 + 13  # behind the cluster's header and its time
    return whole[:at] + b"\xec" + struct.pack(">Q", 1 << 56 | 10**9) + whole[at:]


def laced() -> bytes:
    """Return the three headers of Vorbis as Matroska keeps them."""
    heads = vorbis_head(), b"\x03vorbis" + bytes(9), vorbis_setup()
    return bytes((2, len(heads[0]), len(heads[1]))) + b"".join(heads)
