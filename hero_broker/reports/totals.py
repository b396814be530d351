"""Adds up sums that were read in several statements."""

from collections.abc import Sequence

from msgspec.structs import astuple

from hero_broker.core.records import UsageTotals

NO_USAGE = UsageTotals()


def sum_totals(parts: Sequence[UsageTotals]) -> UsageTotals:
    """Return the sums of all parts; each part has at least one row."""
    if len(parts) < 2:
        return parts[0] if parts else NO_USAGE
    *counts, first_seen, last_seen = zip(*map(astuple, parts), strict=True)
    return UsageTotals(*[*map(sum, counts), min(first_seen), max(last_seen)])
