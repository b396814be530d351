"""Speech to text."""

import io
import json
import wave

import pytest

from hero_broker.core.errors import InvalidRequest
from hero_broker.core.usage import Usage
from hero_broker.kinds.kind import EVENT_STREAM, JSON, Framing, Measured
from hero_broker.kinds.stt import STT
from hero_broker.kinds.texts import Reading
from hero_broker.kinds.usage_dialect import usage_dialect_of
from hero_broker.kinds.wide_json import MAX_VALUES
from hero_broker.pricing.price import Price
from tests.kinds.targets import (
    BY_MINUTE,
    BY_REQUEST,
    BY_TOKEN,
    MEASURED,
    NO_COUNTS,
    SIZE,
    TARGET,
    events,
    reading,
    relay_however_cut,
    reported,
)

MISTRAL_USAGE = {"prompt_audio_seconds": 203, "prompt_tokens": 4, "completion_tokens": 635, "total_tokens": 3264}


@pytest.mark.parametrize(
    ("value", "stream"),
    [(None, False), ("", False), ("0", False), ("False", False), ("1", True), ("true", True), ("TRUE", True)],
)
def test_form_is_read(value: str | None, stream: bool) -> None:
    fields = {"model": "m", "language": "en"} | ({} if value is None else {"stream": value})

    request = STT.read_form(fields, 32_000)

    assert (request.model, request.input_bytes, request.stream) == ("m", 32_000, stream)
    assert (request.body.members, request.characters) == ({}, None)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "model"),
        ({"stream": "true"}, "model"),
        ({"model": "m", "stream": "yes"}, "stream"),
        ({"model": "m", "stream": " true"}, "stream"),
        ({"model": "m", "stream": "null"}, "stream"),
    ],
)
def test_wrong_field_is_named(fields: dict[str, str], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        STT.read_form(fields, 1)

    assert caught.value.param == param


@pytest.mark.parametrize("name", ["transcriptions", "translations"])
def test_path_is_below_the_base_url(name: str) -> None:
    assert STT.url(f"/v1/audio/{name}", TARGET) == f"https://provider.example/v1/audio/{name}"


@pytest.mark.parametrize(
    ("content_type", "framing", "may_be_text"),
    [
        (JSON, Framing.WHOLE, False),
        (f"{JSON}; charset=utf-8", Framing.WHOLE, False),
        ("text/plain; charset=utf-8", Framing.WHOLE, True),
        ("application/x-subrip", Framing.WHOLE, True),
        ("", Framing.WHOLE, True),
        (EVENT_STREAM, Framing.EVENTS, True),
    ],
)
def test_transcript_may_be_text(content_type: str, framing: Framing, may_be_text: bool) -> None:
    assert STT.framing(content_type, is_stream=False) is framing
    assert STT.may_be_text(content_type) is may_be_text


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(
            {"usage": {"input_tokens": 14, "input_token_details": {"audio_tokens": 10}, "output_tokens": 5}},
            Usage(14, 5, audio_input_tokens=10),
            id="tokens",
        ),
        pytest.param({"usage": {"input_tokens": 14}}, Usage(14, 0), id="tokens without details"),
        pytest.param({"usage": {"input_tokens": 14, "input_token_details": 7}}, Usage(14, 0), id="odd details"),
        pytest.param({"usage": {"type": "duration", "seconds": 9}}, Usage(audio_ms=9_000), id="seconds"),
        pytest.param({"usage": {"seconds": 0}}, Usage(audio_ms=0), id="no seconds"),
        pytest.param({"usage": MISTRAL_USAGE}, Usage(audio_ms=203_000), id="Mistral's seconds"),
        pytest.param({"duration": 8.4701}, Usage(audio_ms=8_471), id="duration, rounded up"),
        pytest.param({"duration": "8.47"}, Usage(audio_ms=8_470), id="duration in a string"),
        pytest.param({"duration": 30, "usage": {"seconds": 9}}, Usage(audio_ms=9_000), id="billed before real"),
        pytest.param({"duration": 30, "usage": None}, Usage(audio_ms=30_000), id="no usage"),
        pytest.param({"usage": {"prompt_tokens": 4}}, None, id="tokens of text"),
        pytest.param({"text": "spoken"}, None, id="nothing"),
    ],
)
def test_usage_of_every_shape_is_read(answer: object, expected: Usage | None) -> None:
    assert reported(STT, answer) == expected


@pytest.mark.parametrize("value", NO_COUNTS)
@pytest.mark.parametrize("name", ["input_tokens", "output_tokens"])
def test_implausible_count_is_no_usage(name: str, value: object) -> None:
    assert reported(STT, {"usage": {"input_tokens": 2, "output_tokens": 20, name: value}}) is None


@pytest.mark.parametrize("value", [-1, -0.001, 1_000_001, "1e9", "soon", "", "NaN", "sNaN", "-Infinity", True, [9], {}])
def test_implausible_duration_is_no_usage(value: object) -> None:
    assert reported(STT, {"duration": value}) is None
    assert reported(STT, {"usage": {"seconds": value}}) is None


def test_model_reads_no_text() -> None:
    assert reading(STT, input="x") == Reading()


@pytest.mark.parametrize(
    ("price", "estimate", "writes_tokens"),
    [
        pytest.param(None, Usage(audio_ms=1_234), False, id="unknown"),
        pytest.param(BY_MINUTE, Usage(audio_ms=1_234), False, id="minutes"),
        # Ten tokens a second, rounded up.
        pytest.param(BY_TOKEN, Usage(13, 7, audio_input_tokens=13, audio_ms=1_234), True, id="tokens"),
        pytest.param(BY_REQUEST, Usage(13, 7, audio_input_tokens=13, audio_ms=1_234), True, id="requests"),
    ],
)
def test_estimate_is_in_the_units_of_the_price(price: Price | None, estimate: Usage, writes_tokens: bool) -> None:
    assert STT.estimate(SIZE, price, MEASURED) == estimate
    assert STT.writes_tokens(price) is writes_tokens
    assert STT.usage_by_request(SIZE, price) is None


def test_rough_usage_follows_from_the_size_of_the_upload() -> None:
    assert STT.rough_usage(SIZE, BY_MINUTE, 0) == Usage(audio_ms=1_000)


def test_audio_without_a_duration_is_one_token() -> None:
    assert STT.estimate(SIZE, BY_TOKEN, Measured(0)).input_tokens == 1


WIDE = b'{"text":"%s"}' % (b"," * (MAX_VALUES + 1))


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        (b'{"text":"spoken"}', ("spoken",)),
        (b'{"text":""}', ()),
        ("gesprochen, hörst du".encode(), ("gesprochen, hörst du",)),
        (b"42", ("42",)),
        (b'["a"]', ('["a"]',)),
        (b"\xff", ("\ufffd",)),
        (b"", ()),
        (WIDE, (WIDE.decode(),)),
    ],
)
def test_transcript_may_be_json_or_plain(body: bytes, texts: tuple[str, ...]) -> None:
    assert STT.delivered_text(body) == texts


def test_end_of_a_transcript_does_not_repeat_it() -> None:
    deltas = b'{"type":"transcript.text.delta","delta":"a "}\n{"type":"transcript.text.delta","delta":"b"}\n'
    end = b'{"type":"transcript.text.done","text":"a b"}'

    assert STT.delivered_events(deltas + end) == ("a b",)
    assert STT.delivered_events(end) == ("a b",)


def test_tokens_beside_seconds_are_no_fault_of_the_usage() -> None:
    report = STT.report(json.dumps({"text": "Hello", "usage": MISTRAL_USAGE}).encode(), usage_dialect_of("mistral", ""))

    assert (report.usage, report.unexplained_tokens, report.cut_parts) == (Usage(audio_ms=203_000), 0, ())


def test_example_is_a_form_with_two_seconds_of_silence() -> None:
    content_type, body = STT.example_body("m")

    media_type, _, boundary = content_type.partition("; boundary=")
    parts = body.split(f"--{boundary}".encode())
    heads, contents = zip(*(part.strip(b"\r\n").split(b"\r\n\r\n", 1) for part in parts[1:-1]), strict=True)
    assert (media_type, parts[0], parts[-1]) == ("multipart/form-data", b"", b"--\r\n")
    assert [b'name="model"' in heads[0], b'name="file"; filename=' in heads[1], contents[0]] == [True, True, b"m"]
    with wave.open(io.BytesIO(contents[1])) as audio:
        assert audio.getnframes() / audio.getframerate() == 2


TEXT = events(
    {"type": "transcript.text.delta", "delta": "one "}, {"type": "transcript.text.delta", "delta": '"text" two'}
)
USAGE = {"input_tokens": 14, "input_token_details": {"audio_tokens": 10}, "output_tokens": 5}
TEXT_DONE = events({"type": "transcript.text.done", "text": 'one "text" two', "usage": USAGE})
REPORTED = {"input_tokens": 14, "output_tokens": 5, "audio_input_tokens": 10}
SPACED = b"data: " + json.dumps({"type": "transcript.text.done", "text": 'one "text" two', "usage": USAGE}).encode()


@pytest.mark.parametrize(
    ("end", "usage"),
    [
        pytest.param(TEXT_DONE, REPORTED, id="last event"),
        pytest.param(SPACED + b"\n\n", REPORTED, id="last event with spaces"),
        pytest.param(events("[DONE]"), {}, id="the mark of text streams"),
        pytest.param(TEXT_DONE + events("[DONE]"), REPORTED, id="both"),
    ],
)
def test_last_event_waits_and_is_the_same_however_the_stream_is_cut(end: bytes, usage: dict[str, int]) -> None:
    relayed = relay_however_cut(STT, TEXT + end)

    assert (relayed.sent, relayed.tail, relayed.usage) == (TEXT, end, usage)
    assert relayed.texts == ('one "text" two',)
