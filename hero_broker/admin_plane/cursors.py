"""Cursors: the parameters of a page's query, and the position of the next page. Only `dispatch` reads them."""

import base64
import binascii
from typing import Any, TypeVar

import msgspec

from hero_broker.admin_plane.contract import Contract
from hero_broker.core.errors import InvalidParams

Position = TypeVar("Position")


class _Cursor(msgspec.Struct, frozen=True):
    method: str
    params: dict[str, Any]
    position: Any


_DECODER = msgspec.json.Decoder(_Cursor)


def encode_cursor(method: str, params: dict[str, Any], position: Any) -> str:
    """Return the string that `resume` decodes; params that are None are left out."""
    present = {name: value for name, value in params.items() if value is not None}
    return base64.urlsafe_b64encode(msgspec.json.encode(_Cursor(method, present, position))).decode()


def resume(contract: Contract, method: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return a cursor's parameters, with its position as `cursor`; other arguments must equal the cursor's.

    Raises:
        InvalidParams: `cursor` is not a cursor, or belongs to another query.
    """
    encoded = arguments.pop("cursor", None)
    if encoded is None:
        return arguments
    try:
        cursor = _DECODER.decode(base64.b64decode(encoded.encode(), altchars=b"-_", validate=True))
        frozen = contract.arguments(method, {**cursor.params, "cursor": None})
    except (msgspec.DecodeError, binascii.Error, ValueError, InvalidParams) as error:
        raise InvalidParams("cursor", "must be the next_cursor of an answer") from error
    if cursor.method != method or any(frozen.get(name) != value for name, value in arguments.items()):
        raise InvalidParams("cursor", "belongs to another query")
    return {**frozen, "cursor": cursor.position}


def parse_position(cursor: Any, kind: type[Position]) -> Position | None:
    """Return the position that a method put into its cursor.

    Raises:
        InvalidParams: `cursor` is not a position of this method.
    """
    if cursor is None:
        return None
    try:
        return msgspec.convert(cursor, kind)
    except msgspec.ValidationError as error:
        raise InvalidParams("cursor", "must be the next_cursor of an answer") from error
