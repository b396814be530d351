"""A FOCUS export has every call of its window once, and costs what the report of the window does."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hero_broker.core.calls import FAILED_OUTCOMES, Outcome
from hero_broker.core.clock import SystemClock
from hero_broker.core.errors import NotRecorded
from hero_broker.core.focus import FocusDay, FocusQuery, FocusReport
from hero_broker.core.queries import UsageQuery
from hero_broker.core.records import Period, PriceRecord, RequestLog, UsageTotals
from hero_broker.core.usage import Usage, UsageSource
from hero_broker.reports import focus
from hero_broker.reports.billing_periods import Books
from hero_broker.reports.usage import Reports
from hero_broker.store.database import open_database
from hero_broker.store.schema import BILLING_LINES, BILLING_PERIODS
from tests.ledger.rows import row
from tests.reports.test_focus_lines import FOUNDING, PRICES, chat, priced
from tests.reports.test_usage import Ledger, windows

DAY = 86_400
AT = 1_700_006_400  # a midnight in UTC
COUNTED = ("requests", "failed_requests", "estimated_requests", "unpriced_requests")

units = st.one_of(st.none(), st.integers(0, 10**9))
usages = st.builds(
    Usage,
    input_tokens=units,
    output_tokens=units,
    cached_input_tokens=units,
    audio_input_tokens=units,
    characters=st.none() | st.none() | units,
    audio_ms=st.none() | st.none() | units,
    search_units=st.none() | st.none() | units,
)
calls = st.builds(
    lambda price, usage, **changes: priced(price, usage, **changes),
    price=st.sampled_from(PRICES),
    usage=usages,
    started_at=st.one_of(st.integers(AT - 2 * DAY, AT + 2 * DAY), st.sampled_from([AT - 1, AT])),
    ip=st.sampled_from(["192.0.2.1", "192.0.2.9"]),
    model=st.sampled_from(["a", "b"]),
    provider=st.sampled_from(["groq", "openai"]),
    outcome=st.sampled_from(Outcome),
    usage_source=st.sampled_from(UsageSource),
    cost_source=st.sampled_from(["price", "price", "price", "provider"]),
)
bounds = st.one_of(
    st.just((None, None)),
    st.tuples(st.integers(AT - DAY, AT), st.integers(AT, AT + DAY)),
    st.tuples(st.none(), st.integers(AT, AT + DAY)),
    windows,
)


@pytest.fixture(scope="module")
def ledger(store_name: str, new_ledger: Callable[[str], str]) -> Iterator[Ledger]:
    with open_database(new_ledger(store_name)) as database:
        yield Ledger(database)


@pytest.fixture(autouse=True, scope="module")
def short_pages() -> Iterator[None]:
    """Let a day be read in several transactions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(focus, "PAGE_ROWS", 3)
        yield


def fill(ledger: Ledger, rows: Sequence[RequestLog]) -> None:
    ledger.clear()
    with ledger.database.writing() as connection:
        connection.execute(BILLING_LINES.delete())
        connection.execute(BILLING_PERIODS.delete())
    add(ledger, rows)


def add(ledger: Ledger, rows: Sequence[RequestLog]) -> None:
    if rows:
        ledger.database.append(rows, [PriceRecord(price.price_id, price.rates, "", "") for price in PRICES])


def export(reports: Reports, query: FocusQuery) -> tuple[FocusReport, list[FocusDay]]:
    async def run() -> tuple[FocusReport, list[FocusDay]]:
        report = await reports.focus(query)
        return report, [day async for day in report.days]

    return asyncio.run(run())


def totals(reports: Reports, query: UsageQuery) -> UsageTotals:
    return asyncio.run(reports.usage(query)).totals


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(calls, max_size=25), window=bounds)
def test_lines_add_up_to_the_report_of_the_window(
    ledger: Ledger, rows: list[RequestLog], window: tuple[int | None, int | None]
) -> None:
    fill(ledger, rows)
    since, until = window
    report, days = export(ledger.reports, FocusQuery(since=since, until=until))
    expected = totals(ledger.reports, UsageQuery(since=since, until=until))

    lines = [line for day in days for line in day.lines]
    assert sums(days) == (expected.cost_nano_usd, *(getattr(expected, name) for name in COUNTED))
    keys = [
        (day.start, line.ip, line.model, line.provider, line.price_id, line.unit) for day in days for line in day.lines
    ]
    assert len(set(keys)) == len(keys)
    assert all(line.cost_nano_usd >= 0 and line.consumed > 0 for line in lines)
    assert all(day.lines and report.start <= day.start < day.end <= report.end for day in days)
    assert all(before.end <= day.start for before, day in pairwise(days))
    inside = [one for one in rows if (since or 0) <= one.started_at < (2**62 if until is None else until)]
    for day in days:
        of_day = [one for one in inside if day.start <= one.started_at < day.end]
        assert sum(line.requests for line in day.lines) == len(of_day)
        failed = [one for one in of_day if one.outcome in FAILED_OUTCOMES]
        assert sum(line.failed_requests for line in day.lines) == len(failed)


def test_days_are_those_of_utc_cut_to_the_window(ledger: Ledger) -> None:
    fill(ledger, [chat(started_at=at) for at in (AT - DAY, AT - 1, AT, AT + 5 * DAY)])
    whole, days = export(ledger.reports, FocusQuery())
    cut, parts = export(ledger.reports, FocusQuery(since=AT - 10, until=AT + 10))

    assert (whole.start, whole.end) == (AT - DAY, AT + 6 * DAY)
    assert [(day.start, day.end) for day in days] == [
        (AT - DAY, AT),
        (AT, AT + DAY),
        (AT + 5 * DAY, AT + 6 * DAY),
    ]
    assert (cut.start, cut.end) == (AT - 10, AT + 10)
    assert [(day.start, day.end) for day in parts] == [(AT - 10, AT), (AT, AT + 10)]


def test_window_without_calls_has_no_days(ledger: Ledger) -> None:
    fill(ledger, [chat(started_at=AT)])

    for query in (FocusQuery(until=AT), FocusQuery(since=AT + 1), FocusQuery(since=AT, until=AT)):
        assert export(ledger.reports, query)[1] == []
    ledger.clear()
    assert export(ledger.reports, FocusQuery())[1] == []


def test_call_that_is_recorded_during_the_export_is_not_in_it(ledger: Ledger) -> None:
    fill(ledger, [chat(started_at=AT), chat(started_at=AT + DAY)])

    async def run() -> list[FocusDay]:
        report = await ledger.reports.focus(FocusQuery())
        days = []
        async for day in report.days:
            days.append(day)
            add(ledger, [chat(started_at=AT + DAY)])
        return days

    assert [sum(line.requests for line in day.lines) for day in asyncio.run(run())] == [1, 1]


def test_period_has_its_calls_whenever_they_began(ledger: Ledger) -> None:
    fill(ledger, [chat(started_at=at) for at in (AT, AT + 3 * DAY, AT - DAY, AT + DAY, AT)])
    with closing(Books(ledger.database, SystemClock())) as books:
        first = asyncio.run(books.mark_billed("first", last_seq(ledger) - 3))[0]
        second = asyncio.run(books.mark_billed("second", last_seq(ledger)))[0]
    exports = [export(ledger.reports, FocusQuery(period=name)) for name in ("first", "second")]

    assert [report.period for report, _ in exports] == ["first", "second"]
    assert [(report.start, report.end) for report, _ in exports] == [(AT, AT + 4 * DAY), (AT - DAY, AT + 2 * DAY)]
    assert [[day.start for day in days] for _, days in exports] == [[AT, AT + 3 * DAY], [AT - DAY, AT, AT + DAY]]
    assert [sums(days) for _, days in exports] == [of_period(first), of_period(second)]
    with pytest.raises(NotRecorded):
        export(ledger.reports, FocusQuery(period="none"))


def test_closed_period_has_the_days_of_its_zone_and_the_labels_of_its_close(ledger: Ledger) -> None:
    until = AT + DAY - 3_600  # midnight in Berlin
    began = [until - 1, until, until - DAY - 1]
    fill(ledger, [chat(started_at=at, ip="192.0.2.1") for at in began])
    ledger.name({"192.0.2.1": "then"})
    with closing(Books(ledger.database, SystemClock())) as books:
        asyncio.run(books.close_period("first", until, "Europe/Berlin"))
        add(ledger, [chat(started_at=until - 5, ip="192.0.2.1")])  # recorded late
        asyncio.run(books.close_period("second", until + DAY, "Europe/Berlin"))
    ledger.name({"192.0.2.1": "now"})
    (first, days), (second, later_days) = (
        export(ledger.reports, FocusQuery(period=name)) for name in ("first", "second")
    )

    assert (first.start, first.end) == (until - 2 * DAY, until)
    assert [(day.start, day.end) for day in days] == [(until - 2 * DAY, until - DAY), (until - DAY, until)]
    assert (second.start, second.end) == (until, until + DAY)
    assert [(day.start, day.end) for day in later_days] == [(until - DAY, until), (until, until + DAY)]
    assert {line.label for day in (*days, *later_days) for line in day.lines} == {"then"}
    by_window = export(ledger.reports, FocusQuery())[1]
    assert {line.label for day in by_window for line in day.lines} == {"now"}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.tuples(st.lists(calls, max_size=8), st.integers(1, 8 * 3_600)), min_size=1, max_size=3))
def test_lines_add_up_to_each_closed_period(ledger: Ledger, batches: list[tuple[list[RequestLog], int]]) -> None:
    fill(ledger, [])
    until, periods = AT - DAY, []
    with closing(Books(ledger.database, SystemClock())) as books:
        for number, (rows, longer) in enumerate(batches):
            add(ledger, rows)
            until += longer
            closed, _ = asyncio.run(books.close_period(str(number), until, "Asia/Kolkata"))
            periods.append(closed.period)

    for period in periods:
        report, days = export(ledger.reports, FocusQuery(period=period.reference))
        assert sums(days) == of_period(period)
        assert report.end == period.until
        assert all(day.start < day.end <= report.end for day in days)


def sums(days: Sequence[FocusDay]) -> tuple[int, ...]:
    lines = [line for day in days for line in day.lines]
    return sum(line.cost_nano_usd for line in lines), *(sum(getattr(one, name) for one in lines) for name in COUNTED)


def of_period(period: Period) -> tuple[int, ...]:
    return period.totals.cost_nano_usd, *(getattr(period.totals, name) for name in COUNTED)


def last_seq(ledger: Ledger) -> int:
    with ledger.database.reading(None) as connection:
        return int(connection.exec_driver_sql("SELECT max(seq) FROM request_logs").scalar_one())


@pytest.mark.parametrize("last", [253_370_764_800, 253_402_300_800, 2**53 - 1])
def test_calls_after_the_last_date_are_one_day(ledger: Ledger, last: int) -> None:
    fill(ledger, [chat(started_at=AT), chat(started_at=last)])
    _, days = export(ledger.reports, FocusQuery())

    assert [sum(line.requests for line in day.lines) for day in days] == [1, 1]
    assert days[1].start <= last < days[1].end


def test_rates_of_a_later_release_leave_the_calls_undivided(ledger: Ledger) -> None:
    ledger.clear()
    later = PriceRecord("later", '{"holograms_per_million":"3"}', "", "")
    ledger.database.append([row(started_at=AT, price_id="later")], [later])
    _, (day,) = export(ledger.reports, FocusQuery())

    assert [(line.unit, line.cost_nano_usd, line.price_id) for line in day.lines] == [("calls", 25_970, None)]


def test_label_is_the_one_that_the_address_has_when_the_export_begins(ledger: Ledger) -> None:
    fill(ledger, [chat(started_at=AT, ip="192.0.2.1"), chat(started_at=AT, ip="198.51.100.7")])
    ledger.name({"192.0.2.0/24": "office"})
    _, (day,) = export(ledger.reports, FocusQuery())

    assert {line.ip: line.label for line in day.lines} == {"192.0.2.1": "office", "198.51.100.7": None}
    assert {line.price_id for line in day.lines} == {FOUNDING.price_id}
