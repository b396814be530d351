"""Builds the response heads and errors that clients get; only a few of a provider's headers pass."""

import re
from collections.abc import Mapping, Sequence

import msgspec

from hero_broker.core.errors import BrokerError, ProviderCredentials, ProviderError
from hero_broker.data_plane.relay import Item, ResponseHead
from hero_broker.edge.errors import error_body

RESPONSE_HEADERS = ("content-disposition", "openai-processing-ms", "openai-version")
MAX_RESPONSE_HEADER_BYTES = 1024  # of a header's value; longer ones are dropped
FORWARDED_STATUSES = frozenset({400, 404, 409, 413, 415, 422, 429, 502, 503, 504})
OUR_STATUSES = frozenset({401, 402, 403})  # are about the key or the account, which are the operator's
MAX_MESSAGE = 1000  # characters of a provider's message
MAX_NAME = 100  # characters of the other members of its error

# Seconds, or an HTTP date.
_RETRY_AFTER = re.compile(r"\d{1,9}|[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT", re.ASCII)

# How providers say that a key is wrong; some do so with status 400 or 200.
_KEY_CODES = frozenset({"invalid_api_key", "api_key_invalid", "authentication_error", "unauthenticated"})
_KEY_IS_WRONG = re.compile(
    r"\b(?:incorrect|invalid|expired|wrong|missing|revoked) api[ -]key\b"
    r"|\bapi[ -]key (?:provided )?(?:is |was |has )?"
    r"(?:not valid|not found|invalid|incorrect|expired|missing|revoked)\b",
    re.IGNORECASE,
)
# A 403 may also be about the request, which its caller can change.
_OF_THE_REQUEST = re.compile(r"moderat|flagged|polic(?:y|ies)|safety|content|country|region|territory", re.IGNORECASE)
_NAMES_A_KEY = re.compile(r"\bkey\b|api[ _-]?key|credential|token|auth", re.IGNORECASE)


def response_head(status: int, headers: Mapping[str, str], length: str | None = None) -> ResponseHead:
    """Return the head of a provider's response for the client, without headers that have control characters."""
    content_type = headers.get("content-type", "application/json")
    if not content_type.isprintable():
        content_type = "application/json"
    client_headers = [(b"content-type", content_type.encode("latin-1", "replace"))]
    client_headers.extend(
        (name.encode(), value.encode("latin-1", "replace"))
        for name in RESPONSE_HEADERS
        if name in headers and len(value := headers[name]) <= MAX_RESPONSE_HEADER_BYTES and value.isprintable()
    )
    if length is not None:
        client_headers.append((b"content-length", length.encode()))
    elif content_type.startswith("text/event-stream"):
        client_headers.append((b"x-accel-buffering", b"no"))  # otherwise nginx holds events back until a buffer is full
    return ResponseHead(status, tuple(client_headers))


def error_response(
    error: BrokerError,
    status: int | None = None,
    *more: tuple[bytes, bytes],
    may_retry: bool | None = None,
    error_type: str | None = None,
) -> list[Item]:
    """Return an error as a whole response; `error_type` replaces the error's own `type`."""
    body = error_body(error, error_type)
    retry = b"true" if (error.may_retry if may_retry is None else may_retry) else b"false"
    headers = (
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-should-retry", retry),
        *more,
    )
    return [ResponseHead(error.status if status is None else status, headers), body]


def error_event(error: BrokerError) -> bytes:
    """Return an error as the last event of a stream."""
    return b"data: " + error_body(error) + b"\n\n"


def provider_error_response(status: int, headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> list[Item]:
    """Return a provider's error for the client: its status if harmless, its texts with the keys redacted.

    An error about the broker's own key or account is replaced: it is meant for the operator, and the client would think
    that it is about its own key.
    """
    if is_about_our_key(status, body):
        return error_response(_our_key_refused(status))
    members = _parse_error(body)

    def redacted(name: str, max_length: int) -> str | None:
        value = members.get(name)
        if not isinstance(value, str) or not value:
            return None
        for secret in secrets:
            value = value.replace(secret, "***")
        return value[:max_length]

    message = redacted("message", MAX_MESSAGE) or redacted("detail", MAX_MESSAGE)
    error = ProviderError(
        message or f"The provider responded with status {status}.",
        param=redacted("param", MAX_NAME),
        code=redacted("code", MAX_NAME) or f"provider_{status}",
    )
    more: list[tuple[bytes, bytes]] = []
    retry_after = headers.get("retry-after", "")
    if status in (429, 503) and _RETRY_AFTER.fullmatch(retry_after):
        more.append((b"retry-after", retry_after.encode()))
    client_status = status if status in FORWARDED_STATUSES else 502
    return error_response(error, client_status, *more, may_retry=status >= 429, error_type=redacted("type", MAX_NAME))


def is_about_our_key(status: int, body: bytes) -> bool:
    """Return whether an error, in a body or an event's data, is about the broker's own key or account."""
    members = _parse_error(body)
    text = " ".join(value for value in members.values() if isinstance(value, str))
    if status == 403:
        return _OF_THE_REQUEST.search(text) is None or _NAMES_A_KEY.search(text) is not None
    if status in OUR_STATUSES or _KEY_IS_WRONG.search(text) is not None:
        return True
    return any(isinstance(code := members.get(name), str) and code.lower() in _KEY_CODES for name in ("code", "type"))


def client_error_event(event: bytes, data: bytes, secrets: Sequence[str]) -> bytes:
    """Return an error event of a provider for the client; see `provider_error_response`."""
    return error_event(_our_key_refused(200)) if is_about_our_key(200, data) else redact_keys(event, secrets)


def redact_keys(event: bytes, secrets: Sequence[str]) -> bytes:
    """Return an event, or a body, with a provider's keys redacted."""
    for secret in secrets:
        event = event.replace(secret.encode(), b"***")
    return event


def _our_key_refused(status: int) -> ProviderCredentials:
    suffix = "" if status < 300 else f" (status {status})"
    return ProviderCredentials(
        f"The provider refused the broker's own key or account{suffix}. "
        "Your request and your key are not the cause; the broker's operator must fix this."
    )


def _parse_error(body: bytes) -> dict[str, object]:
    """Return the members of an error, in OpenAI's shape or in a flatter one; empty if there is no error."""
    try:
        document: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return {}
    if isinstance(document, list) and document:  # Google's
        document = document[0]
    error = document.get("error", document) if isinstance(document, dict) else None
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else {}
