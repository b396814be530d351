"""Fake reranking: a document is more relevant the more words it shares with the query."""

import hashlib
import re
import uuid
from decimal import Decimal
from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from hero_broker.pricing.price import Price
from hero_broker.providers.fake.fake_kind import SOURCE, FakeKind
from hero_broker.providers.fake.wire import json_response, read_body

_DOCUMENTS_PER_UNIT = 100
_WORD = re.compile(r"\w+")


class _Document(msgspec.Struct):
    text: str


class _RerankBody(msgspec.Struct):
    model: str
    query: str
    documents: Annotated[list[str | _Document], msgspec.Meta(min_length=1)]
    top_n: Annotated[int, msgspec.Meta(ge=1)] | None = None
    return_documents: bool | None = None


async def answer_rerank(request: Request) -> Response:
    """Answer `POST /v1/rerank` and `/v2/rerank`; usage is one search unit per started 100 documents, and no tokens."""
    body = await read_body(request, _RerankBody)
    texts = [document if isinstance(document, str) else document.text for document in body.documents]
    scores = [_overlap(body.query, text) for text in texts]
    ranked = sorted(range(len(texts)), key=lambda index: (-scores[index], index))
    results: list[dict[str, object]] = []
    for index in ranked[: body.top_n]:
        document = {"document": {"text": texts[index]}} if body.return_documents else {}
        results.append({"index": index, "relevance_score": scores[index], **document})
    version = request.url.path.split("/")[1].removeprefix("v")
    units = -(-len(texts) // _DOCUMENTS_PER_UNIT)
    return json_response(
        {
            "id": str(uuid.UUID(bytes=hashlib.blake2b(await request.body(), digest_size=16).digest())),
            "model": body.model,
            "results": results,
            "meta": {"api_version": {"version": version}, "billed_units": {"search_units": units}},
        }
    )


def _overlap(query: str, text: str) -> float:
    """Return the share of common words among all words of both, from 0 to 1."""
    query_words, text_words = (set(_WORD.findall(side.lower())) for side in (query, text))
    return len(query_words & text_words) / (len(query_words | text_words) or 1)


FAKE = FakeKind("rerank", "fake-rerank", Price(per_thousand_searches=Decimal(2), source=SOURCE), answer_rerank)
