"""Builds the journal's note of a call, and the call's row in the ledger."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from hero_broker.core.addresses import ip_key
from hero_broker.core.calls import Attempt, Caller, Outcome
from hero_broker.core.cost_shares import CostShare, encode_shares
from hero_broker.core.money import MAX_COST_USD, NANO
from hero_broker.core.records import PriceRecord, RequestLog
from hero_broker.core.usage import Usage, UsageSource
from hero_broker.kinds.message_usage import sum_of
from hero_broker.kinds.registry import KINDS
from hero_broker.ledger.rows import CallStarted, PendingRow
from hero_broker.pricing.cost import cost_of, cost_parts, parts_of_shares
from hero_broker.pricing.price import Price

SOURCE_MAX = 300  # characters of a price's source in a row
_MAX_COST = MAX_COST_USD * NANO

log = logging.getLogger(__name__)


class CallIdentity(Protocol):
    """The call's part of a row: an `Attempt`, or its `CallStarted`."""

    @property
    def request_id(self) -> str: ...
    @property
    def started_at(self) -> int: ...
    @property
    def caller(self) -> Caller: ...
    @property
    def kind(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def provider(self) -> str: ...
    @property
    def upstream_model(self) -> str: ...
    @property
    def requested_model(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class PricedShare:
    """What a call used of one model, and its price."""

    model: str  # the provider's name
    usage: Usage
    price: Price


def build_note(call: Attempt, price: Price | None, attempts: int) -> CallStarted:
    """Return the journal's note of a call, or of its next attempt, that begins."""
    return CallStarted(
        call.request_id,
        call.started_at,
        call.caller,
        call.kind,
        call.model,
        call.provider,
        call.upstream_model,
        call.stream,
        call.input_bytes,
        call.characters,
        None if price is None else price.rates,
        "" if price is None else price.source[:SOURCE_MAX],
        "" if price is None else price.version,
        attempts,
        call.requested_model,
    )


def interrupted_row(note: CallStarted) -> PendingRow:
    """Return the row of a call of which only the note exists: interrupted, with 0 output."""
    price = None
    if note.rates is not None:
        price = Price.from_rates(note.rates, source=note.price_source, version=note.price_version)
    usage = KINDS[note.kind].rough_usage(note, price, 0)
    cost = None if price is None else believable_cost(note, usage, price, ok=False)
    return due_row(
        note,
        stream=note.stream,
        outcome=Outcome.INTERRUPTED,
        http_status=None,
        error_code="interrupted",
        usage=usage,
        usage_source=UsageSource.ESTIMATED,
        cost=cost,
        cost_source=None if cost is None else "price",
        price=price,
        attempts=note.attempts,
        duration_ms=0,
        first_byte_ms=None,
    )


def believable_cost(call: CallIdentity, usage: Usage, price: Price, *, ok: bool, duration_ms: int = 0) -> int | None:
    """Return `cost_of`, or None (unpriced) if it is above `MAX_COST_USD`, because such a price must be a mistake."""
    cost = cost_of(usage, price, ok=ok, duration_ms=duration_ms)
    if cost is not None and cost > _MAX_COST:
        _log_unbelievable(call)
        return None
    return cost


def believable_sum(call: CallIdentity, shares: Sequence[PricedShare], *, ok: bool) -> int | None:
    """Return the cost of a call whose shares have prices of their own, rounded once; else as `believable_cost`."""
    exact = _exact_sum(shares, ok=ok)
    if exact is None:
        return None
    cost = round(exact * NANO)
    if cost > _MAX_COST:
        _log_unbelievable(call)
        return None
    return cost


def _exact_sum(shares: Sequence[PricedShare], *, ok: bool) -> Fraction | None:
    """Return the cost of shares in USD; None if a used unit has no rate."""
    total = Fraction(0)
    for parts in parts_of_shares(((share.usage, share.price) for share in shares), ok=ok):
        for part in parts:
            if part.usd is None:
                return None
            total += part.usd
    return total


def merge_shares(shares: Sequence[PricedShare], *, ok: bool) -> list[PricedShare]:
    """Return one share for each model and price, without those that cost nothing; all as they are if the sum differs.

    The first share stays the first, because a price per request is charged in it.
    """
    by_price: dict[tuple[str, str], list[PricedShare]] = {}
    for share in shares:
        by_price.setdefault((share.model, share.price.price_id), []).append(share)
    merged = [
        PricedShare(model, sum_of(share.usage for share in some), some[0].price)
        for (model, _), some in by_price.items()
    ]
    merged = [share for at, share in enumerate(merged) if at == 0 or cost_parts(share.usage, share.price, ok=False)]
    return merged if _exact_sum(merged, ok=ok) == _exact_sum(shares, ok=ok) else list(shares)


def encode_priced_shares(shares: Sequence[PricedShare]) -> tuple[str, tuple[PriceRecord, ...]]:
    """Return what a row stores of shares, and their prices, each once."""
    # A name may have lone surrogates, which are no UTF-8.
    names = [share.model.encode("utf-8", "replace").decode() for share in shares]
    text = encode_shares(
        [CostShare(name, share.price.price_id, share.usage) for name, share in zip(names, shares, strict=True)]
    )
    prices = {share.price.price_id: share.price for share in shares}
    records = (PriceRecord(one.price_id, one.rates, one.source[:SOURCE_MAX], one.version) for one in prices.values())
    return text, tuple(records)


def _log_unbelievable(call: CallIdentity) -> None:
    log.warning(
        "meter: at the price of %s at %s, a call costs more than %d USD; it is counted as unpriced",
        call.upstream_model,
        call.provider,
        MAX_COST_USD,
        extra={"request_id": call.request_id},
    )


def due_row(
    call: CallIdentity,
    stream: bool,
    outcome: Outcome,
    http_status: int | None,
    error_code: str | None,
    usage: Usage,
    usage_source: UsageSource,
    cost: int | None,
    cost_source: str | None,
    price: Price | None,
    attempts: int,
    duration_ms: int,
    first_byte_ms: int | None,
    first_error: str | None = None,
    provider_key: str | None = None,
    service_tier: str | None = None,
    unexplained_tokens: int | None = None,
    cut_counts: str | None = None,
    cost_shares: str | None = None,
) -> PendingRow:
    """Return a call's row; it has the price only if the cost was computed from it."""
    caller = call.caller
    price = price if cost_source == "price" else None
    # By position, because 32 keywords take three times as long. A test compares each value by its name.
    row = RequestLog(
        call.request_id,
        call.started_at,
        caller.ip,
        ip_key(caller.ip),
        caller.peer_ip,
        caller.context,
        None,  # api_key_id
        call.kind,
        call.model,
        call.provider,
        call.upstream_model,
        stream,
        outcome,
        http_status,
        error_code,
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        usage.audio_input_tokens,
        usage.audio_output_tokens,
        usage.characters,
        usage.audio_ms,
        usage.search_units,
        usage_source,
        cost,
        cost_source,
        None if price is None else price.price_id,
        attempts,
        duration_ms,
        first_byte_ms,
        usage.image_input_tokens,
        usage.image_output_tokens,
        usage.cache_write_1h_tokens,
        usage.images,
        usage.web_searches,
        usage.file_searches,
        service_tier,
        call.requested_model,
        first_error,
        provider_key,
        unexplained_tokens,
        cut_counts,
        cost_shares,
    )
    if price is None:
        return PendingRow(row, None)
    return PendingRow(row, price.rates, price.source[:SOURCE_MAX], price.version)
