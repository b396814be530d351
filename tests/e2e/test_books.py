"""Books that were falsified or are old are mended, while calls go on."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from hero_broker.store.database import open_database
from tests import forked
from tests.e2e_support import Broker, broker, chat
from tests.store.old_ledgers import ROWS, VERSIONS, make_old_ledger
from tests.waits import wait_until


def verified(running: Broker) -> dict[str, Any]:
    return dict(httpx.get(f"{running.url}/billing/verify", timeout=60).json()["data"])


def rollups(running: Broker) -> dict[str, int]:
    return dict(httpx.get(f"{running.url}/admin/health").json()["rollups"] or {"folded_seq": 0})


def call_until(running: Broker, enough: threading.Event, answered: list[int]) -> None:
    with httpx.Client(base_url=running.url) as client:
        while not enough.is_set():
            answered.append(client.post("/v1/chat/completions", json=chat()).status_code)


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
            wait_until(lambda: rollups(running)["folded_seq"])
            clean = verified(running)
            with open_database(database_url) as database, database.writing() as connection:
                connection.execute(text("UPDATE usage_by_ip SET cost_nano_usd = 0 WHERE span_s = 0"))
            falsified = forked.run(["verify", "--url", running.url])
            httpx.post(f"{running.url}/billing/rebuild").raise_for_status()
            wait_until(lambda: rollups(running)["generation"] != 1)
            mended = verified(running)
        finally:
            enough.set()
            caller.join()
        totals = running.usage()["totals"]

    assert clean["ok"]
    assert falsified.returncode == 1
    assert "usage_by_ip {'ip': '127.0.0.1'} span_s=0" in falsified.stdout
    assert mended["ok"]
    assert set(answered) == {200}
    assert (totals["requests"], totals["total_cost_nano_usd"]) == (len(answered), str(len(answered) * 25_970))


@pytest.mark.parametrize("version", VERSIONS)
def test_ledger_of_an_earlier_version_takes_calls_and_answers_at_once(
    tmp_path: Path, store_name: str, new_ledger: Callable[[str], str], version: str
) -> None:
    url = new_ledger(store_name)
    make_old_ledger(url, version)
    with broker(tmp_path / "state", HERO_BROKER_DATABASE_URL=url) as running:
        first = running.usage()["totals"]
        httpx.post(f"{running.url}/v1/chat/completions", json=chat()).raise_for_status()
        wait_until(lambda: rollups(running)["folded_seq"] == ROWS + 1)
        checked = verified(running)
        last = running.usage()["totals"]

    assert (first["requests"], last["requests"]) == (ROWS, ROWS + 1)
    assert first["cached_input_tokens"] == last["cached_input_tokens"] > 0
    assert (checked["ok"], checked["behind"]) == (True, 0)
