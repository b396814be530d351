"""Moderations."""

import json

import pytest

from hero_broker.core.errors import InvalidRequest
from hero_broker.core.usage import Usage
from hero_broker.kinds.json_body import read_json
from hero_broker.kinds.kind import EVENT_STREAM, JSON, Framing
from hero_broker.kinds.moderation import MODERATION
from hero_broker.kinds.texts import Image, Reading
from hero_broker.pricing.price import Price
from tests.kinds.targets import (
    BY_INPUT,
    BY_REQUEST,
    BY_TOKEN,
    FREE,
    MEASURED,
    NO_COUNTS,
    SIZE,
    TARGET,
    read,
    reading,
    reported,
)

PARTS = [
    {"type": "text", "text": "one"},
    {"type": "image_url", "image_url": {"url": "https://images.example/a.png", "detail": "low"}},
]
LOW = Image(0, 0, is_low_detail=True)


@pytest.mark.parametrize("value", ["a few words", ["one", "two"], PARTS, ""])
def test_input_is_a_string_or_an_array(value: object) -> None:
    request = read(MODERATION, input=value, stream=True)

    assert (request.model, request.input_bytes, request.stream) == ("m", len(json.dumps(value)), False)


@pytest.mark.parametrize("body", [b'{"input":"a"}', b'{"input":"a","model":null}'])
def test_model_may_be_left_out(body: bytes) -> None:
    request = MODERATION.read(read_json(body, MODERATION.default_model))

    assert request.model == "omni-moderation-latest"
    assert json.loads(MODERATION.encode(request, TARGET)) == {"model": "upstream-m", "input": "a"}


@pytest.mark.parametrize("members", [{}, {"input": None}, {"input": {}}, {"input": 7}])
def test_wrong_input_is_named(members: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(MODERATION, **members)

    assert caught.value.param == "input"


def test_path_is_below_the_base_url() -> None:
    assert MODERATION.url("/v1/moderations", TARGET) == "https://provider.example/v1/moderations"


@pytest.mark.parametrize(
    ("content_type", "framing"),
    [(JSON, Framing.WHOLE), ("", Framing.WHOLE), (EVENT_STREAM, Framing.EVENTS)],
)
def test_framing_follows_the_content_type(content_type: str, framing: Framing) -> None:
    assert MODERATION.framing(content_type, is_stream=False) is framing


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        pytest.param({"prompt_tokens": 7, "total_tokens": 7, "completion_tokens": 0}, Usage(7, 0), id="Mistral"),
        pytest.param({"total_tokens": 7}, Usage(7, 0), id="the total alone"),
        pytest.param(None, None, id="OpenAI"),
    ],
)
def test_usage_of_every_shape_is_read(usage: object, expected: Usage | None) -> None:
    assert reported(MODERATION, {"results": [], "usage": usage}) == expected


@pytest.mark.parametrize("value", NO_COUNTS)
def test_implausible_count_is_no_usage(value: object) -> None:
    assert reported(MODERATION, {"usage": {"prompt_tokens": value}}) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("one", Reading(("one",))),
        (["one", "two"], Reading(("one", "two"))),
        (PARTS, Reading(("one",), images=(LOW,))),
        (PARTS[1:] * 2, Reading(images=(LOW, LOW))),
        (["one", None, 1.5, {"type": "image_url"}], Reading(("one",))),
    ],
)
def test_texts_and_images_of_the_input_are_read(value: object, expected: Reading) -> None:
    assert reading(MODERATION, input=value) == expected


@pytest.mark.parametrize(
    ("price", "estimate", "by_request"),
    [
        pytest.param(None, Usage(5, 0), None, id="unknown"),
        pytest.param(BY_INPUT, Usage(5, 0), None, id="input"),
        pytest.param(BY_TOKEN, Usage(5, 0), None, id="tokens"),
        pytest.param(
            Price(input_per_million=BY_INPUT.input_per_million, per_request=BY_REQUEST.per_request),
            Usage(5, 0),
            None,
            id="input and requests",
        ),
        pytest.param(BY_REQUEST, Usage(), Usage(), id="requests"),
        pytest.param(FREE, Usage(), Usage(), id="free"),
    ],
)
def test_estimate_is_in_the_units_of_the_price(price: Price | None, estimate: Usage, by_request: Usage | None) -> None:
    assert MODERATION.estimate(SIZE, price, MEASURED) == estimate
    assert MODERATION.usage_by_request(SIZE, price) == by_request
    assert not MODERATION.writes_tokens(price)


def test_example_is_a_valid_request() -> None:
    content_type, body = MODERATION.example_body("m")

    assert content_type == JSON
    assert read(MODERATION, **json.loads(body)).model == "m"
