"""What all kinds have in common, and bodies of every shape."""

import base64
import json
import time
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_broker.core.usage import Usage
from hero_broker.kinds.chat import CHAT
from hero_broker.kinds.json_body import JsonBody
from hero_broker.kinds.kind import EVENT_STREAM, JSON, Framing, Kind
from hero_broker.kinds.registry import KINDS
from hero_broker.kinds.texts import Reading
from hero_broker.kinds.wide_json import MAX_VALUES
from hero_broker.pricing.price import Price
from tests.kinds.targets import BY_TOKEN, MEASURED, SIZE, TARGET, Size, read, reported

WIDE = b",".join([b"1"] * (MAX_VALUES + 2))  # more values than are decoded


class Plain(Kind):
    """A kind that has only the defaults."""

    name = "plain"
    paths: ClassVar[Mapping[str, str]] = {"/v1/plain": "/plain"}
    example: ClassVar[Mapping[str, object]] = {"input": "a"}


PLAIN = Plain()


def test_defaults_are_those_of_a_json_call_that_reports_tokens() -> None:
    request = read(CHAT, messages=[])

    assert json.loads(PLAIN.encode(request, TARGET)) == {"model": "upstream-m", "messages": []}
    assert PLAIN.url("/v1/plain", TARGET) == "https://provider.example/v1/plain"
    assert PLAIN.framing(EVENT_STREAM, is_stream=False) is Framing.EVENTS
    assert PLAIN.framing("text/plain", is_stream=True) is Framing.WHOLE
    assert not PLAIN.may_be_text("text/plain")
    assert reported(PLAIN, {"usage": {"prompt_tokens": 4}}) == Usage(4, 0)
    assert PLAIN.request_reading(b'{"input":"a"}') == Reading()
    assert PLAIN.delivered_text(b'{"choices":[{"text":"a"}]}') == ("a",)
    assert PLAIN.example_body("m") == (JSON, b'{"model":"m","input":"a"}')


@pytest.mark.parametrize("price", [None, BY_TOKEN])
def test_defaults_estimate_tokens_whatever_the_price(price: Price | None) -> None:
    assert PLAIN.estimate(SIZE, price, MEASURED) == Usage(5, 7)
    assert PLAIN.writes_tokens(price)
    assert PLAIN.usage_by_request(SIZE, price) is None


def test_kind_reads_either_json_or_forms() -> None:
    with pytest.raises(NotImplementedError):
        PLAIN.read(JsonBody({}, "m"))
    with pytest.raises(NotImplementedError):
        PLAIN.read_form({}, 0)


@given(size=st.integers(0, 10**12), output=st.integers(0, 10**6), kind=st.sampled_from(sorted(KINDS)))
def test_rough_usage_of_billed_input_is_never_zero(size: int, output: int, kind: str) -> None:
    usage = KINDS[kind].rough_usage(Size(size, size), BY_TOKEN, output)

    assert usage.input_tokens


@pytest.mark.parametrize(
    ("kind", "body", "is_one"),
    [
        ("chat", b'{"odd":"\\ud83d"}', True),
        ("chat", b'{"odd":NaN}', True),
        ("chat", b'{"odd":' + b"9" * 5000 + b"}", True),
        ("chat", b'\xef\xbb\xbf{"odd":1}', True),
        ("rerank", b'[{"index":0,"score":0.5}]', True),
        ("chat", b"[1]", False),
        ("chat", b'{"half":', False),
        ("chat", b"", False),
        ("chat", b"<html>", False),
        ("chat", b'\xef\xbb\xbf {"odd":[' + WIDE, True),
        ("chat", b"[" + WIDE, False),
        ("rerank", b"[" + WIDE, True),
        ("chat", b"[" * 100_000, False),
    ],
)
def test_what_a_lenient_parser_accepts_is_an_answer(kind: str, body: bytes, is_one: bool) -> None:
    assert KINDS[kind].is_answer(body) is is_one


NAMES = (
    *("content", "text", "type", "image_url", "url", "detail", "input_audio", "data", "file", "file_data", "name"),
    *("tool_calls", "function", "index", "function_call", "arguments", "message", "delta", "choices", "reasoning"),
    *("audio", "transcript", "refusal"),
)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner,
        )
    ),
    max_leaves=20,
)


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("sent", [b"", b"[]", b"nonsense", b"\xff", b"null", b'{"messages"'])
def test_what_is_no_json_object_has_nothing_to_read(kind: str, sent: bytes) -> None:
    assert KINDS[kind].request_reading(sent) == Reading()


@given(value=ANY_JSON, kind=st.sampled_from(sorted(KINDS)))
def test_any_shape_is_read(value: Any, kind: str) -> None:
    members = dict.fromkeys(
        ("messages", "input", "prompt", "suffix", "query", "documents", "tools", "instructions", "text"), value
    )
    answer = {"choices": value, "delta": value, "text": value}
    for data in (json.dumps(members).encode(), json.dumps({"messages": [value]}).encode(), json.dumps(value).encode()):
        reading = KINDS[kind].request_reading(data)
        assert reading.fixed_tokens >= 0
        assert reading.audio_tokens >= 0
        assert all(reading.texts)
    for data in (json.dumps(answer).encode(), json.dumps({"choices": [value, value]}).encode()):
        assert all(KINDS[kind].delivered_text(data))
        assert all(KINDS[kind].delivered_events(data + b"\n" + data))


@given(data=st.binary(), kind=st.sampled_from(sorted(KINDS)))
def test_any_bytes_are_read(data: bytes, kind: str) -> None:
    assert isinstance(KINDS[kind].request_reading(data), Reading)
    assert all(KINDS[kind].delivered_text(data))
    assert all(KINDS[kind].delivered_events(data))


ENDLESS_JPEG = "data:image/jpeg;base64," + base64.b64encode(b"\xff\xd8" + b"\xff" * 190_000).decode()
ENDLESS_WAV = base64.b64encode(b"RIFF\0\0\0\0WAVE" + b"junk\0\0\0\0" * 1000).decode()


@pytest.mark.parametrize(
    "item",
    [
        pytest.param("{}", id="objects"),
        pytest.param('"a"', id="texts"),
        pytest.param('{"content":"a"}', id="messages"),
        pytest.param(f'{{"image_url":"{ENDLESS_JPEG}"}}', id="fill bytes of an image"),
        pytest.param(f'{{"input_audio":{{"data":"{ENDLESS_WAV}"}}}}', id="chunks of audio"),
    ],
)
@pytest.mark.parametrize("shape", ['{"messages":[%s]}', '{"messages":[{"content":[%s]}]}'])
@pytest.mark.parametrize("most", [MAX_VALUES // 3, 10_000_000])
@pytest.mark.slow
def test_no_body_makes_its_reading_long(shape: str, item: str, most: int) -> None:
    read = (shape % ",".join([item] * min(most, 10_000_000 // len(item)))).encode()
    began = time.thread_time()

    CHAT.request_reading(read)
    CHAT.delivered_text(read)

    assert time.thread_time() - began < 1


def test_body_of_more_values_than_are_decoded_is_one_text() -> None:
    read = b'{"messages":[%s]}' % b",".join([b"{}"] * MAX_VALUES)

    assert CHAT.request_reading(read) == Reading((read.decode(),))
    assert CHAT.delivered_text(read) == (read.decode(),)
