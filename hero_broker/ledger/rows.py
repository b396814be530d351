"""What the journal stores: calls that began, and rows that the database does not have yet."""

import msgspec

from hero_broker.core.calls import Caller, CallKind
from hero_broker.core.records import RequestLog


class PendingRow(msgspec.Struct, frozen=True, array_like=True):
    """A row and the price that it was priced with, which may be new to the database.

    The journal stores the fields by their places, as `RequestLog`'s.
    """

    row: RequestLog
    rates: str | None  # JSON
    price_source: str = ""
    price_version: str = ""


class CallStarted(msgspec.Struct, frozen=True, array_like=True):
    """A call that begins: what its row is made from if nothing more is heard of it.

    The journal stores the fields by their places, as `RequestLog`'s.
    """

    request_id: str
    started_at: int  # unix seconds, UTC
    caller: Caller
    kind: CallKind
    model: str
    provider: str
    upstream_model: str
    stream: bool
    input_bytes: int
    characters: int | None
    rates: str | None  # JSON, of the price at the length that its input seems to have; None where none is known
    price_source: str
    price_version: str
