"""Decodes JSON strictly: RFC 8259, in UTF-8, each member once."""

import json
import math
from typing import Any


def decode(body: bytes) -> Any:
    """Return the value of a JSON body.

    Raises:
        ValueError: the body is not JSON, is nested too deep, or gives a member twice.
    """
    try:
        return json.loads(body.decode(), parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_unique)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError("a number is out of range")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is given twice")
    return members
