"""Text completions."""

import json

import pytest

from hero_broker.core.errors import InvalidRequest, ProviderError
from hero_broker.core.usage import Usage
from hero_broker.kinds.completion import COMPLETION
from hero_broker.kinds.kind import EVENT_STREAM, JSON, Framing
from hero_broker.kinds.texts import Reading
from hero_broker.pricing.price import Price
from tests.kinds.targets import (
    BY_REQUEST,
    BY_TOKEN,
    MEASURED,
    NO_COUNTS,
    SIZE,
    TARGET,
    FrozenProvider,
    FrozenTarget,
    cut,
    events,
    read,
    reading,
    relay,
    relay_however_cut,
    reported,
)


@pytest.mark.parametrize("prompt", ["once upon", ["one", "two"], [1, 2], [[1], [2]], [], ""])
def test_prompt_is_a_string_or_an_array(prompt: object) -> None:
    request = read(COMPLETION, prompt=prompt, stream=True, stream_options={"include_usage": True})

    assert (request.model, request.input_bytes) == ("m", len(json.dumps(prompt)))
    assert (request.stream, request.wants_usage, request.characters) == (True, True, None)


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": {}}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"prompt": "", "stream": "yes"}, "stream"),
        ({"prompt": "", "stream_options": "usage"}, "stream_options"),
    ],
)
def test_wrong_member_is_named(members: dict[str, object], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(COMPLETION, **members)

    assert caught.value.param == param


@pytest.mark.parametrize("stream_usage", [False, True])
def test_stream_is_asked_for_usage_if_the_provider_knows_how(stream_usage: bool) -> None:
    target = FrozenTarget(FrozenProvider(stream_usage=stream_usage))
    sent = json.loads(COMPLETION.encode(read(COMPLETION, prompt="a", stream=True), target))

    added = {"stream_options": {"include_usage": True}} if stream_usage else {}
    assert sent == {"model": "upstream-m", "prompt": "a", "stream": True, **added}


def test_path_is_below_the_base_url() -> None:
    assert COMPLETION.url("/v1/completions", TARGET) == "https://provider.example/v1/completions"


@pytest.mark.parametrize(
    ("content_type", "is_stream", "framing"),
    [
        (JSON, True, Framing.WHOLE),
        (EVENT_STREAM, False, Framing.EVENTS),
        ("text/plain", True, Framing.EVENTS),
        ("text/plain", False, Framing.WHOLE),
    ],
)
def test_framing_follows_the_content_type(content_type: str, is_stream: bool, framing: Framing) -> None:
    assert COMPLETION.framing(content_type, is_stream=is_stream) is framing


def test_reported_usage_is_that_of_text() -> None:
    assert reported(COMPLETION, {"usage": {"prompt_tokens": 4, "completion_tokens": 2}}) == Usage(4, 2)
    assert reported(COMPLETION, {"usage": {"total_tokens": 6}}) is None


@pytest.mark.parametrize("value", NO_COUNTS)
def test_implausible_count_is_no_usage(value: object) -> None:
    assert reported(COMPLETION, {"usage": {"prompt_tokens": value, "completion_tokens": 2}}) is None


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"prompt": "a", "suffix": "b"}, Reading(("a", "b"))),
        ({"prompt": ["a", "b"], "suffix": None}, Reading(("a", "b"))),
        ({"prompt": [[1, 2], [3]], "suffix": ""}, Reading((), 3)),
        ({"suffix": "b"}, Reading(("b",))),
    ],
)
def test_prompt_and_suffix_are_read(members: dict[str, object], expected: Reading) -> None:
    assert reading(COMPLETION, **members) == expected


@pytest.mark.parametrize("price", [None, BY_TOKEN, BY_REQUEST])
def test_estimate_is_the_measured_tokens_whatever_the_price(price: Price | None) -> None:
    assert COMPLETION.estimate(SIZE, price, MEASURED) == Usage(input_tokens=5, output_tokens=7)
    assert COMPLETION.usage_by_request(SIZE, price) is None
    assert COMPLETION.writes_tokens(price)


def test_output_is_the_text_of_each_choice() -> None:
    assert COMPLETION.delivered_text(b'{"choices":[{"text":"a"},{"text":"b"}]}') == ("a", "b")
    assert COMPLETION.delivered_events(b'{"choices":[{"text":"a"}]}\n{"choices":[{"text":"b"}]}') == ("ab",)


def test_example_is_a_valid_request() -> None:
    content_type, body = COMPLETION.example_body("m")

    assert content_type == JSON
    assert read(COMPLETION, **json.loads(body)).model == "m"


def piece(text: str, finish: str | None = None) -> dict[str, object]:
    return {"choices": [{"index": 0, "text": text, "finish_reason": finish}]}


TEXT = events(piece("once"), piece(" upon"), piece("", "length"))
USAGE = events({"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 2}})
DONE = events("[DONE]")


def test_stream_becomes_the_same_however_it_is_cut() -> None:
    relayed = relay_however_cut(COMPLETION, TEXT + USAGE + DONE)

    assert (relayed.sent, relayed.tail, relayed.texts) == (TEXT, DONE, ("once upon",))
    assert (relayed.usage, relayed.source) == ({"input_tokens": 4, "output_tokens": 2}, "reported")


def test_stream_without_a_finish_reason_broke_off_however_it_is_cut() -> None:
    stream = events(piece("once"), piece(" upon"))

    for at in range(len(stream)):
        with pytest.raises(ProviderError, match="broke off"):
            relay(COMPLETION, cut(stream, at))
