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
from tests.metering.audio_files import (
    FRAME,
    FRAME_MS,
    FTYP,
    PICTURES,
    SHORT_FRAME,
    adts,
    aiff,
    ape_tag,
    box,
    compact_sizes,
    compressed_movie,
    fast_aac,
    fast_format,
    film,
    flac,
    flac_frames,
    fragmented,
    handler_first,
    hidden_movie,
    id3,
    id3_of,
    ima_blocks,
    laced,
    many_sizes,
    movie,
    mp4,
    ogg_page,
    opus,
    other_kind_first,
    overflowing_webm,
    second_format,
    slow_format,
    stsd,
    track,
    two_descriptions,
    two_tracks,
    vorbis,
    vorbis_blocks,
    wav,
    webm,
    wide_blocks,
    xing,
)

MANY = 20_000_000


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
        pytest.param(flac(0, 0) + flac_frames(60), 60_000, id="flac of unknown length"),
        pytest.param(vorbis_blocks(90), 90_000, id="vorbis with its blocks"),
        pytest.param(adts(60), 60_000, id="aac without a container"),
        pytest.param(fragmented(64), 64_000, id="mp4 in fragments"),
        pytest.param(fragmented(64, default="tfhd"), 64_000, id="mp4 in fragments that state one time"),
        pytest.param(fragmented(64, default="trex"), 64_000, id="mp4 in fragments without times"),
        pytest.param(film(600), 600_000, id="film"),
        pytest.param(webm(90, ms=90_000), 90_000, id="webm"),
        pytest.param(webm(90), 90_000, id="webm without a duration"),
        pytest.param(webm(90, is_open=True), 90_000, id="webm as browsers record it"),
        pytest.param(FRAME * 1000 + ape_tag(400_000), 1000 * FRAME_MS, id="mp3 with a picture at its end"),
        pytest.param(
            id3(5000) + FRAME * 1000 + ape_tag(400) + b"TAG" + bytes(125), 1000 * FRAME_MS, id="mp3 with three tags"
        ),
        pytest.param(
            wav(ima_blocks(100), 0x11, rate=8000, per_s=4055, block=256, bits=4), 100_000, id="wav of ima adpcm"
        ),
        pytest.param(
            wav(FRAME * 1000, 0x55, rate=44_100, per_s=16_000, block=1, bits=0), 1000 * FRAME_MS, id="wav of mp3"
        ),
    ],
)
def test_duration_is_what_the_audio_lasts(audio: bytes, ms: float) -> None:
    assert measured(audio) == pytest.approx(ms, rel=0.02, abs=2)


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
        pytest.param(flac(1, 0) + flac_frames(100), 99_000, id="flac whose frames are more than it says"),
        pytest.param(flac(16_000 << 20, 0) + flac_frames(100), 99_000, id="flac that says too much"),
        pytest.param(vorbis_blocks(100, granules=False), 95_000, id="vorbis whose blocks alone are true"),
        pytest.param(vorbis(50) + vorbis(50), 99_000, id="streams of one number"),
        pytest.param(opus(50) + b"junk" + opus(50)[78:], 99_000, id="junk between pages"),
        pytest.param(fragmented(100, delta=1), 98_000, id="fragments that deny their packets"),
        pytest.param(fragmented(100, scale=4_000_000_000), 98_000, id="scale that makes fragments short"),
        pytest.param(fragmented(100, delta=1, description=stsd(b"XXXX", 0)), 2_000, id="fragments of an unknown codec"),
        pytest.param(mp4(100, movie_ms=2**22, track_ms=1, times=False), 99_000, id="movie that says too much"),
        pytest.param(two_tracks(100), 99_000, id="empty track of pictures"),
        pytest.param(hidden_movie(100), 99_000, id="header inside a free box"),
        pytest.param(compressed_movie(100), 24_900, id="header that is compressed"),
        pytest.param(box(b"XXXX", b"") + mp4(100, movie_ms=1, track_ms=1), 99_000, id="unknown box first"),
        pytest.param(fast_aac(100), 98_000, id="aac whose header has a higher rate"),
        pytest.param(compact_sizes(100), 98_000, id="compact table of sizes"),
        pytest.param(b"FORM\0\0\0\0AIFF" + SHORT_FRAME * 10_000, 261_000, id="aiff in front of frames"),
        pytest.param(aiff(1) + SHORT_FRAME * 10_000, 261_000, id="frames behind an aiff"),
        pytest.param(opus(1) + SHORT_FRAME * 10_000, 261_000, id="frames behind an ogg"),
        pytest.param(box(b"free", b"") + SHORT_FRAME * 10_000, 261_000, id="free box in front of frames"),
        pytest.param(box(b"free", SHORT_FRAME * 10_000), 261_000, id="frames inside a free box"),
        pytest.param(flac(16_000, 0) + SHORT_FRAME * 10_000, 261_000, id="frames behind a flac"),
        pytest.param(webm(1, ms=1) + SHORT_FRAME * 10_000, 261_000, id="frames behind a webm"),
        pytest.param(sound(1) + SHORT_FRAME * 10_000, 261_000, id="frames behind a wav"),
        pytest.param(id3_of(SHORT_FRAME * 10_000), 261_000, id="frames inside a tag"),
        pytest.param(FRAME * 4 + SHORT_FRAME * 10_000 + ape_tag(0, claimed=2**30), 261_000, id="tag larger than all"),
        pytest.param((SHORT_FRAME + b"\0") * 10_000, 261_000, id="byte between frames"),
        pytest.param(FRAME * 8 + (SHORT_FRAME + b"\0") * 10_000, 261_000, id="byte between all but the first frames"),
        pytest.param(xing(2**31) + SHORT_FRAME * 10_000, 261_000, id="first frame that claims too many"),
        pytest.param(FRAME * 4 + bytes(4_000_000), 100_000, id="mp3 of a free bit rate"),
        pytest.param(aiff(100, exponent=17), 6_000, id="aiff of a higher rate"),
        pytest.param(aiff(100, exponent=1000), 2_000, id="aiff of an absurd rate"),
        pytest.param(
            wav(bytes(400_000), 0x11, rate=8000, per_s=2**31, block=256, bits=4), 98_000, id="adpcm that claims a rate"
        ),
        pytest.param(
            wav(bytes(160_000), 0x1234, rate=8000, per_s=2**31, block=256, bits=4), 10_000, id="wav of unknown codec"
        ),
        pytest.param(
            wav(SHORT_FRAME * 10_000, 0x55, rate=8000, per_s=2**31, block=1, bits=0), 261_000, id="wav of dense mp3"
        ),
        pytest.param(slow_format(100), 100_000, id="second format of a wav that is too slow"),
        pytest.param(webm(100, ms=1, times=False), 99_000, id="webm whose packets alone are true"),
        pytest.param(
            webm(100, ms=1, times=False, codec=b"A_MPEG/L3", packet=b"\xff\xf3\x18" + bytes(30), packet_ms=36),
            98_000,
            id="mp3 inside a webm",
        ),
        pytest.param(
            webm(64, ms=1, times=False, codec=b"A_AAC", packet=bytes(60), packet_ms=64), 63_000, id="aac inside a webm"
        ),
        pytest.param(
            wav((SHORT_FRAME + b"\0") * 10_000, 0x55, rate=8000, per_s=2**31, block=1, bits=0),
            261_000,
            id="wav of mp3 with a byte between frames",
        ),
        pytest.param(box(b"free", b"") + (SHORT_FRAME + b"\0") * 10_000, 261_000, id="free box in front of bytes"),
        pytest.param(adts(1) + (adts(1)[:256] + b"\0") * 1500, 96_000, id="byte between frames of aac"),
        pytest.param(handler_first(100), 98_000, id="handler of pictures in front of the movie"),
        pytest.param(fragmented(100, delta=1).replace(b"soun", b"vide"), 98_000, id="handler of pictures on sound"),
        pytest.param(two_descriptions(100), 98_000, id="two descriptions of the samples"),
        pytest.param(overflowing_webm(100), 98_000, id="element that exceeds its cluster"),
        pytest.param(webm(100, ms=1).replace(b"\x1f\x43\xb6\x75", b"\0\x1f\x43\xb6\x75"), 99_000, id="junk in a webm"),
        pytest.param(webm(100, ms=1e12, times=False), 99_000, id="webm that says too much"),
        pytest.param(
            webm(64, ms=1, times=False, codec=b"A_VORBIS", packet=b"\x02" + bytes(60), packet_ms=64, private=laced()),
            63_000,
            id="vorbis inside a webm",
        ),
        pytest.param(ogg_page(0, []) * 20_000 + opus(100), 99_000, id="empty pages first"),
        pytest.param(webm(100, ms=1, extra_track=PICTURES), 99_000, id="webm with an empty track of pictures"),
    ],
)
def test_client_does_not_choose_a_shorter_duration(audio: bytes, least_ms: int) -> None:
    assert measured(audio) >= least_ms


def test_header_of_a_webm_that_is_too_long_to_read_counts_once() -> None:
    checks = iter(range(1_000_000))
    long = webm(3600, ms=3_600_000)

    assert duration_ms(io.BytesIO(long), len(long), lambda: next(checks) > 300) == 3_600_000


def test_video_does_not_make_the_audio_longer() -> None:
    assert measured(film(10, pictures=3_000_000)) == pytest.approx(10_000, rel=0.02)


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
        pytest.param(FTYP + box(b"moof", box(b"traf", box(b"trun", bytes(8)))) * (MANY // 32), id="empty fragments"),
        pytest.param(FTYP + movie(track(MANY // 4, 0, sizes=many_sizes())), id="table of many sizes"),
        pytest.param(webm(1) + b"\xec\x80" * (MANY // 2), id="empty elements"),
        pytest.param(webm(1) + b"\0" * MANY, id="no elements"),
        pytest.param(opus(1) + b"OggS" * (MANY // 4), id="marks of pages"),
        pytest.param(flac(0, 0) + b"\xff\xf8\xc5\x08" * (MANY // 4), id="marks of flac"),
        pytest.param(b"\xff\xf1\x60\x40\x01\x00" * (MANY // 6), id="marks of aac"),
        pytest.param(b"RIFF\0\0\0\0WAVE" + b"fmt \0\0\0\0" * (MANY // 8), id="empty formats"),
    ],
)
@pytest.mark.slow
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
