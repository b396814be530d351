"""Reranking."""

import json

import pytest

from hero_broker.core.errors import InvalidRequest
from hero_broker.core.usage import Usage
from hero_broker.kinds.dialect import COHERE
from hero_broker.kinds.kind import EVENT_STREAM, JSON, Framing
from hero_broker.kinds.rerank import RERANK
from hero_broker.kinds.texts import Reading
from hero_broker.pricing.price import Price
from tests.kinds.targets import (
    BY_INPUT,
    BY_REQUEST,
    BY_SEARCH,
    BY_TOKEN,
    MEASURED,
    NO_COUNTS,
    SIZE,
    TARGET,
    FrozenProvider,
    FrozenTarget,
    read,
    reading,
    reported,
)


@pytest.mark.parametrize("query", ["bill", {"text": "bill"}, {"image": "data:,"}])
@pytest.mark.parametrize("documents", [[], ["a bill", {"text": "a call"}]])
def test_query_and_documents_are_the_input(query: object, documents: object) -> None:
    request = read(RERANK, query=query, documents=documents)

    assert (request.model, request.input_bytes) == ("m", len(json.dumps(query)) + len(json.dumps(documents)))


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"documents": []}, "query"),
        ({"query": [], "documents": []}, "query"),
        ({"query": None, "documents": []}, "query"),
        ({"query": "q"}, "documents"),
        ({"query": "q", "documents": "d"}, "documents"),
        ({"query": "q", "documents": {}}, "documents"),
    ],
)
def test_wrong_member_is_named(members: dict[str, object], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(RERANK, **members)

    assert caught.value.param == param


def test_body_is_sent_with_the_providers_name_of_the_model() -> None:
    request = read(RERANK, query="q", documents=["d"], top_n=1)

    assert json.loads(RERANK.encode(request, TARGET)) == {
        "model": "upstream-m",
        "query": "q",
        "documents": ["d"],
        "top_n": 1,
    }


@pytest.mark.parametrize(
    ("provider", "path", "url"),
    [
        (FrozenProvider("https://api.jina.ai/v1"), "/v1/rerank", "https://api.jina.ai/v1/rerank"),
        (FrozenProvider("https://api.jina.ai/v1"), "/v2/rerank", "https://api.jina.ai/v1/rerank"),
        (FrozenProvider("https://c.example/v2", dialect=COHERE), "/v1/rerank", "https://c.example/v1/rerank"),
        (FrozenProvider("https://c.example/v2", dialect=COHERE), "/v2/rerank", "https://c.example/v2/rerank"),
        (
            FrozenProvider("https://c.example/compatibility/v1", dialect=COHERE),
            "/v2/rerank",
            "https://c.example/v2/rerank",
        ),
        (FrozenProvider("https://c.example/own", dialect=COHERE), "/v2/rerank", "https://c.example/own/rerank"),
    ],
)
def test_version_of_the_path_is_kept_if_the_provider_has_an_interface_of_its_own(
    provider: FrozenProvider, path: str, url: str
) -> None:
    assert RERANK.url(path, FrozenTarget(provider)) == url


@pytest.mark.parametrize(
    ("content_type", "framing"),
    [(JSON, Framing.WHOLE), ("", Framing.WHOLE), (EVENT_STREAM, Framing.EVENTS)],
)
def test_framing_follows_the_content_type(content_type: str, framing: Framing) -> None:
    assert RERANK.framing(content_type, is_stream=False) is framing


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param({"meta": {"billed_units": {"search_units": 2}}}, Usage(search_units=2), id="Cohere"),
        pytest.param(
            {"meta": {"billed_units": {"search_units": 2}}, "usage": {"total_tokens": 9}},
            Usage(search_units=2),
            id="searches and tokens",
        ),
        pytest.param({"usage": {"total_tokens": 500}}, Usage(500, 0), id="Voyage AI"),
        pytest.param({"usage": {"prompt_tokens": 499, "total_tokens": 500}}, Usage(500, 0), id="Jina"),
        pytest.param({"usage": {"prompt_tokens": 499}}, Usage(499, 0), id="no total"),
        pytest.param({"meta": {"billed_units": {}}}, None, id="no searches"),
        pytest.param({"meta": {"billed_units": [2]}}, None, id="units of another type"),
        pytest.param({"meta": [2]}, None, id="meta of another type"),
        pytest.param({}, None, id="empty"),
        pytest.param([{"index": 0, "score": 0.5}], None, id="array"),
    ],
)
def test_usage_of_every_shape_is_read(answer: object, expected: Usage | None) -> None:
    assert reported(RERANK, answer) == expected


@pytest.mark.parametrize("value", NO_COUNTS)
def test_implausible_count_is_no_usage(value: object) -> None:
    assert reported(RERANK, {"meta": {"billed_units": {"search_units": value}}}) is None
    assert reported(RERANK, {"usage": {"total_tokens": value}}) is None
    assert reported(RERANK, {"usage": {"prompt_tokens": value}}) is None


def test_response_may_be_an_array() -> None:
    assert RERANK.is_answer(b'[{"index":0,"score":0.5}]')
    assert RERANK.is_answer(b'{"results":[]}')
    assert not RERANK.is_answer(b'"text"')


@pytest.mark.parametrize(
    ("query", "documents", "texts"),
    [
        ("q", ["one", {"text": "two"}, {"title": "ü"}], ("q", "q", "q", "one", "two", '{"title": "ü"}')),
        ({"text": "q"}, [], ("q",)),
        ({"title": "q"}, ["one"], ('{"title": "q"}', "one")),
        ("", [None, 7, {}, {"text": None}], ('{"text": null}',)),
    ],
)
def test_query_is_read_with_each_document(query: object, documents: object, texts: tuple[str, ...]) -> None:
    assert reading(RERANK, query=query, documents=documents) == Reading(texts)


def test_a_deep_document_does_not_hide_the_query() -> None:
    lengths = set()
    for depth in range(800, 1100):
        document = b'{"a":' * depth + b"1" + b"}" * depth
        lengths.add(len(RERANK.request_reading(b'{"query":"q","documents":[' + document + b"]}").texts))

    # Read, without the document, and refused as no JSON at all.
    assert lengths == {2, 1, 0}


@pytest.mark.parametrize(
    ("price", "estimate"),
    [
        pytest.param(None, Usage(search_units=1), id="unknown"),
        pytest.param(BY_SEARCH, Usage(search_units=1), id="searches"),
        pytest.param(BY_INPUT, Usage(5, 0), id="input"),
        pytest.param(BY_TOKEN, Usage(5, 0), id="tokens"),
        pytest.param(BY_REQUEST, Usage(5, 0), id="requests"),
    ],
)
def test_estimate_is_in_the_units_of_the_price(price: Price | None, estimate: Usage) -> None:
    assert RERANK.estimate(SIZE, price, MEASURED) == estimate
    assert RERANK.usage_by_request(SIZE, price) is None
    assert not RERANK.writes_tokens(price)


def test_example_is_a_valid_request() -> None:
    content_type, body = RERANK.example_body("m")

    assert content_type == JSON
    assert read(RERANK, **json.loads(body)).model == "m"
