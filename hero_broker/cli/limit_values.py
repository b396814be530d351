"""Parses definitions and subjects of limits from the command line; the broker checks what they say."""

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, cast

import typer

from hero_broker.client import methods

WARN_AT, AMOUNT = "warn_at", "amount"  # keys whose values are numbers
LISTS = ("per", WARN_AT, "match.exclude")  # keys whose values are separated by commas
MATCH = "match."  # of the keys whose values are strings, whatever they look like
_NUMBER = re.compile(r"-?[0-9][0-9_]*(?:\.[0-9]+)?")
_BOOLEANS = {"true": True, "false": False}
DIMENSION_FORM = "DIMENSION=VALUE"


def parse_definition(texts: Sequence[str]) -> methods.NewLimit:
    """Return the keys of a limit: numbers and booleans as such, lists from texts with commas, all else as strings.

    Raises:
        typer.BadParameter: a text is not KEY=VALUE, a key is given twice, or a list or a number has another form.
    """
    keys: dict[str, Any] = {}
    for key, value in _pairs(texts, "KEY=VALUE"):
        values = value.split(",")
        _check_form(key, value, values)
        if key.startswith(MATCH):
            match = keys.setdefault(MATCH.removesuffix("."), {})
            match[key.removeprefix(MATCH)] = values if key in LISTS else value
        else:
            keys[key] = [_typed(one) for one in values] if key in LISTS else _typed(value)
    return cast(methods.NewLimit, keys)


def parse_subject(texts: Sequence[str] | None) -> methods.LimitSubjectValues | None:
    """Return the values of a subject by dimension; None if there are none.

    Raises:
        typer.BadParameter: a text is not DIMENSION=VALUE, or a dimension is given twice.
    """
    return cast(methods.LimitSubjectValues, dict(_pairs(texts, DIMENSION_FORM))) if texts else None


def parse_amount(text: str) -> Decimal:
    """Return an amount of money, tokens or requests.

    Raises:
        typer.BadParameter: it is not a number.
    """
    if _NUMBER.fullmatch(text) is None:
        raise typer.BadParameter("must be a number, such as 5 or 12.50", param_hint="AMOUNT")
    return Decimal(text)


def _check_form(key: str, value: str, values: Sequence[str]) -> None:
    if key == AMOUNT and _NUMBER.fullmatch(value) is None:
        form = "a number, such as 20, or 0.50 with the unit usd"
        raise typer.BadParameter(f"must be {form}, not {value!r}", param_hint=AMOUNT)
    if key == WARN_AT and not all(map(_NUMBER.fullmatch, values)):
        form = f"parts of the amount as numbers, with commas and without brackets: {WARN_AT}=0.5,0.8,1"
        raise typer.BadParameter(f"must be {form}, not {value!r}", param_hint=WARN_AT)
    if key in LISTS and value.startswith("["):
        raise typer.BadParameter("must be a list with commas, without brackets", param_hint=key)


def _pairs(texts: Sequence[str], form: str) -> Iterator[tuple[str, str]]:
    names = set()
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals or name in names:
            raise typer.BadParameter(f"{text!r} must be {form}, with each name given once", param_hint=form)
        names.add(name)
        yield name, value


def _typed(text: str) -> object:
    if _NUMBER.fullmatch(text):
        return Decimal(text) if "." in text else int(text)
    return _BOOLEANS.get(text, text)
