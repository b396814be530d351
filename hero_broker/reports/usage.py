"""What addresses spent, read from the store in one snapshot per question."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from itertools import islice

from msgspec import structs
from sqlalchemy import Connection

from hero_broker.core.addresses import UNKNOWN, key_range
from hero_broker.core.clock import Clock
from hero_broker.core.errors import NotRecorded, TooWide
from hero_broker.core.labels import LabelIndex
from hero_broker.core.queries import Dimension, Filter, RowsQuery, UsageQuery
from hero_broker.core.records import (
    ExplainedRequest,
    IpUsage,
    LedgerRow,
    ModelUsage,
    Rows,
    UsageByIp,
    UsageForIp,
    UsageGroup,
    UsageReport,
    UsageTotals,
)
from hero_broker.reports.calendar import LATEST, buckets
from hero_broker.reports.explain import explain
from hero_broker.reports.labels import LabelBook
from hero_broker.reports.query_pool import QueryPool
from hero_broker.store import billing_periods, prefixes, request_logs, row_pages, usage
from hero_broker.store.database import Database
from hero_broker.store.row_pages import Selection, Span
from hero_broker.store.statement_timeout import time_limit
from hero_broker.store.usage import TimeWindow, UsagePlan

THREADS = 2  # questions at once; others wait
DEADLINE_S = 60.0
ROWS_DEADLINE_S = 10.0  # where rows must be added up one by one
# A month of 31 days in which the clock is put back. Wider windows are for questions that roll-ups answer.
MAX_ROWS_WINDOW_S = 31 * 86_400 + 3_600
ROWS_WITHIN_S = 1.0  # a page that takes longer to fill is answered as it is
MAX_BUCKETS = 100_000
FIRST_BUCKETS = 32  # that are asked for at once; then twice as many, and so on
MAX_DENSE_CELLS = 100_000
NO_USAGE = UsageTotals()


class Reports:
    """Questions about what was billed. Windows are half-open: since <= started_at < until."""

    def __init__(self, database: Database, labels: LabelBook, clock: Clock) -> None:
        self._reader = QueryPool(database, THREADS)
        self._labels = labels
        self._clock = clock

    def close(self) -> None:
        """End what is being asked."""
        self._reader.close()

    async def usage_by_ip(
        self, since: int | None, until: int | None, limit: int, after: tuple[int, str] | None
    ) -> UsageByIp:
        """Return spend per address, largest first, at most `limit` addresses after the (cost, ip) seen last.

        Raises:
            StoreUnavailable: the database does not answer.
            TooWide: it took longer than `DEADLINE_S`.
        """
        as_of = self._clock.now()
        window = UsagePlan(since=since, until=until)
        seen = None if after is None else (0, after[0], (after[1],))
        by_ip = replace(window, group_by=("ip",), limit=limit + 1, after=seen)

        def ask(connection: Connection) -> UsageByIp:
            found = usage.groups(connection, by_ip)
            names = self._labels.names(connection)
            items = tuple(_ip_usage(group, names) for group in found[:limit])
            return UsageByIp(items, _totals(connection, window), as_of, len(found) > limit)

        return await self._reader.query(DEADLINE_S, ask)

    async def usage_for_ip(self, ip: str, since: int | None, until: int | None) -> UsageForIp:
        """Return one address's spend by model, largest first. `ip` is canonical, or "unknown".

        Raises:
            StoreUnavailable: the database does not answer.
            TooWide: it took longer than `DEADLINE_S`.
        """
        as_of = self._clock.now()
        by_model = UsagePlan(group_by=("model",), filters={"ip": ip}, since=since, until=until)

        def ask(connection: Connection) -> UsageForIp:
            found = usage.groups(connection, by_model)
            models = tuple(ModelUsage(str(group.key[0]), group.totals) for group in found)
            label = self._labels.names(connection).lookup(ip)
            return UsageForIp(models, _sum([group.totals for group in found]), as_of, label)

        return await self._reader.query(DEADLINE_S, ask)

    async def usage(self, asked: UsageQuery) -> UsageReport:
        """Return usage by group and bucket: by bucket, then largest spend first, then by group.

        Raises:
            NotRecorded: there is no such billing period.
            StoreUnavailable: the database does not answer.
            TooWide: only rows can answer and the window is wider than `MAX_ROWS_WINDOW_S`, there are too many buckets,
                or it took longer than `DEADLINE_S`, or `ROWS_DEADLINE_S` where rows are read.
        """
        as_of = self._clock.now()
        return await self._reader.query(None, _usage, asked, self._labels, as_of)

    async def request(self, request_id: str) -> ExplainedRequest:
        """Return one row with how its cost was computed.

        Raises:
            NotRecorded: there is no such row in the store.
            StoreUnavailable: the database does not answer.
        """
        as_of = self._clock.now()

        def ask(connection: Connection) -> ExplainedRequest:
            found = request_logs.find(connection, request_id)
            if found is None:
                raise NotRecorded("No such request")
            seq, row, price = found
            lines, exact_usd = explain(row, price)
            label = self._labels.names(connection).lookup(row.ip)
            return ExplainedRequest(seq, row, price, lines, exact_usd, as_of, label)

        return await self._reader.query(DEADLINE_S, ask)

    async def rows(self, asked: RowsQuery) -> Rows:
        """Return a page of rows, newest first; where few match it may hold fewer than the limit, with more left.

        Raises:
            NotRecorded: there is no such billing period.
            StoreUnavailable: the database does not answer.
            TooWide: it took longer than `DEADLINE_S`.
        """
        as_of = self._clock.now()
        ends_at = self._clock.monotonic() + ROWS_WITHIN_S
        selection, left = await self._reader.query(DEADLINE_S, _selection, asked)
        found: list[LedgerRow] = []

        def more(connection: Connection) -> Span:
            rows, rest = row_pages.rows(connection, selection, left, asked.limit - len(found))
            names = self._labels.names(connection)
            found.extend(LedgerRow(seq, row, names.lookup(row.ip)) for seq, row in rows)
            return rest

        while left.first_seq < left.before_seq and len(found) < asked.limit:
            left = await self._reader.query(DEADLINE_S, more)
            if self._clock.monotonic() > ends_at:
                break
        is_end = left.first_seq >= left.before_seq
        return Rows(tuple(found), None if is_end else (left.first_seq, left.before_seq), as_of)

    async def every_row(self, asked: RowsQuery) -> AsyncIterator[Rows]:
        """Yield all rows, newest first, in pages that are read one by one, each in a short transaction.

        Raises:
            As `rows`.
        """
        page = await self.rows(asked)
        yield page
        while page.left is not None:
            page = await self.rows(replace(asked, left=page.left))
            yield page


def _selection(connection: Connection, asked: RowsQuery) -> tuple[Selection, Span]:
    selection = Selection(
        filters=_columns(asked.filter),
        within=None if asked.filter.prefix is None else key_range(asked.filter.prefix),
        since=asked.since,
        until=asked.until,
        seqs=_seqs(connection, asked.filter),
    )
    return selection, row_pages.span(connection, selection) if asked.left is None else Span(*asked.left)


def _columns(asked: Filter) -> dict[str, str]:
    return {str(name): value for name, value in asked.values.items()}


def _seqs(connection: Connection, asked: Filter) -> tuple[int, int] | None:
    if asked.period is None:
        return None
    period = billing_periods.find(connection, asked.period)
    return period.from_seq, period.to_seq


def _totals(connection: Connection, question: UsagePlan) -> UsageTotals:
    found = usage.groups(connection, replace(question, group_by=(), buckets=None, limit=usage.NO_LIMIT, after=None))
    return found[0].totals if found else NO_USAGE


def _sum(parts: Sequence[UsageTotals]) -> UsageTotals:
    if not parts:
        return NO_USAGE
    return UsageTotals(
        requests=sum(part.requests for part in parts),
        failed_requests=sum(part.failed_requests for part in parts),
        estimated_requests=sum(part.estimated_requests for part in parts),
        unpriced_requests=sum(part.unpriced_requests for part in parts),
        input_tokens=sum(part.input_tokens for part in parts),
        output_tokens=sum(part.output_tokens for part in parts),
        cost_nano_usd=sum(part.cost_nano_usd for part in parts),
        first_seen=min(part.first_seen for part in parts if part.first_seen is not None),
        last_seen=max(part.last_seen for part in parts if part.last_seen is not None),
    )


def _ip_usage(group: usage.Group, names: LabelIndex) -> IpUsage:
    ip = str(group.key[0])
    return IpUsage(ip, group.totals, names.lookup(ip))


def _usage(connection: Connection, asked: UsageQuery, labels: LabelBook, as_of: int) -> UsageReport:
    question = UsagePlan(
        group_by=tuple(asked.group_by),
        filters=_columns(asked.filter),
        within=None if asked.filter.prefix is None else key_range(asked.filter.prefix),
        seqs=_seqs(connection, asked.filter),
        since=asked.since,
        until=asked.until,
        prefix_bits=asked.prefix_bits,
    )
    windows = None if asked.bucket is None else _windows(connection, asked)
    question = replace(question, buckets=windows)
    reads_rows = usage.rollup_for(question) is None
    if reads_rows and question.seqs is None:
        _check_width(asked, as_of)
    with time_limit(connection, ROWS_DEADLINE_S if reads_rows else DEADLINE_S):
        totals = _totals(connection, question)
        found = _dense(connection, question, asked) if asked.dense and windows else _page(connection, question, asked)
    names = labels.names(connection)
    groups = tuple(_group(asked, windows, group, names) for group in found[: asked.limit])
    return UsageReport(groups, totals, as_of, len(found) > asked.limit)


def _windows(connection: Connection, asked: UsageQuery) -> list[TimeWindow]:
    """Return the buckets of the window, the first and the last cut to it; unless dense, as far as there are rows."""
    extent = usage.extent(connection)
    first, last = asked.since, asked.until
    if extent is not None:
        first = extent[0] if first is None or (not asked.dense and first < extent[0]) else first
        last = extent[1] if last is None or (not asked.dense and last > extent[1]) else last
    if first is None or last is None or asked.bucket is None:
        return []
    found = list(islice(buckets(asked.bucket, asked.zone, first, min(last, LATEST)), MAX_BUCKETS + 1))
    if len(found) > MAX_BUCKETS:
        raise TooWide(f"The window has more than {MAX_BUCKETS:,} buckets: ask for a narrower window or larger buckets")
    since, until = asked.since or 0, LATEST if asked.until is None else asked.until
    return [(max(start, since), min(end, until)) for start, end in found]


def _check_width(asked: UsageQuery, as_of: int) -> None:
    until = as_of + 1 if asked.until is None else asked.until
    if asked.since is None or until - asked.since > MAX_ROWS_WINDOW_S:
        raise TooWide(
            "This grouping is answered from single calls, for a window of at most 31 days: give since and until"
        )


def _page(connection: Connection, question: UsagePlan, asked: UsageQuery) -> list[usage.Group]:
    """Return the groups after the one seen last, one more than the limit."""
    if question.buckets is None:
        return usage.groups(connection, replace(question, limit=asked.limit + 1, after=asked.after))
    windows, at = question.buckets, 0
    after: tuple[int, int, tuple[str | None, ...]] | None = None
    if asked.after is not None:
        start, cost, key = asked.after
        at = next((number for number, window in enumerate(windows) if window[0] >= start), len(windows))
        # Without a bucket of this start, all groups of those after it are still to come.
        after = (0, cost, key) if at < len(windows) and windows[at][0] == start else None
    found: list[usage.Group] = []
    size = FIRST_BUCKETS
    while at < len(windows) and len(found) <= asked.limit:  # in their order, and no more of them than fill the page
        some = replace(question, buckets=windows[at : at + size], limit=asked.limit + 1 - len(found), after=after)
        groups = usage.groups(connection, some)
        found.extend(structs.replace(group, bucket=group.bucket + at) for group in groups)
        at, size, after = at + size, size * 2, None
    return found


def _dense(connection: Connection, question: UsagePlan, asked: UsageQuery) -> list[usage.Group]:
    """Return a group for each bucket, whether it has calls in it or not; those after the one seen last."""
    windows = question.buckets or ()
    most = MAX_DENSE_CELLS // len(windows)
    keys = [group.key for group in usage.groups(connection, replace(question, buckets=None, limit=most + 1))]
    if len(keys) > most:
        raise TooWide(f"More than {MAX_DENSE_CELLS:,} buckets of groups: ask for a narrower window or larger buckets")
    if not question.group_by:
        keys = [()]
    there = {(group.bucket, group.key): group for group in usage.groups(connection, question)}
    cells = [(bucket, key) for bucket in range(len(windows)) for key in keys]
    found = [there.get(cell) or usage.Group(*cell, NO_USAGE) for cell in cells]
    ordered = sorted((_place(group, windows), at) for at, group in enumerate(found))
    if asked.after is None:
        return [found[at] for _, at in ordered]
    start, cost, key = asked.after
    seen = (start, -cost, [(value is not None, value or "") for value in key])
    return [found[at] for place, at in ordered if place > seen]


def _place(group: usage.Group, windows: Sequence[TimeWindow]) -> tuple[int, int, list[tuple[bool, str]]]:
    key = [(value is not None, value or "") for value in group.key]
    return windows[group.bucket][0], -group.totals.cost_nano_usd, key


def _group(
    asked: UsageQuery, windows: Sequence[TimeWindow] | None, group: usage.Group, names: LabelIndex
) -> UsageGroup:
    shown: list[str | None] = []
    label: str | None = None
    by_ip = Dimension.IP in asked.group_by
    for name, value in zip(asked.group_by, group.key, strict=True):
        if name is Dimension.PREFIX:
            network = prefixes.network(value or "", asked.prefix_bits)
            shown.append(UNKNOWN if network is None else str(network))
            label = label if by_ip else names.lookup_network(network)
        else:
            shown.append(value)
            label = names.lookup(value or UNKNOWN) if name is Dimension.IP else label
    start, end = (None, None) if windows is None else windows[group.bucket]
    return UsageGroup(tuple(shown), group.key, start, end, group.totals, label)
