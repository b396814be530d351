"""`kill -9` at any moment leaves a budget that says what its rows say: no call beyond it, and nothing of it is lost."""

from pathlib import Path

from tests.faults.kill_budgets import run


def test_budget_is_exact_after_kills_and_the_rest_can_be_spent(tmp_path: Path) -> None:
    found = run(tmp_path, "worst", rounds=1)

    assert found.is_right, found
    assert (found.paid, found.overshoots, found.most_excess_usd) == (50, 0, 0)


def test_budget_is_exceeded_by_no_more_than_its_calls_exceed_their_holds(tmp_path: Path) -> None:
    found = run(tmp_path, "safe", rounds=1)

    assert found.is_right, found
