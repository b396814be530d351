"""Durations of files that a client controls byte for byte: correct, never too short, and fast."""

import io
import struct
import time
import wave
from collections.abc import Callable

import pytest

from hero_broker.metering.audio.bounds import MAX_S
from hero_broker.metering.audio.duration import duration_ms
from tests.data_plane.test_upload import sound

# MPEG 1, layer III, 128 kbit/s, 44.1 kHz: 417 bytes for 1152 samples.
FRAME = b"\xff\xfb\x90\x64" + bytes(413)
FRAME_MS = 1152 / 44.1
SHORT_FRAME = b"\xff\xfb\x10\x64" + bytes(100)  # at 32 kbit/s
MANY = 20_000_000


def xing(frames: int) -> bytes:
    """Return a frame that says how many there are."""
    return (FRAME[:36] + b"Xing" + struct.pack(">III", 3, frames, 417 * frames)).ljust(417, b"\0")


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


def mp4(seconds: int, *, movie_ms: int | None = None, track_ms: int | None = None, times: bool = True) -> bytes:
    """Return an MP4 with AAC of 16 kHz; the duration in each box can be chosen."""
    packets = seconds * 16_000 // 1024
    durations_ms = [1000 * seconds if ms is None else ms for ms in (movie_ms, track_ms)]
    table = box(b"stsd", bytes(4) + struct.pack(">II4s", 1, 36, b"mp4a") + bytes(28))
    table += box(b"stts", struct.pack(">IIII", 0, 1, packets, 1024 if times else 0))
    table += box(b"stsz", struct.pack(">III", 0, 0, packets) + bytes(4 * packets))
    header = box(b"mdhd", struct.pack(">IIIII", 0, 0, 0, 16_000, durations_ms[1] * 16) + bytes(4))
    track = box(b"trak", box(b"mdia", header + box(b"minf", box(b"stbl", table))))
    movie = box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 1000, durations_ms[0]) + bytes(80))
    return box(b"ftyp", b"M4A " + bytes(4)) + box(b"moov", movie + track) + box(b"mdat", bytes(4000 * seconds))


def flac(samples: int, size: int) -> bytes:
    info = struct.pack(">HH6sQ16s", 4096, 4096, bytes(6), 16_000 << 44 | 15 << 36 | samples, bytes(16))
    return b"fLaC\x80" + len(info).to_bytes(3) + info + bytes(size)


def aiff(seconds: int) -> bytes:
    rate = struct.pack(">HQ", 16_383 + 13, 16_000 << 50)
    common = struct.pack(">hIh", 1, 16_000 * seconds, 16) + rate
    samples = bytes(32_000 * seconds + 8)
    chunks = b"".join(
        kind + struct.pack(">I", len(data)) + data for kind, data in ((b"COMM", common), (b"SSND", samples))
    )
    return b"FORM" + struct.pack(">I", 4 + len(chunks)) + b"AIFF" + chunks


def measured(audio: bytes, is_over: Callable[[], bool] = lambda: False) -> int:
    return duration_ms(io.BytesIO(audio), len(audio), is_over)


@pytest.mark.parametrize(
    ("audio", "ms"),
    [
        pytest.param(sound(1.5), 1500, id="wav"),
        pytest.param(sound(30) + b"LIST\x04\0\0\0INFO", 30_000, id="wav with a list"),
        pytest.param(FRAME * 1000, 1000 * FRAME_MS, id="mp3"),
        pytest.param(FRAME, FRAME_MS, id="mp3 of one frame"),
        pytest.param(id3(200_000) + FRAME * 1000, 1000 * FRAME_MS, id="mp3 with a picture"),
        pytest.param(xing(1000) + FRAME * 1000, 1000 * FRAME_MS, id="mp3 with its number of frames"),
        pytest.param(FRAME * 1000 + b"TAG" + bytes(125), 1000 * FRAME_MS, id="mp3 with a tag at its end"),
        pytest.param(bytes(3000) + FRAME * 1000, 1000 * FRAME_MS, id="mp3 behind what is none"),
        pytest.param(FRAME * 500 + SHORT_FRAME * 1500, 2000 * FRAME_MS, id="mp3 of many rates"),
        pytest.param(opus(90), 90_000, id="opus"),
        pytest.param(vorbis(90), 90_000, id="vorbis"),
        pytest.param(mp4(64), 64_000, id="mp4"),
        pytest.param(flac(16_000 * 60, 900_000), 60_000, id="flac"),
        pytest.param(id3(5000) + flac(16_000 * 60, 900_000), 60_000, id="flac with a tag"),
        pytest.param(aiff(60), 60_000, id="aiff"),
    ],
)
def test_duration_is_what_the_audio_lasts(audio: bytes, ms: float) -> None:
    assert measured(audio) == pytest.approx(ms, rel=0.02, abs=2)


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


@pytest.mark.parametrize(
    ("audio", "least_ms"),
    [
        pytest.param(xing(1) + FRAME * 10_000, 261_000, id="frames that the first denies"),
        pytest.param(FRAME * 5 + SHORT_FRAME * 10_000, 261_000, id="first frames that are longer"),
        pytest.param(other_kind_first(10_000), 230_000, id="first frames of another version"),
        pytest.param(second_format(100), 100_000, id="second format of a wav"),
        pytest.param(wide_blocks(100), 100_000, id="wav whose blocks are wider than its samples"),
        pytest.param(fast_format(100), 2_000, id="wav of more samples a second than there are"),
        pytest.param(opus(100, granules=False), 100_000, id="opus whose positions are wrong"),
        pytest.param(vorbis(100, granule=1), 3_000, id="vorbis whose positions are wrong"),
        pytest.param(vorbis(100) + vorbis(1), 100_000, id="short stream behind a long one"),
        pytest.param(mp4(100, movie_ms=1), 99_000, id="movie that denies its track"),
        pytest.param(mp4(100, movie_ms=1, track_ms=1), 99_000, id="headers that deny their table"),
        pytest.param(
            mp4(100, movie_ms=1, track_ms=1, times=False), 99_000, id="mp4 of which the packets alone are true"
        ),
        pytest.param(flac(1, 900_000), 28_000, id="flac that says one sample"),
    ],
)
def test_client_does_not_choose_a_shorter_duration(audio: bytes, least_ms: int) -> None:
    assert measured(audio) >= least_ms


VORBIS_COMMENTS = b"fLaC\x04\0\0\0" + b"\0\0\0\0\xff\xff\xff\xff" + bytes(MANY)
ASF = b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c" + bytes(13) + b"\x02"


@pytest.mark.parametrize(
    "audio",
    [
        pytest.param(b"\xff" * MANY, id="nothing but sync bits"),
        pytest.param(b"\xff\xfb\x90" * (MANY // 3), id="nothing but headers of frames"),
        pytest.param(FRAME * (MANY // 417), id="frames"),
        pytest.param(ogg_page(0, []) * (MANY // 27), id="empty pages"),
        pytest.param(opus(1) + ogg_page(0, [b"\x08"] * 255) * (MANY // 537), id="tiny packets"),
        pytest.param(box(b"ftyp", bytes(8)) + box(b"moov", box(b"mvhd", bytes(MANY))), id="header of an mp4"),
        pytest.param(box(b"ftyp", bytes(8)) + box(b"free", b"") * (MANY // 8), id="empty boxes"),
        pytest.param(box(b"ftyp", bytes(8)) + box(b"moov", b"") * (MANY // 8), id="empty folders"),
        pytest.param(b"RIFF\0\0\0\0WAVE" + b"junk\0\0\0\0" * (MANY // 8), id="empty chunks"),
        pytest.param(b"fLaC" + b"\x01\0\0\0" * (MANY // 4), id="empty blocks"),
        pytest.param(VORBIS_COMMENTS, id="comments"),
        pytest.param(ASF + (bytes(16) + struct.pack("<Q", 24)) * (MANY // 24), id="empty objects"),
        pytest.param(b"FORM\0\0\0\0AIFF" + b"junk\0\0\0\0" * (MANY // 8), id="empty chunks of an aiff"),
        pytest.param(id3(100) * 150_000, id="tags"),
    ],
)
def test_no_bytes_make_the_work_long(audio: bytes) -> None:
    began = time.thread_time()

    assert measured(audio) > 0

    assert time.thread_time() - began < 2 * MAX_S


def test_work_ends_when_nobody_waits() -> None:
    checks = iter(range(10_000))

    measured(FRAME * 50_000, lambda: next(checks) >= 10)

    assert next(checks) < 100


@pytest.mark.parametrize("size", [0, 1, 3, 4, 8, 11, 12, 27, 30, 44])
@pytest.mark.parametrize("whole", [sound(1), FRAME * 3, opus(1), vorbis(1), mp4(1), flac(1, 9), aiff(1), ASF])
def test_file_that_is_cut_off_has_a_duration(whole: bytes, size: int) -> None:
    assert measured(whole[:size]) >= 0


def test_wav_written_by_what_did_not_know_its_end_lasts_to_the_end() -> None:
    audio = bytearray(sound(10))
    struct.pack_into("<I", audio, 40, 0xFFFFFFFF)

    assert measured(bytes(audio)) == 10_000


def test_compressed_wav_goes_by_its_bytes_a_second() -> None:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(8000)
        file.writeframes(bytes(80_000))
    audio = bytearray(out.getvalue())
    struct.pack_into("<H", audio, 20, 7)  # mu-law

    assert measured(bytes(audio)) == 10_000
