"""What stops a start: each with its exit code, and nothing touched."""

import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests import forked


def start(tmp_path: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environ = {**os.environ, "HERO_BROKER_STATE_DIR": str(tmp_path)}
    return forked.run(["serve", "--fake", *arguments], environ)


def test_file_that_is_no_database_is_refused_with_3_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "fake" / "hero-broker.db"
    path.parent.mkdir()
    path.write_bytes(b"this is not a database, and it is somebody's" * 100)

    ended = start(tmp_path, "--listen", "127.0.0.1:0")

    assert ended.returncode == 3
    assert "cannot be used" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert path.read_bytes() == b"this is not a database, and it is somebody's" * 100


def test_database_of_a_newer_program_is_refused_with_3(tmp_path: Path) -> None:
    path = tmp_path / "fake" / "hero-broker.db"
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE schema_version (version INTEGER PRIMARY KEY)")
    connection.executemany("INSERT INTO schema_version VALUES (?)", [(number,) for number in range(1, 100)])
    connection.commit()
    connection.close()

    ended = start(tmp_path, "--listen", "127.0.0.1:0")

    assert ended.returncode == 3
    assert "schema version 99" in ended.stderr


def test_address_that_is_taken_is_refused_with_3(tmp_path: Path) -> None:
    there = tmp_path / "rest.sock"
    there.write_text("not a socket")

    ended = start(tmp_path, "--listen", f"unix:{there}")

    assert ended.returncode == 3
    assert "the path exists and is not a socket" in ended.stderr
    assert there.read_text() == "not a socket"


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"])
def test_dev_mode_beyond_loopback_is_refused_with_2(tmp_path: Path, listen: str) -> None:
    ended = start(tmp_path, "--listen", listen)

    assert ended.returncode == 2
    assert "--insecure-dev" in ended.stderr


def test_every_fault_in_the_settings_is_told_at_once_with_2(tmp_path: Path) -> None:
    config = tmp_path / "hero-broker.toml"
    config.write_text('[server]\nmax_calls = "many"\ntrusted_proxies = ["nowhere"]\n[billing]\ndurability = "maybe"\n')

    ended = start(tmp_path, "--config", str(config))

    assert ended.returncode == 2
    assert all(key in ended.stderr for key in ("server.max_calls", "server.trusted_proxies", "billing.durability"))
