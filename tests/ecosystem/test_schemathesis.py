"""A broker answers what schemathesis makes up from its OpenAPI document as the document says."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.e2e_support import broker
from tests.ecosystem.place import CLIENTS, INSTALLED
from tests.stores import SQLITE, USUAL, query

TOOL = "schemathesis"


@pytest.mark.parametrize("store", [SQLITE, USUAL[-1]])
def test_made_up_requests_are_answered_as_documented(
    tmp_path: Path, new_ledger: Callable[[str], str], store: str
) -> None:
    state = tmp_path / "state"
    url = new_ledger(store)
    token = "an admin token, so that routes that need one are known by it"

    with broker(state, HERO_BROKER_DATABASE_URL=url, ADMIN_TOKEN=token) as running:
        asked = [
            str(Path(os.environ[INSTALLED]) / TOOL / "bin" / TOOL),
            "--config-file",
            str(CLIENTS / TOOL / "schemathesis.toml"),
            "--no-color",
            "run",
            f"{running.url}/openapi.json",
            "--header",
            f"Authorization: Bearer {token}",
        ]
        ended = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        document = httpx.get(asked[5], headers={"authorization": f"Bearer {token}"}).json()
    billed = {kind for (kind,) in query(url, "SELECT kind FROM request_logs WHERE outcome = 'ok'")}

    others = sum(len(verbs) for path, verbs in document["paths"].items() if path != "/openapi.json")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"Tested: {others}" in ended.stdout
    # What is made up is no audio, and not to be ranked.
    assert {"chat", "completion", "embedding", "tts", "messages", "responses", "moderation"} <= billed
