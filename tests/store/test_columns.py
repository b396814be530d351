"""Each value of a row stands in the column of its name, whatever the order in which anything is declared."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import msgspec
from msgspec.structs import replace

from hero_broker.core.calls import Caller, Outcome
from hero_broker.core.records import ROW_FIELDS, PriceRecord, RequestLog
from hero_broker.core.usage import UsageSource
from hero_broker.ledger.journal import FRAME, HEADER, Journal, read_segment
from hero_broker.ledger.ledger import Ledger
from hero_broker.ledger.rows import CallStarted, PendingRow
from hero_broker.metering.billing_row import interrupted_row
from hero_broker.store import request_logs, row_pages
from hero_broker.store.database import open_database
from tests.stores import query

# Segments of version 2, as programs wrote them when a row had the fields that are named here: one note and one row.
SAMPLES = Path(__file__).parent.parent / "ledger" / "samples"
SEGMENT, SEGMENT_OF_0_3 = SAMPLES / "version-2.journal", SAMPLES / "version-2-of-0.3.journal"
KEY = bytes.fromhex("00000000000000000000ffffc0000201")
STORED: dict[str, object] = {
    "request_id": "01920000-0000-7000-8000-000000000001",
    "started_at": 1_700_000_001,
    "ip": "192.0.2.1",
    "ip_key": KEY,
    "peer_ip": "192.0.2.2",
    "context": "a context",
    "api_key_id": "a key",
    "kind": "completion",
    "model": "a model",
    "provider": "a provider",
    "upstream_model": "an upstream model",
    "stream": 1,
    "outcome": "provider_error",
    "http_status": 502,
    "error_code": "an error",
    "input_tokens": 101,
    "output_tokens": 102,
    "cached_input_tokens": 103,
    "cache_write_tokens": 104,
    "reasoning_tokens": 105,
    "audio_input_tokens": 106,
    "audio_output_tokens": 107,
    "characters": 108,
    "audio_ms": 109,
    "search_units": 110,
    "usage_source": "estimated",
    "cost_nano_usd": 111,
    "cost_source": "price",
    "price_id": "2f1dd4ba6a8f6ee5e8ee11f0e0f8f5a1",
    "attempts": 112,
    "duration_ms": 113,
    "first_byte_ms": 114,
}
ENUMS = {"outcome": Outcome.PROVIDER_ERROR, "usage_source": UsageSource.ESTIMATED}
# Fields that were added since, each with a value of its own; the segment does not have them.
OF_TYPE: dict[type, Callable[[int], object]] = {int: int, str: "text {}".format, bool: bool}
LATER = {field.name: OF_TYPE[field.type](number) for number, field in enumerate(ROW_FIELDS[len(STORED) :], start=200)}
OLD_ROW = RequestLog(**{**STORED, **ENUMS, "stream": True})  # type: ignore[arg-type]
ROW = replace(OLD_ROW, **LATER)
OLD_DUE = PendingRow(
    row=OLD_ROW, rates='{"input_per_million":"1"}', price_source="https://example.org/prices", price_version="9"
)
DUE = replace(OLD_DUE, row=ROW)

OLD_NOTE = CallStarted(
    request_id="01920000-0000-7000-8000-000000000002",
    started_at=1_700_000_002,
    caller=Caller(ip="2001:db8::1", peer_ip="192.0.2.3", context="another context"),
    kind="chat",
    model="model 2",
    provider="provider 2",
    upstream_model="upstream 2",
    stream=True,
    input_bytes=160,
    characters=7,
    rates='{"input_per_million":"0.59"}',
    price_source="a source",
    price_version="a version",
)
NOTE = replace(OLD_NOTE, requested_model="an alias")


def test_each_value_stands_in_the_column_of_its_name(tmp_path: Path, database_url: str) -> None:
    journal = Journal(tmp_path / "journal", interrupted_row, max_bytes=100_000_000, max_calls=10)
    journal.settle(DUE)
    journal.close()
    with open_database(database_url) as database:
        again = Journal(tmp_path / "journal", interrupted_row, max_bytes=100_000_000, max_calls=10)
        with Ledger.running(again, database):
            pass  # the row goes from the journal into the store
        again.close()
        with database.reading() as connection:
            found = request_logs.find(connection, ROW.request_id)
            selection = row_pages.Selection()
            listed, _ = row_pages.rows(connection, selection, row_pages.span(connection, selection), 10)

    stored = {name: query(database_url, f"SELECT {name} FROM request_logs")[0][0] for name in ROW.__struct_fields__}
    assert stored == STORED | LATER
    assert found == (1, ROW, PriceRecord(ROW.price_id or "", DUE.rates or "", DUE.price_source, DUE.price_version))
    assert listed == [(1, ROW)]


def test_rows_with_any_one_value_are_stored_in_their_order(database_url: str) -> None:
    nothing = replace(ROW, **{field.name: None for field in ROW_FIELDS if field.is_nullable})
    values = {field.name: getattr(ROW, field.name) for field in ROW_FIELDS if field.is_nullable}
    made = [nothing, *(one for name, value in values.items() for one in (replace(nothing, **{name: value}), nothing))]
    rows = [replace(one, request_id=f"01920000-0000-7000-8000-{number:012}") for number, one in enumerate(made)]
    with open_database(database_url) as database:
        assert database.append(rows, []) == {}
        with database.reading() as connection:
            found = [request_logs.find(connection, row.request_id) for row in rows]

    assert [(one[0], one[1]) for one in found if one is not None] == list(enumerate(rows, start=1))


def test_fields_of_stored_journals_come_first_in_their_order_and_later_ones_are_none_by_default() -> None:
    fields = msgspec.structs.fields(RequestLog)

    assert [field.name for field in fields[: len(STORED)]] == list(STORED)
    assert [field.name for field in fields[len(STORED) :] if field.default is not None] == []


def test_segment_that_was_stored_is_read_field_by_field() -> None:
    assert list(read_segment(SEGMENT)) == [OLD_NOTE, OLD_DUE]
    assert list(read_segment(SEGMENT_OF_0_3)) == [replace(OLD_NOTE, attempts=3), OLD_DUE]


def test_field_that_comes_last_with_a_default_leaves_stored_segments_readable() -> None:
    class Longer(RequestLog, frozen=True, kw_only=True, array_like=True, gc=False):
        a_later_field: str | None = None

    class LongerDue(msgspec.Struct, frozen=True, array_like=True):
        row: Longer
        rates: str | None
        price_source: str = ""
        price_version: str = ""
        another_later_field: str | None = None

    data = SEGMENT.read_bytes()
    (length, _, _) = FRAME.unpack_from(data, HEADER.size)
    at = HEADER.size + FRAME.size + length
    (length, _, _) = FRAME.unpack_from(data, at)
    due = msgspec.msgpack.decode(data[at + FRAME.size : at + FRAME.size + length], type=LongerDue)

    assert {name: getattr(due.row, name) for name in STORED} == {name: getattr(OLD_ROW, name) for name in STORED}
    assert (due.row.a_later_field, due.price_version, due.another_later_field) == (None, "9", None)
    assert (
        msgspec.msgpack.decode(msgspec.msgpack.encode(due), type=PendingRow) == OLD_DUE
    )  # as the program before reads it


def test_fields_that_are_converted_for_drivers_always_have_a_value() -> None:
    converted = [field for field in ROW_FIELDS if issubclass(field.type, StrEnum | bool)]

    assert len(converted) > 2
    assert not [field.name for field in converted if field.is_nullable]
