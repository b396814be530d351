"""A provider's health is that of its last call."""

import pytest

from hero_broker.core.served import ProviderHealth
from hero_broker.providers.standings import Standings


class Clock:
    """A clock that ticks at each look."""

    def __init__(self) -> None:
        self.at = 1_700_000_000

    def now(self) -> int:
        self.at += 1
        return self.at

    def monotonic(self) -> float:
        return float(self.at)


def test_provider_that_nobody_asked_has_no_health_yet() -> None:
    assert Standings(Clock()).health("groq") == ProviderHealth()


@pytest.mark.parametrize(("status", "fails"), [(200, False), (400, False), (404, False), (422, False), (401, True)])
def test_refusal_by_the_clients_fault_is_an_answer(status: int, fails: bool) -> None:
    standings = Standings(Clock())

    standings.answered("groq", status)

    assert standings.health("groq").is_failing is fails


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_failure_is_kept_when_it_answers_again(status: int) -> None:
    standings = Standings(Clock())

    standings.answered("groq", status)
    standings.failed("groq", "provider_timeout")
    standings.answered("groq", 200)

    assert standings.health("groq") == ProviderHealth(
        answered=1,
        failed=2,
        last_answered_at=1_700_000_003,
        last_failed_at=1_700_000_002,
        last_error_code="provider_timeout",
        is_failing=False,
    )
