"""Says in a sentence what a limit bounds."""

from collections.abc import Iterator

from hero_broker.core.money import usd_text
from hero_broker.limits.limit import (
    ALLOW,
    CONCURRENT,
    CUT,
    ENFORCE,
    REFUSE,
    USD,
    Limit,
    LimitMatch,
    network_text,
    window_text,
)
from hero_broker.limits.thresholds import percent

_EACH = {
    "ip": "address",
    "label": "label",
    "context": "context",
    "model": "model",
    "provider": "provider",
    "kind": "kind of call",
}


def sentence(limit: Limit) -> str:
    """Return what a limit bounds, of whom, and which calls it counts."""
    if limit.is_budget:
        bound = f"at most {_amount(limit)} {_window(limit)}"
    elif limit.unit == CONCURRENT:
        bound = f"at most {limit.amount:,} {'call' if limit.amount == 1 else 'calls'} in flight"
    else:
        bound = f"at most {_amount(limit)} per minute"
        bound += f", {limit.burst:,} at once"
    each = " and ".join(f"each {_each(limit, name)}" for name in limit.per) or "all together"
    warns = f"; it warns when {' and '.join(map(percent, limit.warn_at))} are spent" if limit.warn_at else ""
    known = "" if limit.on_limits_unavailable == REFUSE else "; it admits calls while it cannot count"
    unpriced = "; calls without a price pass" if limit.unpriced == ALLOW else ""
    cut = "; it cuts streams" if limit.on_exceed == CUT else ""
    mode = f"; in {limit.mode} mode, so it refuses nothing" if limit.mode != ENFORCE else ""
    return f"{bound}, for {each}; it counts {' '.join(_calls(limit.match))}{unpriced}{known}{cut}{warns}{mode}"


def _amount(limit: Limit) -> str:
    if limit.unit == USD:
        return f"{usd_text(limit.amount)} USD"
    unit = limit.unit.replace("_", " ")
    return f"{limit.amount:,} {unit[:-1] if limit.amount == 1 else unit}"


def _window(limit: Limit) -> str:
    return f"{window_text(limit)} ({limit.zone.key})" if limit.has_end else window_text(limit)


def _each(limit: Limit, name: str) -> str:
    return f"prefix (/{limit.prefix_v4}, /{limit.prefix_v6} of IPv6)" if name == "prefix" else _EACH[name]


def _calls(match: LimitMatch) -> Iterator[str]:
    parts = (
        ("from", match.ip),
        ("from", match.network),
        ("with the label", match.label),
        ("with the context", match.context),
        ("to the model", match.model),
        ("to the provider", match.provider),
        ("of the kind", match.kind),
    )
    texts = [f"{word} {value}" for word, value in parts if value is not None]
    yield "calls" if texts else "all calls"
    yield from texts
    if match.excepted:
        yield f"except from {' and '.join(map(network_text, match.excepted))}"
