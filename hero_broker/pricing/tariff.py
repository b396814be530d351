"""A model's prices over time and context length → the one price of a call."""

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Self

from hero_broker.core.calls import CallKind
from hero_broker.pricing.price import Price

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class PricePeriod:
    """The prices that hold under a condition; without one, always."""

    prices: tuple[Price, ...]  # by input tokens, one more than `thresholds`
    # Ascending. A call with more input tokens than one of them costs the next price, for all of its units.
    thresholds: tuple[int, ...] = ()
    since: int | None = None  # unix seconds; included
    daily: tuple[int, int] | None = (
        None  # seconds of the UTC day; start included, end not; over midnight if start > end
    )

    def holds(self, started_at: int) -> bool:
        """Return whether the prices are those of a call that began at `started_at`, in unix seconds."""
        if self.since is not None and started_at < self.since:
            return False
        if self.daily is None:
            return True
        start, end = self.daily
        second = started_at % DAY_S
        return start <= second < end if start <= end else second >= start or second < end


@dataclass(frozen=True, slots=True)
class Tariff:
    """What a model costs, whenever and however long the context. Every price in it is resolved once, when it is made.

    Of the periods that hold, the last one counts; where none does, the first.
    """

    periods: tuple[PricePeriod, ...]  # at least one
    is_override: bool = False  # the operator's own price, which counts more than a cost that the provider reports
    varies: bool = field(init=False, compare=False)  # with the time, or with the length of the context
    # The kinds of call that were looked at, and whether they have a price; see `pricing.typical`.
    kinds: dict[CallKind, bool] = field(default_factory=dict, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        varies = len(self.periods) > 1 or any(period.thresholds for period in self.periods)
        object.__setattr__(self, "varies", varies)

    @classmethod
    def fixed(cls, price: Price, *, is_override: bool = False) -> Self:
        """Return the tariff of a model that always costs the same per unit."""
        return cls((PricePeriod((price,)),), is_override)

    def price(self, started_at: int, input_tokens: int) -> Price:
        """Return the price of a call that began at `started_at` (unix seconds, UTC).

        `input_tokens` are all that the model read, cached ones included.
        """
        if not self.varies:
            return self.periods[0].prices[0]
        for period in reversed(self.periods):
            if period.holds(started_at):
                break
        else:
            period = self.periods[0]
        return period.prices[bisect_left(period.thresholds, input_tokens)]
