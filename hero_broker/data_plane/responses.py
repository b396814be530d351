"""Heads and errors as clients get them. Of a provider's headers, few pass."""

import re
from collections.abc import Mapping, Sequence

import msgspec

from hero_broker.core.errors import BrokerError, ProviderCredentials, ProviderError
from hero_broker.data_plane.relay import Item, ResponseHead
from hero_broker.edge.errors import error_body

RESPONSE_HEADERS = ("content-disposition", "openai-processing-ms", "openai-version")
MAX_RESPONSE_HEADER_BYTES = 1024  # characters of the value of one of them; a longer one is not passed on
PASSED_STATUSES = frozenset({400, 404, 409, 413, 415, 422, 429, 502, 503, 504})
OUR_STATUSES = frozenset({401, 402, 403})  # speak of the key or the account, which are the operator's
MAX_MESSAGE = 1000  # characters of a provider's message
MAX_NAME = 100  # characters of its other members

# Seconds, or a date as HTTP spells it.
_RETRY_AFTER = re.compile(r"\d{1,9}|[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT", re.ASCII)


# How providers say that a key is wrong, some of them with status 400 or 200.
_KEY_CODES = frozenset({"invalid_api_key", "api_key_invalid", "authentication_error", "unauthenticated"})
_KEY_IS_WRONG = re.compile(
    r"\b(?:incorrect|invalid|expired|wrong|missing|revoked) api[ -]key\b"
    r"|\bapi[ -]key (?:provided )?(?:is |was |has )?"
    r"(?:not valid|not found|invalid|incorrect|expired|missing|revoked)\b",
    re.IGNORECASE,
)
# What a 403 may be about besides the key: the request, which its caller can change.
_OF_THE_REQUEST = re.compile(r"moderat|flagged|polic(?:y|ies)|safety|content|country|region|territory", re.IGNORECASE)
_NAMES_A_KEY = re.compile(r"\bkey\b|api[ _-]?key|credential|token|auth", re.IGNORECASE)


def response_head(status: int, headers: Mapping[str, str], length: str | None = None) -> ResponseHead:
    """Return the start of an answer that passes on; a header with control characters does not."""
    kind = headers.get("content-type", "application/json")
    if not kind.isprintable():
        kind = "application/json"
    passed = [(b"content-type", kind.encode("latin-1", "replace"))]
    passed.extend(
        (name.encode(), value.encode("latin-1", "replace"))
        for name in RESPONSE_HEADERS
        if name in headers and len(value := headers[name]) <= MAX_RESPONSE_HEADER_BYTES and value.isprintable()
    )
    if length is not None:
        passed.append((b"content-length", length.encode()))
    elif kind.startswith("text/event-stream"):
        passed.append((b"x-accel-buffering", b"no"))  # nginx would hold events back until a buffer is full
    return ResponseHead(status, tuple(passed))


def error_response(
    error: BrokerError,
    status: int | None = None,
    *more: tuple[bytes, bytes],
    may_retry: bool | None = None,
    kind: str | None = None,
) -> list[Item]:
    """Return an error as a whole answer; `kind` stands for its `type`."""
    body = error_body(error, kind)
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
    """Return what a client is told of a provider's error: its status where it is harmless, its words without keys.

    What a provider says of the broker's key or account is not passed on: it is meant for whoever has that key, and
    the client would take it for its own.
    """
    if is_about_our_key(status, body):
        return error_response(_our_key_refused(status))
    told = _parse_error(body)

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
    return error_response(error, passed, *more, may_retry=status >= 429, kind=words("type", MAX_NAME))


def is_about_our_key(status: int, body: bytes) -> bool:
    """Return whether an error, an answer or the data of an event, speaks of the key or account that the broker used."""
    told = _parse_error(body)
    text = " ".join(value for value in told.values() if isinstance(value, str))
    if status == 403:
        return _OF_THE_REQUEST.search(text) is None or _NAMES_A_KEY.search(text) is not None
    if status in OUR_STATUSES or _KEY_IS_WRONG.search(text) is not None:
        return True
    return any(isinstance(code := told.get(name), str) and code.lower() in _KEY_CODES for name in ("code", "type"))


def error_passed_on(event: bytes, data: bytes, secrets: Sequence[str]) -> bytes:
    """Return an event whose `data` says `error`, as a client gets it; see `refusal`."""
    return error_event(_our_key_refused(200)) if is_about_our_key(200, data) else redact_keys(event, secrets)


def redact_keys(event: bytes, secrets: Sequence[str]) -> bytes:
    """Return an event, or an answer, in which a provider's keys do not stand."""
    for secret in secrets:
        event = event.replace(secret.encode(), b"***")
    return event


def _our_key_refused(status: int) -> ProviderCredentials:
    said = "" if status < 300 else f" (status {status})"
    return ProviderCredentials(
        f"The provider refused the broker's own key or account{said}. "
        "Your request and your key have no part in it; the broker's operator has to mend it."
    )


def _parse_error(body: bytes) -> dict[str, object]:
    """Return the members of an error in OpenAI's shape, or in the flatter ones of others."""
    try:
        told: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return {}
    if isinstance(told, list) and told:  # Google's
        told = told[0]
    error = told.get("error", told) if isinstance(told, dict) else None
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else {}
