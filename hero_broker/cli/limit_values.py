"""Parses definitions and subjects of limits from the command line; the broker checks what they say."""

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, cast

import typer

from hero_broker.client import methods

LISTS = ("per", "warn_at", "match.except")  # keys whose values are separated by commas
MATCH = "match."  # of the keys whose values are strings, whatever they look like
_NUMBER = re.compile(r"-?[0-9][0-9_]*(?:\.[0-9]+)?")
_BOOLEANS = {"true": True, "false": False}
DIMENSION_FORM = "DIMENSION=VALUE"


def parse_definition(texts: Sequence[str]) -> methods.NewLimit:
    """Return the keys of a limit: numbers and booleans as such, lists from texts with commas, all else as strings.

    Raises:
        typer.BadParameter: a text is not KEY=VALUE, or a key is given twice.
    """
    keys: dict[str, Any] = {}
    for key, value in _pairs(texts, "KEY=VALUE"):
        values = value.split(",")
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
