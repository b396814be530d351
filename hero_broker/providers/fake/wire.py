"""Reads request bodies and writes responses, events and errors for all routes of the fake provider."""

import hashlib
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from hero_broker.core.errors import InvalidRequest

ANTHROPIC_ROOT = "/v1/messages"
DONE = b"data: [DONE]\n\n"

# msgspec's messages name a faulty member by its path, or by the name of the missing field.
_FAULTY_MEMBER = re.compile(r"at `\$\.(\w+)|required field `(\w+)`$")

_Shape = TypeVar("_Shape")


async def read_body(request: Request, shape: type[_Shape]) -> _Shape:
    """Parse a JSON body.

    Raises:
        InvalidRequest: the body is not JSON of that shape.
    """
    try:
        return msgspec.json.decode(await request.body(), type=shape)
    except msgspec.ValidationError as error:
        member = _FAULTY_MEMBER.search(str(error))
        raise InvalidRequest(str(error), param=member and (member[1] or member[2])) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest("The body must be JSON in UTF-8.") from error


async def response_id(request: Request, prefix: str) -> str:
    """Return an id of the response: a hash of the request's body."""
    return prefix + hashlib.blake2b(await request.body(), digest_size=12).hexdigest()


def token_usage(prompt: int, completion: int) -> dict[str, int]:
    """Return the `usage` of a text response."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def json_response(body: object) -> Response:
    """Return `body` as a JSON response."""
    return Response(msgspec.json.encode(body), media_type="application/json")


def named_event_stream(events: Iterable[Mapping[str, object]]) -> Response:
    """Return an event stream whose events have their `type` as their name, as Anthropic sends them."""

    async def chunks() -> AsyncIterator[bytes]:
        for event in events:
            yield b"event: %s\ndata: %s\n\n" % (str(event["type"]).encode(), msgspec.json.encode(event))

    return StreamingResponse(chunks(), media_type="text/event-stream")


def event_stream(events: Iterable[object], end: bytes = b"") -> Response:
    """Return an event stream that sends each event separately; `end` follows the last one."""

    async def chunks() -> AsyncIterator[bytes]:
        for event in events:
            yield b"data: " + msgspec.json.encode(event) + b"\n\n"
        if end:
            yield end

    return StreamingResponse(chunks(), media_type="text/event-stream")


async def error_response(request: Request, error: Exception) -> Response:
    """Return an error for an `InvalidRequest` or Starlette's `HTTPException`, in the shape of the path's wire."""
    status, message = InvalidRequest.status, str(error)
    if isinstance(error, HTTPException):
        status, message = error.status_code, error.detail
    param, code = (error.param, error.code) if isinstance(error, InvalidRequest) else (None, None)
    body: dict[str, object] = {"error": {"message": message, "type": InvalidRequest.type, "param": param, "code": code}}
    if request.url.path.startswith(ANTHROPIC_ROOT):
        body = {"type": "error", "error": {"type": InvalidRequest.type, "message": message}}
    return Response(msgspec.json.encode(body), status, media_type="application/json")
