"""The lines of a FOCUS export: what one address used of one model in one day, by unit."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from fractions import Fraction

import msgspec

CALLS = "calls"  # the unit of calls whose cost does not follow from rates


@dataclass(frozen=True, slots=True, kw_only=True)
class FocusQuery:
    """The calls of a billing period, or those of a window: since <= started_at < until."""

    period: str | None = None  # its reference; there is then no window
    since: int | None = None
    until: int | None = None


class FocusLine(msgspec.Struct, frozen=True, gc=False):
    """What one address used of one model at one provider and one price in one day, in one unit."""

    ip: str  # canonical text, or "unknown"
    label: str | None
    provider: str
    model: str
    unit: str  # as in `CostLine`, or `CALLS`
    consumed: Fraction | int  # in that unit; requests if it is `CALLS`
    billed: Fraction | int  # the same, not below the minimum of each call; nano-USD if the unit is `CALLS`
    rate_usd: Fraction | int  # the price of `per` units
    per: int
    price_id: str | None  # None if the unit is `CALLS`
    cost_nano_usd: int  # the costs of all lines add up to those of the calls
    # Each call is counted on one of its lines.
    requests: int
    failed_requests: int
    estimated_requests: int
    unpriced_requests: int


@dataclass(frozen=True, slots=True)
class FocusDay:
    """The lines of one day: its part of the window, in unix seconds, half-open."""

    start: int
    end: int
    lines: tuple[FocusLine, ...]


@dataclass(frozen=True, slots=True)
class FocusReport:
    """The lines of a billing period or a window, which are read day by day."""

    period: str | None
    start: int  # of the period or window, in unix seconds, half-open
    end: int
    as_of: int  # unix seconds, UTC
    days: AsyncIterator[FocusDay]  # those with calls, in order
