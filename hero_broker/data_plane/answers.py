"""Heads and errors as clients get them. Of a provider's headers, few pass."""

import re
from collections.abc import Mapping, Sequence

import msgspec

from hero_broker.core.errors import BrokerError, ProviderError
from hero_broker.data_plane.relay import Head, Item

PASSED_HEADERS = ("content-disposition", "openai-processing-ms", "openai-version")
MAX_HEADER = 1024  # characters of the value of one of them; a longer one is not passed on
PASSED_STATUSES = frozenset({400, 404, 409, 413, 415, 422, 429, 502, 503, 504})
MAX_MESSAGE = 1000  # characters of a provider's message
MAX_NAME = 100  # characters of its other members

# Seconds, or a date as HTTP spells it.
_RETRY_AFTER = re.compile(r"\d{1,9}|[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT", re.ASCII)


def head_of(status: int, headers: Mapping[str, str], length: str | None = None) -> Head:
    """Return the start of an answer that passes on; a header with control characters does not."""
    kind = headers.get("content-type", "application/json")
    if not kind.isprintable():
        kind = "application/json"
    passed = [(b"content-type", kind.encode("latin-1", "replace"))]
    passed.extend(
        (name.encode(), value.encode("latin-1", "replace"))
        for name in PASSED_HEADERS
        if name in headers and len(value := headers[name]) <= MAX_HEADER and value.isprintable()
    )
    if length is not None:
        passed.append((b"content-length", length.encode()))
    return Head(status, tuple(passed))


def error_answer(
    error: BrokerError,
    status: int | None = None,
    *more: tuple[bytes, bytes],
    may_retry: bool | None = None,
    kind: str | None = None,
) -> list[Item]:
    """Return an error as a whole answer; `kind` stands for its `type`."""
    body = _error_body(error, kind)
    retry = b"true" if (error.may_retry if may_retry is None else may_retry) else b"false"
    headers = (
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-should-retry", retry),
        *more,
    )
    return [Head(error.status if status is None else status, headers), body]


def error_event(error: BrokerError) -> bytes:
    """Return an error as the last event of a stream."""
    return b"data: " + _error_body(error) + b"\n\n"


def refusal(status: int, headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> list[Item]:
    """Return what a client is told of a provider's error: its status where it is harmless, its words without keys."""
    told = _error_in(body)

    def words(name: str, longest: int) -> str | None:
        value = told.get(name)
        if not isinstance(value, str) or not value:
            return None
        for secret in secrets:
            value = value.replace(secret, "***")
        return value[:longest]

    message = words("message", MAX_MESSAGE) or words("detail", MAX_MESSAGE)
    error = ProviderError(
        message or f"The provider answered with status {status}.",
        param=words("param", MAX_NAME),
        code=words("code", MAX_NAME) or f"provider_{status}",
    )
    more: list[tuple[bytes, bytes]] = []
    retry_after = headers.get("retry-after", "")
    if status in (429, 503) and _RETRY_AFTER.fullmatch(retry_after):
        more.append((b"retry-after", retry_after.encode()))
    passed = status if status in PASSED_STATUSES else 502
    return error_answer(error, passed, *more, may_retry=status >= 429, kind=words("type", MAX_NAME))


def without_keys(event: bytes, secrets: Sequence[str]) -> bytes:
    """Return an event, or an answer, in which a provider's keys do not stand."""
    for secret in secrets:
        event = event.replace(secret.encode(), b"***")
    return event


def _error_in(body: bytes) -> dict[str, object]:
    """Return the members of an error in OpenAI's shape, or in the flatter ones of others."""
    try:
        told: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return {}
    error = told.get("error", told) if isinstance(told, dict) else None
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else {}


def _error_body(error: BrokerError, kind: str | None = None) -> bytes:
    told = {"message": error.message, "type": kind or error.type, "param": error.param, "code": error.code}
    return msgspec.json.encode({"error": told})
