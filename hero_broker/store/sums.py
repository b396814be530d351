"""What reports sum: over rows of `request_logs`, and over the sums that roll-ups hold.

A sum of costs may be more than the integers of a store hold. A roll-up then has `LARGEST` in its place, so that folding
goes on, and a report that meets it says that it cannot be summed.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Integer, Table, case, cast, func, literal

from hero_broker.core.calls import FAILED_OUTCOMES
from hero_broker.core.money import usd_text
from hero_broker.core.usage import UsageSource
from hero_broker.store.schema import BIG, REQUEST_LOGS, SUMS

COST = "cost_nano_usd"  # the one sum that may grow so far: counts of a row are at most 10^9
LARGEST = 2**63 - 1
CANNOT_BE_SUMMED = (
    f"The cost is {usd_text(LARGEST)} USD or more, which cannot be summed: ask for a narrower window, "
    "and look for a price that was entered wrongly"
)
_LOW_BITS = 31  # a sum in two parts has room for 2^31 rows
_MERGED: dict[str, Any] = {"first_seen": func.min, "last_seen": func.max}  # all others are added


def row_sums() -> dict[str, ColumnElement[int]]:
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


def rollup_sums(table: Table) -> dict[str, ColumnElement[int]]:
    """Return what one row of a roll-up contributes to each of `SUMS`, under their names."""
    return {name: table.c[name] for name in SUMS}


def summed(contributions: Mapping[str, ColumnElement[int]]) -> list[ColumnElement[int]]:
    """Return the aggregates of contributions, given under their names of `SUMS`; NULL where there is nothing."""
    return [_MERGED.get(name, func.sum)(one).label(name) for name, one in contributions.items()]


def bounded(dialect: str, contributions: Mapping[str, ColumnElement[int]]) -> list[ColumnElement[int]]:
    """Return the same as `summed`, with `LARGEST` for a cost that is larger."""
    return [
        _bounded(dialect, one).label(name) if name == COST else whole
        for (name, one), whole in zip(contributions.items(), summed(contributions), strict=True)
    ]


def _bounded(dialect: str, cost: ColumnElement[int]) -> ColumnElement[int]:
    if dialect != "sqlite":  # PostgreSQL sums to NUMERIC, which ends nowhere
        return case((func.sum(cost) > LARGEST, literal(LARGEST, BIG)), else_=cast(func.sum(cost), BIG))
    high, low = parts_of(cost)
    high = high + low.op(">>")(_LOW_BITS)
    rest = low.op("&")(2**_LOW_BITS - 1)
    return case((high > LARGEST >> _LOW_BITS, literal(LARGEST, BIG)), else_=high * 2**_LOW_BITS + rest)


def bounded_addition(cost: ColumnElement[int], more: ColumnElement[int]) -> ColumnElement[int]:
    """Return the sum of two costs, or `LARGEST`."""
    largest = literal(LARGEST, BIG)
    return case((cost > largest - more, largest), else_=cost + more)


def parts_of(cost: ColumnElement[int]) -> tuple[ColumnElement[int], ColumnElement[int]]:
    """Return the aggregates of a cost's high and of its low bits, for `whole_of`."""
    return func.sum(cost.op(">>")(literal(_LOW_BITS, Integer))), func.sum(cost.op("&")(2**_LOW_BITS - 1))


def whole_of(high: int | None, low: int | None) -> int:
    """Return the exact sum, whatever its size, from its two parts; 0 where there is nothing."""
    return (int(high or 0) << _LOW_BITS) + int(low or 0)
