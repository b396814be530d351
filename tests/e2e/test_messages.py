"""Anthropic's Messages over real sockets: the fake provider, one whose every byte a test sends, and errors."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.provider import HEAD, JSON_HEAD, Exchange, Provider, answering
from tests.e2e.test_streams import read_until, totals_when
from tests.e2e_support import Broker, broker
from tests.kinds.test_messages import BLOCK, DELTAS, END, PING, START, STOP, WHOLE, stream
from tests.stores import query

BODY = {"model": "fake-chat", "max_tokens": 10, "messages": [{"role": "user", "content": "one two three four"}]}
STREAMED = json.dumps({**BODY, "model": "m", "stream": True}).encode()
MESSAGE = {
    "type": "message",
    "content": [{"type": "text", "text": "a"}],
    "usage": {"input_tokens": 9, "output_tokens": 1},
}
SONNET = """
input_per_million = 3
output_per_million = 15
cached_input_per_million = 0.3
cache_write_per_million = 3.75
cache_write_1h_per_million = 6
"""


@contextmanager
def serving(
    tmp_path: Path, wires: str = '["openai", "anthropic"]', more: str = ""
) -> Iterator[tuple[Broker, Provider]]:
    """Run a broker over a provider that speaks these wires; "plain" is a model of one that speaks OpenAI's alone.

    `more` are further tables of its settings.
    """
    config = tmp_path / "hero-broker.toml"
    with Provider() as provider:
        config.write_text(
            f'[[providers]]\nname = "p"\nbase_url = "{provider.url}"\napi_keys = ["sk-provider-key"]\nwires = {wires}\n'
            'drop_betas = ["unknown-1"]\n[[providers]]\nname = "q"\nbase_url = "http://127.0.0.1:1/v1"\n'
            '[[models]]\nname = "plain"\nprovider = "q"\n'
            '[[models]]\nname = "m"\nprovider = "p"\nupstream_model = "claude-sonnet-4-5"\n'
            f"[models.price]{SONNET}{more}"
        )
        with broker(tmp_path / "state", "--config", str(config)) as running:
            yield running, provider


def call(running: Broker, body: bytes = STREAMED) -> socket.socket:
    """Send a request as Claude Code does, and return its connection."""
    where = urlsplit(running.url)
    connection = socket.create_connection((where.hostname or "", where.port or 0), timeout=20)
    connection.sendall(
        b"POST /v1/messages?beta=true HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"x-api-key: theirs\r\nauthorization: Bearer theirs\r\nanthropic-version: 2023-06-01\r\n"
        b"anthropic-beta: context-management-2025-06-27,unknown-1\r\nanthropic-beta: oauth-2025-04-20,last-1\r\n"
        b"x-claude-code-session-id: s\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    )
    return connection


def headers_of(exchange: Exchange) -> dict[str, str]:
    head = exchange.request.partition(b"\r\n\r\n")[0].decode()
    pairs = (line.partition(": ") for line in head.splitlines()[1:])
    return {name.lower(): value for name, _, value in pairs}


@pytest.mark.usefixtures("store")
def test_agents_call_passes_byte_for_byte_and_its_last_event_waits_for_the_row(
    tmp_path: Path, database_url: str
) -> None:
    with serving(tmp_path) as (running, provider), call(running) as client:
        upstream = provider.accept()
        upstream.send(HEAD + stream(START, PING, BLOCK, DELTAS[0]))
        first = read_until(client, stream(DELTAS[0]))
        upstream.send(stream(*DELTAS[1:]) + WHOLE.partition(stream(*DELTAS))[2])
        upstream.end()
        rest = read_until(client, stream(STOP))
        running.usage()
        columns = "kind, model, stream, outcome, input_tokens, cache_write_1h_tokens, cost_nano_usd"
        found = query(database_url, f"SELECT {columns} FROM request_logs")

    head, _, events = (first + rest).partition(b"\r\n\r\n")
    assert b"".join(line for line in events.split(b"\r\n")[1::2]) == WHOLE
    assert dict(line.split(": ") for line in head.decode().splitlines()[1:]).keys() >= {"request-id", "x-request-id"}
    sent = headers_of(upstream)
    assert upstream.request.startswith(b"POST /v1/messages?beta=true HTTP/1.1\r\n")
    assert (sent["x-api-key"], sent["anthropic-version"]) == ("sk-provider-key", "2023-06-01")
    assert sent["anthropic-beta"] == "context-management-2025-06-27,last-1"
    assert "theirs" not in upstream.request.decode()
    assert not {"authorization", "x-claude-code-session-id"} & sent.keys()
    assert json.loads(upstream.body) == {**json.loads(STREAMED), "model": "claude-sonnet-4-5"}
    cost = 10 * 3000 + 2000 * 300 + 100 * 3750 + 200 * 6000 + 42 * 15_000
    assert found == [("messages", "m", 1, "ok", 2310, 200, cost)]


@pytest.mark.usefixtures("store")
def test_cost_of_several_models_is_explained_by_model_and_adds_up(tmp_path: Path, database_url: str) -> None:
    iterations = [
        {"type": "message", "input_tokens": 9, "output_tokens": 1},
        {"type": "advisor_message", "model": "claude-opus-4-6", "input_tokens": 800, "output_tokens": 61},
    ]
    usage = {"input_tokens": 9, "output_tokens": 1, "iterations": iterations}
    body = json.dumps({**MESSAGE, "usage": usage}).encode()
    advisor = (
        '[[models]]\nname = "advisor"\nprovider = "p"\nupstream_model = "claude-opus-4-6"\n'
        "[models.price]\ninput_per_million = 5\noutput_per_million = 25\n"
    )
    with serving(tmp_path, more=advisor) as (running, provider):
        with answering(provider, JSON_HEAD + b"content-length: %d\r\n\r\n%s" % (len(body), body)):
            url, headers = f"{running.url}/v1/messages", {"content-type": "application/json"}
            called = httpx.post(url, content=json.dumps({**BODY, "model": "m"}), headers=headers).raise_for_status()
        running.usage()
        name = called.headers["request-id"]
        data = httpx.get(f"{running.url}/billing/requests/{name}").raise_for_status().json()["data"]
        command = [sys.executable, "-m", "hero_broker", "requests", name, "--url", running.url]
        printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        found = query(database_url, "SELECT count(*) FROM prices")

    lines = [(line["model"], line["unit"], line["units"], line["amount_usd"]) for line in data["cost"]["lines"]]
    assert lines == [
        ("claude-sonnet-4-5", "input_tokens", "9", "0.000027"),
        ("claude-sonnet-4-5", "output_tokens", "1", "0.000015"),
        ("claude-opus-4-6", "input_tokens", "800", "0.004"),
        ("claude-opus-4-6", "output_tokens", "61", "0.001525"),
    ]
    assert (data["cost_source"], data["cost"]["exact_usd"], data["cost_nano_usd"]) == ("mixed", "0.005567", "5567000")
    assert found == [(2,)]
    words = [line.split() for line in printed.splitlines()]
    assert ["claude-opus-4-6", "output_tokens", "61", "25", "per", "1,000,000", "0.001525"] in words
    assert ["total", "0.005567"] in words
    assert "price_id" not in printed


@pytest.mark.parametrize("seen", [0, 1, 4])
@pytest.mark.usefixtures("store")
def test_agent_that_leaves_is_billed_in_full(tmp_path: Path, seen: int) -> None:
    events: list[Mapping[str, object]] = [START, BLOCK, *DELTAS, END, STOP]
    with serving(tmp_path) as (running, provider):
        client = call(running)
        upstream = provider.accept()
        if seen:
            upstream.send(HEAD + stream(*events[:seen]))
            read_until(client, stream(*events[:seen])[-40:])
        client.close()
        upstream.send((b"" if seen else HEAD) + stream(*events[seen:]))
        upstream.end()
        totals = totals_when(running, 1)

    assert (totals["input_tokens"], totals["output_tokens"], totals["estimated_requests"]) == (2310, 42, 0)


@pytest.mark.usefixtures("store")
def test_stream_that_breaks_off_ends_with_an_error_event(tmp_path: Path, database_url: str) -> None:
    with serving(tmp_path) as (running, provider), call(running) as client:
        upstream = provider.accept()
        upstream.send(HEAD + stream(START, BLOCK, *DELTAS))
        upstream.end()
        rest = read_until(client, b'"request_id"')
        running.usage()
        found = query(database_url, "SELECT outcome, error_code, usage_source, input_tokens FROM request_logs")

    assert b'event: error\ndata: {"type":"error","error":{"type":"api_error"' in rest
    assert found == [("provider_error", "stream_broke_off", "estimated", 2310)]


@pytest.mark.usefixtures("store")
def test_overload_keeps_its_status_and_its_words(tmp_path: Path) -> None:
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}'
    head = b"HTTP/1.1 529 Overloaded\r\ncontent-type: application/json\r\nrequest-id: req_1\r\nretry-after: 3\r\n"
    answer = head + b"content-length: %d\r\n\r\n%s" % (len(body), body)
    with serving(tmp_path) as (running, provider), answering(provider, answer):
        found = httpx.post(f"{running.url}/v1/messages", content=STREAMED, headers={"content-type": "application/json"})

    assert (found.status_code, found.content) == (529, body)
    assert (found.headers["x-upstream-request-id"], found.headers["retry-after"]) == ("req_1", "3")
    assert found.headers["request-id"] == found.headers["x-request-id"] != "req_1"


@pytest.mark.usefixtures("store")
def test_doctor_calls_a_model_over_the_wire_of_its_provider(tmp_path: Path) -> None:
    body = json.dumps(MESSAGE).encode()
    with serving(tmp_path, '["anthropic"]') as (running, provider):
        command = [sys.executable, "-m", "hero_broker", "doctor", "--model", "m", "--url", running.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            accepted = provider.accept()
            accepted.send(JSON_HEAD + b"content-length: %d\r\n\r\n%s" % (len(body), body))
            output, _ = process.communicate(timeout=60)
            accepted.end()

    assert accepted.request.startswith(b"POST /v1/messages HTTP/1.1\r\n")
    assert process.returncode == 0, output
    assert "9 input_tokens, 1 output_tokens, reported" in output


def test_fake_provider_answers_agents(shared_broker: Broker) -> None:
    with httpx.Client(base_url=shared_broker.url) as client:
        whole = client.post("/v1/messages", json=BODY)
        events = client.post("/v1/messages", json={**BODY, "stream": True}).text
        count = client.post("/v1/messages/count_tokens?beta=true", json={**BODY, "system": "five"})
        shared_broker.usage()
        row = client.get(f"/billing/requests/{whole.headers['request-id']}").raise_for_status().json()["data"]

    assert whole.json()["content"][0]["text"] == "two three four"
    assert events.endswith('event: message_stop\ndata: {"type":"message_stop"}\n\n')
    assert count.json() == {"input_tokens": 5}
    assert (row["kind"], row["input_tokens"], row["output_tokens"]) == ("messages", 4, 3)
    assert row["cost_usd"] == 0.00000473


PAGE = {"origin": "https://evil.example"}


@pytest.mark.parametrize(
    ("method", "path", "change", "headers", "status", "error"),
    [
        ("POST", "", {"messages": 5}, {}, 400, "invalid_request_error"),
        ("POST", "", {"model": "unknown"}, {}, 404, "not_found_error"),
        ("POST", "/count_tokens", {"model": "unknown"}, {}, 404, "not_found_error"),
        ("POST", "/batches", {}, {}, 404, "not_found_error"),
        ("GET", "", {}, {}, 405, "invalid_request_error"),
        ("GET", "/batches/1", {}, {}, 404, "not_found_error"),
        ("POST", "", {}, PAGE, 403, "permission_error"),
        ("POST", "", {}, {"content-type": "text/plain"}, 415, "invalid_request_error"),
        ("POST", "", {"long": "x" * 20_000_001}, {}, 413, "request_too_large"),
        ("POST", "", {}, {"x-hero-context": "x" * 129}, 400, "invalid_request_error"),
    ],
)
def test_errors_have_anthropics_shape_on_every_path_below(
    shared_broker: Broker,
    method: str,
    path: str,
    change: Mapping[str, object],
    headers: Mapping[str, str],
    status: int,
    error: str,
) -> None:
    content = json.dumps({**BODY, **change}).encode()
    sent = {"content-type": "application/json", **headers}

    found = httpx.request(method, f"{shared_broker.url}/v1/messages{path}", content=content, headers=sent)

    assert (found.status_code, found.json()["type"], found.json()["error"]["type"]) == (status, "error", error)
    assert found.json()["request_id"] == found.headers["request-id"] == found.headers["x-request-id"]


def test_other_paths_keep_openais_errors(shared_broker: Broker) -> None:
    found = httpx.post(f"{shared_broker.url}/v1/messagesome", json=BODY)

    assert found.json()["error"]["code"] == "not_found"
    assert "request-id" not in found.headers


@pytest.mark.usefixtures("store")
def test_model_whose_provider_lacks_the_wire_is_not_found(tmp_path: Path) -> None:
    with serving(tmp_path) as (running, _):
        found = httpx.post(f"{running.url}/v1/messages", json={**BODY, "model": "plain"})

    assert (found.status_code, found.json()["error"]["type"]) == (404, "not_found_error")
    assert "does not speak the wire 'anthropic'" in found.json()["error"]["message"]
