"""From a call to its line in the bill, over real sockets."""

import os
import signal
from pathlib import Path

import httpx
import openai
import pytest

from tests import forked
from tests.e2e_support import Broker, broker, chat

RPC = {"jsonrpc": "2.0", "id": 1, "method": "billing.usage_by_ip", "params": {}}


@pytest.mark.usefixtures("store")
def test_founding_example_comes_out_of_rest_and_rpc_to_the_digit(tmp_path: Path) -> None:
    with broker(tmp_path / "state") as running:
        httpx.post(f"{running.url}/v1/chat/completions", json=chat()).raise_for_status()
        usage = running.usage()
        rest = httpx.get(f"{running.url}/billing/usage").content
        rpc = httpx.post(f"{running.url}/rpc", json=RPC).content

    assert usage["data"][0]["ip"] == "127.0.0.1"
    assert b'"total_cost_usd":0.00002597' in rest
    assert b'"total_cost_usd":0.00002597' in rpc


@pytest.mark.usefixtures("store")
def test_openai_sdk_adds_one_row_a_call_and_sees_no_usage_it_did_not_ask_for(tmp_path: Path) -> None:
    with broker(tmp_path / "state") as running:
        client = openai.OpenAI(base_url=f"{running.url}/v1", api_key="any", max_retries=0)
        plain = client.chat.completions.create(model="fake-chat", messages=[{"role": "user", "content": "a b c d"}])
        quiet = list(
            client.chat.completions.create(
                model="fake-chat", stream=True, messages=[{"role": "user", "content": "a b"}]
            )
        )
        asking = list(
            client.chat.completions.create(
                model="fake-chat",
                stream=True,
                stream_options={"include_usage": True},
                messages=[{"role": "user", "content": "a b"}],
            )
        )
        client.embeddings.create(model="fake-embedding", input="a b c", encoding_format="float")
        with pytest.raises(openai.NotFoundError) as refused:
            client.embeddings.create(model="no-such-model", input="a")
        totals = running.usage()["totals"]
        client.close()

    assert plain.usage is not None
    assert (plain.usage.prompt_tokens, plain.usage.completion_tokens) == (4, 3)
    assert all(chunk.usage is None and chunk.choices for chunk in quiet)
    assert asking[-1].usage is not None
    assert refused.value.code == "model_not_found"
    assert totals["requests"] == 4
    assert totals["input_tokens"] == 4 + 2 + 2 + 3


BAD_REQUESTS = [
    pytest.param(b"{", "application/json", 400, id="unreadable"),
    pytest.param(b"[]", "application/json", 400, id="no object"),
    pytest.param(b"{}", "application/json", 400, id="no model"),
    pytest.param(b'{"model":5}', "application/json", 400, id="model is no text"),
    pytest.param(b'{"model":"x","messages":[]}', "application/json", 404, id="unknown model"),
    pytest.param(b"{}", "text/plain", 415, id="wrong content type"),
    pytest.param(b"x" * 50_000_000, "application/json", 413, id="too long"),
]


@pytest.mark.parametrize(("content", "kind", "status"), BAD_REQUESTS)
def test_bad_request_is_told_in_openais_shape_and_has_no_row(
    shared_broker: Broker, content: bytes, kind: str, status: int
) -> None:
    before = shared_broker.usage()["totals"]["requests"]  # of other tests

    answer = httpx.post(f"{shared_broker.url}/v1/chat/completions", content=content, headers={"content-type": kind})

    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert answer.headers["x-request-id"]
    assert shared_broker.usage()["totals"]["requests"] == before


@pytest.mark.usefixtures("store")
def test_sigterm_ends_with_zero(tmp_path: Path) -> None:
    with broker(tmp_path / "state") as running:
        running.process.send_signal(signal.SIGTERM)

        assert running.process.wait(timeout=20) == 0


@pytest.mark.usefixtures("store")
def test_second_broker_on_a_state_directory_is_refused_with_3(tmp_path: Path) -> None:
    with broker(tmp_path / "state"):
        environ = {**os.environ, "HERO_BROKER_STATE_DIR": str(tmp_path / "state")}
        second = forked.run(["serve", "--fake", "--listen", "127.0.0.1:0"], environ)

    assert second.returncode == 3
    assert "another broker uses the state directory" in second.stderr


@pytest.mark.usefixtures("store")
def test_unix_socket_caller_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "rest.sock"
    with broker(tmp_path / "state", "--listen", f"unix:{path}") as running:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://localhost") as client:
            client.post("/v1/chat/completions", json=chat()).raise_for_status()
        usage = running.usage()

        assert path.stat().st_mode & 0o777 == 0o660
    assert [line["ip"] for line in usage["data"]] == ["unknown"]


@pytest.mark.usefixtures("store")
def test_forged_header_bills_the_peer(tmp_path: Path) -> None:
    with broker(tmp_path / "state") as running:
        forged = {"x-forwarded-for": "203.0.113.9"}
        httpx.post(f"{running.url}/v1/chat/completions", json=chat(), headers=forged).raise_for_status()
        usage = running.usage()

    assert [line["ip"] for line in usage["data"]] == ["127.0.0.1"]


@pytest.mark.usefixtures("store")
def test_admin_paths_ask_for_the_token(tmp_path: Path) -> None:
    with broker(tmp_path / "state", ADMIN_TOKEN="secret") as running:
        statuses = [
            httpx.get(f"{running.url}{path}").status_code
            for path in ("/billing/usage", "//billing/usage", "/billing/usage/", "/admin/health", "/openrpc.json")
        ]
        rpc = httpx.post(f"{running.url}/rpc", json=RPC)

    assert set(statuses) == {401}
    assert rpc.status_code == 401
    assert rpc.headers["www-authenticate"] == "Bearer"


@pytest.mark.usefixtures("store")
def test_row_is_there_with_fsync_and_unpriced_models_are_refused_where_the_settings_say_so(tmp_path: Path) -> None:
    config = tmp_path / "hero-broker.toml"
    config.write_text(
        '[billing]\ndurability = "fsync"\nunpriced = "refuse"\n'
        '[[models]]\nname = "free"\nkind = "chat"\nprovider = "fake"\nupstream_model = "nobody-prices-this"\n'
    )
    with broker(tmp_path / "state", "--config", str(config)) as running:
        served = httpx.post(f"{running.url}/v1/chat/completions", json=chat())
        refused = httpx.post(f"{running.url}/v1/chat/completions", json={**chat(), "model": "free"})
        totals = running.usage()["totals"]

    assert served.status_code == 200
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_priced")
    assert totals["requests"] == 1
