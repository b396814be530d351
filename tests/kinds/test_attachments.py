"""The size of a message's images, and the tokens of its audio and files."""

import base64
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_broker.kinds.attachments import (
    FILE_TOKENS_MAX,
    INLINE_IMAGES_MAX,
    SEARCHED_STRINGS_MAX,
    UNSEEN_FILE_TOKENS,
    audio_tokens,
    file_tokens,
    image_of,
    input_bytes,
)
from hero_broker.kinds.json_body import read_json
from hero_broker.kinds.texts import Image


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


@pytest.mark.parametrize(("width", "height"), [(1024, 1024), (1, 1), (4_000_000_000, 1), (0, 10)])
@pytest.mark.parametrize(("detail", "is_low"), [("high", False), ("auto", False), (None, False), ("low", True)])
def test_size_of_a_png_is_read(width: int, height: int, detail: str | None, is_low: bool) -> None:
    part = image(url=data_url(png(width, height)), detail=detail)

    assert image_of(part) == Image(width, height, is_low)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(jpeg(2048, 4096), id="baseline"),
        pytest.param(jpeg(2048, 4096, marker=0xC2), id="progressive"),
        pytest.param(jpeg(2048, 4096, metadata=60_000), id="metadata"),
    ],
)
def test_size_of_a_jpeg_is_found_behind_its_metadata(data: bytes) -> None:
    assert image_of(image(url=data_url(data, "image/jpeg"))) == Image(2048, 4096)


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
def test_image_that_is_not_seen_has_no_size(url: object) -> None:
    assert image_of(image(url=url)) == Image(0, 0)


def test_image_may_be_a_bare_address() -> None:
    part = {"type": "image_url", "image_url": data_url(png(512, 512))}

    assert image_of(part) == Image(512, 512)


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
def test_part_without_an_image_has_none(part: dict[str, object]) -> None:
    assert image_of(part) is None


@pytest.mark.parametrize("part", [{}, {"input_audio": 7}, {"input_audio": {}}, {"input_audio": {"data": 7}}])
def test_part_without_audio_costs_nothing(part: dict[str, object]) -> None:
    assert audio_tokens(part) == 0


@given(data=st.binary())
def test_any_bytes_are_an_attachment(data: bytes) -> None:
    for url in (data_url(b"\xff\xd8" + data), data_url(data)):
        found = image_of(image(url=url))
        assert found is not None
        assert min(found.width, found.height) >= 0
    for sound in (data, b"RIFF1234WAVE" + data):
        assert 0 <= audio_tokens(audio(sound)) <= len(sound)
    assert file_tokens({"file": {"file_data": data_url(data)}}) == (-(-len(data) // 4) or UNSEEN_FILE_TOKENS)


PICTURE = data_url(bytes(30_000))


def first_size(content: object, model: str = "m", *, indent: int | None = None) -> int:
    """Return the bytes for the first estimate of a chat, without those around the content."""
    body = read_json(json.dumps({"model": model, "messages": [{"content": content}]}, indent=indent).encode())
    return input_bytes(body, len(body.members["messages"])) - len('[{"content": }]')


@pytest.mark.parametrize(("model", "tokens"), [("m", 765), ("gpt-4o-mini", 25_501), ("claude-sonnet-4-5", 1_399)])
def test_first_estimate_counts_an_inline_image_by_its_tokens(model: str, tokens: int) -> None:
    part = image(url=PICTURE)

    assert first_size([part], model) == len(json.dumps([part])) - len(PICTURE) - 1 + 4 * tokens
    assert first_size([{"image_url": PICTURE}], model) == len('[{"image_url": "}]') + 4 * tokens


def test_first_estimate_counts_each_image_however_the_json_is_written() -> None:
    spaced = first_size([image(url=PICTURE)] * 3, indent=1)

    assert 3 * 4 * 765 < spaced < 3 * 4 * 765 + 1000


@pytest.mark.parametrize(
    "content",
    [
        pytest.param([{"type": "text", "text": PICTURE}], id="text that begins so"),
        pytest.param(json.dumps({"url": PICTURE}), id="JSON in a string"),
        pytest.param([image(url=data_url(bytes(9_000)))], id="short body"),
        pytest.param([image(url="https://example.org/" + "a" * 20_000)], id="another URL"),
        pytest.param([image(url=data_url(bytes(30_000), "video/mp4"))], id="another type"),
    ],
)
def test_first_estimate_counts_all_else_by_its_bytes(content: object) -> None:
    assert first_size(content) == len(json.dumps(content))


def test_first_estimate_searches_for_a_bounded_number_of_images() -> None:
    content = [image(url="data:image/png;base64,")] * (INLINE_IMAGES_MAX + 500)

    assert first_size(content) == len(json.dumps(content)) + INLINE_IMAGES_MAX * (
        4 * 765 - len('"data:image/png;base64,')
    )


@pytest.mark.parametrize("text", ["data:image", '"data:image', "data:image/png;base64,"])
@pytest.mark.parametrize(("texts", "is_found"), [(SEARCHED_STRINGS_MAX - 1, True), (SEARCHED_STRINGS_MAX, False)])
def test_first_estimate_searches_a_bounded_number_of_texts_that_begin_like_images(
    text: str, texts: int, is_found: bool
) -> None:
    part = {"image_url": PICTURE}
    content = [*[text] * texts, part]

    found = len(json.dumps(content)) - len(PICTURE) - 1 + 4 * 765
    assert first_size(content) == (found if is_found else len(json.dumps(content)))
