"""Budgets of a whole broker: exact with many calls at once, and after a kill."""

import asyncio
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.e2e.provider import DONE, HEAD, USAGE, Provider, answering, event
from tests.e2e.test_streams import call, read_until
from tests.e2e_support import Broker, broker
from tests.waits import wait_until

CALLS = 200
NANO_USD = 1_000_000_000
BUDGET = """
[[models]]
name = "m"
provider = "fake"
upstream_model = "fake-chat"
[models.price]
per_request = 0.02

[[limits]]
name = "dollar"
unit = "usd"
amount = 1
window = "ever"
hold = "worst"
per = ["ip"]
"""
ASKED = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def config(tmp_path: Path, text: str = BUDGET) -> Path:
    path = tmp_path / "hero-broker.toml"
    path.write_text(text)
    return path


def at_once(url: str, count: int = CALLS) -> list[httpx.Response | None]:
    """Make calls at the same time; None for those that got no response."""

    async def one(client: httpx.AsyncClient) -> httpx.Response | None:
        try:
            return await client.post("/v1/chat/completions", json=ASKED)
        except httpx.TransportError:
            return None

    async def main() -> list[httpx.Response | None]:
        limits = httpx.Limits(max_connections=count)
        async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
            return await asyncio.gather(*(one(client) for _ in range(count)))

    return asyncio.run(main())


def codes(responses: list[httpx.Response | None]) -> Counter[str]:
    """Return how many calls ended how: the status, and the code of an error."""
    return Counter(
        "200" if one.status_code == 200 else f"{one.status_code} {one.json()['error']['code']}"
        for one in responses
        if one is not None
    )


def spent(running: Broker) -> int:
    return int(running.usage()["totals"]["total_cost_nano_usd"])


@pytest.mark.slow
def test_budget_for_fifty_of_two_hundred_calls_at_once_admits_exactly_fifty(tmp_path: Path) -> None:
    path = config(tmp_path)
    with broker(tmp_path / "state", "--config", str(path)) as running:
        ended = codes(at_once(running.url))
        ended += codes(at_once(running.url, 1))
        cost = spent(running)
    with broker(tmp_path / "state", "--config", str(path)) as running:
        again = at_once(running.url, 1)

    assert ended["200"] == 50
    assert set(ended) <= {"200", "402 budget_exceeded", "429 budget_reserved"}
    assert ended["402 budget_exceeded"] >= 1
    assert cost == NANO_USD
    assert codes(again) == {"402 budget_exceeded": 1}
    assert again[0] is not None
    message = again[0].json()["error"]["message"]
    assert message == "The budget 'dollar' of 1 USD for ever for 127.0.0.1 is spent."


@pytest.mark.slow
@pytest.mark.parametrize("pause_s", [0.0, 0.02, 0.05])
def test_budget_survives_kills_and_the_rest_can_be_spent(tmp_path: Path, pause_s: float) -> None:
    path = config(tmp_path)
    answered = 0
    for _ in range(2):
        with broker(tmp_path / "state", "--config", str(path)) as running:
            killing = threading.Timer(pause_s, running.process.kill)
            killing.start()
            answered += codes(at_once(running.url, 20))["200"]
            killing.join()
            running.process.wait(30)
    with broker(tmp_path / "state", "--config", str(path)) as running:
        before = spent(running)
        ended = codes(at_once(running.url))
        while not ended["402 budget_exceeded"]:
            ended += codes(at_once(running.url, 10))
        cost = spent(running)

    assert before >= answered * NANO_USD // 50
    assert cost == NANO_USD
    assert ended["200"] == 50 - before * 50 // NANO_USD


def test_budget_of_tokens_counts_what_the_report_of_its_window_says(tmp_path: Path) -> None:
    text = BUDGET.replace('unit = "usd"\namount = 1\n', 'unit = "tokens"\namount = 20\n').replace("ever", "month")
    with (
        broker(tmp_path / "state", "--config", str(config(tmp_path, text.replace("worst", "none")))) as running,
        httpx.Client(base_url=running.url, timeout=20) as client,
    ):
        answers = [client.post("/v1/chat/completions", json=ASKED) for _ in range(30)]
        totals = running.usage()["totals"]
        status = client.get("/admin/limits/dollar/status").json()

    ended, each = codes([*answers]), totals["total_tokens"] // totals["requests"]
    assert totals["requests"] == ended["200"] == -(-20 // each) < 30
    assert ended["402 budget_exceeded"] == 30 - ended["200"]
    assert (answers[-1].headers["x-should-retry"], "retry-after" in answers[-1].headers) == ("false", False)
    assert [(one["subject"], one["used"], one["held"]) for one in status["data"]] == [
        ({"ip": "127.0.0.1"}, totals["total_tokens"], 0)
    ]
    assert status["limit"]["refused"] == 30 - ended["200"]


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_budget_of_a_label_follows_it_and_survives_a_kill(tmp_path: Path) -> None:
    text = BUDGET.replace('per = ["ip"]', 'match = { label = "lab" }\nshared = false')
    path = config(tmp_path, text.replace("amount = 1\n", "amount = 0.1\n"))

    def label(running: Broker, name: str) -> None:
        url = f"{running.url}/admin/labels?target=127.0.0.1"
        httpx.put(url, json={"label": name}, headers=running.headers).raise_for_status()

    def used(running: Broker) -> list[str]:
        status = httpx.get(f"{running.url}/admin/limits/dollar/status", headers=running.headers).json()
        return [str(one["used"]) for one in status["data"]]

    with broker(tmp_path / "state", "--config", str(path)) as running:
        unlabelled = codes(at_once(running.url, 4))
        label(running, "lab")
        wait_until(lambda: used(running) == ["0.08"])
        labelled = codes(at_once(running.url, 4))
        running.process.kill()
        running.process.wait(30)
    with broker(tmp_path / "state", "--config", str(path)) as running:
        again = codes(at_once(running.url, 2))
        label(running, "office")
        wait_until(lambda: used(running) in ([], ["0"]))
        moved = codes(at_once(running.url, 2))
        label(running, "lab")
        wait_until(lambda: used(running) == ["0.14"])
        back = codes(at_once(running.url, 1))

    assert (unlabelled, labelled["200"]) == ({"200": 4}, 1)
    assert again == {"402 budget_exceeded": 2}
    assert (moved, back) == ({"200": 2}, {"402 budget_exceeded": 1})


CUTTING = """
[[limits]]
name = "few"
unit = "output_tokens"
amount = 8
window = "ever"
hold = "mean"
on_exceed = "cut"
per = ["ip"]
"""


def test_budget_cuts_a_stream_with_an_error_and_bills_what_came(tmp_path: Path) -> None:
    short = {**ASKED, "stream": True, "max_tokens": 3}
    with (
        Provider() as provider,
        broker(tmp_path / "state", "--config", str(config(tmp_path, provider.config() + CUTTING))) as running,
    ):
        with answering(provider, HEAD + event("one") + USAGE + DONE):  # from now on, the mean is 3 tokens
            httpx.post(f"{running.url}/v1/chat/completions", json=short)
        with call(running) as client:
            upstream = provider.accept()
            upstream.send(HEAD + event("one") + event(" two"))
            seen = read_until(client, event(" two"))
            upstream.send(event(" three"))
            seen += read_until(client, event(" three"))
            upstream.send(event(" four"))
            seen += read_until(client, b"\r\n0\r\n")
            with suppress(ConnectionResetError):  # what came after the cut was not read
                upstream.wait_for_close()
            upstream.end()
        wait_until(lambda: running.usage()["totals"]["requests"] == 2)
        request_id = seen.split(b"x-request-id: ")[1].split(b"\r\n")[0].decode()
        row = httpx.get(f"{running.url}/v1/usage/{request_id}").json()["data"]
        status = httpx.get(f"{running.url}/admin/limits/few/status").json()

    assert b'"code":"budget_exceeded"' in seen.split(event(" three"))[1]
    assert b"four" not in seen
    assert (row["outcome"], row["error_code"], row["usage_source"]) == ("interrupted", "budget_exceeded", "estimated")
    assert row["output_tokens"] == 3
    assert (status["data"][0]["used"], status["data"][0]["held"], status["limit"]["refused"]) == (6, 0, 1)
