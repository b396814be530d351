"""Rows of the ledger in the order of `seq`, newest first, in pieces that are quickly read.

Rows are never changed, so a listing that keeps below the `seq` it began at sees one state of the ledger in any number
of transactions, none of which has to last: on SQLite a long one would let the write-ahead log grow.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Connection, func, select

from hero_broker.core.records import RequestLog
from hero_broker.store import rollups
from hero_broker.store.request_logs import COLUMNS, build_row
from hero_broker.store.schema import ALL_TIME, REQUEST_LOGS, USAGE_BY_IP

STEP_ROWS = 20_000  # positions that are looked at in one statement
FEW_ROWS = 20_000  # calls of one address that are sorted rather than looked for among all


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which rows are listed. Nothing is checked here."""

    filters: Mapping[str, str] = field(default_factory=dict)  # column → value
    within: tuple[bytes, bytes] | None = None  # the first and last `ip_key` of the addresses that count
    since: int | None = None
    until: int | None = None
    seqs: tuple[int, int] | None = None  # the first and last `seq` that count; None: all


@dataclass(frozen=True, slots=True)
class Span:
    """The part of the ledger that is still to be listed: first_seq <= seq < before_seq."""

    first_seq: int
    before_seq: int


def span(connection: Connection, selection: Selection) -> Span:
    """Return where the selected rows lie, or a little more, as the ledger stands now."""
    standing = rollups.rollup_state(connection)
    first, last = selection.seqs or (1, standing.last_seq)
    c = REQUEST_LOGS.c
    inside = _window(selection)
    if inside and standing.first_seen is not None and standing.last_seen is not None:
        is_old = selection.until is not None and selection.until <= standing.last_seen
        is_new = selection.since is not None and selection.since > standing.first_seen
        if is_old:
            last = min(last, connection.execute(select(func.max(c.seq)).where(*inside)).scalar_one() or 0)
        if is_new:
            first = max(first, connection.execute(select(func.min(c.seq)).where(*inside)).scalar_one() or last + 1)
    return Span(first, last + 1)


def rows(
    connection: Connection, selection: Selection, left: Span, limit: int
) -> tuple[list[tuple[int, RequestLog]], Span]:
    """Return at most `limit` rows with their `seq`, newest first, and what is left after them.

    It may be fewer, or none, with more left: not more than `STEP_ROWS` positions are looked at.
    """
    c = REQUEST_LOGS.c
    seq: ColumnElement[int] = c.seq
    first = max(left.first_seq, left.before_seq - STEP_ROWS)
    ip = selection.filters.get("ip")
    if ip is not None and _count_calls(connection, ip) <= FEW_ROWS:
        seq, first = c.seq + 0, left.first_seq  # by the index on `ip`, not in the order of `seq`
    conditions = [seq >= first, seq < left.before_seq, *_window(selection)]
    conditions.extend(c[name] == value for name, value in selection.filters.items())
    if selection.within is not None:
        conditions.extend([c.ip_key >= selection.within[0], c.ip_key <= selection.within[1]])
    query = select(c.seq, *(c[name] for name in COLUMNS)).where(*conditions).order_by(c.seq.desc()).limit(limit)
    found = [(row.seq, build_row(row)) for row in connection.execute(query)]
    return found, Span(left.first_seq, found[-1][0] if len(found) == limit else first)


def _window(selection: Selection) -> list[ColumnElement[bool]]:
    started_at = REQUEST_LOGS.c.started_at
    bounds = []
    if selection.since is not None:
        bounds.append(started_at >= selection.since)
    if selection.until is not None:
        bounds.append(started_at < selection.until)
    return bounds


def _count_calls(connection: Connection, ip: str) -> int:
    """Return how many calls of an address are in the roll-ups; those above the watermark are few."""
    c = USAGE_BY_IP.c
    generation, _ = rollups.watermark(connection)
    query = select(c.requests).where(c.generation == generation, c.span_s == ALL_TIME, c.begins_at == 0, c.ip == ip)
    return connection.execute(query).scalar_one_or_none() or 0
