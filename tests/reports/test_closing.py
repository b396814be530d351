"""Each row is in exactly one billing period, whenever it was recorded, and a closed period stays as it is."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from hero_broker.core.addresses import ip_key
from hero_broker.core.clock import SystemClock
from hero_broker.core.errors import Conflict, InvalidParams
from hero_broker.core.queries import Dimension, Filter, RowsQuery, UsageQuery
from hero_broker.core.records import Period, RequestLog, UsageGroup, UsageReport
from hero_broker.reports import billing_periods
from hero_broker.reports.billing_periods import Books
from hero_broker.reports.labels import LabelBook
from hero_broker.reports.usage import Reports
from hero_broker.store import rollups
from hero_broker.store.database import Database, open_database
from hero_broker.store.schema import METADATA
from tests.ledger.rows import row
from tests.reports.test_usage import totals_of
from tests.store.test_migrations import counts_of

NOW = 1_800_000_000
SPAN = 40  # seconds in which all calls begin


# Of a report: all calls, those of an address, those of a model, those of a label.
SELECTIONS: Sequence[dict[Dimension, str]] = [
    {},
    {Dimension.IP: "192.0.2.1"},
    {Dimension.MODEL: "b"},
    {Dimension.LABEL: "Research"},
]


class StoppedClock(SystemClock):
    """A clock that is later than all calls."""

    def now(self) -> int:
        return NOW


@dataclass
class Model:
    """The rule, applied to every row: it is in the first period whose bounds it does not exceed."""

    rows: list[RequestLog] = field(default_factory=list)
    periods: list[tuple[str, int, int | None]] = field(default_factory=list)  # reference, to_seq, until

    def period_of(self, seq: int) -> str | None:
        started_at = self.rows[seq - 1].started_at
        for reference, to_seq, until in self.periods:
            if seq <= to_seq and (until is None or started_at < until):
                return reference
        return None

    def rows_of(self, reference: str | None) -> list[RequestLog]:
        return [one for seq, one in enumerate(self.rows, start=1) if self.period_of(seq) == reference]


appends = st.tuples(
    st.just("append"),
    st.lists(
        st.tuples(
            st.integers(NOW - SPAN, NOW - 1), st.sampled_from(["192.0.2.1", "2001:db8::1"]), st.sampled_from("ab")
        ),
        min_size=1,
        max_size=6,
    ),
)
closes = st.tuples(st.just("close"), st.integers(NOW - SPAN, NOW))
marks = st.tuples(st.just("mark"), st.integers(0, 3))  # so many rows before the newest
folds = st.tuples(st.just("fold"), st.integers(1, 10))
actions = st.lists(st.one_of(appends, appends, closes, closes, marks, folds), max_size=14)
every = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="session")
def database(store_name: str, new_ledger: Callable[[str], str]) -> Iterator[Database]:
    with open_database(new_ledger(store_name)) as opened:
        yield opened


def empty(database: Database) -> None:
    with database.writing() as connection:
        for table in reversed(METADATA.sorted_tables):
            if table.name != "schema_version":
                connection.execute(table.delete())
        restart = {
            "sqlite": "DELETE FROM sqlite_sequence",
            "postgresql": "ALTER SEQUENCE request_logs_seq_seq RESTART",
        }
        connection.execute(text(restart[connection.dialect.name]))
        rollups.begin(connection)


@dataclass
class Office:
    """The books of a ledger, and its reports."""

    database: Database
    books: Books
    reports: Reports
    labels: LabelBook

    def close(self, reference: str, until: int) -> Period:
        return asyncio.run(self.books.close_period(reference, until, "UTC"))[0].period

    def ask(self, reference: str, *group_by: Dimension) -> UsageReport:
        return asyncio.run(self.reports.usage(UsageQuery(group_by=group_by, filter=Filter(period=reference))))


@pytest.fixture
def office(database: Database) -> Iterator[Office]:
    empty(database)
    clock = StoppedClock()
    with (
        closing(Books(database, clock)) as books,
        closing(LabelBook(database, clock)) as labels,
        closing(Reports(database, labels, clock)) as reports,
    ):
        yield Office(database, books, reports, labels)


def close(office: Office, model: Model, until: int) -> None:
    reference, latest = f"p{len(model.periods)}", max((end or 0 for _, _, end in model.periods), default=0)
    if until <= latest:
        with pytest.raises(Conflict, match="until must be later"):
            office.close(reference, until)
        return
    before = asyncio.run(office.books.close_period(reference, until, "UTC", dry_run=True))[0]
    unbilled, _ = asyncio.run(office.books.unbilled(until))
    done = asyncio.run(office.books.close_period(reference, until, "UTC"))[0]
    model.periods.append((reference, len(model.rows), until))
    again = asyncio.run(office.books.close_period(reference, until, "UTC"))[0]

    assert (before.period.marked_at, done.period.marked_at) == (None, NOW)
    assert before.period.totals == done.period.totals == unbilled.totals
    assert (before.late, before.held_over) == (done.late, done.held_over)
    assert replace(done, was_closed=True) == again
    late = [one for one in model.rows_of(reference) if one.started_at < latest]
    held = [one for one in model.rows_of(None) if one.started_at >= until]
    assert (done.period.late_requests, done.late.requests) == (len(late), len(late))
    assert (done.period.held_over_requests, done.held_over.requests) == (len(held), len(held))
    assert done.held_over.cost_nano_usd == sum(one.cost_nano_usd or 0 for one in held)


def mark(office: Office, model: Model, back: int) -> None:
    to_seq = max(0, len(model.rows) - back)
    if not to_seq:
        return
    reference = f"p{len(model.periods)}"
    if not [seq for seq in range(1, to_seq + 1) if model.period_of(seq) is None] or (
        model.periods and to_seq < model.periods[-1][1]
    ):
        with pytest.raises(Conflict):
            asyncio.run(office.books.mark_billed(reference, to_seq))
        return
    asyncio.run(office.books.mark_billed(reference, to_seq))
    model.periods.append((reference, to_seq, None))


def check(office: Office, model: Model) -> None:
    listed, _ = asyncio.run(office.books.periods())
    assert [one.reference for one in listed] == [reference for reference, _, _ in model.periods]
    for period in listed:
        rows = model.rows_of(period.reference)
        assert period.totals == counts_of(rows)
        if rows:
            first = next(seq for seq, _ in enumerate(model.rows, 1) if model.period_of(seq) == period.reference)
            assert period.from_seq <= first
        selected = Filter(period=period.reference)
        page = asyncio.run(office.reports.rows(RowsQuery(filter=selected, limit=1000)))
        assert {one.row.request_id for one in page.rows} == {one.request_id for one in rows}
        by_ip = office.ask(str(period.reference), Dimension.IP)
        by_provider = office.ask(str(period.reference), Dimension.PROVIDER)
        expected = defaultdict(list)
        for one in rows:
            expected[one.ip].append(one)
        assert {group.group[0]: group.totals for group in by_ip.groups} == {
            ip: totals_of(some) for ip, some in expected.items()
        }
        assert by_provider.totals == by_ip.totals
        daily = UsageQuery(bucket="hour", filter=selected)
        assert asyncio.run(office.reports.usage(daily)).totals == by_ip.totals
    rest, _ = asyncio.run(office.books.unbilled())
    assert rest.totals == counts_of(model.rows_of(None))
    found = asyncio.run(office.books.verify(None, None))
    assert (found.differences, found.listed) == (0, ())


@pytest.mark.slow
@every
@given(actions, st.sampled_from([1, 3, 200_000]))
def test_each_row_is_in_exactly_one_period_and_lines_and_unbilled_agree(
    office: Office, steps: Sequence[tuple[str, object]], step_rows: int
) -> None:
    empty(office.database)
    model = Model()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(billing_periods, "COUNT_STEP_ROWS", step_rows)
        for name, value in steps:
            match name, value:
                case "append", list():
                    rows = [row(started_at=at, ip=ip, model=of) for at, ip, of in value]
                    office.database.append(rows, [])
                    model.rows.extend(rows)
                case "close", int():
                    close(office, model, value)
                case "mark", int():
                    mark(office, model, value)
                case "fold", int():
                    office.database.fold(value)
        check(office, model)


@pytest.mark.parametrize(
    "group_by", [(), ("ip",), ("label",), ("model",), ("ip", "model"), ("label", "model"), ("kind",)]
)
def test_closed_period_stays_as_it_is_when_labels_change_and_calls_come_late(
    office: Office, group_by: Sequence[str]
) -> None:
    set_label = office.labels.set
    asyncio.run(set_label("192.0.2.0/24", "Research"))
    asyncio.run(set_label("2001:db8::1", "Design"))
    ips = ["192.0.2.1", "2001:db8::1", "198.51.100.1"]
    rows = [row(ip=ip, ip_key=ip_key(ip), model=of, started_at=NOW - 9) for ip in ips for of in "abb"]
    office.database.append(rows, [])
    office.close("month", NOW - 5)
    dimensions = tuple(Dimension(name) for name in group_by)
    asked = [UsageQuery(group_by=dimensions, filter=Filter(values=some, period="month")) for some in SELECTIONS]
    asked += [replace(query, bucket="day") for query in asked]
    window = UsageQuery(group_by=(Dimension.LABEL,), until=NOW)

    def answers() -> list[UsageReport]:
        return [asyncio.run(office.reports.usage(query)) for query in asked]

    def listed() -> list[tuple[int, str | None]]:
        page = asyncio.run(office.reports.rows(RowsQuery(filter=Filter(period="month"))))
        return [(one.seq, one.label) for one in page.rows]

    before, rows_before = answers(), listed()
    asyncio.run(set_label("192.0.2.0/24", "Development"))
    asyncio.run(set_label("2001:db8::/32", "Sales"))
    asyncio.run(office.labels.remove("2001:db8::1"))
    office.database.append([row(ip=ips[0], ip_key=ip_key(ips[0]), started_at=NOW - 8)], [])
    after, rows_after = answers(), listed()
    now = asyncio.run(office.reports.usage(window))

    assert [one.groups for one in before] == [one.groups for one in after]
    assert [one.totals for one in before] == [one.totals for one in after]
    assert all(one.has_labels_of_close for one in after)
    assert rows_before == rows_after
    assert {label for _, label in rows_after} == {"Research", "Design", None}
    assert [one.totals.requests for one in after][:4] == [9, 3, 6, 3]
    assert {group.group[0]: group.totals.requests for group in now.groups} == {"Development": 4, "Sales": 3, None: 3}
    assert not now.has_labels_of_close


def test_pages_of_a_closed_period_are_the_whole(office: Office) -> None:
    ips = [f"192.0.2.{number}" for number in range(9)]
    office.database.append([row(ip=ip, started_at=NOW - 9, cost_nano_usd=at // 3) for at, ip in enumerate(ips)], [])
    office.close("month", NOW)
    query = UsageQuery(group_by=(Dimension.IP, Dimension.LABEL), filter=Filter(period="month"))

    whole = asyncio.run(office.reports.usage(query))
    paged: list[UsageGroup] = []
    after: tuple[int, int, tuple[str | None, ...]] | None = None
    for _ in ips:
        page = asyncio.run(office.reports.usage(replace(query, limit=2, after=after)))
        assert page.totals == whole.totals
        paged.extend(page.groups)
        if not page.more:
            break
        last = page.groups[-1]
        after = (0, last.totals.cost_nano_usd, last.key)

    assert paged == list(whole.groups)
    assert len(paged) == len(ips)


def test_period_that_costs_more_than_can_be_stored_is_refused_and_nothing_is_recorded(office: Office) -> None:
    office.database.append([row(started_at=NOW - 9, cost_nano_usd=cost) for cost in (2**63 - 1, 1)], [])

    with pytest.raises(InvalidParams) as refused:
        office.close("month", NOW)

    assert (refused.value.param, "at most 9223372036.854775807 USD" in refused.value.reason) == ("until", True)
    assert asyncio.run(office.books.periods())[0] == []


def test_buckets_of_a_closed_period_are_whole(office: Office) -> None:
    day = 86_400
    first, last = NOW // day * day - 3 * day + 1_000, NOW // day * day - day + 5_000
    office.database.append([row(started_at=first), row(started_at=last)], [])
    office.close("month", NOW // day * day)

    found = asyncio.run(office.reports.usage(UsageQuery(bucket="day", filter=Filter(period="month"))))

    starts = [first // day * day, last // day * day]
    assert [(group.start, group.end) for group in found.groups] == [(start, start + day) for start in starts]
