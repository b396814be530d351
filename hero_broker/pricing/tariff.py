"""Selects the price of a call from a model's prices by time and by input length."""

from bisect import bisect_left
from dataclasses import dataclass, field
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

    def holds(self, started_at: int) -> bool:
        """Return whether the prices apply to a call that began at `started_at` (unix seconds)."""
        if self.since is not None and started_at < self.since:
            return False
        if self.daily is None:
            return True
        start, end = self.daily
        second = started_at % DAY_S
        return start <= second < end if start <= end else second >= start or second < end


@dataclass(frozen=True, slots=True)
class Tariff:
    """All prices of one model, by time and by input length; every price is resolved once, at construction.

    The last period that holds applies; if no period holds, the first one applies.
    """

    periods: tuple[PricePeriod, ...]  # at least one
    is_override: bool = False  # the operator's own price, which takes precedence over a cost that the provider reports
    varies: bool = field(init=False, compare=False)  # by time or by input length
    # Cached results of `kinds.typical.is_priced`, by kind of call.
    kinds: dict[str, bool] = field(default_factory=dict, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        varies = len(self.periods) > 1 or any(period.thresholds for period in self.periods)
        object.__setattr__(self, "varies", varies)

    @classmethod
    def fixed(cls, price: Price, *, is_override: bool = False) -> Self:
        """Return the tariff of a model that has a single price."""
        return cls((PricePeriod((price,)),), is_override)

    def price(self, started_at: int, input_tokens: int) -> Price:
        """Return the price of a call that began at `started_at` (unix seconds, UTC).

        `input_tokens` counts everything that the model read, cached tokens included.
        """
        if not self.varies:
            return self.periods[0].prices[0]
        for period in reversed(self.periods):
            if period.holds(started_at):
                break
        else:
            period = self.periods[0]
        return period.prices[bisect_left(period.thresholds, input_tokens)]
