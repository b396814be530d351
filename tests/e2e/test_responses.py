"""OpenAI's Responses over real sockets: the fake provider, one whose every byte a test sends, and errors."""

import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import openai
import pytest

from tests.e2e.provider import HEAD, Provider, answering
from tests.e2e.test_streams import read_until, totals_when
from tests.e2e_support import Broker, broker
from tests.kinds.test_responses import CREATED, DELTAS, END, ENDED, WHOLE, stream
from tests.stores import query

BODY = {"model": "fake-chat", "input": [{"role": "user", "content": "one two three four"}]}
STREAMED = json.dumps(
    {**BODY, "model": "m", "stream": True, "store": False, "include": ["reasoning.encrypted_content"]}
).encode()
PRICE = """
input_per_million = 1.25
output_per_million = 10
cached_input_per_million = 0.125
cache_write_per_million = 1.5
"""
COST = 210 * 1250 + 2000 * 125 + 100 * 1500 + 42 * 10_000
LONG_BYTES = 40 * 1024 * 1024
OTHERS_WAIT_S = 5  # at most, while an event of that length is read; it takes a fraction of a second


@contextmanager
def serving(tmp_path: Path, more: str = "") -> Iterator[tuple[Broker, Provider]]:
    """Run a broker over a provider that speaks Responses; "plain" is a model of one that does not.

    `more` are further tables of its settings.
    """
    config = tmp_path / "hero-broker.toml"
    with Provider() as provider:
        config.write_text(
            f'[[providers]]\nname = "p"\nbase_url = "{provider.url}"\napi_keys = ["sk-provider-key"]\n'
            'wires = ["openai", "responses"]\n[[providers]]\nname = "q"\nbase_url = "http://127.0.0.1:1/v1"\n'
            '[[models]]\nname = "plain"\nprovider = "q"\n'
            f'[[models]]\nname = "m"\nprovider = "p"\nupstream_model = "gpt-5.1"\n[models.price]{PRICE}{more}'
        )
        with broker(tmp_path / "state", "--config", str(config)) as running:
            yield running, provider


def call(running: Broker, body: bytes = STREAMED) -> socket.socket:
    """Send a request as Codex does, and return its connection."""
    where = urlsplit(running.url)
    connection = socket.create_connection((where.hostname or "", where.port or 0), timeout=60)
    connection.sendall(
        b"POST /v1/responses HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"authorization: Bearer theirs\r\nsession_id: s-1\r\noriginator: codex_cli_rs\r\nversion: 0.130.0\r\n"
        b"x-codex-beta-features: f\r\nopenai-beta: responses=experimental\r\ncookie: c\r\n"
        b"content-length: %d\r\n\r\n%s" % (len(body), body)
    )
    return connection


def events_of(received: bytes) -> bytes:
    """Return the chunks of a response after its head."""
    return b"".join(received.partition(b"\r\n\r\n")[2].split(b"\r\n")[1::2])


@pytest.mark.usefixtures("store")
def test_agents_call_passes_byte_for_byte_and_its_last_event_waits_for_the_row(
    tmp_path: Path, database_url: str
) -> None:
    with serving(tmp_path) as (running, provider), call(running) as client:
        upstream = provider.accept()
        upstream.send(HEAD.replace(b"\r\n\r\n", b"\r\nx-codex-turn-state: t\r\n\r\n") + stream(CREATED, DELTAS[0]))
        first = read_until(client, stream(DELTAS[0]))
        upstream.send(stream(*DELTAS[1:], END))
        upstream.end()
        rest = read_until(client, stream(END))
        running.usage()
        columns = "kind, model, stream, outcome, input_tokens, output_tokens, service_tier, cost_nano_usd"
        found = query(database_url, f"SELECT {columns} FROM request_logs")

    assert events_of(first + rest) == WHOLE
    assert b"\r\nx-codex-turn-state: t\r\n" in first
    head = upstream.request.partition(b"\r\n\r\n")[0].lower()
    assert upstream.request.startswith(b"POST /v1/responses HTTP/1.1\r\n")
    names = (b"session_id: s-1", b"originator: codex_cli_rs", b"version: 0.130.0", b"x-codex-beta-features: f")
    assert [line for line in names if line not in head.split(b"\r\n")] == []
    assert b"authorization: bearer sk-provider-key" in head
    assert not any(secret in upstream.request for secret in (b"theirs", b"cookie"))
    assert json.loads(upstream.body) == {**json.loads(STREAMED), "model": "gpt-5.1"}
    assert found == [("responses", "m", 1, "ok", 2310, 42, "default", COST)]


@pytest.mark.usefixtures("store")
def test_cost_of_an_image_in_a_response_is_explained_by_model_and_adds_up(tmp_path: Path, database_url: str) -> None:
    drawn = {"input_tokens": 20, "input_tokens_details": {"text_tokens": 12, "image_tokens": 8}, "output_tokens": 1056}
    tools = [{"type": "image_generation", "model": "gpt-image-1"}]
    last = {**END, "response": {**ENDED, "tools": tools, "tool_usage": {"image_gen": drawn}}}
    image_model = (
        '[[models]]\nname = "image"\nprovider = "p"\nupstream_model = "gpt-image-1"\n[models.price]\n'
        "input_per_million = 5\nimage_input_per_million = 10\noutput_per_million = 40\n"
    )
    with serving(tmp_path, image_model) as (running, provider):
        with answering(provider, HEAD + stream(CREATED, *DELTAS, last)), call(running) as client:
            read_until(client, stream(last)[-20:])
        running.usage()
        (name, cost), *_ = query(database_url, "SELECT request_id, cost_nano_usd FROM request_logs")
        data = httpx.get(f"{running.url}/billing/requests/{name}").raise_for_status().json()["data"]

    lines = [(line["model"], line["unit"], line["units"]) for line in data["cost"]["lines"]]
    assert lines == [
        ("gpt-5.1", "cached_input_tokens", "2000"),
        ("gpt-5.1", "cache_write_tokens", "100"),
        ("gpt-5.1", "input_tokens", "210"),
        ("gpt-5.1", "reasoning_tokens", "30"),
        ("gpt-5.1", "output_tokens", "12"),
        ("gpt-image-1", "image_input_tokens", "8"),
        ("gpt-image-1", "input_tokens", "12"),
        ("gpt-image-1", "image_output_tokens", "1056"),
    ]
    assert (data["cost_source"], cost) == ("mixed", COST + 12 * 5_000 + 8 * 10_000 + 1_056 * 40_000)
    assert sum(Decimal(line["amount_usd"]) for line in data["cost"]["lines"]) == Decimal(data["cost"]["exact_usd"])
    assert Decimal(data["cost"]["exact_usd"]) * 10**9 == cost


@pytest.mark.parametrize("seen", [0, 1, 3])
@pytest.mark.usefixtures("store")
def test_agent_that_leaves_is_billed_in_full(tmp_path: Path, seen: int) -> None:
    events: list[Mapping[str, object]] = [CREATED, *DELTAS, END]
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
def test_stream_that_breaks_off_ends_with_a_numbered_error_event(tmp_path: Path, database_url: str) -> None:
    with serving(tmp_path) as (running, provider), call(running) as client:
        upstream = provider.accept()
        upstream.send(HEAD + stream(CREATED, *DELTAS))
        upstream.end()
        received = read_until(client, b'"sequence_number":4}\n\n')
        running.usage()
        found = query(database_url, "SELECT outcome, error_code, usage_source FROM request_logs")

    last = json.loads(received.rpartition(b"event: error\ndata: ")[2].partition(b"\n")[0])
    assert (last["type"], last["code"], last["error"]["code"]) == ("error", "stream_broke_off", "stream_broke_off")
    assert found == [("provider_error", "stream_broke_off", "estimated")]


@pytest.mark.usefixtures("store")
def test_error_keeps_its_status_and_its_words(tmp_path: Path) -> None:
    body = b'{"error":{"message":"slow down","type":"server_error","code":"server_is_overloaded"}}'
    head = b"HTTP/1.1 503 Overloaded\r\ncontent-type: application/json\r\nretry-after: 3\r\n"
    answer = head + b"content-length: %d\r\n\r\n%s" % (len(body), body)
    with serving(tmp_path) as (running, provider), answering(provider, answer):
        found = httpx.post(
            f"{running.url}/v1/responses", content=STREAMED, headers={"content-type": "application/json"}
        )

    assert (found.status_code, found.content, found.headers["retry-after"]) == (503, body, "3")


@pytest.mark.usefixtures("store")
def test_event_longer_than_the_setting_ends_the_stream_with_an_error(tmp_path: Path, database_url: str) -> None:
    long = {"type": "message", "content": [{"type": "output_text", "text": "a" * 1_000_000}]}
    last = stream({**END, "response": {**ENDED, "output": [long]}})
    with serving(tmp_path, "[responses]\nmax_event_bytes = 1_000_000\n") as (running, provider):
        with answering(provider, HEAD + stream(CREATED, *DELTAS) + last), call(running) as client:
            received = read_until(client, b'"sequence_number":4}\n\n')
        running.usage()
        found = query(database_url, "SELECT outcome, error_code, usage_source FROM request_logs")

    assert (
        json.loads(received.rpartition(b"event: error\ndata: ")[2].partition(b"\n")[0])["code"] == "provider_bad_stream"
    )
    assert found == [("provider_error", "provider_bad_stream", "estimated")]


@pytest.mark.usefixtures("store")
def test_last_event_of_forty_megabytes_passes_and_holds_up_no_other_call(tmp_path: Path) -> None:
    long = {"type": "message", "content": [{"type": "output_text", "text": "a" * LONG_BYTES}]}
    last = stream({**END, "response": {**ENDED, "output": [long]}})
    received: list[int] = []

    def drain(client: socket.socket) -> None:
        size = 0
        while piece := client.recv(1 << 20):
            size += len(piece)
            received[:] = [size]
            if piece.endswith(b"0\r\n\r\n"):
                return

    with serving(tmp_path) as (running, provider), call(running) as client:
        upstream = provider.accept()
        reader = threading.Thread(target=drain, args=(client,))
        sender = threading.Thread(target=upstream.send, args=(HEAD + stream(CREATED, *DELTAS) + last,))
        reader.start()
        sender.start()
        waits: list[float] = []
        while sender.is_alive() or not waits:
            started = time.monotonic()
            assert httpx.get(f"{running.url}/v1/models", timeout=60).status_code == 200
            waits.append(time.monotonic() - started)
        sender.join()
        upstream.end()
        reader.join(timeout=60)
        totals = totals_when(running, 1)

    assert received[0] > LONG_BYTES
    assert max(waits) < OTHERS_WAIT_S
    assert (totals["input_tokens"], totals["output_tokens"], totals["estimated_requests"]) == (2310, 42, 0)


def test_fake_provider_answers_agents(shared_broker: Broker) -> None:
    with httpx.Client(base_url=shared_broker.url) as client:
        whole = client.post("/v1/responses", json=BODY)
        events = client.post("/v1/responses", json={**BODY, "stream": True}).text
        count = client.post("/v1/responses/input_tokens", json={**BODY, "instructions": "five"})
        compaction = client.post("/v1/responses/compact", json=BODY)
        shared_broker.usage()
        ids = [answer.headers["x-request-id"] for answer in (whole, compaction)]
        rows = [client.get(f"/billing/requests/{one}").raise_for_status().json()["data"] for one in ids]

    assert whole.json()["output"][0]["content"][0]["text"] == "two three four"
    assert events.rstrip().rpartition("event: ")[2].startswith("response.completed\n")
    assert count.json() == {"object": "response.input_tokens", "input_tokens": 5}
    assert compaction.json()["object"] == "response.compaction"
    assert [(row["kind"], row["input_tokens"], row["output_tokens"]) for row in rows] == [
        ("responses", 4, 3),
        ("responses", 4, 1),
    ]
    assert rows[0]["cost_usd"] == 0.00000473


def test_openais_own_client_is_answered(shared_broker: Broker) -> None:
    with openai.OpenAI(base_url=f"{shared_broker.url}/v1", api_key="any") as client:
        whole = client.responses.create(model="fake-chat", input="one two three four")
        with client.responses.stream(model="fake-chat", input="one two three four") as events:
            streamed = events.get_final_response()
        counted = client.responses.input_tokens.count(model="fake-chat", input="one two")
        with pytest.raises(openai.BadRequestError) as refused:
            client.responses.create(model="fake-chat", input="five", previous_response_id="resp_unknown")

    assert (whole.output_text, streamed.output_text, counted.input_tokens) == ("two three four", "two three four", 2)
    assert (refused.value.code, refused.value.param) == ("previous_response_not_found", "previous_response_id")


@pytest.mark.usefixtures("store")
def test_openais_own_client_sees_that_a_stream_broke_off(tmp_path: Path) -> None:
    with (
        serving(tmp_path) as (running, provider),
        answering(provider, HEAD + stream(CREATED, *DELTAS)),
        openai.OpenAI(base_url=f"{running.url}/v1", api_key="any", max_retries=0) as client,
        pytest.raises(openai.APIError) as caught,
    ):
        list(client.responses.create(model="m", input="hi", stream=True))

    assert caught.value.code == "stream_broke_off"


@pytest.mark.parametrize(
    ("method", "path", "change", "status", "code"),
    [
        ("POST", "", {"input": 5}, 400, None),
        ("POST", "", {"model": "unknown"}, 404, "model_not_found"),
        ("POST", "", {"previous_response_id": "resp_1"}, 400, "previous_response_not_found"),
        ("POST", "/compact", {"previous_response_id": "resp_1"}, 400, "previous_response_not_found"),
        ("POST", "", {"background": True}, 400, "unsupported_parameter"),
        ("POST", "", {"conversation": "conv_1"}, 400, "unsupported_parameter"),
        ("GET", "", {}, 405, "method_not_allowed"),
        ("GET", "/resp_1", {}, 404, "not_found"),
        ("DELETE", "/resp_1", {}, 404, "not_found"),
        ("GET", "/resp_1/input_items", {}, 404, "not_found"),
        ("POST", "/resp_1/cancel", {}, 404, "not_found"),
        ("PUT", "/resp_1", {}, 405, "method_not_allowed"),
        ("POST", "/resp_1", {}, 405, "method_not_allowed"),
        ("GET", "/resp_1?stream=true", {}, 400, "unsupported_parameter"),
        ("GET", "/resp_1/other", {}, 404, "not_found"),
        ("GET", f"/{'a' * 129}", {}, 404, "not_found"),
        ("GET", "/..%2fmodels", {}, 404, "not_found"),
        ("GET", "/%2e%2e%2fmodels", {}, 404, "not_found"),
        ("GET", "/resp%20_1", {}, 404, "not_found"),
        ("GET", "/%C3%A9", {}, 404, "not_found"),
        ("GET", "/resp_1%3Fa=b", {}, 404, "not_found"),
        ("GET", "/resp_1%0d%0a", {}, 400, None),
        ("POST", "", {"previous_response_id": "a" * 129}, 400, "previous_response_not_found"),
        ("POST", "", {"previous_response_id": "\u00e9"}, 400, "previous_response_not_found"),
        ("POST", "", {"previous_response_id": "resp_1\0"}, 400, "previous_response_not_found"),
        ("POST", "", {"model": None, "previous_response_id": "resp_1"}, 400, "previous_response_not_found"),
        ("POST", "", {"model": None}, 400, None),
    ],
)
def test_errors_have_openais_shape(
    shared_broker: Broker, method: str, path: str, change: Mapping[str, object], status: int, code: str | None
) -> None:
    found = httpx.request(method, f"{shared_broker.url}/v1/responses{path}", json={**BODY, **change})

    assert (found.status_code, found.json()["error"]["code"]) == (status, code)


@pytest.mark.usefixtures("store")
def test_model_whose_provider_lacks_the_wire_is_not_found(tmp_path: Path) -> None:
    with serving(tmp_path) as (running, _):
        found = httpx.post(f"{running.url}/v1/responses", json={**BODY, "model": "plain"})

    assert (found.status_code, found.json()["error"]["code"]) == (404, "model_not_found")
    assert "does not speak the wire 'responses'" in found.json()["error"]["message"]
