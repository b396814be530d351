"""The status is ok only if rows reach the store and every duty works."""

from pathlib import Path

import pytest

from hero_broker.core.duties import Duty
from hero_broker.ledger import health as health_module
from hero_broker.ledger.health import LedgerHealth
from hero_broker.ledger.journal import Journal
from hero_broker.ledger.ledger import Ledger
from hero_broker.ledger.rows import PendingRow
from hero_broker.metering.billing_row import interrupted_row
from hero_broker.store.database import open_database
from tests.ledger.rows import row
from tests.stores import locked


def test_duty_that_fails_degrades_the_status_and_is_named(tmp_path: Path) -> None:
    duty = Duty("upstream", "providers are given up")
    journal = Journal(tmp_path / "journal", interrupted_row, max_bytes=100_000_000, max_calls=10)
    with open_database(f"sqlite:///{tmp_path}/ledger.db") as database, Ledger.running(journal, database) as ledger:
        health = LedgerHealth(ledger, journal, tmp_path, True, lambda: None, [duty])
        before = health.report()
        duty.failed("ValueError")
        failing = health.report()
    journal.close()

    assert (before["status"], failing["status"]) == ("ok", "degraded")
    assert failing["duties"] == [duty.report()]


@pytest.mark.slow
def test_rows_that_wait_for_long_degrade_the_status_although_the_database_has_not_refused_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "STUCK_S", 0.0)
    url = f"sqlite:///{tmp_path}/ledger.db"
    journal = Journal(tmp_path / "journal", interrupted_row, max_bytes=100_000_000, max_calls=10)
    with open_database(url) as database, locked(url), Ledger.running(journal, database) as ledger:
        ledger.offer(PendingRow(row(), None))
        status = LedgerHealth(ledger, journal, tmp_path, False, lambda: None, []).report()["status"]
    journal.close()

    assert status == "degraded"
