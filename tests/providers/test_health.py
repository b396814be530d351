"""A provider's health is that of its last call."""

import logging

import pytest
from msgspec.structs import replace

from hero_broker.core.inventory import InventoryHealth
from hero_broker.core.records import RequestLog, Settled
from hero_broker.providers.health import HealthTracker
from tests.ledger.rows import row


class Clock:
    """A clock that advances by a second at each reading."""

    def __init__(self) -> None:
        self.at = 1_700_000_000

    def now(self) -> int:
        self.at += 1
        return self.at

    def monotonic(self) -> float:
        return float(self.at)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the messages logged so far, and clear them."""
    messages = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return messages


def test_provider_without_calls_has_no_health_yet() -> None:
    assert HealthTracker(Clock()).health("groq") == InventoryHealth()


@pytest.mark.parametrize(
    ("status", "fails"), [(200, False), (400, False), (403, False), (404, False), (422, False), (401, True)]
)
def test_refusal_by_the_clients_fault_is_an_answer(status: int, fails: bool) -> None:
    tracker = HealthTracker(Clock())

    tracker.record_success("groq", status)

    assert tracker.health("groq").is_failing is fails


@pytest.mark.parametrize("status", [401, 402, 429, 500, 503])
def test_failure_is_kept_when_it_answers_again(status: int) -> None:
    tracker = HealthTracker(Clock())

    tracker.record_success("groq", status)
    tracker.record_failure("groq", "provider_timeout")
    tracker.record_success("groq", 200)

    assert tracker.health("groq") == InventoryHealth(
        answered=1,
        failed=2,
        last_answered_at=1_700_000_003,
        last_failed_at=1_700_000_002,
        last_error_code="provider_timeout",
        is_failing=False,
    )


def test_log_has_one_line_when_a_provider_begins_to_fail_and_one_when_it_recovers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    tracker = HealthTracker(Clock())

    tracker.record_success("groq", 200)
    for _ in range(3):
        tracker.record_failure("groq", "provider_tls", "certificate has expired")
    tracker.record_failure("groq", "provider_refused")
    failing = lines(caplog)
    tracker.record_success("groq", 200)
    tracker.record_success("groq", 200)

    assert failing == [
        "provider: groq fails: provider_tls (certificate has expired)",
        "provider: groq fails: provider_refused",
    ]
    assert lines(caplog) == [
        "provider: groq answers again, after 4 failed calls, the first one 4 s ago: provider_refused"
    ]


def test_provider_that_fails_now_and_then_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    tracker = HealthTracker(clock)

    for _ in range(20):
        tracker.record_failure("groq", "provider_500")
        tracker.record_success("groq", 200)
    messages = lines(caplog)
    clock.at += 10
    tracker.record_success("groq", 200)

    assert messages == [
        "provider: groq fails: provider_500",
        "provider: groq answers again, after 1 failed call, the first one 1 s ago: provider_500",
        "provider: groq fails: provider_500",
    ]
    assert len(lines(caplog)) == 1


def test_log_names_the_key_that_is_refused_and_says_when_it_is_accepted(caplog: pytest.LogCaptureFixture) -> None:
    tracker = HealthTracker(Clock())

    for _ in range(5):
        tracker.key_refused("groq", "provider_401", 2)
        tracker.record_success("groq", 200, 1)
    refused = lines(caplog)
    tracker.record_success("groq", 200, 2)

    assert refused == ["provider: groq rejects key 2 of its api_keys, or the account: provider_401"]
    assert lines(caplog) == [
        "provider: groq (key 2) answers again, after 5 failed calls, the first one 10 s ago: provider_401"
    ]
    assert tracker.health("groq").failed == 5


@pytest.mark.parametrize(
    ("unexplained_tokens", "cut_counts", "text"),
    [
        (7, None, "Its total is 7 more than its counts. The counts are billed."),
        (-3, None, "Its total is 3 less than its counts. The counts are billed."),
        (
            None,
            "cached_input_tokens,reasoning_tokens",
            "Larger than the count that contains it, and cut to it: cached_input_tokens, reasoning_tokens.",
        ),
        (
            7,
            "reasoning_tokens",
            "Its total is 7 more than its counts. The counts are billed. "
            "Larger than the count that contains it, and cut to it: reasoning_tokens.",
        ),
    ],
)
def test_log_says_what_is_wrong_with_usage_and_nothing_else(
    unexplained_tokens: int | None, cut_counts: str | None, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    one = replace(row(provider="groq"), unexplained_tokens=unexplained_tokens, cut_counts=cut_counts)

    HealthTracker(Clock()).settled(Settled(one, ()))

    assert lines(caplog) == [f"usage: the provider groq reports usage that contradicts itself. {text}"]


def test_usage_that_contradicts_itself_is_counted_and_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    tracker = HealthTracker(clock)
    good = row(provider="groq")
    bad = (replace(good, unexplained_tokens=-3), replace(good, cut_counts="cached_input_tokens"))

    def note(one: RequestLog, at: int) -> None:
        clock.at = at
        tracker.settled(Settled(one, ()))

    note(good, 0)
    assert (lines(caplog), tracker.health("groq").usage_faults) == ([], 0)
    note(bad[0], 1)
    note(bad[1], 60)
    (first,) = lines(caplog)
    note(bad[1], 61)
    (second,) = lines(caplog)

    assert first.endswith("Its total is 3 less than its counts. The counts are billed.")
    assert second.endswith("cut to it: cached_input_tokens.")
    assert (tracker.health("groq").usage_faults, tracker.health("other").usage_faults) == (3, 0)
