"""Selects the price of a call from a model's prices by time, by tier of service and by input length."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from hero_broker.pricing.price import Price

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class PricePeriod:
    """Prices that apply under a condition; without a condition, always."""

    prices: tuple[Price, ...]  # by input tokens, one more than `thresholds`
    # Ascending. A call with more input tokens than a threshold is charged the next price, for all of its units.
    thresholds: tuple[int, ...] = ()
    since: int | None = None  # unix seconds; included
    # Seconds of the UTC day: start included, end excluded; across midnight if start > end.
    daily: tuple[int, int] | None = None
    # The prices of calls that are served in a tier, such as "flex" or "priority", while this period's condition holds.
    # They have all rates of that tier, and no tiers.
    tiers: "Mapping[str, tuple[PricePeriod, ...]]" = field(default_factory=dict, hash=False)

    def holds(self, started_at: int) -> bool:
        """Return whether the prices apply to a call that began at `started_at` (unix seconds)."""
        if self.since is not None and started_at < self.since:
            return False
        if self.daily is None:
            return True
        start, end = self.daily
        second = started_at % DAY_S
        return start <= second < end if start <= end else second >= start or second < end

    def map(self, change: Callable[[Price], Price]) -> "PricePeriod":
        """Return the period with each of its prices changed."""
        prices = tuple(change(price) for price in self.prices)
        tiers = {tier: tuple(period.map(change) for period in periods) for tier, periods in self.tiers.items()}
        return replace(self, prices=prices, tiers=tiers)


@dataclass(frozen=True, slots=True)
class Tariff:
    """All prices of one model, by time, tier and input length; every price is resolved once, at construction.

    The last period that holds applies; if no period holds, the first one applies.
    """

    periods: tuple[PricePeriod, ...]  # at least one
    is_override: bool = False  # the operator's own price, which takes precedence over a cost that the provider reports
    varies: bool = field(init=False, compare=False)  # by time or by input length
    has_tiers: bool = field(init=False, compare=False)
    # Cached results of `kinds.typical.is_priced`, by kind of call.
    kinds: dict[str, bool] = field(default_factory=dict, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        varies = len(self.periods) > 1 or any(period.thresholds for period in self.periods)
        object.__setattr__(self, "varies", varies)
        object.__setattr__(self, "has_tiers", any(period.tiers for period in self.periods))

    @classmethod
    def fixed(cls, price: Price, tiers: Mapping[str, Price] | None = None, *, is_override: bool = False) -> Self:
        """Return the tariff of a model that has a single price, and one for each of the tiers."""
        of_tiers = {tier: (PricePeriod((of_tier,)),) for tier, of_tier in (tiers or {}).items()}
        return cls((PricePeriod((price,), tiers=of_tiers),), is_override)

    def price(self, started_at: int, input_tokens: int, tier: str | None = None) -> Price:
        """Return the price of a call that began at `started_at` (unix seconds, UTC).

        `input_tokens` counts everything that the model read, cached tokens included. `tier` is the tier of service in
        which the provider served the call; the ordinary prices apply if it has no prices of its own.
        """
        if not self.varies and (tier is None or not self.has_tiers):
            return self.periods[0].prices[0]
        period = _current(self.periods, started_at)
        if tier is not None and (name := tier.lower()) in period.tiers:
            period = _current(period.tiers[name], started_at)
        return period.prices[bisect_left(period.thresholds, input_tokens)]

    def tiers(self, started_at: int) -> tuple[str, ...]:
        """Return the tiers that have prices of their own at a time (unix seconds), sorted."""
        return tuple(sorted(_current(self.periods, started_at).tiers))

    def possible_prices(self, started_at: int, input_tokens: int) -> Iterator[Price]:
        """Yield the prices of a call with at most `input_tokens`, one for each length and tier that it may have."""
        period = _current(self.periods, started_at)
        for one in (period, *(_current(periods, started_at) for periods in period.tiers.values())):
            yield from one.prices[: bisect_left(one.thresholds, input_tokens) + 1]

    def prices(self) -> Iterator[Price]:
        """Yield every price that may apply."""
        for period in self.periods:
            yield from period.prices
            for periods in period.tiers.values():
                for of_tier in periods:
                    yield from of_tier.prices

    def map(self, change: Callable[[Price], Price]) -> Self:
        """Return the tariff with each of its prices changed."""
        return replace(self, periods=tuple(period.map(change) for period in self.periods))


def _current(periods: Sequence[PricePeriod], started_at: int) -> PricePeriod:
    for period in reversed(periods):
        if period.holds(started_at):
            return period
    return periods[0]
