"""Books that are right are said to be right and wrong ones wrong, for any window."""

import asyncio
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text, update

from hero_broker.core.clock import SystemClock
from hero_broker.core.records import RequestLog, Verification
from hero_broker.reports.billing_periods import Books
from hero_broker.store import rollups, verification
from hero_broker.store.database import Database, open_database
from hero_broker.store.schema import ALL_TIME, DAY, HOUR, ROLLUPS, SUMS, SUMS_SINCE_5
from tests.ledger.rows import row

MONDAY = 1_700_438_400  # the beginning of a UTC day
HALF_TEN, HALF_TWO = MONDAY + 10 * HOUR + 1_800, MONDAY + 14 * HOUR + 1_800

moments = st.one_of(
    st.integers(MONDAY, MONDAY + 2 * DAY),
    st.integers(MONDAY - 70 * DAY, MONDAY + 70 * DAY),
    st.sampled_from([MONDAY - 1, MONDAY, MONDAY + HOUR, MONDAY + DAY - 1, MONDAY + DAY]),
)
bounds = st.one_of(st.none(), moments)
rows_of_calls = st.builds(
    row,
    ip=st.sampled_from(["192.0.2.1", "2001:db8::1", "unknown"]),
    model=st.sampled_from(["llama", "gpt"]),
    api_key_id=st.sampled_from([None, "key-1", "key-2"]),
    started_at=moments,
    cost_nano_usd=st.one_of(st.none(), st.integers(0, 10**12)),
    **dict.fromkeys(SUMS_SINCE_5, st.one_of(st.none(), st.integers(0, 10**9))),
)
every = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="session")
def database(store_name: str, new_ledger: Callable[[str], str]) -> Iterator[Database]:
    with open_database(new_ledger(store_name)) as opened:
        yield opened


def fill(database: Database, rows: list[RequestLog], left: int = 0) -> None:
    """Put rows into a ledger that is emptied first; the last `left` are above the watermark."""
    with database.engine.execution_options(writes=True).begin() as connection:
        for table in ("request_logs", "rollup_state", "addresses", *(table.name for table in ROLLUPS)):
            connection.execute(text(f"DELETE FROM {table}"))
        rollups.begin(connection)
    folded, recent = rows[: len(rows) - left], rows[len(rows) - left :]
    if folded:
        database.append(folded, [])
        database.fold(1_000_000)
    if recent:
        database.append(recent, [])


def verify(database: Database, since: int | None, until: int | None) -> Verification:
    books = Books(database, SystemClock())
    try:
        return asyncio.run(books.verify(since, until))
    finally:
        books.close()


@pytest.mark.parametrize("hours", [(10, 12), (10, 15), (14, 15), (11, 13), (0, 48), (-500, 11)])
def test_window_within_a_day_of_right_books_is_right(database: Database, hours: tuple[int, int]) -> None:
    fill(database, [row(started_at=HALF_TEN), row(started_at=HALF_TWO)])

    found = verify(database, MONDAY + hours[0] * HOUR, MONDAY + hours[1] * HOUR)

    assert (found.differences, found.listed) == (0, ())


@every
@given(st.lists(rows_of_calls, max_size=15), st.integers(0, 3), bounds, bounds, st.sampled_from([1, 3, 50_000]))
def test_any_window_of_right_books_is_right_and_counts_its_rows(
    database: Database, rows: list[RequestLog], left: int, since: int | None, until: int | None, step: int
) -> None:
    fill(database, rows, min(left, len(rows)))
    first = -(2**40) if since is None else since // HOUR * HOUR
    last = 2**40 if until is None else -(-until // HOUR) * HOUR

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verification, "STEP_ROWS", step)
        found = verify(database, since, until)

    assert (found.differences, found.listed) == (0, ())
    assert found.rows == sum(first <= one.started_at < last for one in rows)


@every
@given(st.lists(rows_of_calls, min_size=1, max_size=15), st.integers(0, 10**6), bounds, bounds)
def test_block_that_was_falsified_is_found_by_each_window_that_touches_what_it_is_compared_with(
    database: Database, rows: list[RequestLog], which: int, since: int | None, until: int | None
) -> None:
    fill(database, rows)
    with database.writing() as connection:
        blocks = [
            (table, block) for table in ROLLUPS for block in connection.execute(select(table).order_by(*table.c)).all()
        ]
        table, block = blocks[which % len(blocks)]
        named = [column == getattr(block, column.name) for column in table.primary_key.columns]
        name = SUMS[which % len(SUMS)]
        # So far that the first or the last time of the next larger block changes too.
        by = {"first_seen": -(10**9), "last_seen": 10**9}.get(name, 1)
        connection.execute(update(table).where(*named).values({name: getattr(block, name) + by}))
        state = rollups.rollup_state(connection)  # the falsified time too may say from when to when there are rows

    found = verify(database, since, until)

    seen = [one for one in (*(row.started_at for row in rows), state.first_seen, state.last_seen) if one is not None]
    first = max(min(seen) // HOUR * HOUR, -(2**40) if since is None else since // HOUR * HOUR)
    last = min((max(seen) // HOUR + 1) * HOUR, 2**40 if until is None else -(-until // HOUR) * HOUR)

    def touched(span: int) -> bool:
        begins_at = block.begins_at // span * span if span else 0
        return first < last and (span == ALL_TIME or (begins_at < last and begins_at + span > first))

    spans = table.info["spans"]
    at = spans.index(block.span_s)
    assert found.differences == sum(touched(span) for span in spans[at : at + 2])
