"""Builds the response heads and errors that clients get; only a few of a provider's headers pass."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import cast
from urllib.parse import unquote

import msgspec

from hero_broker.core.errors import BrokerError, ProviderCredentials, ProviderError
from hero_broker.data_plane.relay import Item, ResponseHead
from hero_broker.edge.errors import OPENAI_ERRORS, ErrorShape, error_body, error_shape
from hero_broker.kinds.kind import HeaderRules, Kind

_DEFAULT_HEADERS = HeaderRules()
MAX_RESPONSE_HEADER_BYTES = 4 * 1024  # of a header's value; longer ones are dropped
FORWARDED_STATUSES = frozenset({400, 404, 409, 413, 415, 422, 429, 502, 503, 504})
OUR_STATUSES = frozenset({401, 402, 403})  # are about the key or the account, which are the operator's
MAX_MESSAGE = 1000  # characters of a provider's message
MAX_NAME = 100  # characters of the other members of its error
MAX_ERROR_BODY_BYTES = 1024 * 1024  # of an error that passes as it was sent
MAX_USEFUL = 64 * 1024  # characters of each further member
# What clients act on: Groq's text that is no valid tool call, OpenRouter's reason and provider, Azure's filter results,
# Google's status and its details, such as the delay before a retry.
_USEFUL = ("failed_generation", "metadata", "innererror", "status", "details")
_USEFUL_METADATA = ("raw", "provider_name", "reasons", "flagged_input")
_LIKE_A_KEY = re.compile(r"\b(?:sk|gsk|xai|pplx|csk|hf|r8|AIza|Bearer)[-_ ]?[A-Za-z0-9_-]{20,}")
_LIKE_A_KEY_BYTES = re.compile(_LIKE_A_KEY.pattern.encode())
# Ids of organisations, projects and workspaces, as OpenAI and Anthropic write them.
_OF_THE_ACCOUNT = re.compile(
    rb"\b(?:org|proj|wrkspc)[-_][A-Za-z0-9]{8,64}\b"
    rb"|(?<=organization )[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"
)

# Seconds, or an HTTP date.
_RETRY_AFTER = re.compile(r"\d{1,9}|[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT", re.ASCII)

# The codes by which providers refuse a key or an account, in lower case and without punctuation: OpenAI, Groq, Together
# and DashScope send `invalid_api_key`, Google `API_KEY_INVALID` or `UNAUTHENTICATED`, Anthropic `authentication_error`.
_KEY_CODES = frozenset(
    {
        "invalidapikey",
        "apikeyinvalid",
        "incorrectapikey",
        "expiredapikey",
        "apikeyexpired",
        "missingapikey",
        "invalidauthentication",
        "authenticationerror",
        "unauthenticated",
        "unauthorized",
        "billingerror",
        "accountdeactivated",
    }
)
_CODE_MEMBERS = ("code", "type", "status", "reason")
_PUNCTUATION = re.compile(r"[^a-z0-9]+")
# Whole messages of providers whose codes do not name the key: xAI, Google without `details`, Groq. Part of a message is
# no proof, because a message may quote what the client sent.
_KEY_MESSAGE = re.compile(
    r"(?:Incorrect|Invalid) API key(?: provided)?(?:: [^\s,;]{1,200})?\.?"
    r"(?: (?:You can|Get|Find|Obtain)(?: [\w:/.*-]{1,200}){1,16})?"
    r"|API key (?:not valid|not found|expired)\. Please (?:pass a valid|renew the) API key\.?",
    re.IGNORECASE | re.ASCII,
)
# How Anthropic's message about an account without credit begins; it has the type of errors of requests.
_EMPTY_ACCOUNT = "Your credit balance is too low to access the Anthropic API."
# A 403 may also be about the request, which its caller can change.
_REQUEST_CODES = re.compile(r"content|moderat|policy|safety|region|country|refusal|guardrail", re.IGNORECASE)
_OF_THE_REQUEST = re.compile(
    r"moderat|flagged|safety|country|region|territory|guardrail|\b(?:content|usage|acceptable use) polic(?:y|ies)\b",
    re.IGNORECASE,
)
_MAY_BE_OF_THE_REQUEST = re.compile(r"polic(?:y|ies)|content", re.IGNORECASE)
_NAMES_A_KEY = re.compile(r"\bkey\b|api[ _-]?key|credential", re.IGNORECASE)


def response_head(
    status: int, headers: Mapping[str, str], length: str | None = None, rules: HeaderRules = _DEFAULT_HEADERS
) -> ResponseHead:
    """Return the head of a provider's response for the client, without headers that have control characters."""
    content_type, is_events = _type_header(headers.get("content-type", "application/json"))
    client_headers = [content_type]
    for name in rules.names:
        value = headers.get(name)
        if value is not None and len(value) <= MAX_RESPONSE_HEADER_BYTES and value.isprintable():
            client_headers.append((name.encode(), value.encode("latin-1", "replace")))
    if rules.prefixes or rules.renamed:
        client_headers += _further_headers(headers, rules)
    if length is not None:
        client_headers.append((b"content-length", length.encode()))
    elif is_events:
        client_headers.append((b"x-accel-buffering", b"no"))  # otherwise nginx holds events back until a buffer is full
    return ResponseHead(status, tuple(client_headers))


def _further_headers(headers: Mapping[str, str], rules: HeaderRules) -> Iterator[tuple[bytes, bytes]]:
    """Yield the headers that have a prefix of the rules, or get another name."""
    renamed = dict(rules.renamed)
    for name, value in headers.items():
        name = name.lower()
        given = name if name.startswith(rules.prefixes) else renamed.get(name)
        if given is not None and len(value) <= MAX_RESPONSE_HEADER_BYTES and value.isprintable():
            yield given.encode("latin-1", "replace"), value.encode("latin-1", "replace")


@lru_cache(maxsize=64)
def _type_header(content_type: str) -> tuple[tuple[bytes, bytes], bool]:
    """Return the header with this type, or with that of JSON if it has control characters; and whether it is events."""
    if not content_type.isprintable():
        content_type = "application/json"
    is_events = content_type.startswith("text/event-stream")
    return (b"content-type", content_type.encode("latin-1", "replace")), is_events


def error_response(
    error: BrokerError,
    status: int | None = None,
    *more: tuple[bytes, bytes],
    may_retry: bool | None = None,
    error_type: str | None = None,
    members: Mapping[str, msgspec.Raw] | None = None,
    shape: ErrorShape = OPENAI_ERRORS,
    request_id: str = "",
) -> list[Item]:
    """Return an error as a whole response; `error_type` replaces its `type`, `members` come beside its own."""
    body = error_body(error, error_type, members) if shape is OPENAI_ERRORS else shape.body(error, request_id)
    retry = b"true" if (error.may_retry if may_retry is None else may_retry) else b"false"
    headers = (
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-should-retry", retry),
        *more,
    )
    return [ResponseHead(error.status if status is None else status, headers), body]


def provider_error_as_sent(
    status: int, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], kind: Kind, request_id: str
) -> list[Item]:
    """Return a provider's error for the client with its status and its body, without keys and ids of the account.

    An error about the broker's own key or account is replaced, and so is a body of more than `MAX_ERROR_BODY_BYTES`.
    """
    shape = error_shape(kind.wire)
    if is_about_our_key(status, body):
        return error_response(_our_key_refused(status), shape=shape, request_id=request_id)
    passed = status if 400 <= status < 600 else ProviderError.status
    if len(body) > MAX_ERROR_BODY_BYTES or not body:
        error = ProviderError(f"The provider responded with status {status}.")
        retry = status >= 429
        return error_response(error, passed, may_retry=retry, shape=shape, request_id=request_id)
    body = _scrub(body, secrets)
    return [response_head(passed, headers, str(len(body)), kind.response_headers), body]


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
    return error_response(
        error,
        status if status in FORWARDED_STATUSES else 502,
        *more,
        may_retry=status >= 429,
        error_type=redacted("type", MAX_NAME),
        members=_useful_members(members, secrets),
    )


def _useful_members(members: Mapping[str, object], secrets: Sequence[str]) -> dict[str, msgspec.Raw]:
    """Return members of a provider's error that clients act on, without the provider's keys or what looks like one."""
    useful = {}
    for name in _USEFUL:
        value = members.get(name)
        if name == "metadata" and isinstance(value, dict):
            value = {key: value[key] for key in _USEFUL_METADATA if key in value} or None
        if value is None:
            continue
        text = msgspec.json.encode(value).decode()
        for secret in secrets:
            text = text.replace(secret, "***")
        text = _LIKE_A_KEY.sub("***", text)
        if len(text) <= MAX_USEFUL:
            useful[name] = msgspec.Raw(text.encode())
    return useful


def is_about_our_key(status: int, body: bytes) -> bool:
    """Return whether an error, in a body or an event's data, is about the broker's own key or account.

    The status or a code is proof. Words are not, because a message may quote the client's request: only a whole message
    that a provider is known to send counts, and not beside `invalid_request_error`.
    """
    members = _parse_error(body)
    if status < 300 and members.get("code") in OUR_STATUSES:  # of an error inside a success, as OpenRouter sends it
        return _is_key_status(cast("int", members["code"]), members)
    if status in OUR_STATUSES:
        return _is_key_status(status, members)
    if any(_PUNCTUATION.sub("", code.lower()) in _KEY_CODES for code in _codes(members)):
        return True
    message = members.get("message")
    if isinstance(message, str) and message.startswith(_EMPTY_ACCOUNT):
        return True
    if not isinstance(message, str) or members.get("type") == "invalid_request_error":
        return False
    return _KEY_MESSAGE.fullmatch(unquote(message[:MAX_MESSAGE])) is not None  # xAI sends spaces as %20


def _is_key_status(status: int, members: Mapping[str, object]) -> bool:
    """Return whether a status of `OUR_STATUSES` is about the key; a 403 may be about the request."""
    if status != 403:
        return True
    codes = list(_codes(members))
    if any(_PUNCTUATION.sub("", code.lower()) in _KEY_CODES for code in codes):
        return True
    metadata = members.get("metadata")
    if isinstance(metadata, dict) and ("flagged_input" in metadata or "reasons" in metadata):  # OpenRouter's moderation
        return False
    text = " ".join(value for value in members.values() if isinstance(value, str))
    if any(_REQUEST_CODES.search(code) for code in codes) or _OF_THE_REQUEST.search(text) is not None:
        return False
    return _MAY_BE_OF_THE_REQUEST.search(text) is None or _NAMES_A_KEY.search(text) is not None


def _codes(members: Mapping[str, object]) -> Iterator[str]:
    """Yield the codes of an error, and Google's in `details`."""
    details = members.get("details")
    inside = (item for item in details if isinstance(item, dict)) if isinstance(details, list) else ()
    for part in (members, *inside):
        yield from (code for name in _CODE_MEMBERS if isinstance(code := part.get(name), str))


def client_error_event(event: bytes, data: bytes, secrets: Sequence[str], kind: Kind, request_id: str) -> bytes:
    """Return an error event of a provider for the client of a call; see `provider_error_response`."""
    if is_about_our_key(200, data):
        return error_shape(kind.wire).event(_our_key_refused(200), request_id, data, replaces=True)
    return _scrub(event, secrets) if kind.errors_as_sent else redact_keys(event, secrets)


def _scrub(text: bytes, secrets: Sequence[str]) -> bytes:
    """Return a body or an event without a provider's keys, what looks like one, and ids of the operator's account."""
    return _OF_THE_ACCOUNT.sub(b"***", _LIKE_A_KEY_BYTES.sub(b"***", redact_keys(text, secrets)))


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
    if isinstance(document, dict) and "error" not in document and isinstance(inner := document.get("response"), dict):
        document = inner  # of an event of OpenAI's Responses
    error = document.get("error", document) if isinstance(document, dict) else None
    if isinstance(error, str):  # xAI's code is beside it
        beside = document.get("code") if isinstance(document, dict) else None
        return {"message": error, "code": beside}
    return error if isinstance(error, dict) else {}
