"""Compares two tariffs of a model rate by rate."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import NamedTuple

from hero_broker.core.inventory import RateChange
from hero_broker.pricing.tariff import PricePeriod, Tariff


class _Place(NamedTuple):
    """Where a rate stands in a tariff: the conditions under which it applies, and its name."""

    tier: str | None
    # Of the price, then of the tier's price, if it has a condition of its own.
    conditions: tuple[tuple[int | None, tuple[int, int] | None], ...]
    above_tokens: int
    rate: str


def compare_tariffs(before: Tariff | None, after: Tariff | None) -> tuple[RateChange, ...]:
    """Return the rates that differ, in their order; None has no rates."""
    old, new = _rates(before), _rates(after)
    places = [place for place in dict.fromkeys((*old, *new)) if old.get(place) != new.get(place)]
    return tuple(sorted((_change(place, old.get(place), new.get(place)) for place in places), key=order_of))


def order_of(change: RateChange) -> tuple[int, Fraction]:
    """Return what changes are sorted by: to or from 0, then by factors, the largest first; then removed, then added."""
    if change.before is None:
        return 3, Fraction()
    if change.after is None:
        return 2, Fraction()
    low, high = sorted((Fraction(change.before), Fraction(change.after)))
    return (1, -high / low) if low else (0, Fraction())


def _change(place: _Place, before: str | None, after: str | None) -> RateChange:
    starts = [since for since, _ in place.conditions if since is not None]
    hours = [daily for _, daily in place.conditions if daily is not None]
    return RateChange(
        place.rate,
        place.tier,
        place.above_tokens + 1 if place.above_tokens else None,
        max(starts, default=None),
        "-".join(_time(second) for second in hours[-1]) if hours else None,
        before,
        after,
    )


def _time(second_of_day: int) -> str:
    return datetime.fromtimestamp(second_of_day, UTC).time().isoformat()


def _rates(tariff: Tariff | None) -> dict[_Place, str]:
    return {} if tariff is None else dict(_rates_of(tariff.periods))


def _rates_of(
    periods: Sequence[PricePeriod],
    tier: str | None = None,
    outer: tuple[tuple[int | None, tuple[int, int] | None], ...] = (),
) -> Iterator[tuple[_Place, str]]:
    for period in periods:
        conditions = (*outer, (period.since, period.daily))
        for above_tokens, price in zip((0, *period.thresholds), period.prices, strict=True):
            for name, rate in json.loads(price.rates).items():
                yield _Place(tier, conditions, above_tokens, name), rate
        for name_of_tier, of_tier in period.tiers.items():
            yield from _rates_of(of_tier, name_of_tier, conditions)
