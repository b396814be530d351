"""A broker that starts before its PostgreSQL does."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.e2e_support import broker, chat
from tests.stores import postgres
from tests.waits import wait_until

ASKED = ("/billing/usage", "/billing/unbilled", "/billing/periods", "/admin/labels")


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


def test_broker_stops_in_time_while_its_database_stands_still(tmp_path: Path, postgres_name: str) -> None:
    with postgres(postgres_name) as server, ThreadPoolExecutor() as threads:
        url = server.new_database()
        config = tmp_path / "hero-broker.toml"
        config.write_text("[server]\ngrace_s = 1\n")
        with broker(tmp_path / "state", "--config", str(config), HERO_BROKER_DATABASE_URL=url) as running:
            running.usage()
            with server.frozen():
                asking = [threads.submit(httpx.get, f"{running.url}{path}", timeout=60) for path in ASKED]
                wait_until(lambda: all(future.running() for future in asking))
                httpx.get(f"{running.url}/health/live", timeout=30).raise_for_status()
                running.process.terminate()
                code = running.process.wait(1 + 5)

    assert code == 0
