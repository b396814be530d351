"""A batch over a real socket: answered piece by piece, and ended when its client leaves."""

import json
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e_support import Broker, broker


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "state" / "hero-broker.db"


@pytest.fixture
def running(tmp_path: Path, database: Path) -> Iterator[Broker]:
    with broker(tmp_path / "state", HERO_BROKER_DATABASE_URL=f"sqlite:///{database}") as found:
        yield found


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Let every change of the database wait until the block ends."""
    holder = sqlite3.connect(database, isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        yield
    finally:
        holder.close()


def connected(running: Broker, *requests: tuple[str, dict[str, str]]) -> socket.socket:
    """Return a socket by which a batch was sent; ids count from 1."""
    batch = [
        {"jsonrpc": "2.0", "method": method, "params": params, "id": number}
        for number, (method, params) in enumerate(requests, 1)
    ]
    body = json.dumps(batch).encode()
    port = int(running.url.rpartition(":")[2])
    opened = socket.create_connection(("127.0.0.1", port), timeout=60)
    head = f"POST /rpc HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    opened.sendall(head.encode() + b"connection: close\r\n\r\n" + body)
    return opened


def read_until(opened: socket.socket, wanted: bytes, found: bytes = b"") -> bytes:
    """Return what was received up to what is wanted and somewhat beyond."""
    while wanted not in found:
        piece = opened.recv(65536)
        assert piece, found
        found += piece
    return found


def set_label(running: Broker, target: str) -> Any:
    return httpx.put(f"{running.url}/admin/labels?target={target}", json={"label": "a"}).raise_for_status()


def test_answers_arrive_while_a_later_member_is_being_answered(running: Broker, database: Path) -> None:
    change = ("labels.set", {"target": "192.0.2.1", "label": "printer"})
    with locked(database):
        opened = connected(running, ("system.info", {}), change, ("system.info", {}))
        found = read_until(opened, b'"id":1}')
    with opened:
        found = read_until(opened, b"0\r\n\r\n", found)

    head, _, body = found.partition(b"\r\n\r\n")
    pieces = body.split(b"\r\n")[1::2]
    assert b"transfer-encoding: chunked" in head
    answers = json.loads(b"".join(pieces))
    assert [answer["id"] for answer in answers] == [1, 2, 3]
    assert answers[1]["result"]["data"]["label"] == "printer"


def test_batch_ends_with_the_member_during_which_its_client_left(running: Broker, database: Path) -> None:
    changes = [("labels.set", {"target": f"192.0.2.{number}", "label": "a"}) for number in (1, 2, 3)]
    with locked(database):
        with connected(running, *changes) as opened:
            read_until(opened, b"\r\n[")  # the first member waits for the lock now
        for _ in range(3):  # each comes after the end of the other connection
            httpx.get(f"{running.url}/health/live").raise_for_status()
    # One thread sets labels: the first of these waits for the batch's first, and a second of the batch's would come
    # before the second of these.
    set_label(running, "192.0.2.8")
    set_label(running, "192.0.2.9")

    listed = httpx.get(f"{running.url}/admin/labels").json()["data"]
    assert [label["target"] for label in listed] == ["192.0.2.1", "192.0.2.8", "192.0.2.9"]
