"""What official clients and agents do when a limit refuses them; docs/how-to/limits.md has the table of it."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.ecosystem import agents
from tests.ecosystem.place import Place
from tests.ecosystem.refusing import LIMIT, Refusing

Ask = Callable[[Place], Any]
SDKS: dict[str, Ask] = {
    "openai, Python": lambda place: place.call("openai_python", "refused"),
    "openai, Node": lambda place: place.call_node("openai_node", "refused"),
    "anthropic, Python": lambda place: place.call("anthropic_python", "refused"),
    "anthropic, Node": lambda place: place.call_node("anthropic_node", "refused"),
}
SPENT_CLASSES = {
    "openai, Python": "APIStatusError",
    "openai, Node": "APIError",
    "anthropic, Python": "PaymentRequiredError",
    "anthropic, Node": "PaymentRequiredError",
}
SPENT_MESSAGE = f"The budget '{LIMIT}' of 0.000001 USD a month for 127.0.0.1 is spent; the window ends at "
RESERVED_MESSAGE = f"The budget '{LIMIT}' of "


@pytest.mark.parametrize("client", SDKS)
def test_client_of_a_spent_budget_is_told_so_once(spent_budget: Refusing, client: str) -> None:
    error = SDKS[client](spent_budget.place)

    assert (error["class"], error["status"]) == (SPENT_CLASSES[client], 402)
    assert error["code"] == ("budget_exceeded" if client.startswith("openai") else "billing_error")
    assert SPENT_MESSAGE in error["message"]
    assert spent_budget.refused() == 1


@pytest.mark.parametrize("client", SDKS)
def test_client_of_a_budget_that_is_held_tries_three_times(reserved_budget: Refusing, client: str) -> None:
    error = SDKS[client](reserved_budget.place)

    assert (error["class"], error["status"]) == ("RateLimitError", 429)
    assert error["code"] == ("budget_reserved" if client.startswith("openai") else "rate_limit_error")
    assert RESERVED_MESSAGE in error["message"]
    assert "but calls in flight hold 1 request of it; try again shortly." in error["message"]
    assert reserved_budget.refused() == 3


def test_codex_tries_six_times_and_says_which_budget_is_spent(spent_budget: Refusing) -> None:
    printed = agents.codex_refused(spent_budget.place)

    assert f"ERROR: unexpected status 402 Payment Required: {SPENT_MESSAGE}" in printed
    assert spent_budget.refused() == 6


def test_codex_tries_six_times_and_does_not_say_which_budget_is_held(reserved_budget: Refusing) -> None:
    printed = agents.codex_refused(reserved_budget.place)

    assert "ERROR: exceeded retry limit, last status: 429 Too Many Requests" in printed
    assert LIMIT not in printed
    assert reserved_budget.refused() == 6


def test_claude_code_stops_and_says_which_budget_is_spent(spent_budget: Refusing) -> None:
    ended = agents.claude_code(spent_budget.place)

    assert (ended["is_error"], ended["api_error_status"]) == (True, 402)
    assert ended["result"].startswith(f"API Error: 402 {SPENT_MESSAGE}")
    assert spent_budget.refused() == 1
