"""Exports all lines of a report as one stream: CSV for spreadsheets, NDJSON for programs.

`EXPORTS` has the methods that are exported, each with the parameters that only its URL has.
"""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from hero_broker.admin_plane import cursors, params, views
from hero_broker.admin_plane.admin import Admin
from hero_broker.admin_plane.billing import rows_query
from hero_broker.admin_plane.contract import Contract
from hero_broker.admin_plane.registry import METHODS
from hero_broker.core.local_time import format_time, iso_time
from hero_broker.core.money import usd_text
from hero_broker.core.queries import Dimension
from hero_broker.core.records import LedgerRow
from hero_broker.util.spreadsheets import BYTE_ORDER_MARK, cell

LINES_PER_PIECE = 2_000

CSV, NDJSON = "text/csv", "application/x-ndjson"
ROW_COLUMNS = ("seq", *views.SHOWN_FIELDS, "label", "cost_usd", "time")
SUMS = tuple(views.UsageView.__struct_fields__)
LABEL = str(Dimension.LABEL)

Arguments = Mapping[str, Any]  # of a method, checked by the contract


@dataclass(frozen=True, slots=True)
class Export:
    """All lines that a method lists, page by page, and what each looks like."""

    pages: AsyncIterator[Sequence[Any]]
    columns: Sequence[str]  # of CSV
    cells: Callable[[Any], Sequence[object]]  # a line in CSV, in the order of the columns
    members: Callable[[Any], object]  # a line in NDJSON, as the method's JSON has it


@dataclass(frozen=True, slots=True)
class ExportParam:
    """A parameter that only a URL has; without effect unless the response is CSV."""

    name: str
    schema: Mapping[str, Any]
    description: str


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """The values of the parameters that only a URL has."""

    zone: ZoneInfo
    bom: bool


BOM = ExportParam("bom", {"type": "boolean"}, "Begin CSV with a UTF-8 byte order mark, which Excel needs.")
TZ = ExportParam(
    "tz",
    {"type": "string", "minLength": 1, "maxLength": 100},
    "The IANA time zone of the column time in CSV; UTC if absent.",
)


def _addresses(admin: Admin, contract: Contract, arguments: Arguments, _zone: ZoneInfo) -> Export:
    pages = _pages(admin, contract, "billing.usage_by_ip", arguments)
    return Export(pages, ("ip", LABEL, *SUMS), lambda line: [line.ip, line.label, *_sums(line)], _unchanged)


def _models(admin: Admin, _contract: Contract, arguments: Arguments, _zone: ZoneInfo) -> Export:
    # The label is empty, as in a report by model: both have the same columns.
    pages = _models_of(admin, arguments)
    return Export(pages, ("model", LABEL, *SUMS), lambda line: [line.model, None, *_sums(line)], _unchanged)


async def _models_of(admin: Admin, arguments: Arguments) -> AsyncIterator[Sequence[Any]]:
    answer: Any = await METHODS["billing.usage_for_ip"](admin, **arguments)
    yield answer["data"]["models"]


def _groups(admin: Admin, contract: Contract, arguments: Arguments, _zone: ZoneInfo) -> Export:
    bucket, names = arguments.get("bucket"), arguments["group_by"]
    zone = params.parse_zone(arguments.get("tz"))
    has_label_beside = LABEL not in names

    def cells(line: Any) -> Sequence[object]:
        start, end = line.bucket_start, line.bucket_end
        times = [] if bucket is None else [format_time(start, zone, bucket), start, end]
        label = [line.label] if has_label_beside else []
        return [*times, *(line.group[name] for name in names), *label, *_sums(line)]

    times = () if bucket is None else ("bucket", "bucket_start", "bucket_end")
    columns = (*times, *names, *([LABEL] if has_label_beside else []), *SUMS)
    return Export(_pages(admin, contract, "billing.usage", arguments), columns, cells, _unchanged)


async def _pages(admin: Admin, contract: Contract, method: str, arguments: Arguments) -> AsyncIterator[Sequence[Any]]:
    """Yield the data of a page and of all that follow it."""
    answer: Any = await METHODS[method](admin, **arguments)
    yield answer["data"]
    while answer["next_cursor"] is not None:
        resumed = cursors.resume(contract, method, {"cursor": answer["next_cursor"]})
        answer = await METHODS[method](admin, **resumed)
        yield answer["data"]


def _rows(admin: Admin, _contract: Contract, arguments: Arguments, zone: ZoneInfo) -> Export:
    query = rows_query(**arguments, limit=LINES_PER_PIECE)

    async def pages() -> AsyncIterator[Sequence[LedgerRow]]:
        async for page in admin.reports.every_row(query):
            yield page.rows

    return Export(pages(), ROW_COLUMNS, lambda entry: row_cells(entry, zone), views.row)


def row_cells(entry: LedgerRow, zone: ZoneInfo) -> Sequence[object]:
    """Return a row in CSV, in the order of `ROW_COLUMNS`."""
    cost = entry.row.cost_nano_usd
    return [
        entry.seq,
        *(getattr(entry.row, name) for name in views.SHOWN_FIELDS),
        entry.label,
        None if cost is None else usd_text(cost),
        iso_time(entry.row.started_at, zone),
    ]


@dataclass(frozen=True, slots=True)
class ExportedMethod:
    """How one method is exported."""

    export: Callable[[Admin, Contract, Arguments, ZoneInfo], Export]
    params: Sequence[ExportParam]


EXPORTS: Mapping[str, ExportedMethod] = {
    "billing.usage_by_ip": ExportedMethod(_addresses, (BOM,)),
    "billing.usage_for_ip": ExportedMethod(_models, (BOM,)),
    "billing.usage": ExportedMethod(_groups, (BOM,)),  # the method itself has the parameter `tz`
    "billing.requests": ExportedMethod(_rows, (TZ, BOM)),
}


def build_export(
    admin: Admin, contract: Contract, method: str, arguments: Arguments, media_type: str, options: ExportOptions
) -> AsyncIterator[bytes]:
    """Yield all lines of a method of `EXPORTS` in the media type; iterating raises as the method does."""
    export = EXPORTS[method].export(admin, contract, arguments, options.zone)
    if media_type == NDJSON:
        return _stream(export.pages, lambda lines: ndjson(map(export.members, lines)), b"")
    head = BYTE_ORDER_MARK.encode() if options.bom else b""
    return _stream(export.pages, lambda lines: csv_lines(map(export.cells, lines)), head + csv_lines([export.columns]))


async def _stream(
    pages: AsyncIterator[Sequence[Any]], encode: Callable[[Sequence[Any]], bytes], head: bytes
) -> AsyncIterator[bytes]:
    async for page in pages:
        for first in range(0, max(1, len(page)), LINES_PER_PIECE):
            # In a thread: thousands of lines take as long as many calls.
            piece = head + await asyncio.to_thread(encode, page[first : first + LINES_PER_PIECE])
            head = b""
            if piece:
                yield piece


def ndjson(lines: Iterable[object]) -> bytes:
    """Return lines as JSON objects, one a line."""
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


def csv_lines(lines: Iterable[Sequence[object]]) -> bytes:
    """Return lines as CSV (RFC 4180), safe for spreadsheets."""
    text = io.StringIO()
    csv.writer(text).writerows([cell(value) for value in line] for line in lines)
    return text.getvalue().encode()


def _sums(line: Any) -> list[object]:
    """Return the sums of a line, with its cost in full."""
    values = (getattr(line, name) for name in SUMS)
    return [bytes(value).decode() if isinstance(value, msgspec.Raw) else value for value in values]


def _unchanged(line: object) -> object:
    return line
