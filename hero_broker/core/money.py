"""Formats nano-USD as exact decimal text."""

from collections.abc import Sequence

NANO = 1_000_000_000  # nano-USD of one USD
# The largest plausible cost of one call. The dearest calls of today cost some thousand USD; above this bound, a price
# was entered wrongly. A ledger's sums are integers of 64 bits, which hold 9,000 calls of this cost.
MAX_COST_USD = 1_000_000


def usd_text(nano_usd: int) -> str:
    """Return nano-USD as USD in plain decimal notation, without exponent or trailing zeros."""
    sign = "-" if nano_usd < 0 else ""
    whole, rest = divmod(abs(nano_usd), NANO)
    return f"{sign}{whole}.{rest:09d}".rstrip("0").rstrip(".")


def usd_column(nano_usd: Sequence[int]) -> list[str]:
    """Return nano-USD as USD for a column whose points stand below each other.

    Each amount has as many decimal places as the longest needs, at least 2; thousands are separated by commas.
    """
    places = max([2, *(len(usd_text(amount).partition(".")[2]) for amount in nano_usd)])
    return [_grouped(amount, places) for amount in nano_usd]


def _grouped(nano_usd: int, places: int) -> str:
    whole, rest = divmod(abs(nano_usd), NANO)
    return f"{'-' if nano_usd < 0 else ''}{whole:,}.{f'{rest:09d}'[:places]}"
