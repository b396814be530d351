"""`hero-broker requests ID`: prints one call, and how its cost was computed."""

from zoneinfo import ZoneInfo

from hero_broker.cli.printing import say, table
from hero_broker.client import models
from hero_broker.core.local_time import format_time

# The members of a row that have a line of their own in another form, or none.
_ELSEWHERE = {
    "seq",
    "request_id",
    "started_at",
    "ip",
    "label",
    "period",
    "cost",
    "cost_usd",
    "cost_nano_usd",
    "price_id",
    "cost_shares",
}


def print_request(found: models.ExplainedRequest, zone: ZoneInfo) -> None:
    """Print a call: what is known of it, each unit that was charged, and the sum; by model if it has several prices."""
    who = f"{found.ip} ({found.label})" if found.label else found.ip
    facts = [
        ("request", found.request_id),
        ("began", f"{format_time(found.started_at, zone)} {zone.key}"),
        ("from", who),
        ("billing period", found.period or "none yet"),
    ]
    for name in found.__struct_fields__:
        value = getattr(found, name)
        if name not in _ELSEWHERE and value is not None:
            facts.append((name.replace("_", " "), str(value)))
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        say(f"{name:<{width}}  {value}")
    cost = found.cost
    if cost.lines:
        rows = [[line.unit, line.units, f"{line.usd} per {line.per:,}", line.amount_usd] for line in cost.lines]
        columns = [("unit", False), ("units", True), ("price in USD", True), ("USD", True)]
        total = ["total", "", "", cost.exact_usd or ""]
        models = [line.model or "" for line in cost.lines]
        if any(models):  # the cost has several prices
            rows = [[model, *row] for model, row in zip(models, rows, strict=True)]
            columns, total = [("model", False), *columns], [*total[:1], "", *total[1:]]
        table(columns, rows, total)
    if cost.price_source is not None:
        say(f"Price of {cost.price_source}{f', {cost.price_version}' if cost.price_version else ''}")
    billed = "unknown: no price is known" if found.cost_usd is None else f"{found.cost_usd:f} USD"
    say(f"Cost: {billed}")
