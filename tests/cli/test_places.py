"""Which broker and which ledger a command speaks of: those of the settings beside it, named in full, without a key."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from hero_broker.cli.demo_traffic import RowsPending, bill
from hero_broker.cli.verify import wait_for_rebuild
from hero_broker.client import Client
from hero_broker.store.database import open_database
from tests import forked
from tests.e2e_support import Broker, broker, chat
from tests.forked import Forked
from tests.stores import locked

KEYLESS = '[[providers]]\nname = "p"\nbase_url = "http://127.0.0.1:1/v1"\napi_keys = ["env:NOT_SET"]\n'


def environ_of(folder: Path) -> dict[str, str]:
    """Return an environment as cron gives it: with nothing of a broker but the state directory."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("HERO_", "ADMIN_TOKEN"))}
    return {**ours, "HERO_BROKER_STATE_DIR": str(folder / "state")}


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command in a folder."""
    return forked.run(arguments, environ_of(folder), folder)


def start(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command as `run` does, but in a new process, in which it imports what it needs itself."""
    command = [sys.executable, "-m", "hero_broker", *arguments]
    return subprocess.run(
        command, env=environ_of(folder), cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def called(running: Broker) -> None:
    httpx.post(f"{running.url}/v1/chat/completions", json=chat()).raise_for_status()
    running.usage()


def change(database_url: str, statement: str) -> None:
    with open_database(database_url) as database, database.writing() as connection:
        connection.execute(text(statement))


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["usage"], "127.0.0.1"),
        (["usage", "--json"], '"ip":"127.0.0.1"'),
        (["usage", "--csv"], "127.0.0.1,,1,"),
        (["requests"], "fake-chat"),
        (["labels", "list"], "target"),
        (["verify"], "1 row, 0 differences"),
        (["rpc", "billing.verify"], '"ok":true'),
    ],
    ids=" ".join,
)
def test_ledger_is_read_without_keys_and_named_in_full(tmp_path: Path, arguments: Sequence[str], printed: str) -> None:
    with broker(tmp_path / "state") as running:
        called(running)
    (tmp_path / "hero-broker.toml").write_text(KEYLESS)
    ended = run(tmp_path, *arguments, "--database", "sqlite:///hero-broker.db")

    assert ended.returncode == 0, ended.stderr
    assert printed in ended.stdout
    assert ended.stderr.splitlines()[0] == f"reading sqlite:///{tmp_path}/state/hero-broker.db"


def test_copy_needs_no_key_and_names_both_ledgers_in_full(tmp_path: Path) -> None:
    with broker(tmp_path / "state") as running:
        called(running)
    (tmp_path / "hero-broker.toml").write_text(KEYLESS)
    ended = run(tmp_path, "copy-ledger", "sqlite:///hero-broker.db", f"sqlite:///{tmp_path}/copy.db")

    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.splitlines()[:2] == [
        f"reading sqlite:///{tmp_path}/state/hero-broker.db",
        f"writing sqlite:///{tmp_path}/copy.db",
    ]
    assert ended.stdout == "1 row, 0.00002597 USD: the same in both ledgers\n"


def test_fresh_copy_is_right_although_it_has_no_sums_yet_and_a_falsified_one_is_wrong(tmp_path: Path) -> None:
    with broker(tmp_path / "state") as running:
        called(running)
    copy = f"sqlite:///{tmp_path}/copy.db"
    (tmp_path / "hero-broker.toml").write_text(KEYLESS)
    change(f"sqlite:///{tmp_path}/state/hero-broker.db", "UPDATE request_logs SET started_at = started_at - 3600")
    run(tmp_path, "copy-ledger", "sqlite:///hero-broker.db", copy)
    fresh = run(tmp_path, "verify", "--database", copy)
    with open_database(copy) as database:
        database.fold(1000)
    folded = run(tmp_path, "verify", "--database", copy)
    change(copy, "UPDATE usage_by_ip SET requests = 2")
    falsified = run(tmp_path, "verify", "--database", copy)

    assert (fresh.returncode, fresh.stdout) == (0, "1 row, 0 differences\n")
    assert "newer than the sums, and not compared: 1 row;" in fresh.stderr
    assert (folded.returncode, folded.stdout) == (0, "1 row, 0 differences\n")
    assert "newer than the sums" not in folded.stderr
    assert falsified.returncode == 1


def test_copy_of_a_ledger_that_does_not_exist_is_3_and_makes_none(tmp_path: Path) -> None:
    (tmp_path / "hero-broker.toml").write_text(KEYLESS)

    ended = run(tmp_path, "copy-ledger", "sqlite:///typo.db", f"sqlite:///{tmp_path}/copy.db")

    assert ended.returncode == 3
    assert "there is no ledger at" in ended.stderr
    assert [path.name for path in tmp_path.rglob("*.db")] == []


def test_password_and_options_of_a_database_are_not_shown(tmp_path: Path) -> None:
    ended = run(tmp_path, "usage", "--database", "postgresql://u:hidden@127.0.0.1:1/ledger?password=hidden")

    assert ended.returncode == 3
    assert ended.stderr.splitlines()[0] == "reading postgresql://u:***@127.0.0.1:1/ledger"
    assert "u:hidden" not in ended.stderr


def test_commands_ask_the_broker_of_the_settings_beside_them(tmp_path: Path) -> None:
    with broker(tmp_path / "state") as running:
        called(running)
        listen = f'[server]\nlisten = ["{running.url.removeprefix("http://")}"]\n'
        (tmp_path / "hero-broker.toml").write_text(listen + KEYLESS)
        names = ("usage", "requests", "labels list", "verify", "rpc billing.verify", "doctor")
        ends = {name: start(tmp_path, *name.split()) for name in names}

    assert {name: ended.returncode for name, ended in ends.items()} == dict.fromkeys(ends, 0), ends
    assert "0.00002597" in ends["usage"].stdout


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ('"127.0.0.1:7"', "http://127.0.0.1:7"),
        ('"[::1]:7"', "http://[::1]:7"),
        ('"[::]:7"', "http://127.0.0.1:7"),
        ('"0.0.0.0:7"', "http://127.0.0.1:7"),
        ('"127.0.0.1:0", "localhost:7"', "http://localhost:7"),
        ('"unix:/nowhere/rest.sock"', "unix:/nowhere/rest.sock"),
    ],
)
def test_address_that_is_asked_is_one_that_the_broker_listens_on(tmp_path: Path, listen: str, expected: str) -> None:
    (tmp_path / "hero-broker.toml").write_text(f"[server]\nlisten = [{listen}]\n")

    ended = run(tmp_path, "usage")

    assert (ended.returncode, ended.stderr.partition(": ")[0]) == (1, f"no broker answers at {expected}")


def test_settings_that_cannot_be_read_are_2(tmp_path: Path) -> None:
    (tmp_path / "hero-broker.toml").write_text("[server]\nlisten = 7\n")

    ended = run(tmp_path, "usage")

    assert (ended.returncode, ended.stderr[:14]) == (2, "server.listen:")


def test_doctor_calls_a_model_that_the_broker_has(tmp_path: Path) -> None:
    config = tmp_path / "named.toml"
    config.write_text('[[models]]\nname = "mine"\nprovider = "fake"\nupstream_model = "fake-chat"\n')
    with broker(tmp_path / "state", "--config", str(config)) as running:
        ended = run(tmp_path, "doctor", "--url", running.url)

    assert "the call to mine succeeded, as request" in ended.stdout


def test_play_money_is_not_in_the_ledger_of_a_broker_that_serves_in_earnest(tmp_path: Path) -> None:
    environ = {**os.environ, "HERO_BROKER_STATE_DIR": str(tmp_path / "state")}
    printed = []
    for flags in (["--fake"], []):
        process = Forked(["serve", "--listen", "127.0.0.1:0", *flags], environ, tmp_path)
        with process.stderr:
            while "ledger " not in (line := process.stderr.readline()):
                assert line
            process.terminate()
            process.wait(timeout=30)
        printed.append(line.split()[-1])

    assert printed == [f"sqlite:///{tmp_path}/state/{path}hero-broker.db" for path in ("fake/", "")]


def test_demos_bill_is_not_waited_for_without_end(tmp_path: Path) -> None:
    with broker(tmp_path / "state") as running:
        running.usage()
        with locked(f"sqlite:///{tmp_path}/state/hero-broker.db"):
            httpx.post(f"{running.url}/v1/chat/completions", json=chat()).raise_for_status()
            with pytest.raises(RowsPending, match="not in the ledger after 1 s: 1 row;"):
                bill(running.url, within_s=1)
        running.usage()

        assert bill(running.url).totals.requests == 1


def test_rebuild_that_does_not_move_is_not_waited_for_without_end(tmp_path: Path) -> None:
    with broker(tmp_path / "state") as running:
        called(running)
        with Client(running.url) as client:
            rollups = client.system.health().rollups
            with locked(f"sqlite:///{tmp_path}/state/hero-broker.db"):
                found = wait_for_rebuild(client, rollups, stalled_s=1)

    assert found is None
