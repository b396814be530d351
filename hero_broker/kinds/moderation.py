"""Moderation: whether a text or an image is harmful; free at OpenAI, billed by tokens elsewhere."""

from collections.abc import Mapping
from dataclasses import replace

import msgspec

from hero_broker.core.usage import Usage
from hero_broker.kinds.attachments import image_of, input_bytes
from hero_broker.kinds.json_body import ARRAY, STRING, JsonBody
from hero_broker.kinds.kind import JSON, CallSize, Kind, Measured, Request
from hero_broker.kinds.report import WireReply, input_usage
from hero_broker.kinds.route_spec import OPTIONAL_MODEL, BodySpec, RouteSpec, provider_answer
from hero_broker.kinds.texts import Reading, mapping, member, sequence, texts_or_ids
from hero_broker.pricing.price import Price

_INPUT = {
    "type": ["string", "array"],
    "description": "A string, an array of strings, or an array of text and image parts.",
}


class Moderation(Kind):
    """`POST /v1/moderations`."""

    name = "moderation"
    paths = {"/v1/moderations": "/moderations"}
    specs = (
        RouteSpec(
            "/v1/moderations",
            "createModeration",
            "Classify text and images as harmful or not",
            provider_answer(JSON),
            BodySpec(JSON, {**OPTIONAL_MODEL, "input": _INPUT}, ("input",)),
        ),
    )
    typical = (("1,000 tokens in", Usage(input_tokens=1000, output_tokens=0)),)
    example = {"input": "a few words"}
    default_model = "omni-moderation-latest"

    def read(self, body: JsonBody) -> Request:
        """Check `input`."""
        return Request(body.model, input_bytes(body, len(body.require("input", STRING, ARRAY))), body)

    def usage(self, reported: Mapping[str, object], reply: WireReply) -> Usage | None:
        """Return the tokens of the input."""
        return input_usage(reported)

    def reading(self, members: Mapping[str, msgspec.Raw]) -> Reading:
        """Return the texts and the images of `input`."""
        value = member(members, "input")
        texts = texts_or_ids(value)
        images = (image_of(mapping(part)) for part in sequence(value))
        return replace(texts, images=tuple(image for image in images if image is not None))

    def writes_tokens(self, price: Price | None) -> bool:
        """Return False: scores are not billed."""
        return False

    def estimate(self, call: CallSize, price: Price | None, measured: Measured) -> Usage:
        """Return the tokens of the input; none if the price is by request, or 0."""
        return Usage() if _is_flat(price) else Usage(input_tokens=measured.input_tokens, output_tokens=0)

    def usage_by_request(self, call: CallSize, price: Price | None) -> Usage | None:
        """Return no units if the price is by request, or 0."""
        return Usage() if _is_flat(price) else None


def _is_flat(price: Price | None) -> bool:
    return price is not None and price.input_per_million is None and price.per_request is not None


MODERATION = Moderation()
