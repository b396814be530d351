"""Fake embeddings: unit vectors that depend only on the text."""

import base64
import hashlib
import math
import struct
from typing import Annotated, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from hero_broker.core.errors import InvalidRequest
from hero_broker.providers.fake.fake_kind import TEXT_PRICE, FakeKind
from hero_broker.providers.fake.wire import json_response, read_body

_DIMENSIONS = 8
_MAX_DIMENSIONS = 4096


class _EmbeddingBody(msgspec.Struct):
    model: str
    input: str | Annotated[list[str | int | list[int]], msgspec.Meta(min_length=1)]
    dimensions: Annotated[int, msgspec.Meta(ge=1, le=_MAX_DIMENSIONS)] | None = None
    encoding_format: Literal["float", "base64"] | None = None


async def answer_embedding(request: Request) -> Response:
    """Answer `POST /v1/embeddings`; usage is the words of all strings, and one token for each token id."""
    body = await read_body(request, _EmbeddingBody)
    texts = _texts(body.input)
    tokens = sum(len(text.split() if isinstance(text, str) else text) for text in texts)
    packed = [_vector(text, body.dimensions or _DIMENSIONS) for text in texts]
    vectors: list[object]
    if body.encoding_format == "base64":
        vectors = [base64.b64encode(vector).decode() for vector in packed]
    else:
        vectors = [struct.unpack(f"<{len(vector) // 4}f", vector) for vector in packed]
    return json_response(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)
            ],
            "model": body.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )


def _texts(value: str | list[str | int | list[int]]) -> list[str | list[int]]:
    """Return the inputs, one for each vector; an array of token ids is one input."""
    if isinstance(value, str):
        return [value]
    ids = [item for item in value if isinstance(item, int)]
    if len(ids) == len(value):
        return [ids]
    if ids:
        raise InvalidRequest("'input' must not mix token ids and strings.", param="input")
    return [item for item in value if not isinstance(item, int)]


def _vector(text: str | list[int], dimensions: int) -> bytes:
    """Return a vector of length 1 as little-endian float32."""
    digest = hashlib.shake_256(msgspec.json.encode(text)).digest(4 * dimensions)
    values = [number + 0.5 for number in struct.unpack(f"<{dimensions}i", digest)]  # the half avoids a vector of zeros
    norm = math.hypot(*values)
    return struct.pack(f"<{dimensions}f", *(value / norm for value in values))


FAKE = FakeKind("embedding", "fake-embedding", TEXT_PRICE, answer_embedding)
