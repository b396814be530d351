"""The usage of a typical call of each kind, to display a price and to check that it can price the kind."""

from hero_broker.kinds.registry import KINDS
from hero_broker.pricing.cost import cost_of
from hero_broker.pricing.price import Price
from hero_broker.pricing.tariff import Tariff

TYPICAL_S = 10  # the duration of a typical call, if the price is by time


def typical_cost(price: Price, kind: str) -> tuple[str, int] | None:
    """Return the description of a typical call and its cost in nano-USD; None if the price cannot price the kind."""
    for what, usage in KINDS[kind].typical:
        cost = cost_of(usage, price, duration_ms=TYPICAL_S * 1000)
        if cost is not None:
            is_by_time = price.per_second is not None or price.per_gpu_second is not None
            return f"{what} in {TYPICAL_S} seconds" if is_by_time else what, cost
    return None


def is_priced(tariff: Tariff | None, kind: str) -> bool:
    """Return whether calls of a kind always have a price, at any time and input length."""
    if tariff is None:
        return False
    result = tariff.kinds.get(kind)  # cached, because a broker that refuses unpriced calls checks every call
    if result is None:
        prices = (price for period in tariff.periods for price in period.prices)
        result = tariff.kinds[kind] = all(typical_cost(price, kind) is not None for price in prices)
    return result
