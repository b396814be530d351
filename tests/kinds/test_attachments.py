"""Images, audio and files of a message cost tokens by their size."""

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_broker.kinds.attachments import (
    FILE_TOKENS_MAX,
    UNSEEN_FILE_TOKENS,
    UNSEEN_IMAGE_TOKENS,
    audio_tokens,
    file_tokens,
    image_tokens,
)


def data_url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def image(**image_url: object) -> dict[str, object]:
    return {"type": "image_url", "image_url": image_url}


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + bytes(500)


def jpeg(width: int, height: int, metadata: int = 0, marker: int = 0xC0) -> bytes:
    segment = b"\xff\xe1" + struct.pack(">H", 2 + metadata) + bytes(metadata)
    table = b"\xff\xc4" + struct.pack(">H", 5) + b"abc"
    frame = b"\xff" + bytes([marker]) + struct.pack(">HBHH", 17, 8, height, width)
    return b"\xff\xd8" + segment + table + b"\xff" + frame + bytes(500)


def wav(seconds: float, bytes_per_s: int = 48_000, extra: bytes = b"") -> bytes:
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, bytes_per_s // 2, bytes_per_s, 2, 16)
    # A recorder that streams does not know its length.
    return b"RIFF\xff\xff\xff\xffWAVE" + extra + form + b"data\xff\xff\xff\xff" + bytes(int(seconds * bytes_per_s))


def audio(data: bytes) -> dict[str, object]:
    return {"type": "input_audio", "input_audio": {"data": base64.b64encode(data).decode(), "format": "wav"}}


@pytest.mark.parametrize(
    ("width", "height", "tokens"),
    [
        pytest.param(1024, 1024, 765, id="OpenAI's first example"),
        pytest.param(2048, 4096, 1105, id="OpenAI's second example"),
        pytest.param(512, 512, 255, id="one tile"),
        pytest.param(1, 1, 255, id="not scaled up"),
        pytest.param(4_000_000_000, 1, 765, id="a line"),
        pytest.param(0, 10, UNSEEN_IMAGE_TOKENS, id="no size"),
    ],
)
@pytest.mark.parametrize("detail", ["high", "auto"])
def test_image_costs_its_tiles(width: int, height: int, tokens: int, detail: str) -> None:
    assert image_tokens(image(url=data_url(png(width, height)), detail=detail)) == tokens


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(jpeg(2048, 4096), id="baseline"),
        pytest.param(jpeg(2048, 4096, marker=0xC2), id="progressive"),
        pytest.param(jpeg(2048, 4096, metadata=60_000), id="metadata"),
    ],
)
def test_size_of_a_jpeg_is_found_behind_its_metadata(data: bytes) -> None:
    assert image_tokens(image(url=data_url(data, "image/jpeg"))) == 1105


def test_low_detail_has_one_price() -> None:
    assert image_tokens(image(url=data_url(png(4096, 8192)), detail="low")) == 85


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a.png",
        data_url(b"GIF89a"),
        data_url(png(9, 9)[:20]),
        data_url(jpeg(9, 9)[:12]),
        "data:,ü",
        None,
        7,
    ],
)
def test_image_that_is_not_seen_has_the_usual_size(url: object) -> None:
    assert image_tokens(image(url=url)) == UNSEEN_IMAGE_TOKENS


def test_image_may_be_a_bare_address() -> None:
    part = {"type": "image_url", "image_url": data_url(png(512, 512))}

    assert image_tokens(part) == 255


@pytest.mark.parametrize(
    ("data", "tokens"),
    [
        pytest.param(wav(2.5), 25, id="wav"),
        pytest.param(wav(2.51), 26, id="rounded up"),
        pytest.param(wav(1, 192_000, b"LIST\x03\0\0\0abc\0"), 10, id="chunk of odd length before the format"),
        pytest.param(bytes(16_000), 10, id="other format"),
        pytest.param(wav(0), 0, id="silent"),
        pytest.param(wav(1, 0) + bytes(15_956), 10, id="wav without a rate"),
        pytest.param(b"", 0, id="empty"),
    ],
)
def test_audio_costs_ten_tokens_a_second(data: bytes, tokens: int) -> None:
    assert audio_tokens(audio(data)) == tokens


@pytest.mark.parametrize(
    ("file", "tokens"),
    [
        ({"file_data": data_url(bytes(3000), "application/pdf")}, 750),
        ({"file_data": data_url(bytes(3_000_000), "application/pdf")}, FILE_TOKENS_MAX),
        ({"file_id": "file-1"}, UNSEEN_FILE_TOKENS),
        ("odd", 0),
        (None, 0),
        ({"file_data": "https://files.example/a.pdf"}, UNSEEN_FILE_TOKENS),
        ({"file_data": "data:application/pdf;base64"}, UNSEEN_FILE_TOKENS),
    ],
)
def test_file_costs_its_size_up_to_a_bound(file: object, tokens: int) -> None:
    assert file_tokens({"type": "file", "file": file}) == tokens


FAST = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 1_000_000_000, 2_000_000_000, 2, 16)


@pytest.mark.parametrize("extra", [pytest.param(FAST, id="two formats"), pytest.param(b"", id="one")])
def test_wav_is_no_shorter_because_it_says_so(extra: bytes) -> None:
    honest = audio_tokens(audio(wav(10)))
    fast = audio_tokens(audio(wav(10, extra=extra)))
    alone = audio_tokens(
        audio(wav(10).replace(struct.pack("<II", 24_000, 48_000), struct.pack("<II", 1 << 30, 1 << 31)))
    )

    assert fast >= honest
    assert alone >= 3  # ten seconds at 48,000 bytes a second, read at the most that samples take


@pytest.mark.parametrize("part", [{}, {"image_url": None}, {"image_url": 7}, {"image_url": []}])
def test_part_without_an_image_costs_nothing(part: dict[str, object]) -> None:
    assert image_tokens(part) == 0


@pytest.mark.parametrize("part", [{}, {"input_audio": 7}, {"input_audio": {}}, {"input_audio": {"data": 7}}])
def test_part_without_audio_costs_nothing(part: dict[str, object]) -> None:
    assert audio_tokens(part) == 0


@given(data=st.binary())
def test_any_bytes_are_an_attachment(data: bytes) -> None:
    for url in (data_url(b"\xff\xd8" + data), data_url(data)):
        assert 0 < image_tokens(image(url=url)) <= 85 + 170 * 16
    for sound in (data, b"RIFF1234WAVE" + data):
        assert 0 <= audio_tokens(audio(sound)) <= len(sound)
    assert file_tokens({"file": {"file_data": data_url(data)}}) == (-(-len(data) // 4) or UNSEEN_FILE_TOKENS)
