"""Embeddings: tokens in, none out."""

from collections.abc import Mapping

import msgspec

from hero_broker.core.usage import Usage
from hero_broker.kinds.json_body import ARRAY, STRING, JsonBody
from hero_broker.kinds.kind import JSON, CallSize, Kind, Measured, Request
from hero_broker.kinds.report import WireReply, input_usage
from hero_broker.kinds.route_spec import RouteSpec, json_body, provider_answer
from hero_broker.kinds.texts import Reading, member, texts_or_ids
from hero_broker.pricing.price import Price


class Embedding(Kind):
    """`POST /v1/embeddings`."""

    name = "embedding"
    paths = {"/v1/embeddings": "/embeddings"}
    specs = (
        RouteSpec(
            "/v1/embeddings",
            "createEmbedding",
            "Create embeddings",
            provider_answer(JSON),
            json_body({"input": {"type": ["string", "array"]}}, "input"),
        ),
    )
    typical = (("1,000 in", Usage(input_tokens=1000, output_tokens=0)),)
    example = {"input": "a few words"}

    def read(self, body: JsonBody) -> Request:
        """Check `input`."""
        return Request(body.model, len(body.require("input", STRING, ARRAY)), body)

    def usage(self, reported: Mapping[str, object], reply: WireReply) -> Usage | None:
        """Return the tokens of the input."""
        return input_usage(reported)

    def reading(self, members: Mapping[str, msgspec.Raw]) -> Reading:
        """Return the texts and token ids of `input`."""
        return texts_or_ids(member(members, "input"))

    def writes_tokens(self, price: Price | None) -> bool:
        """Return False: vectors are not billed."""
        return False

    def estimate(self, call: CallSize, price: Price | None, measured: Measured) -> Usage:
        """Return the tokens of the input."""
        return Usage(input_tokens=measured.input_tokens, output_tokens=0)


EMBEDDING = Embedding()
