"""What happens between broker and provider: kept connections that end, causes, whose key was wrong."""

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.e2e.provider import JSON_HEAD, Provider, answering
from tests.e2e_support import Broker, broker
from tests.stores import query

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
ANSWER = b'{"choices":[],"usage":{"prompt_tokens":40,"completion_tokens":3}}'
CLOSES_AFTER_S = 0.2
CALLERS, CALLS_EACH = 20, 20


@dataclass
class Impatient:
    """A provider that closes a connection on which nothing has come for a while, and counts what it has read."""

    url: str = ""
    requests: int = 0
    closed: int = 0  # connections


@contextmanager
def impatient_provider() -> Iterator[Impatient]:
    """Serve on loopback, in a thread, for the time of the block."""
    told = Impatient()
    loop = asyncio.new_event_loop()
    listening, stop = threading.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        patience_s = 20.0  # a new connection is not closed before its first request
        with suppress(OSError, EOFError):
            while True:
                try:
                    async with asyncio.timeout(patience_s):
                        head = await reader.readuntil(b"\r\n\r\n")
                except TimeoutError:
                    told.closed += 1
                    break
                await reader.readexactly(int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]))
                told.requests += 1
                patience_s = CLOSES_AFTER_S
                kept = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                writer.write(kept + b"content-length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER))
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        told.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        listening.set()
        await stop.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), name="provider")
    thread.start()
    listening.wait()
    try:
        yield told
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@contextmanager
def serving(folder: Path, url: str, more: str = "") -> Iterator[tuple[Broker, str]]:
    """Run a broker that sends the model "m" to `url`; yield it and its database."""
    config, database = folder / "hero-broker.toml", f"sqlite:///{folder}/ledger.db"
    config.write_text(
        f'[[providers]]\nname = "p"\nbase_url = "{url}"\napi_keys = ["sk-provider-key"]\n{more}\n'
        '[[models]]\nname = "m"\nprovider = "p"\nprice = { input_per_million = 0.59, output_per_million = 0.79 }\n'
    )
    with broker(folder / "state", "--config", str(config), HERO_BROKER_DATABASE_URL=database) as running:
        yield running, database


def ask(running: Broker) -> httpx.Response:
    return httpx.post(f"{running.url}/v1/chat/completions", json=CHAT, timeout=30)


@pytest.mark.parametrize("pause_s", [CLOSES_AFTER_S - 0.001, CLOSES_AFTER_S, CLOSES_AFTER_S + 0.001])
def test_no_call_fails_because_the_provider_closes_its_connections(tmp_path: Path, pause_s: float) -> None:
    with impatient_provider() as provider, serving(tmp_path, provider.url) as (running, database):

        def caller(_number: int) -> list[int]:
            pause, found = threading.Event(), list[int]()
            with httpx.Client(base_url=running.url, timeout=30) as client:
                for _ in range(CALLS_EACH):
                    found.append(client.post("/v1/chat/completions", json=CHAT).status_code)
                    together.wait(30)
                    pause.wait(pause_s)
            return found

        together = threading.Barrier(CALLERS)

        with ThreadPoolExecutor(CALLERS) as pool:
            statuses = [status for found in pool.map(caller, range(CALLERS)) for status in found]
        running.usage()
        rows = query(database, "SELECT count(*), sum(attempts) FROM request_logs WHERE outcome = 'ok'")

    assert [line for line in running.lines if '"provider: ' in line] == []
    assert statuses == [200] * (CALLERS * CALLS_EACH)
    assert rows[0][0] == provider.requests == CALLERS * CALLS_EACH
    assert provider.closed > 0
    assert rows[0][1] >= rows[0][0]


def test_operator_learns_whose_key_was_wrong_and_the_caller_is_not_blamed(tmp_path: Path) -> None:
    words = b'{"error":{"message":"Incorrect API key provided. You can find your API key at https://a.example."}}'
    refused = b"HTTP/1.1 401 No\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(words), words)
    good = JSON_HEAD + b"content-length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER)
    with Provider() as provider, serving(tmp_path, provider.url) as (running, database):
        with answering(provider, refused):
            first = ask(running)
        with answering(provider, good):
            second = ask(running)
        running.usage()
        rows = query(database, "SELECT error_code, http_status, cost_nano_usd FROM request_logs ORDER BY seq")
    told = [json.loads(line)["event"] for line in running.lines if '"provider: ' in line]

    assert (first.status_code, first.json()["error"]["code"], second.status_code) == (502, "provider_credentials", 200)
    assert "example" not in first.text
    assert rows == [("provider_401", 502, 0), (None, 200, 25_970)]
    assert told[0] == "provider: p rejects key 1 of its api_keys, or the account: provider_401"
    assert [line.partition(",")[0] for line in told[1:]] == ["provider: p (key 1) answers again"]


def test_log_tells_once_when_a_provider_is_gone_and_once_when_it_is_back(tmp_path: Path) -> None:
    good = JSON_HEAD + b"content-length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER)
    with Provider() as provider:
        url, port = provider.url, provider._listener.getsockname()[1]
    with serving(tmp_path, url) as (running, database):
        statuses = [ask(running).status_code for _ in range(3)]
        with Provider(port) as provider, answering(provider, good):
            statuses.append(ask(running).status_code)
        running.usage()
        rows = query(database, "SELECT error_code, cost_nano_usd FROM request_logs ORDER BY seq")
    told = [json.loads(line)["event"] for line in running.lines if '"provider: ' in line]

    assert statuses == [502, 502, 502, 200]
    assert rows == [("provider_refused", 0)] * 3 + [(None, 25_970)]
    assert told[0] == "provider: p fails: provider_refused (Connection refused)"
    assert [line.partition(",")[0] for line in told[1:]] == ["provider: p answers again"]
    assert ", after 3 failed calls, the first one " in told[1]
    assert told[1].endswith(" s ago: provider_refused")


def test_whole_answer_that_takes_too_long_is_billed_an_estimate(tmp_path: Path) -> None:
    with Provider() as provider, serving(tmp_path, provider.url, "whole_answer_timeout_s = 0.3") as (running, database):
        thread = threading.Thread(target=lambda: provider.accept().wait_for_close())
        thread.start()
        answer = ask(running)
        thread.join(20)
        running.usage()
        rows = query(database, "SELECT error_code, usage_source, input_tokens > 0, cost_nano_usd > 0 FROM request_logs")

    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "provider_timeout")
    assert rows == [("provider_timeout", "estimated", 1, 1)]
