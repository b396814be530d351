"""Money as text: exact, from the integer."""

NANO = 1_000_000_000  # nano-USD of one USD


def usd_text(nano_usd: int) -> str:
    """Return nano-USD as USD in plain decimal notation, without exponent or trailing zeros."""
    sign = "-" if nano_usd < 0 else ""
    whole, rest = divmod(abs(nano_usd), NANO)
    return f"{sign}{whole}.{rest:09d}".rstrip("0").rstrip(".")
