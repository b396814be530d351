"""Streams, hang-ups and providers that break off, over real sockets, in an order that the test decides."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.provider import DONE, HEAD, JSON_HEAD, USAGE, Provider, event
from tests.e2e_support import Broker, broker
from tests.waits import wait_until

BODY = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}'
PLAIN = BODY.replace(b"true", b"false")


@contextmanager
def serving(tmp_path: Path, billing: str = "") -> Iterator[tuple[Broker, Provider]]:
    with Provider() as provider:
        config = tmp_path / "hero-broker.toml"
        config.write_text(provider.config(billing))
        with broker(tmp_path / "state", "--config", str(config)) as running:
            yield running, provider


def call(running: Broker, body: bytes = BODY) -> socket.socket:
    """Send a request and return its connection."""
    where = urlsplit(running.url)
    connection = socket.create_connection((where.hostname or "", where.port or 0), timeout=20)
    connection.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%s" % (len(body), body)
    )
    return connection


def read_until(connection: socket.socket, mark: bytes) -> bytes:
    seen = b""
    while mark not in seen:
        more = connection.recv(65536)
        assert more, f"the answer ended before {mark!r}: {seen!r}"
        seen += more
    return seen


def totals_when(running: Broker, requests: int) -> dict[str, object]:
    wait_until(lambda: running.usage()["totals"]["requests"] >= requests)
    return dict(running.usage()["totals"])


@pytest.mark.usefixtures("store")
def test_first_event_reaches_the_client_before_the_provider_sends_the_second(tmp_path: Path) -> None:
    with serving(tmp_path) as (running, provider), call(running) as client:
        upstream = provider.accept()
        upstream.send(HEAD + event("one"))
        first = read_until(client, event("one"))
        upstream.send(event("two") + USAGE + DONE)
        upstream.end()
        rest = read_until(client, DONE)

    assert b"two" not in first
    assert event("two") in rest
    assert b"usage" not in rest
    assert json.loads(upstream.body)["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("when", ["before the first byte", "in the middle", "after the last event"])
@pytest.mark.usefixtures("store")
def test_client_that_leaves_a_stream_is_billed_in_full(tmp_path: Path, when: str) -> None:
    with serving(tmp_path) as (running, provider):
        client = call(running)
        upstream = provider.accept()
        if when != "before the first byte":
            upstream.send(HEAD + event("one"))
            read_until(client, b"one")
        if when == "after the last event":
            upstream.send(event("two") + USAGE)
            read_until(client, b"two")
        client.close()
        if when == "before the first byte":
            upstream.send(HEAD + event("one"))
        if when != "after the last event":
            upstream.send(event("two") + USAGE)
        upstream.send(DONE)
        upstream.end()
        totals = totals_when(running, 1)

    assert totals["requests"] == 1
    assert totals["total_cost_nano_usd"] == "25970"


@pytest.mark.usefixtures("store")
def test_client_that_leaves_a_plain_call_is_billed_in_full(tmp_path: Path) -> None:
    answer = b'{"choices":[],"usage":{"prompt_tokens":40,"completion_tokens":3}}'
    with serving(tmp_path) as (running, provider):
        client = call(running, PLAIN)
        upstream = provider.accept()
        client.close()
        upstream.send(JSON_HEAD + b"content-length: %d\r\n\r\n%s" % (len(answer), answer))
        upstream.end()
        totals = totals_when(running, 1)

    assert totals["total_cost_nano_usd"] == "25970"


@pytest.mark.usefixtures("store")
def test_drain_that_takes_too_long_is_cut_and_billed_for_what_was_seen(tmp_path: Path) -> None:
    with serving(tmp_path, "drain_max_s = 0.1\n") as (running, provider):
        client = call(running)
        upstream = provider.accept()
        upstream.send(HEAD + event("one") + event("two"))
        read_until(client, event("two"))
        client.close()
        upstream.wait_for_close()
        totals = totals_when(running, 1)

    assert totals["estimated_requests"] == 1
    assert totals["output_tokens"] == 2


@pytest.mark.usefixtures("store")
def test_cancel_closes_the_provider_at_once(tmp_path: Path) -> None:
    with serving(tmp_path, 'on_disconnect = "cancel"\n') as (running, provider):
        client = call(running)
        upstream = provider.accept()
        upstream.send(HEAD + event("one"))
        read_until(client, b"one")
        client.close()
        upstream.wait_for_close()
        totals = totals_when(running, 1)

    assert totals["requests"] == 1
    assert totals["output_tokens"] == 1


@pytest.mark.usefixtures("store")
def test_provider_that_breaks_off_a_stream_is_billed_for_what_was_seen(tmp_path: Path) -> None:
    chunked = HEAD.replace(b"connection: close", b"transfer-encoding: chunked")
    sent = event("one") + event("two")
    with serving(tmp_path) as (running, provider), call(running) as client:
        upstream = provider.accept()
        upstream.send(chunked + b"%x\r\n%s\r\n" % (len(sent), sent))
        read_until(client, b"two")
        upstream.end()
        rest = read_until(client, b"provider_unreachable")
        totals = totals_when(running, 1)

    assert b"[DONE]" not in rest
    assert (totals["failed_requests"], totals["output_tokens"]) == (1, 2)


@pytest.mark.usefixtures("store")
def test_provider_that_breaks_off_a_plain_answer_gives_502_and_one_row(tmp_path: Path) -> None:
    with serving(tmp_path) as (running, provider), call(running, PLAIN) as client:
        upstream = provider.accept()
        upstream.send(JSON_HEAD + b"content-length: 100\r\n\r\n{")
        upstream.end()
        head = read_until(client, b"\r\n\r\n")
        totals = totals_when(running, 1)

    assert head.startswith(b"HTTP/1.1 502")
    assert (totals["requests"], totals["failed_requests"]) == (1, 1)


@pytest.mark.usefixtures("store")
def test_provider_that_refuses_costs_nothing_and_its_key_is_not_told(tmp_path: Path) -> None:
    body = b'{"error":{"message":"bad key sk-provider-key"}}'
    with serving(tmp_path) as (running, provider):
        answers: list[httpx.Response] = []
        ask = threading.Thread(
            target=lambda: answers.append(
                httpx.post(
                    f"{running.url}/v1/chat/completions", content=PLAIN, headers={"content-type": "application/json"}
                )
            )
        )
        ask.start()
        upstream = provider.accept()
        upstream.send(
            b"HTTP/1.1 429 No\r\nretry-after: 7\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
            % (len(body), body)
        )
        upstream.end()
        ask.join()
        totals = totals_when(running, 1)

    assert answers[0].status_code == 429
    assert answers[0].headers["retry-after"] == "7"
    assert "sk-provider-key" not in answers[0].text
    assert (totals["failed_requests"], totals["total_cost_nano_usd"]) == (1, "0")


@pytest.mark.usefixtures("store")
def test_call_in_flight_at_a_kill_is_interrupted_and_billed_once(tmp_path: Path) -> None:
    with serving(tmp_path) as (running, provider), call(running) as client:
        upstream = provider.accept()
        upstream.send(HEAD + event("one"))
        read_until(client, b"one")
        running.process.kill()
        running.process.wait()
        upstream.end()
    with broker(tmp_path / "state") as again:
        totals = totals_when(again, 1)

    assert (totals["requests"], totals["failed_requests"], totals["estimated_requests"]) == (1, 1, 1)


@pytest.mark.usefixtures("store")
def test_stream_that_is_open_at_sigterm_is_cut_billed_and_the_broker_exits_0(tmp_path: Path) -> None:
    config_tail = "[server]\ngrace_s = 1\n"
    with Provider() as provider:
        config = tmp_path / "hero-broker.toml"
        config.write_text(provider.config() + config_tail)
        with broker(tmp_path / "state", "--config", str(config)) as running, call(running) as client:
            upstream = provider.accept()
            upstream.send(HEAD + event("one"))
            read_until(client, b"one")
            running.process.terminate()
            code = running.process.wait(timeout=10)
            upstream.end()
    with broker(tmp_path / "state") as again:
        totals = totals_when(again, 1)

    assert code == 0
    assert (totals["requests"], totals["failed_requests"], totals["output_tokens"]) == (1, 1, 1)
