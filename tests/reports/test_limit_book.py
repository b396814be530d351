"""Limits and grants that are set while brokers run: what is refused, what is read again, and what others see of it."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

import pytest

from hero_broker.core.clock import SystemClock
from hero_broker.core.errors import Conflict, InvalidParams, NotRecorded
from hero_broker.core.limits import DefinedLimit, Grant, LimitDefinition
from hero_broker.limits.definitions import Definitions
from hero_broker.limits.limit import Limit, server_limits
from hero_broker.reports import limit_book
from hero_broker.reports.limit_book import LimitBook
from hero_broker.settings.limits import read_definition
from hero_broker.store.database import Database, open_database

NOW = 1_700_000_000
IN_FILE = Limit("in-file", "usd", 10**9, per=("ip",), window="month")
FIXED = [*server_limits(10, 10), IN_FILE]
CALLS = {"unit": "concurrent", "amount": 4, "shared": False}
BUDGET: dict[str, object] = {"unit": "usd", "amount": 0.5, "window": "day", "per": ["ip"], "shared": False}
HERE = {"ip": "10.0.0.1"}

Result = TypeVar("Result")


class StoppedClock(SystemClock):
    """A clock that tests set."""

    at = NOW

    def now(self) -> int:
        return self.at


READ = partial(read_definition, providers=("p",), may_share_ledger=True)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open ledger on each store."""
    with open_database(database_url) as opened:
        yield opened


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def book(database: Database, clock: StoppedClock) -> Iterator[LimitBook]:
    with closing(LimitBook(database, clock, FIXED, READ)) as opened:
        yield opened


def current(database: Database, book: LimitBook) -> Definitions:
    with database.reading() as connection:
        return book.current(connection)


def run(asked: Coroutine[Any, Any, tuple[Result, int]]) -> Result:
    return asyncio.run(asked)[0]


def grant(book: LimitBook, name: str = "in-file", amount: str = "5", until: int | None = None) -> Grant:
    return run(book.grant(name, HERE, Decimal(amount), until, "a month of tests"))


def test_limit_that_is_set_is_current_until_it_is_removed(database: Database, book: LimitBook) -> None:
    stored = LimitDefinition("a", '{"amount":0.5,"per":["ip"],"shared":false,"unit":"usd","window":"day"}', NOW)
    described = DefinedLimit(
        "a", "rpc", "at most 0.5 USD a day (UTC), for each address; it counts all calls", stored, ()
    )

    assert run(book.set("a", {**BUDGET, "hold": None, "match": {}} | {"match": None})) == described

    assert current(database, book) == Definitions(
        (1, 0), (Limit("a", "usd", 500_000_000, per=("ip",), window="day", is_set=True),)
    )
    assert run(book.get("a")) == described
    assert run(book.remove("a")) == described
    assert current(database, book) == Definitions((2, 0))
    with pytest.raises(NotRecorded):
        run(book.get("a"))


def test_same_definitions_are_the_same_object_until_something_changes(
    database: Database, book: LimitBook, clock: StoppedClock
) -> None:
    with closing(LimitBook(database, clock, FIXED, READ)) as other_broker:
        first = current(database, other_broker)
        assert current(database, other_broker) is first

        run(book.set("a", CALLS))
        second = current(database, other_broker)
        assert (second.revision, [limit.name for limit in second.limits]) == ((1, 0), ["a"])
        assert current(database, other_broker) is second

        made = grant(book)
        assert current(database, other_broker) == Definitions((1, 1), second.limits, (made,))


def test_changes_are_reported_in_the_event_loop(book: LimitBook) -> None:
    changes: list[asyncio.AbstractEventLoop] = []

    async def note() -> None:
        changes.append(asyncio.get_running_loop())

    book.on_change = note

    async def change() -> None:
        await book.set("a", CALLS)
        await book.grant("in-file", HERE, Decimal(1), None, "r")
        await book.remove("a")
        with pytest.raises(NotRecorded):
            await book.remove("a")
        assert changes == [asyncio.get_running_loop()] * 3

    asyncio.run(change())


@pytest.mark.parametrize("name", ["in-file", "server.max_calls", "server.max_calls_per_address"])
def test_limits_of_the_settings_are_read_only(database: Database, book: LimitBook, name: str) -> None:
    for change in (book.set(name, CALLS), book.remove(name)):
        with pytest.raises(Conflict) as caught:
            run(change)
        assert caught.value.reason == "read_only"

    assert current(database, book) == Definitions()
    assert (run(book.get(name)).source, run(book.get(name)).definition) == (
        "file" if "file" in name else "server",
        None,
    )


@pytest.mark.parametrize(
    ("name", "definition", "param", "reason"),
    [
        ("a b", CALLS, "name", "must be 1 to 64 letters, digits, dots, hyphens and underscores of ASCII"),
        ("a", {**BUDGET, "shared": None}, "definition", "shared: must be false with a PostgreSQL database"),
        ("a", {**CALLS, "burts": 1}, "definition", "burts: is not a known key; did you mean"),
        ("a", {**CALLS, "match": {"network": "10.0.0.1/24"}}, "definition", "match.network: must be an address or a"),
        (
            "a",
            {"unit": "usd", "amount": 1e-10},
            "definition",
            "amount: must be a number of USD above 0, such as 0.50, with at most 9 decimal places",
        ),
        ("a", {**BUDGET, "amount": 0.1234567891234567}, "definition", "must have numbers of at most 15 digits"),
        ("a", {**CALLS, "amount": 4.5}, "definition", "amount: must be an integer from 1 to 1000000"),
    ],
)
def test_definition_with_faults_is_refused(
    database: Database, book: LimitBook, name: str, definition: dict[str, object], param: str, reason: str
) -> None:
    with pytest.raises(InvalidParams) as caught:
        run(book.set(name, definition))

    assert (caught.value.param, caught.value.reason[: len(reason)]) == (param, reason)
    assert current(database, book) == Definitions()


def test_whole_number_may_have_a_point_as_json_has_one_type(database: Database, book: LimitBook) -> None:
    run(book.set("a", {**CALLS, "amount": 4.0}))

    assert current(database, book).limits[0].amount == 4


def test_only_so_many_limits_may_be_set(book: LimitBook, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit_book, "MAX_LIMITS", 3)
    with closing(LimitBook(database, StoppedClock(), FIXED, READ)) as small:
        run(small.set("a", CALLS))
        run(small.set("b", CALLS))
        run(small.set("a", BUDGET))

        with pytest.raises(InvalidParams) as caught:
            run(small.set("c", CALLS))
        run(small.remove("a"))
        run(small.set("c", CALLS))

    assert (caught.value.param, caught.value.reason) == ("name", "exceeds the limit of 3 limits: remove one first")


def test_grant_is_of_the_limit_and_subject_in_their_own_spelling(database: Database, book: LimitBook) -> None:
    made, at = asyncio.run(book.grant("in-file", {"ip": "::ffff:10.0.0.1"}, Decimal("0.5"), NOW + 1, "thesis"))

    assert (made, at) == (Grant(1, "in-file", HERE, "usd", 500_000_000, NOW, NOW + 1, "thesis"), NOW)
    assert run(book.get("in-file")).grants == (made,)
    assert current(database, book).grants == (made,)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        (lambda book: book.grant("in-file", {}, Decimal(1), None, "r"), "subject"),
        (lambda book: book.grant("in-file", HERE, Decimal(0), None, "r"), "amount"),
        (lambda book: book.grant("in-file", HERE, Decimal(1), NOW, "r"), "until"),
        (lambda book: book.grant("server.max_calls", {}, Decimal(1), None, "r"), "name"),
        (lambda book: book.grant("calls", {}, Decimal(1), None, "r"), "name"),
    ],
)
def test_grant_with_a_fault_is_refused(
    database: Database,
    book: LimitBook,
    change: Callable[[LimitBook], Coroutine[Any, Any, tuple[Grant, int]]],
    param: str,
) -> None:
    run(book.set("calls", CALLS))

    with pytest.raises(InvalidParams) as caught:
        run(change(book))

    assert caught.value.param == param
    assert current(database, book).revision == (1, 0)


def test_grant_for_an_unknown_limit_is_refused(book: LimitBook) -> None:
    with pytest.raises(NotRecorded):
        grant(book, "nobody")


def test_grant_that_is_revoked_is_not_current_at_any_broker(
    database: Database, book: LimitBook, clock: StoppedClock
) -> None:
    mistyped, kept = grant(book, amount="500"), grant(book)
    with closing(LimitBook(database, clock, FIXED, READ)) as other_broker:
        assert current(database, other_broker).grants == (mistyped, kept)

        ended, at = asyncio.run(book.revoke(mistyped.grant_id))

        assert (ended, at) == (replace(mistyped, until=NOW), NOW)
        assert current(database, other_broker).grants == current(database, book).grants == (kept,)
    with pytest.raises(NotRecorded):
        run(book.revoke(mistyped.grant_id))


def test_removal_ends_the_grants_of_a_limit_for_good(database: Database, book: LimitBook, clock: StoppedClock) -> None:
    run(book.set("a", BUDGET))
    first = grant(book, "a")
    kept = grant(book)
    assert run(book.remove("a")).grants == (first,)
    clock.at += 1

    assert run(book.set("a", BUDGET)).grants == ()

    assert current(database, book).grants == (kept,)


def test_grants_of_another_unit_or_subject_raise_nothing(database: Database, book: LimitBook) -> None:
    run(book.set("a", BUDGET))
    made = grant(book, "a")

    assert run(book.set("a", {**BUDGET, "unit": "tokens", "amount": 5})).grants == ()
    assert current(database, book).grants == ()
    run(book.set("a", {**BUDGET, "per": []}))
    assert current(database, book).grants == ()
    run(book.set("a", {**BUDGET, "amount": 7}))
    assert current(database, book).grants == (made,)


def test_grants_that_have_ended_are_not_current(database: Database, book: LimitBook, clock: StoppedClock) -> None:
    grant(book, until=NOW + 60)
    endless = grant(book)
    clock.at = NOW + 60

    assert current(database, book).grants == (endless,)
    assert run(book.get("in-file")).grants == (endless,)


def test_definition_that_another_broker_cannot_use_bounds_nothing_there(
    database: Database, book: LimitBook, clock: StoppedClock, caplog: pytest.LogCaptureFixture
) -> None:
    run(book.set("a", {**CALLS, "match": {"provider": "p"}}))
    run(book.set("b", CALLS))
    run(book.set("c", CALLS))
    read = partial(read_definition, providers=("q",), may_share_ledger=True)
    with closing(LimitBook(database, clock, [Limit("b", "concurrent", 7)], read)) as other:
        found = current(database, other)
        assert current(database, other) is found

        assert [limit.name for limit in found.limits] == ["c"]
        assert run(other.get("a")).description is None
        with pytest.raises(InvalidParams) as caught:
            grant(other, "a")
        assert caught.value.param == "name"
        run(other.remove("a"))

    assert [record.levelname for record in caplog.records if "hero_broker.reports.limit_book" in record.name] == [
        "ERROR",
        "WARNING",
    ]
    assert [limit.name for limit in current(database, book).limits] == ["b", "c"]
