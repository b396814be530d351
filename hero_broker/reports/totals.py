"""Adds up sums that were read in several statements."""

from collections.abc import Sequence

from hero_broker.core.records import UsageTotals

NO_USAGE = UsageTotals()


def sum_totals(parts: Sequence[UsageTotals]) -> UsageTotals:
    """Return the sums of all parts; each part has at least one row."""
    if not parts:
        return NO_USAGE
    return UsageTotals(
        requests=sum(part.requests for part in parts),
        failed_requests=sum(part.failed_requests for part in parts),
        estimated_requests=sum(part.estimated_requests for part in parts),
        unpriced_requests=sum(part.unpriced_requests for part in parts),
        input_tokens=sum(part.input_tokens for part in parts),
        output_tokens=sum(part.output_tokens for part in parts),
        cached_input_tokens=sum(part.cached_input_tokens for part in parts),
        characters=sum(part.characters for part in parts),
        audio_ms=sum(part.audio_ms for part in parts),
        search_units=sum(part.search_units for part in parts),
        images=sum(part.images for part in parts),
        web_searches=sum(part.web_searches for part in parts),
        cost_nano_usd=sum(part.cost_nano_usd for part in parts),
        first_seen=min(part.first_seen for part in parts if part.first_seen is not None),
        last_seen=max(part.last_seen for part in parts if part.last_seen is not None),
    )
