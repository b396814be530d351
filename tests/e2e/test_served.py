"""What is served, with prices and health, and never a key."""

import json
from pathlib import Path

import httpx

from tests.e2e.provider import Provider
from tests.e2e_support import broker

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
ANSWER = b'{"choices":[],"usage":{"prompt_tokens":40,"completion_tokens":3}}'


def test_models_and_providers_tell_prices_and_health_without_keys(tmp_path: Path) -> None:
    config = tmp_path / "broker.toml"
    with Provider() as provider:
        config.write_text(provider.config())
        with (
            broker(tmp_path / "state", "--config", str(config)) as running,
            httpx.Client(base_url=running.url) as client,
        ):
            models = client.get("/admin/models")
            before = client.get("/admin/providers")
            client.post("/v1/chat/completions", json={**CHAT, "model": "fake-chat"}).raise_for_status()
            provider.__exit__(None, None, None)
            refused = client.post("/v1/chat/completions", json=CHAT)
            after = client.get("/admin/providers")
            rows = [
                client.post("/rpc", json=rpc_request("models.list")),
                client.post("/rpc", json=rpc_request("providers.list")),
            ]

    assert refused.status_code == 502
    model = models.json()["data"][0]
    assert (model["model"], model["provider"], model["kind"], model["configured"]) == ("m", "p", "chat", True)
    assert model["price"]["rates"] == {"input_per_million": "0.59", "output_per_million": "0.79"}
    assert [health(before, name)["status"] for name in ("p", "fake")] == ["unused", "unused"]
    assert health(after, "fake")["status"] == "ok"
    assert (health(after, "fake")["answered"], health(after, "fake")["failed"]) == (1, 0)
    assert (health(after, "p")["status"], health(after, "p")["last_error_code"]) == ("failing", "provider_refused")
    assert rows[0].json()["result"] == models.json()
    assert rows[1].json()["result"] == after.json()
    assert "sk-provider-key" not in " ".join(answer.text for answer in (models, before, after, *rows))


def test_models_of_the_price_list_have_their_public_price(tmp_path: Path) -> None:
    with broker(tmp_path / "state", OPENAI_API_KEY="sk-secret") as running:
        models = {one["model"]: one for one in httpx.get(f"{running.url}/admin/models").json()["data"]}
        served = httpx.get(f"{running.url}/v1/models").json()["data"]
        providers = httpx.get(f"{running.url}/admin/providers")

    assert models.keys() == {one["id"] for one in served}
    assert (models["gpt-4o"]["configured"], models["gpt-4o"]["kind"]) == (False, None)
    assert models["gpt-4o"]["price"]["rates"]["input_per_million"] == "2.5"
    assert "genai-prices" in models["gpt-4o"]["price"]["version"]
    by_name = {one["provider"]: one for one in providers.json()["data"]}
    assert by_name["openai"]["api_keys"] == 1
    assert by_name["openai"]["listed_models"] == sum(not one["configured"] for one in models.values())
    assert "sk-secret" not in providers.text


def rpc_request(method: str) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": 1, "method": method}


def health(answer: httpx.Response, provider: str) -> dict[str, object]:
    found = next(one for one in json.loads(answer.content)["data"] if one["provider"] == provider)
    return dict(found["health"])
