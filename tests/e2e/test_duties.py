"""No duty fails for ever while every watcher says ok: sums that cannot be made are seen wherever one looks."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from hero_broker.store.database import open_database
from tests import forked
from tests.e2e_support import Broker, broker, chat

DUTIES = {
    "store",
    "rollups",
    "stored_responses",
    "wal",
    "journal_flush",
    "journal_release",
    "rejected_rows",
    "token_counts",
    "limits",
    "upstream",
    "connections",
}
WITHIN_S = 60


def health_of(running: Broker) -> dict[str, Any]:
    return dict(httpx.get(f"{running.url}/admin/health", timeout=30).json())


def duty_of(health: dict[str, Any], name: str) -> dict[str, Any]:
    return next(dict(one) for one in health["duties"] if one["duty"] == name)


def wait_for(condition: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < ends_at


def command(running: Broker, *words: str) -> "subprocess.CompletedProcess[str]":
    return forked.run([*words, "--url", running.url], timeout=WITHIN_S)


def change(database_url: str, statement: str) -> None:
    with open_database(database_url) as database, database.writing() as connection:
        connection.execute(text(statement))


@pytest.mark.usefixtures("store")
def test_sums_that_cannot_be_made_are_seen_by_every_watcher_until_they_can(tmp_path: Path, database_url: str) -> None:
    with broker(tmp_path / "state") as running:
        httpx.post(f"{running.url}/v1/chat/completions", json=chat(), timeout=30).raise_for_status()
        wait_for(lambda: (health_of(running)["rollups"] or {"folded_seq": 0})["folded_seq"] == 1)
        sound = health_of(running)
        change(database_url, "ALTER TABLE usage_by_ip_model RENAME TO hidden")
        httpx.post(f"{running.url}/v1/chat/completions", json=chat()).raise_for_status()
        wait_for(lambda: duty_of(health_of(running), "rollups")["status"] == "failing")

        ready = httpx.get(f"{running.url}/health/ready")
        found = health_of(running)
        rebuilt = command(running, "rebuild")
        examined = command(running, "doctor")

        change(database_url, "ALTER TABLE hidden RENAME TO usage_by_ip_model")
        wait_for(lambda: health_of(running)["status"] == "ok")
        mended = command(running, "rebuild")
    failing = duty_of(found, "rollups")

    assert {one["duty"] for one in sound["duties"]} == DUTIES
    assert {one["status"] for one in sound["duties"]} == {"ok"}
    assert (ready.status_code, ready.json()["status"], found["store"]) == (200, "degraded", "ok")
    assert abs(failing["failing_since"] - time.time()) < 10 * WITHIN_S
    code = "SQLITE_ERROR" if database_url.startswith("sqlite") else "UndefinedTable (SQLSTATE 42P01)"
    assert failing["last_error"] == f"the database does not answer: {code}"
    assert (rebuilt.returncode, code in rebuilt.stderr) == (1, True)
    assert (
        examined.returncode,
        f"FAIL  its duty rollups is failing: the database does not answer: {code}" in examined.stdout,
    ) == (1, True)
    assert mended.returncode == 0, mended.stderr
    lines = [line for line in running.lines if "duty rollups" in line]
    assert len(lines) == 2, lines
    assert code in lines[0]
    assert "works again; the first failure was" in lines[1]


@pytest.mark.usefixtures("store")
def test_database_that_fails_is_one_line_of_the_log_at_the_beginning_and_one_at_the_end(
    tmp_path: Path, database_url: str
) -> None:
    with broker(tmp_path / "state") as running:
        change(database_url, "ALTER TABLE request_logs RENAME TO hidden")
        httpx.post(f"{running.url}/v1/chat/completions", json=chat()).raise_for_status()
        wait_for(lambda: duty_of(health_of(running), "store")["failures"] > 2)
        found = health_of(running)
        change(database_url, "ALTER TABLE hidden RENAME TO request_logs")
        wait_for(lambda: health_of(running)["status"] == "ok")
        totals = running.usage()["totals"]

    lines = [line for line in running.lines if "duty store" in line]
    code = "SQLITE_ERROR" if database_url.startswith("sqlite") else "SQLSTATE 42P01"
    assert (found["status"], found["store"], code in duty_of(found, "store")["last_error"]) == (
        "degraded",
        "refusing",
        True,
    )
    assert totals["requests"] == 1
    assert len(lines) == 2, lines
    assert code in lines[0]
    assert "works again; the first failure was" in lines[1]
