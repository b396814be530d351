"""Rows for tests, made from what a test cares about."""

from msgspec.structs import replace

from hero_broker.core.addresses import ip_key
from hero_broker.core.calls import Caller, Outcome
from hero_broker.core.ids import new_request_id
from hero_broker.core.records import RequestLog
from hero_broker.core.usage import UsageSource
from hero_broker.ledger.rows import CallStarted

FOUNDING = RequestLog(
    request_id="",
    started_at=1_700_000_000,
    ip="127.0.0.1",
    ip_key=None,
    peer_ip=None,
    context=None,
    api_key_id=None,
    kind="chat",
    model="llama-3.3-70b",
    provider="groq",
    upstream_model="llama-3.3-70b-versatile",
    stream=False,
    outcome=Outcome.OK,
    http_status=200,
    error_code=None,
    input_tokens=40,
    output_tokens=3,
    cached_input_tokens=None,
    cache_write_tokens=None,
    reasoning_tokens=None,
    audio_input_tokens=None,
    audio_output_tokens=None,
    characters=None,
    audio_ms=None,
    search_units=None,
    usage_source=UsageSource.REPORTED,
    cost_nano_usd=25_970,
    cost_source="price",
    price_id="p",
    attempts=1,
    duration_ms=5,
    first_byte_ms=2,
)


def row(**changes: object) -> RequestLog:
    """Return the founding example's row with a fresh id, `changes`, and the key of its address."""
    made = replace(FOUNDING, **{"request_id": new_request_id(), **changes})
    return made if "ip_key" in changes else replace(made, ip_key=ip_key(made.ip))


def note_of(made: RequestLog, rates: str | None = None) -> CallStarted:
    """Return the note of the call that a row is of."""
    return CallStarted(
        made.request_id,
        made.started_at,
        Caller(made.ip, made.peer_ip, made.context),
        made.kind,
        made.model,
        made.provider,
        made.upstream_model,
        made.stream,
        input_bytes=160,
        characters=None,
        rates=rates,
        price_source="",
        price_version="",
    )
