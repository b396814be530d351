"""`@open-rpc/test-coverage` calls a broker with every example of the document, and each is answered as it says."""

import copy
import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from hero_broker.admin_plane.contract import Document, load_document
from hero_broker.store.database import open_database
from tests.e2e_support import broker
from tests.ecosystem.place import INSTALLED
from tests.ledger.rows import row

TOOL = Path(os.environ[INSTALLED]) / "openrpc_tools" / "node_modules" / ".bin" / "open-rpc-test-coverage"

MODEL = """
[[providers]]
name = "groq"
base_url = "https://api.groq.com/openai/v1"
api_keys = ["gsk_0123456789"]
[[models]]
name = "llama"
provider = "groq"
upstream_model = "llama-3.3-70b-versatile"
[models.price]
input_per_million = 0.59
output_per_million = 0.79
[models.price.tiers.flex]
input_per_million = 0.295
output_per_million = 0.395
[[limits]]
name = "machine-month"
unit = "usd"
amount = 20
window = "month"
per = ["ip"]
"""


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """The address of a broker that has the calls and the model that the examples ask for."""
    database_url = f"sqlite:///{tmp_path}/ledger.db"
    examples = next(one["examples"] for one in load_document()["methods"] if one["name"] == "billing.request")
    with open_database(database_url) as database:
        database.append([row(request_id=example["params"][0]["value"]) for example in examples], [])
    config = tmp_path / "hero-broker.toml"
    config.write_text(MODEL)
    config.chmod(0o600)
    arguments = ("--config", str(config))
    with broker(tmp_path / "state", *arguments, HERO_BROKER_DATABASE_URL=database_url) as running:
        set_limit(running.url)
        yield f"{running.url}/rpc"


def set_limit(url: str) -> None:
    """Set the limit that an example asks for before another one sets it."""
    get = next(one["examples"] for one in load_document()["methods"] if one["name"] == "limits.get")
    limit = next(example["result"]["value"]["data"] for example in get if example["name"] == "that was set")
    body = {"definition": limit["definition"]}
    httpx.put(f"{url}/admin/limits/{limit['name']}", json=body, timeout=20).raise_for_status()


def covered(document: Document, url: str, directory: Path) -> list[dict[str, Any]]:
    """Return what the tool says of each call that it made, in their order."""
    served = {**document, "servers": [{"name": "tested", "url": url}]}
    path = directory / "openrpc.json"
    path.write_text(json.dumps(served))
    command = [str(TOOL), "--schema", str(path), "--transport", "http", "--reporters", "json"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    calls: list[dict[str, Any]] = json.loads(ended.stdout)
    return calls


def test_every_example_is_answered_as_the_document_says(url: str, tmp_path: Path) -> None:
    document = load_document()

    calls = covered(document, url, tmp_path)

    assert [call.get("reason") for call in calls if not call["valid"]] == []
    assert Counter(call["methodName"] for call in calls) == {
        method["name"]: len(method["examples"]) for method in document["methods"]
    }


def test_answer_that_is_not_what_a_document_says_is_found(url: str, tmp_path: Path) -> None:
    document = copy.deepcopy(load_document())
    document["components"]["schemas"]["Info"]["properties"]["models"]["type"] = "string"
    health = next(method for method in document["methods"] if method["name"] == "system.health")
    health["name"] = "system.wealth"

    calls = covered(document, url, tmp_path)

    assert {call["methodName"] for call in calls if not call["valid"]} == {"system.info", "system.wealth"}
