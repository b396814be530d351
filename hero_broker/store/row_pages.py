"""Reads rows of the ledger in the order of `seq`, newest first, in short pages.

Rows never change, so a listing that stays below the `seq` at which it began sees one state of the ledger in any number
of short transactions. On SQLite a long transaction would let the write-ahead log grow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from hero_broker.core.labels import LabelIndex
from hero_broker.core.records import PeriodPart, RequestLog
from hero_broker.store import rollups
from hero_broker.store.address_labels import LABEL, NO_LABEL, has_label, label_values
from hero_broker.store.billing_periods import is_in
from hero_broker.store.request_logs import COLUMNS, build_row
from hero_broker.store.schema import ALL_TIME, REQUEST_LOGS, USAGE_BY_IP
from hero_broker.store.sums import priced

STEP_ROWS = 20_000  # positions that one statement reads at most
FEW_ROWS = 20_000  # up to so many calls of one address are sorted; more are filtered from all rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which rows to list; not validated here."""

    filters: Mapping[str, str] = field(default_factory=dict)  # column, or "label" → value; `NO_LABEL` for no label
    names: LabelIndex | None = None  # the labels, if "label" is used
    within: tuple[bytes, bytes] | None = None  # the first and last `ip_key` to include
    since: int | None = None
    until: int | None = None
    parts: Sequence[PeriodPart] | None = None  # only rows of a billing period; None: all
    is_priced: bool | None = None  # only rows with a cost, or only those without one; None: all


@dataclass(frozen=True, slots=True)
class Span:
    """The part of the ledger that remains to be listed: first_seq <= seq < before_seq."""

    first_seq: int
    before_seq: int


def span(connection: Connection, selection: Selection) -> Span:
    """Return a span that contains all selected rows of the ledger as it is now; it may be a little larger."""
    state = rollups.rollup_state(connection)
    first, last = 1, state.last_seq
    if selection.parts is not None:
        first, last = min(part.first_seq for part in selection.parts), max(part.last_seq for part in selection.parts)
    c = REQUEST_LOGS.c
    inside = _window(selection)
    if inside and state.first_seen is not None and state.last_seen is not None:
        is_old = selection.until is not None and selection.until <= state.last_seen
        is_new = selection.since is not None and selection.since > state.first_seen
        if is_old:
            last = min(last, connection.execute(select(func.max(c.seq)).where(*inside)).scalar_one() or 0)
        if is_new:
            first = max(first, connection.execute(select(func.min(c.seq)).where(*inside)).scalar_one() or last + 1)
    return Span(first, last + 1)


def rows(
    connection: Connection, selection: Selection, left: Span, limit: int
) -> tuple[list[tuple[int, RequestLog]], Span]:
    """Return at most `limit` rows with their `seq`, newest first, and the span that remains after them.

    Fewer rows, or none, may come while more remain: one call reads at most `STEP_ROWS` positions.
    """
    c = REQUEST_LOGS.c
    seq: ColumnElement[int] = c.seq
    first = max(left.first_seq, left.before_seq - STEP_ROWS)
    ip = selection.filters.get("ip")
    if ip is not None and _count_calls(connection, ip) <= FEW_ROWS:
        seq, first = c.seq + 0, left.first_seq  # by the index on `ip`, not in the order of `seq`
    conditions = [seq >= first, seq < left.before_seq, *_window(selection)]
    if selection.parts is not None:
        conditions.append(is_in(selection.parts))
    conditions.extend(c[name] == value for name, value in selection.filters.items() if name != LABEL)
    values: dict[str, Any] = {}
    label = selection.filters.get(LABEL)
    if label is not None and selection.names is not None:
        in_order = c.ip.concat("")  # read in the order of `seq`, not by the index on `ip`
        conditions.append(has_label(connection.dialect.name, in_order, is_unlabelled=label == NO_LABEL))
        _, folded = rollups.watermark(connection)
        values = {**label_values(selection.names), "folded": folded, "is_label": label}
    if selection.within is not None:
        conditions.extend([c.ip_key >= selection.within[0], c.ip_key <= selection.within[1]])
    if selection.is_priced is not None:
        conditions.append(priced(selection.is_priced))
    query = select(c.seq, *(c[name] for name in COLUMNS)).where(*conditions).order_by(c.seq.desc()).limit(limit)
    page = [(row.seq, build_row(row)) for row in connection.execute(query, values)]
    return page, Span(left.first_seq, page[-1][0] if len(page) == limit else first)


def _window(selection: Selection) -> list[ColumnElement[bool]]:
    started_at = REQUEST_LOGS.c.started_at
    bounds = []
    if selection.since is not None:
        bounds.append(started_at >= selection.since)
    if selection.until is not None:
        bounds.append(started_at < selection.until)
    return bounds


def _count_calls(connection: Connection, ip: str) -> int:
    """Return how many calls an address has, at most: its calls in the roll-ups, and all above the watermark."""
    c = USAGE_BY_IP.c
    state = rollups.rollup_state(connection)
    all_time = [c.generation == state.generation, c.span_s == ALL_TIME, c.begins_at == 0]
    folded = connection.execute(select(c.requests).where(*all_time, c.ip == ip)).scalar_one_or_none()
    return (folded or 0) + state.unfolded
