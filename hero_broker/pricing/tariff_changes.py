"""Compares two tariffs of a model rate by rate."""

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hero_broker.pricing.tariff import PricePeriod, Tariff


class RateChanges(NamedTuple):
    """How many rates of a tariff another one has not, and how many differ."""

    added: int
    removed: int
    changed: int


class _Place(NamedTuple):
    """Where a rate stands in a tariff: the conditions under which it applies, and its name."""

    tier: str | None
    # Of the price, then of the tier's price, if it has a condition of its own.
    conditions: tuple[tuple[int | None, tuple[int, int] | None], ...]
    above_tokens: int
    rate: str


def compare_tariffs(before: Tariff | None, after: Tariff | None) -> RateChanges:
    """Return what became of the rates of a tariff; None has no rates."""
    old, new = _rates(before), _rates(after)
    return RateChanges(
        added=len(new.keys() - old.keys()),
        removed=len(old.keys() - new.keys()),
        changed=sum(old[place] != new[place] for place in old.keys() & new.keys()),
    )


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
