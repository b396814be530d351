"""Answers usage queries from the store, with one snapshot per query."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import TypeVar
from zoneinfo import ZoneInfo

from msgspec import structs
from sqlalchemy import Connection

from hero_broker.core.addresses import UNKNOWN, key_range
from hero_broker.core.calendar import LATEST, buckets
from hero_broker.core.clock import Clock
from hero_broker.core.cost_shares import decode_shares
from hero_broker.core.errors import NotRecorded, StoreUnavailable, TooWide
from hero_broker.core.focus import FocusQuery, FocusReport
from hero_broker.core.labels import LabelIndex
from hero_broker.core.queries import NO_PERIOD, Bucket, Dimension, Filter, RowsQuery, UsageQuery
from hero_broker.core.records import (
    ExplainedRequest,
    IpUsage,
    LedgerRow,
    ModelUsage,
    OwnUsage,
    Period,
    PeriodLine,
    Rows,
    UsageByIp,
    UsageForIp,
    UsageGroup,
    UsageReport,
    UsageTotals,
    WindowUsage,
)
from hero_broker.reports.explain import explain
from hero_broker.reports.focus import focus_report
from hero_broker.reports.labels import LabelBook
from hero_broker.reports.query_pool import QueryPool, close_together
from hero_broker.reports.totals import NO_USAGE, sum_totals
from hero_broker.store import billing_lines, billing_periods, focus, prefixes, request_logs, row_pages, usage
from hero_broker.store.database import Database
from hero_broker.store.row_pages import Selection, Span
from hero_broker.store.statement_timeout import time_limit
from hero_broker.store.sums import CANNOT_BE_SUMMED, LARGEST
from hero_broker.store.usage import TimeWindow, UsagePlan

THREADS = 2  # queries at once; others wait
OWN_THREADS = 1  # for queries of callers, which must not delay those of operators
DEADLINE_S = 60.0
OWN_DEADLINE_S = 10.0
ROWS_DEADLINE_S = 10.0  # if rows must be added up one by one
# A month of 31 days in which the clock goes back. Only queries that roll-ups can answer may have wider windows.
MAX_ROWS_WINDOW_S = 31 * 86_400 + 3_600
ROWS_WITHIN_S = 1.0  # a page that takes longer to fill is returned with fewer rows
MAX_BUCKETS = 100_000
FIRST_BUCKETS = 32  # buckets of the first statement; each further one has twice as many
MAX_DENSE_CELLS = 100_000
_OF_LINES = {Dimension.IP, Dimension.MODEL, Dimension.LABEL}  # the dimensions of a closed period's lines
_UTC = ZoneInfo("UTC")
_OWN_BUCKETS: tuple[Bucket, ...] = ("day", "month")
_LABELLED = (Dimension.LABEL, Dimension.IP, Dimension.PREFIX)  # the first of them gives a group its label

Result = TypeVar("Result")


class Reports:
    """Queries on what was billed. Windows are half-open: since <= started_at < until."""

    def __init__(self, database: Database, labels: LabelBook, clock: Clock) -> None:
        self._reader = QueryPool(database, THREADS)
        self._own_reader = QueryPool(database, OWN_THREADS)
        self._labels = labels
        self._clock = clock

    def close(self) -> None:
        """Cancel running queries."""
        close_together(self._reader.close, self._own_reader.close)

    async def usage_by_ip(
        self, since: int | None, until: int | None, limit: int, after: tuple[int, str] | None
    ) -> UsageByIp:
        """Return spend per address, largest first: at most `limit` addresses after the (cost, ip) of the page before.

        Raises:
            StoreUnavailable: the database does not answer.
            TooWide: it took longer than `DEADLINE_S`.
        """
        as_of = self._clock.now()
        window = UsagePlan(since=since, until=until)
        last = None if after is None else (0, after[0], (after[1],))
        by_ip = replace(window, group_by=("ip",), limit=limit + 1, after=last)

        def read(connection: Connection) -> UsageByIp:
            groups = usage.groups(connection, by_ip)
            names = self._labels.names(connection)
            items = tuple(_ip_usage(group, names) for group in groups[:limit])
            more = len(groups) > limit
            end = _end(connection, until, as_of) if more else None
            return UsageByIp(items, _totals(connection, window), as_of, more, end)

        return await self._reader.query(DEADLINE_S, read)

    async def usage_for_ip(self, ip: str, since: int | None, until: int | None) -> UsageForIp:
        """Return one address's spend by model, largest first. `ip` is canonical, or "unknown".

        Raises:
            StoreUnavailable: the database does not answer.
            TooWide: it took longer than `DEADLINE_S`.
        """
        as_of = self._clock.now()

        def read(connection: Connection) -> UsageForIp:
            models, totals = _by_model(connection, ip, since, until)
            return UsageForIp(models, totals, as_of, self._labels.names(connection).lookup(ip))

        return await self._reader.query(DEADLINE_S, read)

    async def own_usage(self, ip: str, zone: ZoneInfo = _UTC) -> OwnUsage:
        """Return what a caller used today and this month, in a zone. `ip` is canonical, or "unknown".

        Raises:
            StoreUnavailable: the database does not answer, or takes longer than `OWN_DEADLINE_S`.
        """
        as_of = self._clock.now()

        def read(connection: Connection) -> OwnUsage:
            today, month = (_window_usage(connection, ip, bucket, zone, as_of) for bucket in _OWN_BUCKETS)
            return OwnUsage(today, month, as_of)

        return await self._own(read)

    async def usage(self, query: UsageQuery) -> UsageReport:
        """Return usage by group and bucket: by bucket, then largest spend first, then by group.

        Raises:
            NotRecorded: there is no such billing period.
            StoreUnavailable: the database does not answer.
            TooWide: only rows can answer and the window is wider than `MAX_ROWS_WINDOW_S`; there are too many buckets;
                or a statement took longer than `DEADLINE_S`, or than `ROWS_DEADLINE_S` if rows are read.
        """
        as_of = self._clock.now()
        return await self._reader.query(None, _usage, query, self._labels, as_of)

    async def request(self, request_id: str) -> ExplainedRequest:
        """Return one row and how its cost was computed.

        Raises:
            NotRecorded: the store has no row with this `request_id`.
            StoreUnavailable: the database does not answer.
        """
        as_of = self._clock.now()

        def read(connection: Connection) -> ExplainedRequest:
            record = _explained(connection, request_id, as_of)
            label = self._labels.names(connection).lookup(record.row.ip)
            period = billing_periods.reference_of(connection, record.seq, record.row.started_at)
            return replace(record, label=label, period=period)

        return await self._reader.query(DEADLINE_S, read)

    async def own_request(self, ip: str, request_id: str) -> ExplainedRequest:
        """Return one row of a caller and how its cost was computed, without label and billing period.

        Raises:
            NotRecorded: the store has no row of this address with this `request_id`.
            StoreUnavailable: the database does not answer, or takes longer than `OWN_DEADLINE_S`.
        """
        as_of = self._clock.now()
        return await self._own(lambda connection: _explained(connection, request_id, as_of, ip))

    async def _own(self, statements: Callable[[Connection], Result]) -> Result:
        try:
            return await self._own_reader.query(OWN_DEADLINE_S, statements)
        except TooWide as error:  # whose message names a window, which callers cannot choose
            raise StoreUnavailable("The database took too long") from error

    async def rows(self, query: RowsQuery) -> Rows:
        """Return a page of rows, newest first. If few rows match, it may be shorter than the limit and more remain.

        Raises:
            NotRecorded: there is no such billing period.
            StoreUnavailable: the database does not answer.
            TooWide: it took longer than `DEADLINE_S`.
        """
        as_of = self._clock.now()
        ends_at = self._clock.monotonic() + ROWS_WITHIN_S
        selection, names, left = await self._reader.query(DEADLINE_S, _selection, query, self._labels)
        page: list[LedgerRow] = []

        def more(connection: Connection) -> Span:
            rows, rest = row_pages.rows(connection, selection, left, query.limit - len(page))
            page.extend(LedgerRow(seq, row, names.lookup(row.ip)) for seq, row in rows)
            return rest

        while left.first_seq < left.before_seq and len(page) < query.limit:
            left = await self._reader.query(DEADLINE_S, more)
            if self._clock.monotonic() > ends_at:
                break
        is_end = left.first_seq >= left.before_seq
        return Rows(tuple(page), None if is_end else (left.first_seq, left.before_seq), as_of)

    async def every_row(self, query: RowsQuery) -> AsyncIterator[Rows]:
        """Yield all rows, newest first, in pages; short transactions read them one by one.

        Raises:
            As `rows` does.
        """
        page = await self.rows(query)
        yield page
        while page.left is not None:
            page = await self.rows(replace(query, left=page.left))
            yield page

    async def focus(self, query: FocusQuery) -> FocusReport:
        """Return the FOCUS lines of a billing period or window, in days that short transactions read one by one.

        Raises:
            As `focus_report` does.
        """
        return await focus_report(self._reader, self._labels, query, self._clock.now())


def _explained(connection: Connection, request_id: str, as_of: int, ip: str | None = None) -> ExplainedRequest:
    """Return a row, of one address if `ip` is given, and how its cost was computed; without label and period."""
    record = request_logs.find(connection, request_id, ip)
    if record is None:
        raise NotRecorded("No such request")
    seq, row, price = record
    shares = decode_shares(row.cost_shares)
    rates = focus.rates(connection, {share.price_id for share in shares}) if shares else {}
    lines, exact_usd = explain(row, price, shares, rates)
    return ExplainedRequest(seq, row, price, lines, exact_usd, as_of)


def _by_model(
    connection: Connection, ip: str, since: int | None, until: int | None
) -> tuple[tuple[ModelUsage, ...], UsageTotals]:
    """Return one address's usage by model, largest spend first, and the sum."""
    groups = usage.groups(connection, UsagePlan(group_by=("model",), filters={"ip": ip}, since=since, until=until))
    models = tuple(ModelUsage(str(group.key[0]), group.totals) for group in groups)
    return models, sum_totals([group.totals for group in groups])


def _window_usage(connection: Connection, ip: str, bucket: Bucket, zone: ZoneInfo, at: int) -> WindowUsage:
    """Return one address's usage in the day or month of a zone that has a time."""
    since, until = next(buckets(bucket, zone, at, at + 1))
    models, totals = _by_model(connection, ip, since, until)
    return WindowUsage(since, until, totals, models)


def _selection(connection: Connection, query: RowsQuery, labels: LabelBook) -> tuple[Selection, LabelIndex, Span]:
    period, names, _ = _period(connection, query.filter, labels)
    selection = Selection(
        filters=_columns(query.filter),
        names=names,
        within=None if query.filter.prefix is None else key_range(query.filter.prefix),
        since=query.since,
        until=query.until,
        parts=None if period is None else period.parts,
        is_priced=query.filter.is_priced,
    )
    left = row_pages.span(connection, selection) if query.left is None else Span(*query.left)
    return selection, names, left


def _columns(selected: Filter) -> dict[str, str]:
    return {str(name): value for name, value in selected.values.items()}


def _period(
    connection: Connection, selected: Filter, labels: LabelBook
) -> tuple[Period | None, LabelIndex, list[PeriodLine]]:
    """Return the period of a filter, the labels of its close, else of now, and its lines, if it has these.

    Without a billing period, what is in none yet is one.
    """
    period = None
    if selected.period == NO_PERIOD:
        period = billing_periods.unbilled(connection)
    elif selected.period is not None:
        period = billing_periods.find(connection, selected.period)
    if period is None or not period.has_lines:
        return period, labels.names(connection), []
    lines = billing_lines.lines(connection, period.number)
    return period, LabelIndex((line.ip, line.label) for line in lines if line.label is not None), lines


def _totals(connection: Connection, plan: UsagePlan) -> UsageTotals:
    groups = usage.groups(connection, replace(plan, group_by=(), buckets=None, limit=usage.NO_LIMIT, after=None))
    return groups[0].totals if groups else NO_USAGE


def _ip_usage(group: usage.Group, names: LabelIndex) -> IpUsage:
    ip = str(group.key[0])
    return IpUsage(ip, group.totals, names.lookup(ip))


def _usage(connection: Connection, query: UsageQuery, labels: LabelBook, as_of: int) -> UsageReport:
    period, names, lines = _period(connection, query.filter, labels)
    has_lines = period is not None and period.has_lines
    totals = None
    if has_lines:
        if not lines or _can_answer(query):
            return _from_lines(query, lines, names, as_of)
        if _can_answer(replace(query, group_by=(), bucket=None)):
            totals = sum_totals([line.totals for line in _matching(query, lines)])
    plan = UsagePlan(
        group_by=tuple(query.group_by),
        filters=_columns(query.filter),
        names=names,
        within=None if query.filter.prefix is None else key_range(query.filter.prefix),
        parts=None if period is None else period.parts,
        is_priced=query.filter.is_priced,
        since=query.since,
        until=query.until,
        prefix_bits=query.prefix_bits,
    )
    windows = None
    if query.bucket is not None:
        # The rows of a closed period are read in the order of time: only while its calls began.
        windows = _windows(query, _extent_of(lines) if lines else usage.extent(connection))
    plan = replace(plan, buckets=windows)
    reads_rows = usage.rollup_for(plan) is None
    if reads_rows and plan.parts is None and query.after is None:  # later pages have the first page's window
        _check_width(query, as_of)
    with time_limit(connection, ROWS_DEADLINE_S if reads_rows else DEADLINE_S):
        totals = totals or _totals(connection, plan)
        page = _dense(connection, plan, query) if query.dense and windows else _page(connection, plan, query)
    groups = tuple(_group(query, windows, group, names) for group in page[: query.limit])
    more = len(page) > query.limit
    end = _end(connection, query.until, as_of) if more else None
    if end is not None and query.dense and windows:
        end = min(end, windows[-1][1])  # later pages list the same buckets, none after the last one with a row
    return UsageReport(groups, totals, as_of, more, end, has_labels_of_close=has_lines)


def _can_answer(query: UsageQuery) -> bool:
    """Return whether the lines of a closed period have all that a query asks for."""
    has_window = query.since is not None or query.until is not None or query.bucket is not None
    selected = query.filter
    dimensions = {*query.group_by, *selected.values}
    return not has_window and selected.prefix is None and selected.is_priced is None and dimensions <= _OF_LINES


def _extent_of(lines: Sequence[PeriodLine]) -> TimeWindow:
    """Return the narrowest window that contains the calls of a closed period."""
    first = min(line.totals.first_seen for line in lines if line.totals.first_seen is not None)
    return first, max(line.totals.last_seen for line in lines if line.totals.last_seen is not None) + 1


def _matching(query: UsageQuery, lines: Sequence[PeriodLine]) -> Sequence[PeriodLine]:
    """Return the lines that a query's filter selects; an empty label selects those without one."""
    wanted = query.filter.values
    if not wanted:
        return lines
    return [line for line in lines if all((_dimensions(line)[name] or "") == value for name, value in wanted.items())]


def _dimensions(line: PeriodLine) -> dict[Dimension, str | None]:
    return {Dimension.IP: line.ip, Dimension.MODEL: line.model, Dimension.LABEL: line.label}


def _from_lines(query: UsageQuery, lines: Sequence[PeriodLine], names: LabelIndex, as_of: int) -> UsageReport:
    parts: defaultdict[tuple[str | None, ...], list[UsageTotals]] = defaultdict(list)
    for line in _matching(query, lines):
        values = _dimensions(line)
        parts[tuple(values[name] for name in query.group_by)].append(line.totals)
    groups = [usage.Group(0, key, sum_totals(some)) for key, some in parts.items()]
    totals = sum_totals([group.totals for group in groups])
    if totals.cost_nano_usd > LARGEST:
        raise TooWide(CANNOT_BE_SUMMED)
    placed = sorted((_place(group), at) for at, group in enumerate(groups))
    if query.after is not None:
        last = _place(usage.Group(0, query.after[2], UsageTotals(cost_nano_usd=query.after[1])))
        placed = [(place, at) for place, at in placed if place > last]
    page = tuple(_group(query, None, groups[at], names) for _, at in placed[: query.limit])
    return UsageReport(page, totals, as_of, len(placed) > query.limit, has_labels_of_close=True)


def _end(connection: Connection, until: int | None, as_of: int) -> int:
    """Return the end of the window of a first page: after `as_of`, and after each row that the page counts.

    A row may be later than `as_of` if a clock was put back, or if another broker's clock is ahead.
    """
    if until is not None:
        return until
    extent = usage.extent(connection)
    return as_of + 1 if extent is None else max(as_of + 1, extent[1])


def _windows(query: UsageQuery, extent: TimeWindow | None) -> list[TimeWindow]:
    """Return the buckets of the window, the first and the last cut to it; `extent` is from the first row to the last.

    Unless dense, leave out the buckets before the first row and after the last.
    """
    first, last = query.since, query.until
    if extent is not None:
        first = extent[0] if first is None or (not query.dense and first < extent[0]) else first
        last = extent[1] if last is None or (not query.dense and last > extent[1]) else last
    if first is None or last is None or query.bucket is None:
        return []
    calendar = list(islice(buckets(query.bucket, query.zone, first, min(last, LATEST)), MAX_BUCKETS + 1))
    if len(calendar) > MAX_BUCKETS:
        raise TooWide(
            f"The window has more than {MAX_BUCKETS:,} buckets: "
            "set a narrower window with since and until, or larger buckets"
        )
    since, until = query.since or 0, max(last, LATEST) if query.until is None else query.until
    windows = [(max(start, since), min(end, until, LATEST)) for start, end in calendar]
    if last > LATEST:  # dates end there: one bucket for all later rows, which a wrong clock made
        windows.append((max(first, LATEST), last if query.until is None else query.until))
    return windows


def _check_width(query: UsageQuery, as_of: int) -> None:
    until = as_of + 1 if query.until is None else query.until
    if query.since is None or until - query.since > MAX_ROWS_WINDOW_S:
        raise TooWide("This grouping needs a window of at most 31 days: set since and until")


def _page(connection: Connection, plan: UsagePlan, query: UsageQuery) -> list[usage.Group]:
    """Return the groups after the last of the page before, up to one more than the limit."""
    if plan.buckets is None:
        return usage.groups(connection, replace(plan, limit=query.limit + 1, after=query.after))
    windows, at = plan.buckets, 0
    after: tuple[int, int, tuple[str | None, ...]] | None = None
    if query.after is not None:
        start, cost, key = query.after
        at = next((number for number, window in enumerate(windows) if window[0] >= start), len(windows))
        # If no bucket has this start, all groups of the later buckets are still to come.
        after = (0, cost, key) if at < len(windows) and windows[at][0] == start else None
    page: list[usage.Group] = []
    size = FIRST_BUCKETS
    while at < len(windows) and len(page) <= query.limit:  # in order, and only as many as fill the page
        some = replace(plan, buckets=windows[at : at + size], limit=query.limit + 1 - len(page), after=after)
        groups = usage.groups(connection, some)
        page.extend(structs.replace(group, bucket=group.bucket + at) for group in groups)
        at, size, after = at + size, size * 2, None
    return page


def _dense(connection: Connection, plan: UsagePlan, query: UsageQuery) -> list[usage.Group]:
    """Return a cell for each group and bucket, with or without calls, after the last of the page before."""
    windows = plan.buckets or ()
    most = MAX_DENSE_CELLS // len(windows)
    keys = [group.key for group in usage.groups(connection, replace(plan, buckets=None, limit=most + 1))]
    if len(keys) > most:
        raise TooWide(
            f"More than {MAX_DENSE_CELLS:,} cells (buckets times groups): "
            "set a narrower window with since and until, or larger buckets"
        )
    if not plan.group_by:
        keys = [()]
    nonempty = {(group.bucket, group.key): group for group in usage.groups(connection, plan)}
    cells = [(bucket, key) for bucket in range(len(windows)) for key in keys]
    all_groups = [nonempty.get(cell) or usage.Group(*cell, NO_USAGE) for cell in cells]
    ordered = sorted((_place(group, windows[group.bucket][0]), at) for at, group in enumerate(all_groups))
    if query.after is None:
        return [all_groups[at] for _, at in ordered]
    start, cost, key = query.after
    last = _place(usage.Group(0, key, UsageTotals(cost_nano_usd=cost)), start)
    return [all_groups[at] for place, at in ordered if place > last]


def _place(group: usage.Group, start: int = 0) -> tuple[int, int, list[tuple[bool, str]]]:
    """Return the sort key of a group in the bucket that begins at `start`."""
    return start, -group.totals.cost_nano_usd, [(value is not None, value or "") for value in group.key]


def _group(
    query: UsageQuery, windows: Sequence[TimeWindow] | None, group: usage.Group, names: LabelIndex
) -> UsageGroup:
    group_key: list[str | None] = []
    labels: dict[Dimension, str | None] = {}
    for name, value in zip(query.group_by, group.key, strict=True):
        if name is Dimension.PREFIX:
            network = prefixes.network(value or "", query.prefix_bits)
            group_key.append(UNKNOWN if network is None else str(network))
            labels[name] = names.lookup_network(network)
        else:
            group_key.append(value)
            if name in _LABELLED:
                labels[name] = value if name is Dimension.LABEL else names.lookup(value or UNKNOWN)
    label = next((labels[name] for name in _LABELLED if name in labels), None)
    start, end = (None, None) if windows is None else windows[group.bucket]
    if query.is_open and query.bucket is not None and start is not None and end == query.until:
        end = next(buckets(query.bucket, query.zone, start, start + 1))[1]
    return UsageGroup(tuple(group_key), group.key, start, end, group.totals, label)
