"""The broker's own errors, in the shape of each wire: the one encoder of all routes, and of connections without one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
from starlette.types import Send

from hero_broker.core.errors import BrokerError

# Anthropic's types of errors by status. Source: https://platform.claude.com/docs/en/api/errors
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def error_body(
    error: BrokerError, error_type: str | None = None, more: Mapping[str, msgspec.Raw] | None = None
) -> bytes:
    """Return an error in OpenAI's shape; `error_type` stands for its `type`, `more` are members beside OpenAI's."""
    members = {"message": error.message, "type": error_type or error.type, "param": error.param, "code": error.code}
    return msgspec.json.encode({"error": {**members, **(more or {})}})


def _anthropic_body(error: BrokerError, request_id: str) -> bytes:
    """Return an error in Anthropic's shape; its type follows from the status."""
    default = "api_error" if error.status >= 500 else "invalid_request_error"
    members = {"type": _ANTHROPIC_TYPES.get(error.status, default), "message": error.message}
    return msgspec.json.encode({"type": "error", "error": members, "request_id": request_id})


class _Numbered(msgspec.Struct):
    """An event of OpenAI's Responses."""

    sequence_number: int = -1


def _numbered_event(error: BrokerError, latest: bytes, *, replaces: bool) -> bytes:
    """Return the data of an error event of OpenAI's Responses: some clients read the flat members, some the nested.

    It has the number after that of the latest event, or the same if it replaces that one.
    """
    try:
        number = msgspec.json.decode(latest, type=_Numbered).sequence_number
    except (msgspec.DecodeError, RecursionError):
        number = -1
    members = {"code": error.code, "message": error.message, "param": error.param}
    number = max(number, 0) if replaces else number + 1
    inner = {"type": error.type, **members}
    return msgspec.json.encode({"type": "error", **members, "error": inner, "sequence_number": number})


@dataclass(frozen=True, slots=True)
class ErrorShape:
    """How the broker's own errors look on a wire."""

    id_headers: tuple[bytes, ...]  # of every response; they have the broker's id of the request
    body: Callable[[BrokerError, str], bytes]  # returns an error as JSON; takes it and the id of the request
    event_line: bytes = b""  # before the data of an error event
    has_numbered_events: bool = False  # they have a shape of their own, see `_numbered_event`

    def event(self, error: BrokerError, request_id: str, latest: bytes = b"", *, replaces: bool = False) -> bytes:
        """Return an error as the last event of a stream; `latest` is the data of the event before it.

        With `replaces` it is that of the event in whose place the error comes.
        """
        if self.has_numbered_events:
            data = _numbered_event(error, latest, replaces=replaces)
        else:
            data = self.body(error, request_id)
        return b"%sdata: %s\n\n" % (self.event_line, data)


def _openai_body(error: BrokerError, _request_id: str) -> bytes:
    return error_body(error)


OPENAI_ERRORS = ErrorShape((b"x-request-id",), _openai_body)
_BY_WIRE = {
    "anthropic": ErrorShape((*OPENAI_ERRORS.id_headers, b"request-id"), _anthropic_body, b"event: error\n"),
    "responses": ErrorShape(OPENAI_ERRORS.id_headers, _openai_body, b"event: error\n", has_numbered_events=True),
}


def error_shape(wire: str) -> ErrorShape:
    """Return the shape of errors on a wire; most have OpenAI's."""
    return _BY_WIRE.get(wire, OPENAI_ERRORS)


class ErrorShapes:
    """The shapes of errors by path: those of a wire hold for its paths, and for all paths below them."""

    def __init__(self, wires: Mapping[str, str]) -> None:
        """Take the wires of paths; other paths have OpenAI's errors."""
        self._shapes = {path: shape for path, wire in wires.items() if (shape := error_shape(wire)) != OPENAI_ERRORS}
        self.roots = tuple(self._shapes)  # paths that begin with none of these have OpenAI's errors

    def of(self, path: str) -> ErrorShape:
        """Return the shape of errors of requests on a path."""
        return next(
            (shape for root, shape in self._shapes.items() if path == root or path.startswith(root + "/")),
            OPENAI_ERRORS,
        )


def error_headers(error: BrokerError, body: bytes) -> list[tuple[bytes, bytes]]:
    """Return the headers of an error whose body is `body`."""
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers.append((b"x-should-retry", b"true" if error.may_retry else b"false"))
    headers.extend(error.headers)
    # Codex obeys the header whatever the status: it would wait for the end of the month, and not say why.
    if error.retry_after_s is not None and error.may_retry:
        headers.append((b"retry-after", str(error.retry_after_s).encode()))
    return headers


def encode_error(
    error: BrokerError, shape: ErrorShape = OPENAI_ERRORS, request_id: str = ""
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Return the status, the headers and the body of an error."""
    body = shape.body(error, request_id)
    return error.status, error_headers(error, body), body


async def send_error(error: BrokerError, send: Send, shape: ErrorShape = OPENAI_ERRORS, request_id: str = "") -> None:
    """Send an error as a whole response."""
    status, headers, body = encode_error(error, shape, request_id)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
