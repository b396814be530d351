"""Costs whose sum is no integer of 64 bits stop no fold, and no report says less than they are."""

import asyncio
from collections.abc import Iterator
from itertools import pairwise

import pytest
from sqlalchemy import text

from hero_broker.core.clock import SystemClock
from hero_broker.core.errors import InvalidParams, TooWide
from hero_broker.core.queries import Dimension, UsageQuery
from hero_broker.reports.billing_periods import Books
from hero_broker.reports.labels import LabelBook
from hero_broker.reports.usage import Reports
from hero_broker.store.database import Database, open_database
from tests.ledger.rows import row

LARGEST = 2**63 - 1
HOUR, DAY = 3_600, 86_400
FIRST = 1_700_438_400  # the beginning of a UTC day
COSTS = [5, LARGEST - 7, 2**62, 1, 2**62, LARGEST, 3, 2**33 + 1]  # one an hour
BEYOND = r"9223372036\.854775807 USD or more"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with open_database(database_url) as opened:
        yield opened


def fill(database: Database, step: int) -> None:
    """Add the costs, four of each address, and fold so many rows at once; 0: none."""
    rows = [
        row(started_at=FIRST + at * HOUR, cost_nano_usd=cost, ip=f"192.0.2.{at % 2}") for at, cost in enumerate(COSTS)
    ]
    database.append(rows, [])
    while step and database.fold(step):
        assert database.rollups is not None


def ask(database: Database, question: UsageQuery) -> list[int]:
    reports = Reports(database, LabelBook(database, SystemClock()), SystemClock())
    try:
        found = asyncio.run(reports.usage(question))
    finally:
        reports.close()
    assert found.totals.cost_nano_usd == sum(group.totals.cost_nano_usd for group in found.groups)
    return [group.totals.cost_nano_usd for group in found.groups]


@pytest.mark.parametrize("step", [0, 1, 3, 100])
def test_window_that_cannot_be_summed_says_so_and_all_others_are_right(database: Database, step: int) -> None:
    fill(database, step)
    bounds = [FIRST + at * HOUR for at in range(len(COSTS) + 1)]

    for at, (since, until) in enumerate(pairwise(bounds)):
        question = UsageQuery(since=since, until=until)
        if COSTS[at] < LARGEST:
            assert ask(database, question) == [COSTS[at]]
    assert ask(database, UsageQuery(group_by=(Dimension.IP,), since=bounds[2], until=bounds[4])) == [2**62, 1]
    for group_by in ((), (Dimension.IP,), (Dimension.MODEL,), (Dimension.IP, Dimension.MODEL), (Dimension.PREFIX,)):
        with pytest.raises(TooWide, match=BEYOND):
            ask(database, UsageQuery(group_by=group_by))
    with pytest.raises(TooWide, match=BEYOND):
        ask(database, UsageQuery(bucket="day"))


@pytest.mark.parametrize("step", [1, 3, 100])
def test_folds_go_on_and_books_are_verified_by_what_they_hold(database: Database, step: int) -> None:
    fill(database, step)
    books = Books(database, SystemClock())

    right = asyncio.run(books.verify(None, None))
    with database.writing() as connection:
        connection.execute(text("UPDATE usage_by_ip SET cost_nano_usd = cost_nano_usd - 1 WHERE span_s = 3600"))
    wrong = asyncio.run(books.verify(None, None))

    assert database.rollups is not None
    assert database.rollups.folded_seq == len(COSTS)
    assert (right.rows, right.differences, wrong.differences > 0) == (len(COSTS), 0, True)


@pytest.mark.parametrize("step", [0, 1, 100])
def test_unbilled_is_exact_and_a_period_that_cannot_be_held_is_refused(database: Database, step: int) -> None:
    fill(database, step)
    books = Books(database, SystemClock())

    unbilled, _ = asyncio.run(books.unbilled())
    with pytest.raises(InvalidParams) as refused:
        asyncio.run(books.mark_billed("all", len(COSTS)))
    first, _ = asyncio.run(books.mark_billed("a", 2))
    second, _ = asyncio.run(books.mark_billed("b", 4))
    rest, _ = asyncio.run(books.unbilled())
    verified = asyncio.run(books.verify(None, None))

    assert unbilled.totals.cost_nano_usd == sum(COSTS)
    assert (refused.value.param, "at most 9223372036.854775807 USD" in refused.value.reason) == ("to_seq", True)
    assert (first.totals.cost_nano_usd, second.totals.cost_nano_usd) == (sum(COSTS[:2]), sum(COSTS[2:4]))
    assert rest.totals.cost_nano_usd == sum(COSTS[4:])
    assert verified.differences == 0


def test_rebuild_of_what_cannot_be_summed_ends(database: Database) -> None:
    fill(database, 2)
    database.start_rebuild()

    steps = 0
    while database.fold(100):
        steps += 1
        assert steps < 100

    assert database.rollups is not None
    assert (database.rollups.generation, database.rollups.folded_seq) == (2, len(COSTS))
