"""What reports sum: over rows of `request_logs`, and over the sums that roll-ups hold."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Table, case, func, literal

from hero_broker.core.calls import FAILED_OUTCOMES
from hero_broker.core.usage import UsageSource
from hero_broker.store.schema import REQUEST_LOGS, SUMS

_MERGED: dict[str, Any] = {"first_seen": func.min, "last_seen": func.max}  # all others are added


def of_row() -> dict[str, ColumnElement[int]]:
    """Return what one row of `request_logs` contributes to each of `SUMS`, under their names."""
    c = REQUEST_LOGS.c
    found: dict[str, ColumnElement[int]] = {
        "requests": literal(1),
        "failed_requests": case((c.outcome.in_([str(one) for one in FAILED_OUTCOMES]), 1), else_=0),
        "estimated_requests": case((c.usage_source == UsageSource.ESTIMATED.value, 1), else_=0),
        "unpriced_requests": case((c.cost_nano_usd.is_(None), 1), else_=0),
        "input_tokens": func.coalesce(c.input_tokens, 0),
        "output_tokens": func.coalesce(c.output_tokens, 0),
        "cost_nano_usd": func.coalesce(c.cost_nano_usd, 0),
        "first_seen": c.started_at,
        "last_seen": c.started_at,
    }
    return {name: found[name].label(name) for name in SUMS}


def of_rollup(table: Table) -> dict[str, ColumnElement[int]]:
    """Return what one row of a roll-up contributes to each of `SUMS`, under their names."""
    return {name: table.c[name] for name in SUMS}


def summed(contributions: Mapping[str, ColumnElement[int]]) -> list[ColumnElement[int]]:
    """Return the aggregates of contributions, given under their names of `SUMS`; NULL where there is nothing."""
    return [_MERGED.get(name, func.sum)(one).label(name) for name, one in contributions.items()]
