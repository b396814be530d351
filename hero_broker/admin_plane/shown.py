"""Records as the contract shows them: JSON objects, money as exact numbers and as digits."""

import msgspec

from hero_broker.core.money import usd_text
from hero_broker.core.records import Difference, ExplainedRequest, Period, RequestLog, UsageTotals

_HIDDEN = ("ip_key",)  # the same address as `ip`, in bytes
ROW_FIELDS = tuple(name for name in RequestLog.__struct_fields__ if name not in _HIDDEN)


def usd(nano_usd: int) -> msgspec.Raw:
    """Return money as a JSON number in plain decimal notation."""
    return msgspec.Raw(usd_text(nano_usd).encode())


def counts(totals: UsageTotals) -> dict[str, object]:
    """Return what is counted and paid, without when."""
    return {
        "requests": totals.requests,
        "failed_requests": totals.failed_requests,
        "estimated_requests": totals.estimated_requests,
        "unpriced_requests": totals.unpriced_requests,
        "input_tokens": totals.input_tokens,
        "output_tokens": totals.output_tokens,
        "total_tokens": totals.input_tokens + totals.output_tokens,
        "total_cost_usd": usd(totals.cost_nano_usd),
        "total_cost_nano_usd": str(totals.cost_nano_usd),
    }


def usage(totals: UsageTotals) -> dict[str, object]:
    """Return the members of UsageTotals."""
    return {**counts(totals), "first_seen": totals.first_seen, "last_seen": totals.last_seen}


def row(seq: int, found: RequestLog) -> dict[str, object]:
    """Return a row: its columns, the address's key left out, the cost as USD too."""
    shown: dict[str, object] = {"seq": seq}
    shown.update((name, getattr(found, name)) for name in ROW_FIELDS)
    cost = found.cost_nano_usd
    shown["cost_usd"] = None if cost is None else usd(cost)
    shown["cost_nano_usd"] = None if cost is None else str(cost)
    return shown


def explained(found: ExplainedRequest) -> dict[str, object]:
    """Return a row with how its cost was computed."""
    price = found.price
    cost = {
        "source": found.row.cost_source,
        "price_source": None if price is None else price.source or None,
        "price_version": None if price is None else price.version or None,
        "lines": [
            {
                "unit": line.unit,
                "units": line.units,
                "rate": line.rate,
                "usd": line.usd,
                "per": line.per,
                "amount_usd": line.amount_usd,
            }
            for line in found.lines
        ],
        "exact_usd": found.exact_usd,
        "rounding": "to 1e-9 USD, once, half to even",
    }
    return {**row(found.seq, found.row), "cost": cost}


def period(found: Period) -> dict[str, object]:
    """Return a billing period."""
    return {
        "number": found.number,
        "reference": found.reference,
        "from_seq": found.from_seq,
        "to_seq": found.to_seq,
        "marked_at": found.marked_at,
        "totals": counts(found.totals),
    }


def difference(found: Difference) -> dict[str, object]:
    """Return a place where the books do not agree."""
    return {
        "table": found.table,
        "span_s": found.span_s,
        "begins_at": found.begins_at,
        "key": found.key,
        "expected": usage(found.expected),
        "found": usage(found.found),
    }
