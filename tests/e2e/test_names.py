"""Names over real sockets: which provider is called, and what the program says where none is there."""

import os
from pathlib import Path

import httpx

from tests.e2e.provider import Provider, answering
from tests.e2e_support import BANNER, broker, chat
from tests.forked import Forked

ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"
    b'{"choices":[{}],"usage":{"prompt_tokens":40,"completion_tokens":3}}'
)
MODEL = "anthropic/claude-opus-4.5"


def test_openrouters_model_goes_to_openrouter_though_google_has_a_pattern_for_it(tmp_path: Path) -> None:
    config = tmp_path / "broker.toml"
    sent: list[bytes] = []
    with Provider() as google, Provider() as openrouter:
        config.write_text(
            f'[[providers]]\nname = "google"\nbase_url = "{google.url}"\n'
            f'[[providers]]\nname = "openrouter"\nbase_url = "{openrouter.url}"\n'
        )
        with broker(tmp_path / "state", "--config", str(config)) as running:
            with answering(openrouter, ANSWER, sent):
                answer = httpx.post(
                    f"{running.url}/v1/chat/completions", json={**chat(), "model": f"openrouter/{MODEL}"}, timeout=20
                )
            unknown = httpx.post(f"{running.url}/v1/chat/completions", json={**chat(), "model": "google/gpt-4o"})
            listed = httpx.get(f"{running.url}/v1/models/openrouter/{MODEL}").json()
            running.usage()
            row = httpx.get(f"{running.url}/billing/requests").json()["data"][0]

    assert answer.status_code == 200
    assert f'"model":"{MODEL}"'.encode() in sent[0].replace(b": ", b":")
    assert (row["provider"], row["model"], row["upstream_model"]) == ("openrouter", MODEL, MODEL)
    assert listed["owned_by"] == "openrouter"
    assert unknown.status_code == 404


def test_model_without_a_rate_for_its_kind_is_refused_where_the_settings_say_so(tmp_path: Path) -> None:
    config = tmp_path / "broker.toml"
    config.write_text(
        '[billing]\nunpriced = "refuse"\n'
        '[[models]]\nname = "mute"\nprovider = "fake"\n[models.price]\ncharacters_per_million = 15\n'
        '[[models]]\nname = "flat"\nprovider = "fake"\n[models.price]\nper_request = 0.01\n'
    )
    with broker(tmp_path / "state", "--config", str(config)) as running:
        refused = httpx.post(f"{running.url}/v1/chat/completions", json={**chat(), "model": "mute"})
        served = httpx.post(f"{running.url}/v1/chat/completions", json={**chat(), "model": "flat"})
        totals = running.usage()["totals"]

    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_priced")
    assert served.status_code == 200
    assert (totals["requests"], totals["total_cost_nano_usd"]) == (1, "10000000")


def test_banner_names_the_built_in_provider(tmp_path: Path) -> None:
    with broker(tmp_path / "state") as running:
        httpx.get(f"{running.url}/health/live").raise_for_status()

    assert "providers     fake" in running.log
    assert "warning" not in running.log


def test_start_without_a_provider_names_the_variables_that_configure_one(tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_API_KEYS"))}
    environ = {**clean, "HERO_BROKER_STATE_DIR": str(tmp_path / "state")}
    process = Forked(["serve", "--listen", "127.0.0.1:0"], environ, tmp_path)
    with process.stderr:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if line.startswith("admin plane"):
                break
        process.terminate()
        lines.extend(process.stderr)
    process.wait(timeout=20)

    log = "".join(lines)
    assert BANNER.search(log)
    assert "providers     none" in log
    assert "warning       no provider is configured" in log
    assert "OPENAI_API_KEY" in log
    assert "OPENROUTER_API_KEY" in log
