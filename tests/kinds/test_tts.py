"""Text to speech."""

import json

import pytest

from hero_broker.core.errors import InvalidRequest
from hero_broker.core.usage import Usage
from hero_broker.kinds.kind import EVENT_STREAM, JSON, Framing
from hero_broker.kinds.texts import Reading
from hero_broker.kinds.tts import TTS
from hero_broker.pricing.price import Price
from tests.kinds.targets import (
    BY_CHARACTER,
    BY_REQUEST,
    BY_TOKEN,
    MEASURED,
    NO_COUNTS,
    SIZE,
    SPOKEN,
    TARGET,
    Size,
    events,
    read,
    reading,
    relay_however_cut,
    reported,
)


@pytest.mark.parametrize(
    ("text", "characters", "size"),
    [("hello there", 11, 11), ("Grüße", 5, 7), ("🙂", 1, 4), ("e\u0301", 2, 3)],
)
def test_characters_are_code_points(text: str, characters: int, size: int) -> None:
    request = read(TTS, input=text, voice="alloy")

    assert (request.model, request.characters, request.input_bytes, request.stream) == ("m", characters, size, False)


@pytest.mark.parametrize(
    ("value", "stream"), [("sse", True), ("audio", False), (None, False), ("SSE", False), (True, False)]
)
def test_only_events_are_a_stream(value: object, stream: bool) -> None:
    assert read(TTS, input="a", stream_format=value).stream is stream


@pytest.mark.parametrize("members", [{}, {"input": ""}, {"input": None}, {"input": ["a"]}])
def test_wrong_input_is_named(members: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(TTS, **members)

    assert caught.value.param == "input"


def test_body_is_sent_with_the_providers_name_of_the_model() -> None:
    request = read(TTS, input="a", voice="alloy", api_key="k")

    assert json.loads(TTS.encode(request, TARGET)) == {"model": "upstream-m", "input": "a", "voice": "alloy"}
    assert TTS.url("/v1/audio/speech", TARGET) == "https://provider.example/v1/audio/speech"


@pytest.mark.parametrize(
    ("content_type", "framing"),
    [
        ("audio/mpeg", Framing.CHUNKS),
        ("application/octet-stream", Framing.CHUNKS),
        ("", Framing.CHUNKS),
        (f"{EVENT_STREAM};charset=utf-8", Framing.EVENTS),
        (f"{JSON}; charset=utf-8", Framing.WHOLE),
    ],
)
@pytest.mark.parametrize("is_stream", [False, True])
def test_audio_is_relayed_as_it_arrives(content_type: str, is_stream: bool, framing: Framing) -> None:
    assert TTS.framing(content_type, is_stream=is_stream) is framing
    assert not TTS.may_be_text(content_type)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"input_tokens": 2, "output_tokens": 20}, Usage(2, 20, audio_output_tokens=20)),
        ({"input_tokens": 0, "output_tokens": 0}, Usage(0, 0, audio_output_tokens=0)),
        ({"input_tokens": 2}, None),
        ({"output_tokens": 2}, None),
        ({"prompt_tokens": 2, "completion_tokens": 2}, None),
        (None, None),
    ],
)
def test_usage_of_the_last_event_is_read_as_audio(usage: object, expected: Usage | None) -> None:
    assert reported(TTS, {"type": "speech.audio.done", "usage": usage}) == expected


@pytest.mark.parametrize("value", NO_COUNTS)
@pytest.mark.parametrize("name", ["input_tokens", "output_tokens"])
def test_implausible_count_is_no_usage(name: str, value: object) -> None:
    assert reported(TTS, {"usage": {"input_tokens": 2, "output_tokens": 20, name: value}}) is None


@pytest.mark.parametrize(
    ("members", "texts"),
    [
        ({"input": "hello", "instructions": "softly"}, ("hello", "softly")),
        ({"input": "hello", "instructions": None}, ("hello",)),
        ({"input": 7}, ()),
    ],
)
def test_text_to_speak_is_read_with_its_instructions(members: dict[str, object], texts: tuple[str, ...]) -> None:
    assert reading(TTS, **members) == Reading(texts)


@pytest.mark.parametrize(
    ("price", "estimate", "by_request"),
    [
        pytest.param(None, Usage(characters=11), Usage(characters=11), id="unknown"),
        pytest.param(BY_CHARACTER, Usage(characters=11), Usage(characters=11), id="characters"),
        # 1,390 tokens for 1,000 characters, rounded up.
        pytest.param(BY_TOKEN, Usage(5, 16, audio_output_tokens=16, characters=11), None, id="tokens"),
        pytest.param(BY_REQUEST, Usage(5, 16, audio_output_tokens=16, characters=11), None, id="requests"),
    ],
)
def test_estimate_is_in_the_units_of_the_price(price: Price | None, estimate: Usage, by_request: Usage | None) -> None:
    assert TTS.estimate(SPOKEN, price, MEASURED) == estimate
    assert TTS.usage_by_request(SPOKEN, price) == by_request
    assert TTS.usage_by_request(SIZE, price) is None
    assert not TTS.writes_tokens(price)


def test_call_whose_characters_are_unknown_is_estimated_without_them() -> None:
    assert TTS.estimate(Size(), BY_TOKEN, MEASURED) == Usage(5, 0, audio_output_tokens=0, characters=0)


def test_example_is_a_valid_request() -> None:
    content_type, body = TTS.example_body("m")

    assert content_type == JSON
    assert read(TTS, **json.loads(body)).characters == 34


AUDIO = events({"type": "speech.audio.delta", "audio": "AAAA"}) * 2
SPEECH_DONE = events({"type": "speech.audio.done", "usage": {"input_tokens": 2, "output_tokens": 20}})
REPORTED = {"input_tokens": 2, "output_tokens": 20, "audio_output_tokens": 20}


@pytest.mark.parametrize(
    ("end", "usage"),
    [
        pytest.param(SPEECH_DONE, REPORTED, id="last event"),
        pytest.param(SPEECH_DONE.replace(b'":', b'": ').replace(b',"', b', "'), REPORTED, id="last event with spaces"),
        pytest.param(events("[DONE]"), {}, id="the mark of text streams"),
        pytest.param(SPEECH_DONE + events("[DONE]"), REPORTED, id="both"),
    ],
)
def test_last_event_waits_and_is_the_same_however_the_stream_is_cut(end: bytes, usage: dict[str, int]) -> None:
    relayed = relay_however_cut(TTS, AUDIO + end)

    assert (relayed.sent, relayed.tail, relayed.usage) == (AUDIO, end, usage)


def test_stream_may_end_without_a_last_event() -> None:
    assert relay_however_cut(TTS, AUDIO).sent == AUDIO
