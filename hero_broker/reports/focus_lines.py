"""Adds the calls of one day up to the lines of a FOCUS export, whose costs add up to those of the calls."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from typing import Any

from sqlalchemy import Row

from hero_broker.core.calls import FAILED_OUTCOMES, Outcome
from hero_broker.core.focus import CALLS, FocusLine
from hero_broker.core.money import NANO
from hero_broker.core.usage import Usage, UsageSource
from hero_broker.pricing.cost import CostPart, cost_of, cost_parts
from hero_broker.pricing.price import PER, Price

_FAILED = frozenset(str(outcome) for outcome in FAILED_OUTCOMES)
_UNITS = Usage.__struct_fields__


@dataclass(slots=True)
class _UnitSums:
    """What the calls of a group used in one unit."""

    rate_name: str
    consumed: Fraction | int = 0
    billed: Fraction | int = 0
    # Of the calls that are counted here.
    requests: int = 0
    failed_requests: int = 0
    estimated_requests: int = 0
    unpriced_requests: int = 0


@dataclass(slots=True)
class _CallGroup:
    """The calls of one address to one model at one provider and one price."""

    cost_nano_usd: int = 0
    units: dict[str, _UnitSums] = field(default_factory=dict)


class DayLines:
    """Sums of the calls of one day, by address, model, provider, price and unit."""

    def __init__(self, prices: Mapping[str, Price | None]) -> None:
        self._prices = prices  # by `price_id`; None if the rates are unknown. It may grow
        self._groups: dict[tuple[str, str, str, str | None], _CallGroup] = {}

    def add(self, row: Row[Any]) -> None:
        """Add a row of `store.focus.rows`."""
        price = None
        parts: list[CostPart] = []
        # As `explain` decides: only such a cost is made of parts.
        is_free = row.usage_source == UsageSource.NONE and row.cost_nano_usd == 0
        if row.cost_source == "price" and row.cost_nano_usd is not None and not is_free:
            price = self._prices.get(row.price_id)
        if price is not None:
            parts = _parts(row, price)
        group = self._group(row, row.price_id if parts else None)
        group.cost_nano_usd += row.cost_nano_usd or 0
        for part in parts:
            sums = group.units.setdefault(part.unit, _UnitSums(part.rate_name))
            sums.billed += part.units
            # Only audio has a minimum; a search or a request that nobody counted is one.
            sums.consumed += row.audio_ms if part.unit == "audio_ms" else part.units
        counted = group.units[parts[0].unit] if parts else group.units.setdefault(CALLS, _UnitSums(CALLS))
        counted.requests += 1
        counted.failed_requests += row.outcome in _FAILED
        counted.estimated_requests += row.usage_source == UsageSource.ESTIMATED
        counted.unpriced_requests += row.cost_nano_usd is None

    def lines(self, label_of: Callable[[str], str | None]) -> tuple[FocusLine, ...]:
        """Return the lines, by address, model, provider and price; `label_of` returns the label of an address."""
        ordered = sorted(self._groups.items(), key=lambda item: (*item[0][:3], item[0][3] or ""))
        return tuple(line for key, group in ordered for line in self._lines(key, group, label_of(key[0])))

    def _group(self, row: Row[Any], price_id: str | None) -> _CallGroup:
        key = (row.ip, row.model, row.provider, price_id)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _CallGroup()
        return group

    def _lines(self, key: tuple[str, str, str, str | None], group: _CallGroup, label: str | None) -> list[FocusLine]:
        ip, model, provider, price_id = key
        price = None if price_id is None else self._prices.get(price_id)
        rates = [_rate(price, sums.rate_name) for sums in group.units.values()]
        if price is None:
            sums = group.units[CALLS]
            sums.consumed, sums.billed = sums.requests, group.cost_nano_usd
        exact = [sums.billed * rate / per for sums, (rate, per) in zip(group.units.values(), rates, strict=True)]
        costs = divide(group.cost_nano_usd, exact)
        return [
            FocusLine(
                ip=ip,
                label=label,
                provider=provider,
                model=model,
                unit=unit,
                consumed=sums.consumed,
                billed=sums.billed,
                rate_usd=rate,
                per=per,
                price_id=price_id,
                cost_nano_usd=cost,
                requests=sums.requests,
                failed_requests=sums.failed_requests,
                estimated_requests=sums.estimated_requests,
                unpriced_requests=sums.unpriced_requests,
            )
            for (unit, sums), (rate, per), cost in zip(group.units.items(), rates, costs, strict=True)
        ]


def _parts(row: Row[Any], price: Price) -> list[CostPart]:
    """Return the parts of a row's cost; none if they do not make it."""
    values = row._mapping
    usage = Usage(*(values[name] for name in _UNITS))
    is_ok = row.outcome == Outcome.OK
    if cost_of(usage, price, ok=is_ok, duration_ms=row.duration_ms) != row.cost_nano_usd:
        return []
    return cost_parts(usage, price, ok=is_ok, duration_ms=row.duration_ms)


def _rate(price: Price | None, rate_name: str) -> tuple[Fraction, int]:
    """Return a rate in USD, and for how many units it is; a USD for each USD if the cost has no rates."""
    if price is None:
        return Fraction(1), NANO
    return Fraction(getattr(price, rate_name)), PER[rate_name]


def divide(total: int, exact: Sequence[Fraction]) -> list[int]:
    """Divide a sum of costs that were rounded call by call, in proportion to the exact amounts of the units.

    The shares are integers and add up to `total`. None is negative, and each differs from its proportion by less than
    one: the largest remainders are rounded up. Without amounts, the first unit gets all.
    """
    whole = sum(exact)
    if not whole:
        return [total, *[0] * (len(exact) - 1)]
    proportions = [total * amount / whole for amount in exact]
    shares = [floor(one) for one in proportions]
    by_remainder = sorted(range(len(shares)), key=lambda at: shares[at] - proportions[at])
    for at in by_remainder[: total - sum(shares)]:
        shares[at] += 1
    return shares
