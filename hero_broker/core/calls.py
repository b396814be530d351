"""One client request to a model, and how it can end."""

from dataclasses import dataclass
from enum import StrEnum


class CallKind(StrEnum):
    """What is asked of a model; decides the units that are billed."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDING = "embedding"
    TTS = "tts"
    STT = "stt"
    RERANK = "rerank"


class Outcome(StrEnum):
    """How a call ended, as its row says it."""

    OK = "ok"
    PROVIDER_ERROR = "provider_error"
    CLIENT_DISCONNECTED = "client_disconnected"
    INTERRUPTED = "interrupted"
    INTERNAL_ERROR = "internal_error"


# The outcomes that `failed_requests` counts.
FAILED_OUTCOMES = (Outcome.PROVIDER_ERROR, Outcome.INTERRUPTED, Outcome.INTERNAL_ERROR)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is billed for a call."""

    ip: str  # canonical text, or "unknown" for a Unix socket
    peer_ip: str | None  # the connection's address, where it differs from `ip`
    context: str | None = None  # the caller's own claim, from X-Hero-Context; at most 128 characters


@dataclass(frozen=True, slots=True)
class Call:
    """One client request, read and ready to be sent to a provider."""

    request_id: str  # UUIDv7, made by the broker
    kind: CallKind
    model: str  # the configured name that serves the call
    provider: str
    upstream_model: str
    path: str  # below the provider's base URL, such as "/chat/completions"
    body: bytes  # as the provider gets it
    caller: Caller
    started_at: int  # unix seconds, UTC
    stream: bool = False
    wants_usage: bool = False  # the client itself asked for the stream's usage event
    input_bytes: int = 0  # size of the text that the model reads; the basis of an estimate
