"""Models that share a provider and its model: each is billed by its own price, over real sockets and after a kill."""

import signal
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.provider import Provider, answering
from tests.e2e_support import Broker, broker

PRICES = {"cheap": (1, 10), "dear": (100, 1000), "unpriced": None, "words": (7, 70)}
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 74\r\nconnection: close\r\n\r\n"
    b'{"choices":[{}],"usage":{"prompt_tokens":40,"completion_tokens":3}}       '
)


def config_of(provider: Provider, path: Path) -> str:
    text = f'[[providers]]\nname = "p"\nbase_url = "{provider.url}"\n'
    for name, price in PRICES.items():
        kind = "completion" if name == "words" else "chat"
        text += f'[[models]]\nname = "{name}"\nkind = "{kind}"\nprovider = "p"\nupstream_model = "m"\n'
        if price is not None:
            text += f"[models.price]\ninput_per_million = {price[0]}\noutput_per_million = {price[1]}\n"
    path.write_text(text)
    return str(path)


def call(client: httpx.Client, name: str) -> httpx.Response:
    if name == "words":
        return client.post("/v1/completions", json={"model": name, "prompt": "a b c"})
    return client.post("/v1/chat/completions", json={"model": name, "messages": [{"role": "user", "content": "a b c"}]})


def explained(running: Broker, request_id: str) -> dict[str, Any]:
    running.usage()
    return dict(httpx.get(f"{running.url}/billing/requests/{request_id}").json()["data"])


@pytest.mark.usefixtures("store")
def test_models_of_one_upstream_model_are_billed_and_explained_by_their_own_prices(tmp_path: Path) -> None:
    found = {}
    with (
        Provider() as provider,
        broker(tmp_path / "state", "--config", config_of(provider, tmp_path / "broker.toml")) as running,
        httpx.Client(base_url=running.url, timeout=20) as client,
    ):
        for name in PRICES:
            with answering(provider, ANSWER):
                answer = call(client, name)
            answer.raise_for_status()
            found[name] = explained(running, answer.headers["x-request-id"])

    for name, price in PRICES.items():
        row = found[name]
        assert (row["model"], row["upstream_model"]) == (name, "m")
        if price is None:
            assert row["cost_nano_usd"] is None
        else:
            assert row["cost_nano_usd"] == str((40 * price[0] + 3 * price[1]) * 1000)
            assert [line["usd"] for line in row["cost"]["lines"]] == [str(price[0]), str(price[1])]


@pytest.mark.usefixtures("store")
def test_calls_that_a_kill_cut_off_are_billed_by_their_own_prices(tmp_path: Path) -> None:
    with Provider() as provider:
        arguments = ("--config", config_of(provider, tmp_path / "broker.toml"))
        with broker(tmp_path / "state", *arguments) as running:
            callers = [threading.Thread(target=cut_off, args=(running.url, name)) for name in PRICES]
            exchanges = []
            for caller in callers:
                caller.start()
                exchanges.append(provider.accept())
            running.process.send_signal(signal.SIGKILL)
            running.process.wait(timeout=20)
            for caller, exchange in zip(callers, exchanges, strict=True):
                caller.join(20)
                exchange.end()
        with broker(tmp_path / "state", *arguments) as running:
            running.usage()
            rows = {row["model"]: row for row in httpx.get(f"{running.url}/billing/requests").json()["data"]}

    assert rows.keys() == PRICES.keys()
    for name, price in PRICES.items():
        row = rows[name]
        assert (row["outcome"], row["output_tokens"]) == ("interrupted", 0)
        expected = None if price is None else str(row["input_tokens"] * price[0] * 1000)
        assert row["cost_nano_usd"] == expected


def cut_off(url: str, name: str) -> None:
    """Make a call whose broker is killed before it answers."""
    with httpx.Client(base_url=url, timeout=20) as client, suppress(httpx.TransportError):
        call(client, name)
