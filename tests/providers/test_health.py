"""A provider's health is that of its last call."""

import logging

import pytest

from hero_broker.core.inventory import InventoryHealth
from hero_broker.providers.health import HealthTracker


class Clock:
    """A clock that ticks at each look."""

    def __init__(self) -> None:
        self.at = 1_700_000_000

    def now(self) -> int:
        self.at += 1
        return self.at

    def monotonic(self) -> float:
        return float(self.at)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the log was told so far, and forget it."""
    told = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return told


def test_provider_that_nobody_asked_has_no_health_yet() -> None:
    assert HealthTracker(Clock()).health("groq") == InventoryHealth()


@pytest.mark.parametrize(("status", "fails"), [(200, False), (400, False), (404, False), (422, False), (401, True)])
def test_refusal_by_the_clients_fault_is_an_answer(status: int, fails: bool) -> None:
    standings = HealthTracker(Clock())

    standings.record_success("groq", status)

    assert standings.health("groq").is_failing is fails


@pytest.mark.parametrize("status", [401, 402, 403, 429, 500, 503])
def test_failure_is_kept_when_it_answers_again(status: int) -> None:
    standings = HealthTracker(Clock())

    standings.record_success("groq", status)
    standings.record_failure("groq", "provider_timeout")
    standings.record_success("groq", 200)

    assert standings.health("groq") == InventoryHealth(
        answered=1,
        failed=2,
        last_answered_at=1_700_000_003,
        last_failed_at=1_700_000_002,
        last_error_code="provider_timeout",
        is_failing=False,
    )


def test_log_tells_once_when_a_provider_begins_to_fail_and_once_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    standings = HealthTracker(Clock())

    standings.record_success("groq", 200)
    for _ in range(3):
        standings.record_failure("groq", "provider_tls", "certificate has expired")
    standings.record_failure("groq", "provider_refused")
    failing = lines(caplog)
    standings.record_success("groq", 200)
    standings.record_success("groq", 200)

    assert failing == [
        "provider: groq fails: provider_tls (certificate has expired)",
        "provider: groq fails: provider_refused",
    ]
    assert lines(caplog) == ["provider: groq answers again, after 4 s and 4 failed calls: provider_refused"]


def test_provider_that_fails_now_and_then_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    standings = HealthTracker(clock)

    for _ in range(20):
        standings.record_failure("groq", "provider_500")
        standings.record_success("groq", 200)
    told = lines(caplog)
    clock.at += 10
    standings.record_success("groq", 200)

    assert told == [
        "provider: groq fails: provider_500",
        "provider: groq answers again, after 1 s and 1 failed calls: provider_500",
        "provider: groq fails: provider_500",
    ]
    assert len(lines(caplog)) == 1


def test_log_names_the_key_that_is_refused_and_says_when_it_is_accepted(caplog: pytest.LogCaptureFixture) -> None:
    standings = HealthTracker(Clock())

    for _ in range(5):
        standings.key_refused("groq", "provider_401", 2)
        standings.record_success("groq", 200, 1)
    refused = lines(caplog)
    standings.record_success("groq", 200, 2)

    assert refused == ["provider: groq refuses number 2 of its api_keys, or its account: provider_401"]
    assert lines(caplog) == ["provider: groq (key 2) answers again, after 10 s and 5 failed calls: provider_401"]
    assert standings.health("groq").failed == 5
