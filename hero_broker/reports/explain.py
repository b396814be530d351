"""Explains the cost of a row, line by line, from its usage and its price."""

from fractions import Fraction

from hero_broker.core.calls import Outcome
from hero_broker.core.money import NANO, exact_text
from hero_broker.core.records import CostLine, PriceRecord, RequestLog
from hero_broker.core.usage import Usage, UsageSource
from hero_broker.pricing.cost import cost_parts
from hero_broker.pricing.price import Price


def explain(row: RequestLog, price: PriceRecord | None) -> tuple[tuple[CostLine, ...], str | None]:
    """Return the lines of a row's cost and their exact sum in USD; None if the sum is unknown."""
    if row.cost_nano_usd is None:
        return (), None
    is_free = row.usage_source is UsageSource.NONE and row.cost_nano_usd == 0
    if price is None or row.cost_source != "price" or is_free:
        return (), exact_text(Fraction(row.cost_nano_usd, NANO))
    usage = Usage(**{unit: getattr(row, unit) for unit in Usage.__struct_fields__})
    lines = []
    total = Fraction(0)
    is_ok = row.outcome is Outcome.OK
    for part in cost_parts(usage, Price.from_rates(price.rates), ok=is_ok, duration_ms=row.duration_ms):
        if part.rate is None or part.usd is None:
            continue
        total += part.usd
        lines.append(
            CostLine(
                unit=part.unit,
                units=exact_text(Fraction(part.units)),
                rate=part.rate_name,
                usd=exact_text(Fraction(part.rate)),
                per=part.per,
                amount_usd=exact_text(part.usd),
            )
        )
    return tuple(lines), exact_text(total)
