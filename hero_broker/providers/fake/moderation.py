"""Fake moderation: a text is flagged if it has the word "harm"."""

from decimal import Decimal
from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from hero_broker.pricing.price import Price
from hero_broker.providers.fake.fake_kind import SOURCE, FakeKind
from hero_broker.providers.fake.wire import json_response, read_body, response_id

_CATEGORIES = ("harassment", "hate", "self-harm", "sexual", "violence")
_FLAGGED_WORD, _FLAGGED_CATEGORY = "harm", "violence"


class _ImageUrl(msgspec.Struct):
    url: str


class _Part(msgspec.Struct):
    type: str
    text: str = ""
    image_url: _ImageUrl | None = None


class _ModerationBody(msgspec.Struct):
    model: str
    input: str | Annotated[list[str | _Part], msgspec.Meta(min_length=1)]


async def answer_moderation(request: Request) -> Response:
    """Answer `POST /v1/moderations`, with a result for each string, and one for all parts; no usage is reported."""
    body = await read_body(request, _ModerationBody)
    items = [body.input] if isinstance(body.input, str) else body.input
    strings = [item for item in items if isinstance(item, str)]
    texts = strings or [" ".join(item.text for item in items if isinstance(item, _Part))]
    results = [_result(text) for text in texts]
    return json_response({"id": await response_id(request, "modr-"), "model": body.model, "results": results})


def _result(text: str) -> dict[str, object]:
    is_flagged = _FLAGGED_WORD in text.lower().split()
    categories = {name: is_flagged and name == _FLAGGED_CATEGORY for name in _CATEGORIES}
    return {
        "flagged": is_flagged,
        "categories": categories,
        "category_scores": {name: float(value) for name, value in categories.items()},
    }


FAKE = FakeKind("moderation", "fake-moderation", Price(per_request=Decimal(0), source=SOURCE), answer_moderation)
