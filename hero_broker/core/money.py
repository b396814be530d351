"""Formats amounts as exact decimal text."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

NANO = 1_000_000_000  # nano-USD of one USD
# The largest plausible cost of one call. The dearest calls of today cost some thousand USD; above this bound, a price
# was entered wrongly. A ledger's sums are integers of 64 bits, which hold 9,000 calls of this cost.
MAX_COST_USD = 1_000_000
MAX_EXACT_DIGITS = 15  # of a number with a point or an exponent; JSON's readers may change more of them


def exact_decimal(text: str) -> Decimal:
    """Return the decimal that a JSON number says; an integer may have any number of digits.

    Raises:
        ValueError: it has a point or an exponent, and more than `MAX_EXACT_DIGITS` digits.
    """
    number = Decimal(text)
    if len(number.as_tuple().digits) > MAX_EXACT_DIGITS and not text.removeprefix("-").isdigit():
        raise ValueError(text)
    return number


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


def usd_cents(nano_usd: int) -> str:
    """Return nano-USD as USD with two decimal places, rounded half to even; thousands are separated by commas."""
    return _grouped(round(Fraction(nano_usd, NANO // 100)) * (NANO // 100), 2)


def _grouped(nano_usd: int, places: int) -> str:
    whole, rest = divmod(abs(nano_usd), NANO)
    return f"{'-' if nano_usd < 0 else ''}{whole:,}.{f'{rest:09d}'[:places]}"


def exact_text(amount: Fraction) -> str:
    """Return an amount as a plain decimal, or as a fraction if no decimal is exact."""
    denominator = amount.denominator
    twos = fives = 0
    while denominator % 2 == 0:
        denominator, twos = denominator // 2, twos + 1
    while denominator % 5 == 0:
        denominator, fives = denominator // 5, fives + 1
    if denominator != 1:
        return f"{amount.numerator}/{amount.denominator}"
    places = max(twos, fives)
    digits = str(abs(amount.numerator) * 10**places // amount.denominator).zfill(places + 1)
    sign, end = "-" if amount < 0 else "", len(digits) - places
    return f"{sign}{digits[:end]}.{digits[end:]}" if places else f"{sign}{digits}"
