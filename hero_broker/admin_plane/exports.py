"""Exports all rows of a query as one stream: CSV for spreadsheets, NDJSON for programs."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec

from hero_broker.admin_plane import views
from hero_broker.admin_plane.admin import ReportsInterface
from hero_broker.core.money import usd_text
from hero_broker.core.queries import RowsQuery
from hero_broker.core.records import LedgerRow, Rows
from hero_broker.util.spreadsheets import cell

ROWS_PER_PIECE = 2_000

CSV, NDJSON = "text/csv", "application/x-ndjson"
COLUMNS = ("seq", *views.SHOWN_FIELDS, "label", "cost_usd")

ExportFormat = Sequence[LedgerRow]


def build_export(reports: ReportsInterface, query: RowsQuery, media_type: str) -> AsyncIterator[bytes]:
    """Yield all rows, or `query.limit` of them, in the media type."""
    if media_type == CSV:
        return _export(reports, query, _csv, ",".join(COLUMNS).encode() + b"\r\n")
    return _export(reports, query, _ndjson, b"")


async def _export(
    reports: ReportsInterface, query: RowsQuery, encode: Callable[[ExportFormat], bytes], head: bytes
) -> AsyncIterator[bytes]:
    pages: AsyncIterator[Rows] = reports.every_row(query)
    async for page in pages:
        # In a thread: thousands of rows take as long as many calls.
        piece = head + await asyncio.to_thread(encode, page.rows)
        head = b""
        if piece:
            yield piece


def _ndjson(rows: ExportFormat) -> bytes:
    return b"".join(msgspec.json.encode(views.row(row)) + b"\n" for row in rows)


def _csv(rows: ExportFormat) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    for entry in rows:
        cost = entry.row.cost_nano_usd
        values = [cell(getattr(entry.row, name)) for name in views.SHOWN_FIELDS]
        writer.writerow([entry.seq, *values, cell(entry.label), None if cost is None else usd_text(cost)])
    return text.getvalue().encode()
