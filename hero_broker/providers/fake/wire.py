"""What all routes of the fake provider share: bodies are read here, answers, events and refusals written."""

import hashlib
import re
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from hero_broker.core.errors import InvalidRequest

DONE = b"data: [DONE]\n\n"

# How msgspec says where a fault is: by a path, or by the name of what is missing.
_FAULTY_MEMBER = re.compile(r"at `\$\.(\w+)|required field `(\w+)`$")

_Shape = TypeVar("_Shape")


async def read_body(request: Request, shape: type[_Shape]) -> _Shape:
    """Read a JSON body.

    Raises:
        InvalidRequest: it does not have that shape.
    """
    try:
        return msgspec.json.decode(await request.body(), type=shape)
    except msgspec.ValidationError as error:
        found = _FAULTY_MEMBER.search(str(error))
        raise InvalidRequest(str(error), param=found and (found[1] or found[2])) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest("The body must be JSON in UTF-8.") from error


async def response_id(request: Request, prefix: str) -> str:
    """Return an id for the answer: the same for the same body, another for another."""
    return prefix + hashlib.blake2b(await request.body(), digest_size=12).hexdigest()


def token_usage(prompt: int, completion: int) -> dict[str, int]:
    """Return the `usage` of a text answer."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def json_answer(body: object) -> Response:
    """Return `body` as the whole answer."""
    return Response(msgspec.json.encode(body), media_type="application/json")


def event_stream(events: Iterable[object], end: bytes = b"") -> Response:
    """Return a stream of server-sent events, each sent on its own; `end` comes after the last."""

    async def chunks() -> AsyncIterator[bytes]:
        for event in events:
            yield b"data: " + msgspec.json.encode(event) + b"\n\n"
        if end:
            yield end

    return StreamingResponse(chunks(), media_type="text/event-stream")


async def refusal(_: Request, error: Exception) -> Response:
    """Return OpenAI's error body for an `InvalidRequest`, and for what is not served at all."""
    status, message = InvalidRequest.status, str(error)
    if isinstance(error, HTTPException):
        status, message = error.status_code, error.detail
    param = error.param if isinstance(error, InvalidRequest) else None
    body = {"error": {"message": message, "type": InvalidRequest.type, "param": param, "code": None}}
    return Response(msgspec.json.encode(body), status, media_type="application/json")
