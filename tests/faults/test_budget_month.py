"""Through a month of faults, a budget by label says what the report of its month says, to the nano-dollar."""

from pathlib import Path

from tests.faults.budget_month import LATE_CALLS, run


def test_budgets_by_label_are_the_reports_of_their_month_all_the_time(tmp_path: Path) -> None:
    found = run(tmp_path, calls=240)

    assert found.differences == ()
    assert (found.interrupted, found.late) == (LATE_CALLS, LATE_CALLS)
    assert found.moved_usd > 0
    assert found.hung_up > 0
