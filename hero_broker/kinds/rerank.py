"""Reranking of documents, in Cohere's and Jina's shape; billed by searches or by tokens."""

import json
from collections.abc import Mapping

import msgspec

from hero_broker.core.usage import Usage
from hero_broker.kinds.counts import count, details
from hero_broker.kinds.json_body import ARRAY, OBJECT, STRING, JsonBody
from hero_broker.kinds.kind import JSON, CallSize, Kind, Measured, Request, WireTarget
from hero_broker.kinds.report import WireReply
from hero_broker.kinds.route_spec import RouteSpec, json_body, provider_answer
from hero_broker.kinds.texts import Reading, mapping, member, non_empty, sequence
from hero_broker.pricing.price import Price

_BODY = json_body(
    {
        "query": {"type": ["string", "object"], "description": "A string, or an object if images are ranked."},
        "documents": {"type": "array"},
    },
    "query",
    "documents",
)


class Rerank(Kind):
    """`POST /v1/rerank` and `POST /v2/rerank`."""

    name = "rerank"
    paths = {"/v1/rerank": "/rerank", "/v2/rerank": "/rerank"}
    specs = (
        RouteSpec(
            "/v1/rerank",
            "rerankV1",
            "Rerank documents, in the shape of Cohere's v1 and Jina",
            provider_answer(JSON),
            _BODY,
        ),
        RouteSpec(
            "/v2/rerank", "rerankV2", "Rerank documents, in the shape of Cohere's v2", provider_answer(JSON), _BODY
        ),
    )
    typical = (
        ("one search", Usage(search_units=1)),
        ("1,000 tokens in", Usage(input_tokens=1000, output_tokens=0)),
    )
    example = {"query": "bill", "documents": ["a bill", "a call"]}
    answer_types = (dict, list)

    def read(self, body: JsonBody) -> Request:
        """Check `query` and `documents`."""
        query = body.require("query", STRING, OBJECT)  # an object if images are ranked
        documents = body.require("documents", ARRAY)
        return Request(body.model, len(query) + len(documents), body)

    def url(self, path: str, target: WireTarget) -> str:
        """Return the provider's URL: its own interface in the version of `path` if it has one, as Cohere does."""
        base_url = target.provider.base_url
        root = target.provider.dialect.own_root(base_url)
        return base_url + self.paths[path] if root is None else root + path

    def usage(self, reported: Mapping[str, object], reply: WireReply) -> Usage | None:
        """Return Cohere's search units, or the tokens of other providers."""
        billed = details(mapping(reply.meta), "billed_units")
        if "search_units" in billed:
            return Usage(search_units=count(billed["search_units"], may_be_null=False))
        for name in ("total_tokens", "prompt_tokens"):
            if name in reported:
                return Usage(input_tokens=count(reported[name], may_be_null=False), output_tokens=0)
        return None

    def reading(self, members: Mapping[str, msgspec.Raw]) -> Reading:
        """Return the documents, and the query once for each."""
        query = _document(member(members, "query"))
        documents = [_document(item) for item in sequence(member(members, "documents"))]
        return Reading(non_empty([*[query] * max(1, len(documents)), *documents]))

    def writes_tokens(self, price: Price | None) -> bool:
        """Return False: scores are not billed."""
        return False

    def estimate(self, call: CallSize, price: Price | None, measured: Measured) -> Usage:
        """Return one search, or tokens if the price is by token."""
        if price is None or price.per_thousand_searches is not None:
            return Usage(search_units=1)
        return Usage(input_tokens=measured.input_tokens, output_tokens=0)


def _document(value: object) -> str:
    """Return the text of a document: a string, the member `text`, or the whole object as JSON."""
    if isinstance(value, str):
        return value
    document = mapping(value)
    text = document.get("text")
    if isinstance(text, str) or not document:
        return text if isinstance(text, str) else ""
    try:
        return json.dumps(document, ensure_ascii=False)
    except RecursionError:
        return ""


RERANK = Rerank()
