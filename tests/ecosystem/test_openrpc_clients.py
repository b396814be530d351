"""Clients that are made from the document, as docs/how-to/generate-clients.md says, get right answers."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from hero_broker.admin_plane.contract import load_document
from tests.e2e_support import Broker, broker, chat
from tests.ecosystem.guide import Reader
from tests.ecosystem.place import CLIENTS, INSTALLED

TOKEN = "the admin token"
TYPESCRIPT = "openrpc_typescript"
PYTHON = "openrpc_python"
DOCUMENT = "Get the document"

ANSWERS = {
    "by_ip": [["127.0.0.1", "25970"]],
    "for_ip": [["fake-chat", 43, "25970"]],
    "report": [[{"model": "fake-chat", "kind": "chat"}, "25970"]],
    "elsewhere": [0, "0"],
    "exact_usd": "0.00002597",
    "set": ["127.0.0.0/8", "loopback"],
    "labelled": [["127.0.0.0/8", "loopback"]],
    "removed": "loopback",
    "left": [],
    "refused": [-32004, "No such label"],
    "health": ["ok", 0],
    "rates": "0.59",
}


@pytest.fixture(scope="module")
def billed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker with an admin token, and with one call in its ledger."""
    with broker(tmp_path_factory.mktemp("billed") / "state", ADMIN_TOKEN=TOKEN) as running:
        httpx.post(f"{running.url}/v1/chat/completions", json=chat()).raise_for_status()
        running.usage()
        yield running


@pytest.fixture
def reader(billed: Broker, tmp_path: Path) -> Reader:
    """A reader of the guide, in an empty directory."""
    return Reader(tmp_path, billed, TOKEN, Path(os.environ[INSTALLED]))


def check(printed: str) -> None:
    """Hold what a client's `calls` printed against the document and the one call."""
    found: dict[str, Any] = json.loads(printed)
    assert sorted(found.pop("methods")) == sorted(method["name"] for method in load_document()["methods"])
    assert found == ANSWERS


def test_typescript_client_has_every_method_and_gets_right_answers(reader: Reader) -> None:
    reader.follow(DOCUMENT, TYPESCRIPT)
    printed = reader.follow("TypeScript", TYPESCRIPT)
    (reader.directory / "calls.ts").write_text((CLIENTS / TYPESCRIPT / "calls.ts").read_text())
    reader.run(
        "npx tsc --strict --skipLibCheck --esModuleInterop --module commonjs --target es2022 --outDir build calls.ts"
    )

    assert printed[-1] == "25970\n"
    check(reader.run("node build/calls.js"))


def test_python_client_has_every_method_and_gets_right_answers(reader: Reader) -> None:
    reader.follow(DOCUMENT, PYTHON)
    printed = reader.follow("Python", PYTHON)
    generated = str(reader.directory / "out" / "python" / "hero-broker-admin-http-client")

    assert printed[-1] == "25970\n"
    check(reader.run(f"tool/bin/python {CLIENTS / PYTHON / 'calls.py'}", PYTHONPATH=generated))


def test_calls_without_a_generator_get_right_answers(reader: Reader) -> None:
    printed = reader.follow("Without a generator", "jsonrpcclient")

    assert json.loads(printed[0])["result"]["data"]["totals"]["total_cost_nano_usd"] == "25970"
    assert printed[-1] == "25970\n"


def test_typings_have_every_method(reader: Reader) -> None:
    methods = [method["name"].title().replace(".", "").replace("_", "") for method in load_document()["methods"]]
    (reader.directory / "node_modules").symlink_to(reader.installed / TYPESCRIPT / "node_modules")

    reader.follow(DOCUMENT, TYPESCRIPT)
    reader.follow("Other languages", TYPESCRIPT)

    for name in ("admin.rs", "admin.go", "admin.ts"):
        typings = (reader.directory / name).read_text()
        assert [method for method in methods if method not in typings] == []
