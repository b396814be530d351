"""Converts records to the contract's JSON objects: money as exact numbers and as digits."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from decimal import Decimal

import msgspec

from hero_broker.core.inventory import InventoryModel, InventoryProvider
from hero_broker.core.labels import Label, LabelChanges
from hero_broker.core.limits import (
    DefinedLimit,
    ExplainedAdmission,
    Grant,
    LimitDecision,
    LimitState,
    OwnLimit,
    Refusal,
    SubjectState,
)
from hero_broker.core.money import usd_text
from hero_broker.core.records import (
    ROW_FIELDS,
    Difference,
    ExplainedRequest,
    IpUsage,
    LedgerRow,
    ModelUsage,
    Period,
    UsageGroup,
    UsageTotals,
    WindowUsage,
)

_HIDDEN = ("ip_key",)  # the same address as `ip`, in bytes
# What a row has for the operator alone: how many calls there are in all, which proxy, key or price was used, and what
# the operator calls an address or a billing period.
_OF_OPERATOR = ("seq", "peer_ip", "price_id", "provider_key", "cost_shares", "first_error", "label", "period")
SHOWN_FIELDS = tuple(field.name for field in ROW_FIELDS if field.name not in _HIDDEN)


def usd(nano_usd: int) -> msgspec.Raw:
    """Return money as a JSON number in plain decimal notation."""
    return msgspec.Raw(usd_text(nano_usd).encode())


class UsageView(msgspec.Struct, frozen=True, gc=False):
    """The members of UsageTotals. A report has thousands, so these are no dicts."""

    requests: int
    failed_requests: int
    estimated_requests: int
    unpriced_requests: int
    input_tokens: int
    output_tokens: int
    total_tokens: int
    cached_input_tokens: int
    characters: int
    audio_ms: int
    search_units: int
    images: int
    web_searches: int
    total_cost_usd: msgspec.Raw
    total_cost_nano_usd: str
    first_seen: int | None
    last_seen: int | None


IpUsageView = msgspec.defstruct(
    "IpUsageShown", [("ip", str), ("label", str | None), *UsageView.__annotations__.items()], frozen=True, gc=False
)
ModelUsageView = msgspec.defstruct(
    "ModelUsageShown", [("model", str), *UsageView.__annotations__.items()], frozen=True, gc=False
)
UsageGroupView = msgspec.defstruct(
    "UsageGroupShown",
    [
        ("group", dict[str, str | None]),
        ("bucket_start", int | None),
        ("bucket_end", int | None),
        ("label", str | None),
        *UsageView.__annotations__.items(),
    ],
    frozen=True,
    gc=False,
)


def _members(totals: UsageTotals) -> tuple[object, ...]:
    """Return the values of Usage."""
    return (
        totals.requests,
        totals.failed_requests,
        totals.estimated_requests,
        totals.unpriced_requests,
        totals.input_tokens,
        totals.output_tokens,
        totals.input_tokens + totals.output_tokens,
        totals.cached_input_tokens,
        totals.characters,
        totals.audio_ms,
        totals.search_units,
        totals.images,
        totals.web_searches,
        usd(totals.cost_nano_usd),
        str(totals.cost_nano_usd),
        totals.first_seen,
        totals.last_seen,
    )


def usage(totals: UsageTotals) -> msgspec.Struct:
    """Return sums."""
    return UsageView(*_members(totals))  # type: ignore[arg-type]


def addresses(items: Sequence[IpUsage]) -> list[msgspec.Struct]:
    """Return the usage of each address."""
    return [IpUsageView(item.ip, item.label, *_members(item.totals)) for item in items]


def models(items: Sequence[ModelUsage]) -> list[msgspec.Struct]:
    """Return the usage of each model."""
    return [ModelUsageView(item.model, *_members(item.totals)) for item in items]


def groups(names: Sequence[str], items: Sequence[UsageGroup]) -> list[msgspec.Struct]:
    """Return the usage of each group in each bucket."""
    return [
        UsageGroupView(
            dict(zip(names, item.group, strict=True)), item.start, item.end, item.label, *_members(item.totals)
        )
        for item in items
    ]


def counts(totals: UsageTotals) -> dict[str, object]:
    """Return counts and cost, without times."""
    members = msgspec.structs.asdict(usage(totals))
    return {name: value for name, value in members.items() if name not in ("first_seen", "last_seen")}


def rows(records: Sequence[LedgerRow]) -> list[dict[str, object]]:
    """Return rows."""
    return [row(one) for one in records]


def row(record: LedgerRow) -> dict[str, object]:
    """Return a row: its columns, the address's key left out, its label and the cost as USD added."""
    members: dict[str, object] = {"seq": record.seq}
    members.update((name, getattr(record.row, name)) for name in SHOWN_FIELDS)
    members["label"] = record.label
    cost = record.row.cost_nano_usd
    members["cost_usd"] = None if cost is None else usd(cost)
    members["cost_nano_usd"] = None if cost is None else str(cost)
    return members


def explanation(record: ExplainedRequest) -> dict[str, object]:
    """Return a row with how its cost was computed."""
    price = record.price
    cost = {
        "source": record.row.cost_source,
        "price_source": None if price is None else price.source or None,
        "price_version": None if price is None else price.version or None,
        "lines": [
            {
                "unit": line.unit,
                "units": line.units,
                "rate": line.rate,
                "usd": line.usd,
                "per": line.per,
                "amount_usd": line.amount_usd,
                "model": line.model,
            }
            for line in record.lines
        ],
        "exact_usd": record.exact_usd,
        "rounding": "to 1e-9 USD, once, half to even",
    }
    return {**row(LedgerRow(record.seq, record.row, record.label)), "period": record.period, "cost": cost}


def own_explanation(record: ExplainedRequest) -> dict[str, object]:
    """Return a row with how its cost was computed, for the caller that made the call."""
    return {name: value for name, value in explanation(record).items() if name not in _OF_OPERATOR}


def window_usage(record: WindowUsage) -> dict[str, object]:
    """Return what an address used in a window."""
    return {
        "since": record.since,
        "until": record.until,
        "totals": usage(record.totals),
        "models": models(record.models),
    }


def model(record: InventoryModel) -> dict[str, object]:
    """Return a model that is served."""
    return {
        "model": record.model,
        "aliases": record.aliases,
        "kind": record.kind,
        "provider": record.provider,
        "upstream_model": record.upstream_model,
        "configured": record.is_configured,
        "price": None if record.price is None else asdict(record.price),
    }


def provider(record: InventoryProvider) -> dict[str, object]:
    """Return a provider that is configured."""
    health = record.health
    used = "unused" if health.answered + health.failed == 0 else "failing" if health.is_failing else "ok"
    return {
        "provider": record.provider,
        "base_url": record.base_url,
        "api_keys": record.api_keys,
        "wires": list(record.wires),
        "stream_usage": record.stream_usage,
        "models": record.models,
        "listed_models": record.listed_models,
        "health": {
            "status": used,
            "answered": health.answered,
            "failed": health.failed,
            "last_answered_at": health.last_answered_at,
            "last_failed_at": health.last_failed_at,
            "last_error_code": health.last_error_code,
            "rejected_keys": [{"number": key.number, "error_code": key.error_code} for key in health.rejected_keys],
            "usage_faults": health.usage_faults,
        },
    }


def label(record: Label) -> dict[str, object]:
    """Return a label."""
    return {"target": record.target, "label": record.label, "set_at": record.set_at}


def label_changes(record: LabelChanges) -> dict[str, object]:
    """Return what setting many labels changed."""
    return {
        "added": [label(one) for one in record.added],
        "changed": [{**label(one), "previous": previous} for one, previous in record.changed],
        "unchanged": [label(one) for one in record.unchanged],
    }


def period(record: Period) -> dict[str, object]:
    """Return a billing period."""
    return {
        "number": record.number,
        "reference": record.reference,
        "from_seq": record.from_seq,
        "to_seq": record.to_seq,
        "until": record.until,
        "tz": record.zone,
        "marked_at": record.marked_at,
        "late_requests": record.late_requests,
        "held_over_requests": record.held_over_requests,
        "totals": counts(record.totals),
    }


def difference(record: Difference) -> dict[str, object]:
    """Return sums that do not match their calls."""
    return {
        "table": record.table,
        "span_s": record.span_s,
        "begins_at": record.begins_at,
        "key": record.key,
        "expected": usage(record.expected),
        "found": usage(record.found),
    }


def limit(state: LimitState) -> dict[str, object]:
    """Return a limit; its amount is a number of its unit."""
    return {**asdict(state), "amount": _of_unit(state.amount, state.unit), "warn_at": _numbers(state.warn_at)}


def limit_subject(state: SubjectState, unit: str) -> dict[str, object]:
    """Return what a subject has used of a limit in this unit."""
    amounts = {name: _of_unit(getattr(state, name), unit) for name in ("used", "held", "remaining", "granted")}
    return {**asdict(state), **amounts, "warnings": _numbers(state.warnings)}


def defined_limit(one: DefinedLimit) -> dict[str, object]:
    """Return how a limit is defined, with its grants in force."""
    definition = one.definition
    return {
        "name": one.name,
        "source": one.source,
        "description": one.description,
        "definition": None if definition is None else msgspec.Raw(definition.definition.encode()),
        "set_at": None if definition is None else definition.set_at,
        "grants": [grant(each) for each in one.grants],
    }


def grant(one: Grant) -> dict[str, object]:
    """Return a grant; its amount is a number of its unit."""
    return {**asdict(one), "amount": _of_unit(one.amount, one.unit)}


def explained_admission(one: ExplainedAdmission) -> dict[str, object]:
    """Return what limits would do with a call."""
    refused_by = one.refused_by
    return {
        "admitted": refused_by is None,
        "refused_by": None if refused_by is None else refused_by.name,
        "error": None if refused_by is None else _refusal(refused_by.refusal),
        "model": one.model,
        "provider": one.provider,
        "kind": one.kind,
        "label": one.label,
        "limits": [_limit_decision(each) for each in one.decisions],
    }


def _limit_decision(one: LimitDecision) -> dict[str, object]:
    unit, state = one.unit, one.state
    return {
        "name": one.name,
        "unit": unit,
        "mode": one.mode,
        "has_room": one.refusal is None,
        "error": _refusal(one.refusal),
        "needed": None if one.needed is None else _of_unit(one.needed, unit),
        "amount": None if one.amount is None else _of_unit(one.amount, unit),
        "state": None if state is None else limit_subject(state, unit),
    }


def _refusal(one: Refusal | None) -> dict[str, object] | None:
    return None if one is None else asdict(one)


def own_limit(state: OwnLimit) -> dict[str, object]:
    """Return what a caller sees of a limit."""
    amounts = {name: getattr(state, name) for name in ("amount", "used", "held", "remaining")}
    return {
        **asdict(state),
        **{name: None if one is None else _of_unit(one, state.unit) for name, one in amounts.items()},
    }


def _numbers(decimals: Iterable[Decimal]) -> list[msgspec.Raw]:
    return [msgspec.Raw(f"{number:f}".encode()) for number in decimals]


def _of_unit(amount: int, unit: str) -> object:
    return usd(amount) if unit == "usd" else amount
