"""Explains the cost of a row, line by line, from its usage and its price, or from its shares and theirs."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from hero_broker.core.calls import Outcome
from hero_broker.core.cost_shares import CostShare
from hero_broker.core.money import NANO, exact_text
from hero_broker.core.records import CostLine, PriceRecord, RequestLog
from hero_broker.core.usage import Usage, UsageSource
from hero_broker.pricing.cost import CostPart, cost_parts, parts_of_shares
from hero_broker.pricing.price import Price


def explain(
    row: RequestLog, price: PriceRecord | None, shares: Sequence[CostShare] = (), rates: Mapping[str, str] | None = None
) -> tuple[tuple[CostLine, ...], str | None]:
    """Return the lines of a row's cost and their exact sum in USD; None if the sum is unknown.

    `shares` are those of a cost of several prices, and `rates` their prices by `price_id`, as JSON.
    """
    if row.cost_nano_usd is None:
        return (), None
    is_ok = row.outcome is Outcome.OK
    is_free = row.usage_source is UsageSource.NONE and row.cost_nano_usd == 0
    known = rates or {}
    parts: list[tuple[str | None, Sequence[CostPart]]]
    if row.cost_source == "price" and price is not None and not is_free:
        usage = Usage(**{unit: getattr(row, unit) for unit in Usage.__struct_fields__})
        parts = [(None, cost_parts(usage, Price.from_rates(price.rates), ok=is_ok, duration_ms=row.duration_ms))]
    elif row.cost_source == "mixed" and shares and all(share.price_id in known for share in shares):
        priced = [(share.usage, Price.from_rates(known[share.price_id])) for share in shares]
        models = [share.model for share in shares]
        parts = list(zip(models, parts_of_shares(priced, ok=is_ok), strict=True))
    else:
        return (), exact_text(Fraction(row.cost_nano_usd, NANO))
    lines = []
    total = Fraction(0)
    for model, part in ((model, part) for model, some in parts for part in some):
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
                model=model,
            )
        )
    return tuple(lines), exact_text(total)
