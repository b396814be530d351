"""Request ids are UUIDs that sort in the order in which they were made, whatever the clock does."""

import os
import time
import uuid

import pytest

from hero_broker.core.ids import RequestIds, new_request_id

DAY_NS = 86_400 * 1_000_000_000


def test_id_is_a_uuid_of_version_7_and_has_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_123 * 1_000_000)

    for made in (new_request_id(), RequestIds().next()):
        found = uuid.UUID(made)
        assert (found.version, found.variant, str(found)) == (7, uuid.RFC_4122, made)
        assert found.int >> 80 == 1_700_000_000_123


def test_ids_of_one_millisecond_differ_and_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_123 * 1_000_000)
    ids = RequestIds()

    made = [ids.next() for _ in range(10_000)]

    assert made == sorted(set(made))
    assert all(uuid.UUID(one).version == 7 for one in made)


def test_step_carries_from_the_low_bits_into_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_123 * 1_000_000)
    monkeypatch.setattr(os, "urandom", lambda size: b"\xff" * size)
    ids = RequestIds()

    first, second = ids.next(), ids.next()

    assert uuid.UUID(second).version == 7
    assert second > first
    assert uuid.UUID(second).int >> 80 == 1_700_000_000_124


def test_ids_grow_though_the_clock_goes_a_day_back_and_forth(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_700_000_000_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: now)
    ids = RequestIds()
    made = []

    for step in (0, DAY_NS, -DAY_NS, -DAY_NS, 0, DAY_NS, 2 * DAY_NS):
        now += step
        made += [ids.next() for _ in range(100)]

    assert made == sorted(set(made))
    assert uuid.UUID(made[-1]).int >> 80 in (now // 1_000_000, now // 1_000_000 + 1)  # a counter may begin at its end
