"""The sums of reports as SQL: over rows of `request_logs`, and over the sums in roll-ups.

A sum of costs may exceed the integers of a store. A roll-up then holds `LARGEST` instead, so that folding continues; a
report that meets `LARGEST` is rejected.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Integer, Table, case, cast, func, literal, null

from hero_broker.core.calls import FAILED_OUTCOMES
from hero_broker.core.money import usd_text
from hero_broker.core.usage import UsageSource
from hero_broker.store.schema import BIG, REQUEST_LOGS, SUMS, SUMS_SINCE_5

COST = "cost_nano_usd"  # only this sum can overflow: the counts of a row are at most 10^9
LARGEST = 2**63 - 1
CANNOT_BE_SUMMED = (
    f"The cost is {usd_text(LARGEST)} USD or more, which cannot be summed: set a narrower window with since and until, "
    "and check the prices for a wrong entry"
)
_LOW_BITS = 31  # a sum in two parts has room for 2^31 rows
_MERGED: dict[str, Any] = {"first_seen": func.min, "last_seen": func.max}  # all others are summed


def priced(is_priced: bool) -> ColumnElement[bool]:
    """Return the condition for rows of `request_logs` with a known cost, or for those without one."""
    cost = REQUEST_LOGS.c.cost_nano_usd
    return cost.is_not(None) if is_priced else cost.is_(None)


def row_sums() -> dict[str, ColumnElement[int]]:
    """Return the contribution of one row of `request_logs` to each of `SUMS`, by name."""
    c = REQUEST_LOGS.c
    contributions: dict[str, ColumnElement[int]] = {
        "requests": literal(1),
        "failed_requests": case((c.outcome.in_([str(one) for one in FAILED_OUTCOMES]), 1), else_=0),
        "estimated_requests": case((c.usage_source == UsageSource.ESTIMATED.value, 1), else_=0),
        "unpriced_requests": case((priced(False), 1), else_=0),
        "input_tokens": func.coalesce(c.input_tokens, 0),
        "output_tokens": func.coalesce(c.output_tokens, 0),
        **{name: func.coalesce(c[name], 0) for name in SUMS_SINCE_5},
        "cost_nano_usd": func.coalesce(c.cost_nano_usd, 0),
        "first_seen": c.started_at,
        "last_seen": c.started_at,
    }
    return {name: contributions[name].label(name) for name in SUMS}


def rollup_sums(table: Table) -> dict[str, ColumnElement[int]]:
    """Return the contribution of one row of a roll-up to each of `SUMS`, by name."""
    return {name: table.c[name] for name in SUMS}


def subtracted_sums(table: Table) -> dict[str, ColumnElement[int]]:
    """Return what takes one row of a roll-up away from sums, by name. Its first and last times cannot be taken away."""
    no_time: ColumnElement[int] = cast(null(), BIG)
    return {name: (no_time if name in _MERGED else -one).label(name) for name, one in rollup_sums(table).items()}


def summed(contributions: Mapping[str, ColumnElement[int]]) -> list[ColumnElement[int]]:
    """Return the aggregates of contributions, which are given by their names in `SUMS`; NULL without rows."""
    return [_MERGED.get(name, func.sum)(one).label(name) for name, one in contributions.items()]


def bounded(dialect: str, contributions: Mapping[str, ColumnElement[int]]) -> list[ColumnElement[int]]:
    """Return the aggregates as `summed` does, with the cost limited to `LARGEST`."""
    return [
        _bounded(dialect, one).label(name) if name == COST else whole
        for (name, one), whole in zip(contributions.items(), summed(contributions), strict=True)
    ]


def _bounded(dialect: str, cost: ColumnElement[int]) -> ColumnElement[int]:
    if dialect != "sqlite":  # PostgreSQL sums to NUMERIC, which has no bound
        return case((func.sum(cost) > LARGEST, literal(LARGEST, BIG)), else_=cast(func.sum(cost), BIG))
    high, low = parts_of(cost)
    high = high + low.op(">>")(_LOW_BITS)
    rest = low.op("&")(2**_LOW_BITS - 1)
    return case((high > LARGEST >> _LOW_BITS, literal(LARGEST, BIG)), else_=high * 2**_LOW_BITS + rest)


def bounded_addition(cost: ColumnElement[int], more: ColumnElement[int]) -> ColumnElement[int]:
    """Return the sum of two costs, limited to `LARGEST`."""
    largest = literal(LARGEST, BIG)
    return case((cost > largest - more, largest), else_=cost + more)


def parts_of(cost: ColumnElement[int]) -> tuple[ColumnElement[int], ColumnElement[int]]:
    """Return the sums of a cost's high bits and of its low bits, for `whole_of`."""
    return func.sum(cost.op(">>")(literal(_LOW_BITS, Integer))), func.sum(cost.op("&")(2**_LOW_BITS - 1))


def whole_of(high: int | None, low: int | None) -> int:
    """Return the exact sum of any size from its two parts; 0 without rows."""
    return (int(high or 0) << _LOW_BITS) + int(low or 0)
