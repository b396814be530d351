"""Parses the numbers in what a provider reports; a number that is not plausible is refused."""

import math
from collections.abc import Mapping
from decimal import Decimal

from hero_broker.core.usage import MAX_UNITS

MS = 1000
MAX_DIGITS = 400  # of an integer that is read; `int` rejects numbers of some thousands


class ImplausibleError(ValueError):
    """A count or a duration is not a plausible number."""


def count(value: object, *, may_be_null: bool = True) -> int | None:
    """Return a count; None if it is null and may be.

    Raises:
        ImplausibleError: the value is no integer from 0 to `MAX_UNITS`.
    """
    if value is None and may_be_null:
        return None
    if type(value) is not int or not 0 <= value <= MAX_UNITS:
        raise ImplausibleError
    return value


def json_integer(text: str) -> int | float:
    """Return an integer of JSON; with more than `MAX_DIGITS` a float, which is no plausible number."""
    return int(text) if len(text) <= MAX_DIGITS else float(text)


def json_decimal(text: str) -> Decimal | float:
    """Return a number of JSON with a point or an exponent; a float if the exponent is beyond those of decimals."""
    try:
        return Decimal(text)
    except ArithmeticError:
        return float(text)


def milliseconds(seconds: object) -> int:
    """Return a duration in milliseconds, rounded up; some providers send it as a string.

    Raises:
        ImplausibleError: the value is no plausible number of seconds.
    """
    try:
        value = Decimal(seconds) if type(seconds) in (int, Decimal, str) else None  # type: ignore[arg-type]
    except ArithmeticError as error:
        raise ImplausibleError from error
    if value is None or not value.is_finite() or not 0 <= value <= MAX_UNITS // MS:
        raise ImplausibleError
    return math.ceil(value * MS)


def details(reported: Mapping[str, object], name: str) -> Mapping[str, object]:
    """Return a member that is an object; empty if it is something else."""
    value = reported.get(name)
    return value if isinstance(value, dict) else {}
