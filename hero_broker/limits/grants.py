"""What may be granted of a budget."""

from decimal import Decimal

from hero_broker.core.errors import InvalidParams
from hero_broker.core.limits import Grant
from hero_broker.core.money import NANO
from hero_broker.limits.limit import MAX_UNITS, MAX_USD, USD, Limit


def granted_amount(limit: Limit, amount: Decimal) -> int:
    """Return an amount that is granted of a budget, in its unit; money in nano-USD.

    Raises:
        InvalidParams: it is not above 0, too large, or finer than the unit.
    """
    most, scale = (MAX_USD, NANO) if limit.unit == USD else (MAX_UNITS, 1)
    if amount.is_finite() and 0 < amount <= most and amount * scale == int(amount * scale):
        return int(amount * scale)
    form = "a number above 0 with at most 9 decimal places" if limit.unit == USD else "an integer above 0"
    raise InvalidParams("amount", f"must be {form}, at most {most}")


def fits(grant: Grant, limit: Limit) -> bool:
    """Return whether a grant raises what a limit of its name admits now, whatever the limit was when it was made."""
    return limit.is_budget and grant.unit == limit.unit and grant.subject.keys() == set(limit.per)
