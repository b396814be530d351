"""The lines and the days of a statement add up to the same, while calls are made and labels change."""

from collections.abc import Callable
from itertools import islice
from typing import Any, TypeVar

import pytest

from hero_broker.cli.backend import Backend
from hero_broker.cli.statement_calls import (
    MAX_READINGS,
    CallSelection,
    StatementCalls,
    UnequalSums,
    read_calls,
)
from hero_broker.cli.times import parse_zone
from hero_broker.client import Client, Query, RpcError
from hero_broker.reports.totals import sum_totals
from tests.cli.conftest import TOKEN, Place, call_from_three_addresses

Answer = TypeVar("Answer")
UTC = parse_zone("UTC")


class BusyBackend:
    """A backend, and what happens before each query by day; the queries by day are counted."""

    def __init__(self, backend: Backend, events: list[Callable[[], object]]) -> None:
        self._backend = backend
        self._events = iter(events)
        self.readings = 0

    def call(self, query: Query[Answer]) -> Answer:
        if "bucket" in query.params:
            self.readings += 1
            for event in islice(self._events, 1):
                event()
        return self._backend.call(query)

    def call_raw(self, method: str, params: Any) -> bytes:
        return self._backend.call_raw(method, params)


def requests_of(calls: StatementCalls) -> tuple[int, int]:
    """Return the requests of the lines, and those of the days."""
    assert calls.days is not None
    lines, days = (sum_totals([one.totals for one in some]) for some in (calls.lines, calls.days))
    return lines.requests, days.requests


def refuse() -> None:
    raise RpcError(-32003, "The query took longer than 10 s")


def test_calls_that_change_while_they_are_read_are_read_again(fresh: Place) -> None:
    call_from_three_addresses(fresh.broker)
    with Client(fresh.broker.url) as client:
        backend = BusyBackend(client, [lambda: call_from_three_addresses(fresh.broker)] * 2)

        (calls,), labels = read_calls(backend, CallSelection(UTC, {}))

    assert requests_of(calls) == (18, 18)
    assert backend.readings == 3
    assert labels == "now"


def test_labels_that_change_while_calls_are_read_are_read_again(fresh: Place) -> None:
    fresh.out("labels", "set", "127.0.0.3", "Research")
    call_from_three_addresses(fresh.broker)
    with Client(fresh.broker.url) as client:
        backend = BusyBackend(client, [lambda: fresh.out("labels", "set", "127.0.0.2", "Research")])

        calls, _ = read_calls(backend, CallSelection(UTC, {}, by_label=True))

    assert [requests_of(own) for own in calls] == [(1, 1), (5, 5)]
    assert backend.readings == 2


def test_calls_that_change_in_every_reading_are_refused(fresh: Place) -> None:
    call_from_three_addresses(fresh.broker)
    with Client(fresh.broker.url) as client:
        backend = BusyBackend(client, [lambda: call_from_three_addresses(fresh.broker)] * MAX_READINGS)

        with pytest.raises(UnequalSums):
            read_calls(backend, CallSelection(UTC, {}))

    assert backend.readings == MAX_READINGS


def test_days_that_are_too_wide_are_left_out(place: Place) -> None:
    with Client(place.broker.url, TOKEN) as client:
        (calls,), _ = read_calls(BusyBackend(client, [refuse]), CallSelection(UTC, {}))

    assert calls.days is None
    assert sum(line.totals.requests for line in calls.lines) == 6


def test_other_refusal_is_an_error(place: Place) -> None:
    def fail() -> None:
        raise RpcError(-32603, "Internal error")

    with Client(place.broker.url, TOKEN) as client, pytest.raises(RpcError, match="Internal error"):
        read_calls(BusyBackend(client, [fail]), CallSelection(UTC, {}))
