"""Connections are looked at together, and those that nobody would miss make room."""

import asyncio
import logging

import pytest

from hero_broker.server.http1 import tracker
from hero_broker.server.http1.tracker import NEVER, ConnectionLimits, ConnectionTracker

LIMITS = ConnectionLimits(max_open=3, header_timeout_s=10, keep_alive_s=5, idle_timeout_s=60)


class Fake:
    """A connection that remembers what became of it."""

    def __init__(self, connections: ConnectionTracker, deadline: float = NEVER) -> None:
        self.deadline = deadline
        self.is_closing = False
        self.became: list[str] = []
        connections.add(self)

    def on_deadline(self, now: float) -> None:
        self.became.append(f"overdue at {now}")
        self.deadline = NEVER

    def abort(self) -> None:
        self.became.append("aborted")


def test_connection_acts_when_its_time_is_over_and_not_before() -> None:
    connections = ConnectionTracker(LIMITS)
    one, other = Fake(connections, 10), Fake(connections, 20)

    for now in (9, 10, 11):
        connections.sweep(now)

    assert (one.became, other.became) == (["overdue at 10"], [])


def test_connection_that_closes_has_a_deadline_from_then_on() -> None:
    connections = ConnectionTracker(LIMITS)
    closing = Fake(connections)
    closing.is_closing = True

    for now in (100, 159, 160):
        connections.sweep(now)

    assert closing.became == ["overdue at 160"]


def test_connection_without_a_request_for_longest_makes_room() -> None:
    connections = ConnectionTracker(LIMITS)
    first, second, third = (Fake(connections) for _ in range(3))
    connections.mark_busy(first)
    connections.mark_busy(second)
    connections.mark_idle(second)  # later than the third

    fourth = Fake(connections)

    assert [one.became for one in (first, second, third, fourth)] == [[], [], ["aborted"], []]


def test_newcomer_goes_where_all_others_have_a_request() -> None:
    connections = ConnectionTracker(LIMITS)
    others = [Fake(connections) for _ in range(3)]
    for one in others:
        connections.mark_busy(one)

    newcomer = Fake(connections)

    assert newcomer.became == ["aborted"]
    assert all(one.became == [] for one in others)


def test_closed_connection_makes_room() -> None:
    connections = ConnectionTracker(LIMITS)
    first, second, third = (Fake(connections) for _ in range(3))
    connections.remove(second)

    fourth = Fake(connections)

    assert [one.became for one in (first, third, fourth)] == [[], [], []]


def test_limit_is_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    connections = ConnectionTracker(LIMITS)
    for now in range(121):
        for _ in range(10):
            Fake(connections)
        connections.sweep(now)

    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        f"the limit of 3 open connections is reached; idle connections evicted: {count}" for count in (7, 600, 600)
    ]


def test_look_that_fails_is_seen_and_does_not_end_the_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker, "SWEEP_EVERY_S", 0.01)

    async def run() -> tuple[str | None, list[str]]:
        connections = ConnectionTracker(LIMITS)
        broken = Fake(connections, 0)
        del broken.became  # acting raises
        async with connections.running(), asyncio.timeout(20):
            while not connections.watching.is_failing:  # noqa: ASYNC110 - a duty has no event
                await asyncio.sleep(0)
            connections.remove(broken)
            other = Fake(connections, 0)
            while not other.became or connections.watching.is_failing:  # noqa: ASYNC110
                await asyncio.sleep(0)
        return connections.watching.last_error, other.became

    why, became = asyncio.run(run())

    assert why == "AttributeError"
    assert len(became) == 1
