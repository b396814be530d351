"""The usage of a typical call of each kind, to display a price and to check that it can price the kind."""

from hero_broker.kinds.registry import KINDS
from hero_broker.pricing.cost import cost_of
from hero_broker.pricing.price import Price
from hero_broker.pricing.tariff import Tariff


def typical_cost(price: Price, kind: str) -> tuple[str, int] | None:
    """Return the description of a typical call and its cost in nano-USD; None if the price cannot price the kind."""
    for what, usage in KINDS[kind].typical:
        cost = cost_of(usage, price)
        if cost is not None:
            return what, cost
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
