"""Errors in OpenAI's shape: the one encoder of all routes, and of connections that have no route yet."""

from collections.abc import Mapping

import msgspec
from starlette.types import Send

from hero_broker.core.errors import BrokerError


def error_body(
    error: BrokerError, error_type: str | None = None, more: Mapping[str, msgspec.Raw] | None = None
) -> bytes:
    """Return an error as JSON; `error_type` stands for its `type`, and `more` are members beside OpenAI's."""
    members = {"message": error.message, "type": error_type or error.type, "param": error.param, "code": error.code}
    return msgspec.json.encode({"error": {**members, **(more or {})}})


def error_headers(error: BrokerError, body: bytes) -> list[tuple[bytes, bytes]]:
    """Return the headers of an error whose body is `body`."""
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers.append((b"x-should-retry", b"true" if error.may_retry else b"false"))
    headers.extend(error.headers)
    if error.retry_after_s is not None:
        headers.append((b"retry-after", str(error.retry_after_s).encode()))
    return headers


def encode_error(error: BrokerError) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Return the status, the headers and the body of an error."""
    body = error_body(error)
    return error.status, error_headers(error, body), body


async def send_error(error: BrokerError, send: Send) -> None:
    """Send an error as a whole response."""
    status, headers, body = encode_error(error)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
