"""Claude Code is patient: a budget that stays held lets it try for minutes."""

from tests.ecosystem import agents
from tests.ecosystem.refusing import LIMIT, Refusing


def test_claude_code_tries_eleven_times_and_says_which_budget_is_held(reserved_budget: Refusing) -> None:
    ended = agents.claude_code(reserved_budget.place)

    assert (ended["is_error"], ended["api_error_status"]) == (True, 429)
    assert ended["result"].startswith(f"API Error: Request rejected (429) · The budget '{LIMIT}' of ")
    assert reserved_budget.refused() == 11
