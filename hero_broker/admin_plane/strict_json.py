"""Decodes JSON strictly: RFC 8259, in UTF-8, each member once."""

import codecs
import json
import math
from typing import Any


class InvalidJson(ValueError):
    """A body is not JSON. Its text is a clause that says why, and quotes nothing of the body."""


def decode(body: bytes) -> Any:
    """Return the value of a JSON body.

    Raises:
        InvalidJson: the body is not JSON, is nested too deep, or gives a member twice.
    """
    try:
        return json.loads(body.decode(), parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_unique)
    except InvalidJson:
        raise
    except RecursionError as error:
        raise InvalidJson("it is nested too deep") from error
    except UnicodeDecodeError as error:
        raise InvalidJson(f"it is not UTF-8 at byte {error.start + 1}") from error
    except json.JSONDecodeError as error:
        raise InvalidJson(_syntax_fault(body, error)) from error
    except ValueError as error:  # Python limits the digits of integers
        raise InvalidJson("a number is too long") from error


def _syntax_fault(body: bytes, error: json.JSONDecodeError) -> str:
    if not body.strip():
        return "it is empty"
    if body.startswith(codecs.BOM_UTF8):
        return "it begins with a byte order mark"
    return f"{error.msg.removesuffix(' at')} at line {error.lineno}, column {error.colno}"


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise InvalidJson("a number is out of range")
    return value


def _refuse(constant: str) -> None:
    raise InvalidJson(f"{constant} is not allowed")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise InvalidJson("a member is given twice")
    return members
