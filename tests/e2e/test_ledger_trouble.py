"""A ledger in trouble: what calls, health and the books then say."""

from pathlib import Path

import httpx
import pytest

from tests.e2e_support import broker, chat
from tests.stores import locked
from tests.waits import wait_until


@pytest.mark.usefixtures("store")
def test_calls_are_served_while_the_database_is_locked_and_all_rows_are_there_afterwards(
    tmp_path: Path, database_url: str
) -> None:
    with broker(tmp_path / "state") as running, httpx.Client(base_url=running.url) as client:
        with locked(database_url):
            for _ in range(5):
                client.post("/v1/chat/completions", json=chat()).raise_for_status()
            waiting = client.get("/admin/health").json()["journal_pending"]
            wait_until(lambda: client.get("/health/ready").json()["status"] != "ok")
            degraded = client.get("/health/ready")
            client.post("/v1/chat/completions", json=chat()).raise_for_status()
        totals = running.usage()["totals"]

    assert waiting == 5
    assert (degraded.status_code, degraded.json()["status"]) == (200, "degraded")
    assert (totals["requests"], totals["total_cost_nano_usd"]) == (6, str(6 * 25_970))


@pytest.mark.usefixtures("store")
def test_calls_are_refused_while_the_database_is_locked_where_the_settings_say_so(
    tmp_path: Path, database_url: str
) -> None:
    config = tmp_path / "hero-broker.toml"
    config.write_text('[billing]\non_database_error = "refuse"\n')
    with broker(tmp_path / "state", "--config", str(config)) as running, httpx.Client(base_url=running.url) as client:
        with locked(database_url):
            client.post("/v1/chat/completions", json=chat()).raise_for_status()
            wait_until(lambda: client.get("/health/ready").status_code != 200)
            refused = client.post("/v1/chat/completions", json=chat())
        totals = running.usage()["totals"]

    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "ledger_unavailable")
    assert refused.headers["retry-after"]
    assert totals["requests"] == 1


def test_broker_serves_and_says_why_while_rejected_rows_cannot_be_written(tmp_path: Path) -> None:
    with broker(tmp_path / "state"):
        pass
    (journal,) = (tmp_path / "state").rglob("journal")
    blocked = journal / "rejected.jsonl"
    blocked.mkdir()

    with broker(tmp_path / "state") as running, httpx.Client(base_url=running.url) as client:
        client.post("/v1/chat/completions", json=chat()).raise_for_status()
        totals = running.usage()["totals"]
        health = client.get("/admin/health").json()
        ready = client.get("/health/ready")
        blocked.rmdir()
        wait_until(lambda: client.get("/health/ready").json()["status"] == "ok")

    failing = [(duty["duty"], duty["last_error"]) for duty in health["duties"] if duty["status"] == "failing"]
    assert totals["requests"] == 1
    assert (ready.status_code, health["status"], health["store"]) == (200, "degraded", "ok")
    assert failing == [("rejected_rows", "EISDIR: Is a directory")]
