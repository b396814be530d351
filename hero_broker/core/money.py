"""Money as text: exact, from the integer."""


def usd_text(nano_usd: int) -> str:
    """Return nano-USD as USD in plain decimal notation, without exponent or trailing zeros."""
    sign = "-" if nano_usd < 0 else ""
    whole, rest = divmod(abs(nano_usd), 1_000_000_000)
    return f"{sign}{whole}.{rest:09d}".rstrip("0").rstrip(".")
