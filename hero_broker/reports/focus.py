"""Reads a FOCUS export day by day: each page in a short transaction, in the threads of reports."""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from hero_broker.core.calendar import LATEST, Window, buckets
from hero_broker.core.focus import FocusDay, FocusQuery, FocusReport
from hero_broker.core.labels import LabelIndex
from hero_broker.core.records import Period, PeriodPart
from hero_broker.pricing.price import Price
from hero_broker.reports.focus_lines import DayLines
from hero_broker.reports.labels import LabelBook
from hero_broker.reports.query_pool import QueryPool
from hero_broker.store import billing_lines, billing_periods, focus
from hero_broker.store.focus import Position

DEADLINE_S = 60.0
PAGE_ROWS = 2_000  # rows that one transaction reads
END_OF_TIME = 2**62  # no call begins later


class _Selection(NamedTuple):
    """Which calls an export has; rows that are recorded later are not in it."""

    parts: Sequence[PeriodPart]  # without a row in common
    zone: ZoneInfo  # of its days
    names: LabelIndex
    billing: Window  # the window or billing period; calls that were recorded late may have begun before it
    since: int  # no call began earlier
    until: int


async def focus_report(reader: QueryPool, labels: LabelBook, query: FocusQuery, as_of: int) -> FocusReport:
    """Return the FOCUS lines of a billing period or window; they are read while its days are taken.

    Raises:
        NotRecorded: there is no such billing period.
        StoreUnavailable: the database does not answer.
        TooWide: a statement took longer than `DEADLINE_S`.
    """
    selection = await reader.query(DEADLINE_S, _select, query, labels, as_of)
    return FocusReport(query.period, *selection.billing, as_of, _days(reader, selection))


def _select(connection: Connection, query: FocusQuery, labels: LabelBook, as_of: int) -> _Selection:
    if query.period is not None:
        return _select_period(connection, billing_periods.find(connection, query.period), labels, as_of)
    parts = [focus.window_part(connection, query.since, query.until)]
    zone = ZoneInfo("UTC")
    first, last = focus.extent(connection, parts, by_time=True) or (as_of, as_of)
    since = _day(zone, first)[0] if query.since is None else query.since
    until = _day(zone, last)[1] if query.until is None else query.until
    return _Selection(parts, zone, labels.names(connection), (since, until), since, until)


def _select_period(connection: Connection, period: Period, labels: LabelBook, as_of: int) -> _Selection:
    zone = ZoneInfo(period.zone or "UTC")
    first, last = focus.extent(connection, period.parts, by_time=False) or (as_of, as_of)
    since = _day(zone, first)[0]
    until = _day(zone, last)[1] if period.until is None else period.until
    begins_at = None if period.until is None else billing_periods.before_period(connection, period).last_until
    billing = since if begins_at is None else begins_at, until
    return _Selection(period.parts, zone, _names(connection, period, labels), billing, since, until)


def _names(connection: Connection, period: Period, labels: LabelBook) -> LabelIndex:
    """Return the labels of a period's close; those of now if it has no lines."""
    if not period.has_lines:
        return labels.names(connection)
    lines = billing_lines.lines(connection, period.number)
    return LabelIndex((line.ip, line.label) for line in lines if line.label is not None)


async def _days(reader: QueryPool, selection: _Selection) -> AsyncIterator[FocusDay]:
    prices: dict[str, Price | None] = {}
    at = selection.since
    while at < selection.until:
        first = await reader.query(DEADLINE_S, focus.next_start, selection.parts, at, selection.until)
        if first is None:
            return
        day = _day(selection.zone, first)
        window = max(day[0], at), min(day[1], selection.until)
        sums = DayLines(prices)
        for part in selection.parts:
            after = await reader.query(DEADLINE_S, _add_page, sums, prices, part, window, None)
            while after is not None:
                after = await reader.query(DEADLINE_S, _add_page, sums, prices, part, window, after)
        lines = await reader.run(sums.lines, selection.names.lookup)
        yield FocusDay(*window, lines)
        at = window[1]


def _day(zone: ZoneInfo, at: int) -> Window:
    """Return the day of a time; all times after the last date, which a wrong clock made, are one."""
    if at >= LATEST:
        return LATEST, END_OF_TIME
    return next(buckets("day", zone, at, at + 1))


def _add_page(
    connection: Connection,
    sums: DayLines,
    prices: dict[str, Price | None],
    part: PeriodPart,
    window: Window,
    after: Position | None,
) -> Position | None:
    """Add the next rows of a day to its sums; return the position of the last one, or None at the end."""
    page = focus.rows(connection, part, *window, after, PAGE_ROWS)
    missing = {row.price_id for row in page if row.price_id is not None} - prices.keys()
    if missing:
        rates = focus.rates(connection, missing)
        prices.update((price_id, _price(rates.get(price_id))) for price_id in missing)
    for row in page:
        sums.add(row)
    return (page[-1].started_at, page[-1].seq) if len(page) == PAGE_ROWS else None


def _price(rates: str | None) -> Price | None:
    """Return the price of these rates; None if this release does not know all of them."""
    try:
        return None if rates is None else Price.from_rates(rates)
    except ValueError:  # a broker of a later release shares the database
        return None
