"""Embeddings."""

import json

import pytest

from hero_broker.core.errors import InvalidRequest
from hero_broker.core.usage import Usage
from hero_broker.kinds.embedding import EMBEDDING
from hero_broker.kinds.kind import EVENT_STREAM, JSON, Framing
from hero_broker.kinds.texts import Reading
from hero_broker.pricing.price import Price
from tests.kinds.targets import (
    BY_INPUT,
    BY_REQUEST,
    BY_TOKEN,
    MEASURED,
    NO_COUNTS,
    SIZE,
    TARGET,
    read,
    reading,
    reported,
)


@pytest.mark.parametrize("value", ["a few words", ["one", "two"], [1, 2], [[1], [2]], ""])
def test_input_is_a_string_or_an_array(value: object) -> None:
    request = read(EMBEDDING, input=value, stream=True)

    assert (request.model, request.input_bytes, request.stream) == ("m", len(json.dumps(value)), False)


@pytest.mark.parametrize("members", [{}, {"input": None}, {"input": {}}, {"input": 7}, {"input": False}])
def test_wrong_input_is_named(members: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(EMBEDDING, **members)

    assert caught.value.param == "input"


def test_body_is_sent_with_the_providers_name_of_the_model() -> None:
    request = read(EMBEDDING, input="a", dimensions=3, base_url="http://other.example")

    assert json.loads(EMBEDDING.encode(request, TARGET)) == {"model": "upstream-m", "input": "a", "dimensions": 3}
    assert EMBEDDING.url("/v1/embeddings", TARGET) == "https://provider.example/v1/embeddings"


@pytest.mark.parametrize(
    ("content_type", "framing"),
    [(JSON, Framing.WHOLE), ("", Framing.WHOLE), (EVENT_STREAM, Framing.EVENTS)],
)
def test_framing_follows_the_content_type(content_type: str, framing: Framing) -> None:
    assert EMBEDDING.framing(content_type, is_stream=False) is framing
    assert not EMBEDDING.may_be_text(content_type)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        pytest.param({"prompt_tokens": 8, "total_tokens": 8}, Usage(8, 0), id="OpenAI"),
        pytest.param({"total_tokens": 8}, Usage(8, 0), id="Voyage AI"),
        pytest.param(
            {"prompt_tokens": 8, "total_tokens": 9, "completion_tokens": 0, "prompt_tokens_details": None},
            Usage(8, 0),
            id="Mistral",
        ),
        pytest.param({}, None, id="empty"),
        pytest.param(None, None, id="null"),
    ],
)
def test_usage_of_every_shape_is_read(usage: object, expected: Usage | None) -> None:
    assert reported(EMBEDDING, {"data": [], "usage": usage}) == expected


@pytest.mark.parametrize("value", NO_COUNTS)
@pytest.mark.parametrize("name", ["prompt_tokens", "total_tokens"])
def test_implausible_count_is_no_usage(name: str, value: object) -> None:
    assert reported(EMBEDDING, {"usage": {name: value}}) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("one", Reading(("one",))),
        (["one", "two"], Reading(("one", "two"))),
        ([[1, 2], [3]], Reading((), 3)),
    ],
)
def test_input_is_read(value: object, expected: Reading) -> None:
    assert reading(EMBEDDING, input=value) == expected


@pytest.mark.parametrize("price", [None, BY_INPUT, BY_TOKEN, BY_REQUEST])
def test_estimate_is_the_input_whatever_the_price(price: Price | None) -> None:
    assert EMBEDDING.estimate(SIZE, price, MEASURED) == Usage(input_tokens=5, output_tokens=0)
    assert EMBEDDING.usage_by_request(SIZE, price) is None
    assert not EMBEDDING.writes_tokens(price)


def test_example_is_a_valid_request() -> None:
    content_type, body = EMBEDDING.example_body("m")

    assert content_type == JSON
    assert read(EMBEDDING, **json.loads(body)).model == "m"
