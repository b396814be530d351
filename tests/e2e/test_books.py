"""Books that were falsified are found out and mended from a terminal, while calls go on."""

import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from hero_broker.store.database import open_database
from tests.e2e_support import Broker, broker, chat


def command(running: Broker, name: str) -> "subprocess.CompletedProcess[str]":
    arguments = [sys.executable, "-m", "hero_broker", name, "--url", running.url]
    return subprocess.run(arguments, check=False, capture_output=True, text=True)


def call_until(running: Broker, enough: threading.Event, answered: list[int]) -> None:
    with httpx.Client(base_url=running.url) as client:
        while not enough.is_set():
            answered.append(client.post("/v1/chat/completions", json=chat()).status_code)


def folded(running: Broker) -> int:
    rollups = httpx.get(f"{running.url}/admin/health").json()["rollups"]
    return int(rollups["folded_seq"]) if rollups else 0


@pytest.mark.usefixtures("store")
def test_verify_finds_falsified_rollups_and_rebuild_mends_them_while_calls_go_on(
    tmp_path: Path, database_url: str
) -> None:
    with broker(tmp_path / "state") as running:
        answered: list[int] = []
        enough = threading.Event()
        caller = threading.Thread(target=call_until, args=(running, enough, answered))
        caller.start()
        try:
            while not folded(running):
                continue
            clean = command(running, "verify")
            with open_database(database_url) as database, database.writing() as connection:
                connection.execute(text("UPDATE usage_by_ip SET cost_nano_usd = 0 WHERE span_s = 0"))
            falsified = command(running, "verify")
            rebuilt = command(running, "rebuild")
            mended = command(running, "verify")
        finally:
            enough.set()
            caller.join()
        totals = running.usage()["totals"]

    assert (clean.returncode, falsified.returncode, rebuilt.returncode, mended.returncode) == (0, 1, 0, 0)
    assert "usage_by_ip {'ip': '127.0.0.1'} span_s=0" in falsified.stdout
    assert mended.stdout.endswith("0 differences\n")
    assert set(answered) == {200}
    assert (totals["requests"], totals["total_cost_nano_usd"]) == (len(answered), str(len(answered) * 25_970))
