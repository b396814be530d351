"""A broker that starts before its PostgreSQL does."""

from pathlib import Path

import httpx

from tests.e2e_support import broker, chat
from tests.stores import postgres
from tests.waits import wait_until


def test_calls_are_served_and_billed_although_the_database_comes_later(tmp_path: Path, postgres_name: str) -> None:
    with postgres(postgres_name) as server:
        url = server.new_database()
        server.stop()
        with broker(tmp_path / "state", HERO_BROKER_DATABASE_URL=url) as running:
            with httpx.Client(base_url=running.url, timeout=30) as client:
                client.post("/v1/chat/completions", json=chat()).raise_for_status()
                report = client.get("/billing/usage")
                wait_until(lambda: client.get("/health/ready").json()["status"] != "ok")
            server.start()
            totals = running.usage()["totals"]

    assert (report.status_code, report.headers["retry-after"]) == (503, "5")
    assert totals["requests"] == 1
