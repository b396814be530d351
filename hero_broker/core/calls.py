"""One client request to a model, the requests to providers that serve it, and how it can end."""

from collections.abc import AsyncIterator, Callable
from enum import Enum, StrEnum
from typing import Protocol

import msgspec

from hero_broker.core.errors import BrokerError


class Outcome(StrEnum):
    """How a call ended: the column `outcome`."""

    OK = "ok"
    PROVIDER_ERROR = "provider_error"
    CLIENT_DISCONNECTED = "client_disconnected"
    INTERRUPTED = "interrupted"
    INTERNAL_ERROR = "internal_error"


class Verdict(Enum):
    """What an attempt shows of its provider's health."""

    UNKNOWN = "unknown"  # nothing: the client or the broker ended it
    ANSWERED = "answered"  # a whole response; its status may still be a failure
    FAILED = "failed"
    KEY_REFUSED = "key refused"  # the provider rejected the operator's key or account


# The outcomes that `failed_requests` counts.
FAILED_OUTCOMES = (Outcome.PROVIDER_ERROR, Outcome.INTERRUPTED, Outcome.INTERNAL_ERROR)

# Providers' names for the ordinary service. It has no prices of its own, as unknown tiers have none.
ORDINARY_TIERS = frozenset({"auto", "default", "standard"})


class Caller(msgspec.Struct, frozen=True, array_like=True):
    """Who is billed for a call."""

    ip: str  # canonical text, or "unknown" for a Unix socket
    peer_ip: str | None  # the connection's address, if it differs from `ip`
    context: str | None = None  # the caller's own claim, from X-Hero-Context; at most 128 characters


class ResponseStorage(msgspec.Struct, frozen=True):
    """What a call leaves at its provider, and what it continues. One object: most calls have none, and are as fast."""

    stores: bool = False  # the provider keeps the response, unless it says otherwise
    previous: str | None = None  # the id of a stored response that the call continues
    context_tokens: int = 0  # of what the provider adds to the input from `previous`


class UploadBody(Protocol):
    """A request body that is too large for memory and may still be arriving."""

    @property
    def content_type(self) -> str:
        """The `Content-Type` to send to the provider."""
        ...

    @property
    def length(self) -> int | None:
        """Bytes that will be sent; None while the length is unknown."""
        ...

    @property
    def failure(self) -> BrokerError | None:
        """Why the body can never be complete; None while it still can."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes for the provider as they arrive. Raises `failure`."""
        ...

    def audio_ms(self, is_over: Callable[[], bool]) -> int:
        """Return the duration of its audio in milliseconds, estimated from its size if the format is unknown.

        Blocks; not for the event loop. Returns soon after `is_over` returns true.
        """
        ...

    async def close(self) -> None:
        """Release its space."""
        ...


class Attempt(msgspec.Struct, frozen=True):
    """One request to a provider: a client's call, encoded for a target."""

    request_id: str  # UUIDv7, made by the broker
    kind: str  # a name of `kinds.registry`
    model: str  # the configured name that serves the call
    provider: str
    upstream_model: str
    url: str  # the provider's
    body: bytes | UploadBody  # as the provider gets it
    caller: Caller
    started_at: int  # unix seconds, UTC
    stream: bool = False
    wants_usage: bool = False  # the client itself requested the stream's usage event
    headers: tuple[tuple[str, str], ...] = ()  # the client's headers that may be forwarded to a provider
    input_bytes: int = 0  # size of what the model reads, the basis of the first estimate; an image has four per token
    characters: int | None = None  # of the text to be spoken
    requested_model: str | None = None  # as in `RequestLog`
    storage: ResponseStorage | None = None  # None: its kind has no stored responses
