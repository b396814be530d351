"""Beyond the calls that may be in flight: a refusal before the body is read, while all else goes on."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from tests.e2e.provider import DONE, HEAD, USAGE, Exchange, Provider, event
from tests.e2e_support import Broker, broker

LIMITS = "[server]\nmax_calls = 4\nmax_calls_per_address = 2\n"
STREAM = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "stream": True}


@contextmanager
def held_call(running: Broker, provider: Provider, address: str) -> Iterator[Exchange]:
    """Hold a stream of `address` open for the time of the block, then end it."""
    with httpx.Client(base_url=running.url, transport=httpx.HTTPTransport(local_address=address)) as client:
        answers: list[str] = []
        calling = threading.Thread(
            target=lambda: answers.append(client.post("/v1/chat/completions", json=STREAM, timeout=30).text)
        )
        calling.start()
        exchange = provider.accept()
        exchange.send(HEAD + event("one"))
        try:
            yield exchange
        finally:
            exchange.send(USAGE + DONE)
            exchange.end()
            calling.join(30)
            assert answers[0].endswith("data: [DONE]\n\n")


def refused_unread(running: Broker, address: str) -> tuple[int, str, str | None, str | None]:
    """Ask from `address` without sending the body that is announced; return status, code and the two headers."""
    where = httpx.URL(running.url)
    connection = http.client.HTTPConnection(where.host, where.port, timeout=20, source_address=(address, 0))
    try:
        connection.putrequest("POST", "/v1/chat/completions")
        connection.putheader("content-type", "application/json")
        connection.putheader("content-length", "1000000")
        connection.endheaders()
        answer = connection.getresponse()
        code = httpx.Response(200, content=answer.read()).json()["error"]["code"]
        return answer.status, code, answer.getheader("retry-after"), answer.getheader("x-should-retry")
    finally:
        connection.close()


def test_calls_beyond_the_limits_are_refused_unread_and_everything_else_answers(tmp_path: Path) -> None:
    config = tmp_path / "hero-broker.toml"
    with Provider() as provider:
        config.write_text(LIMITS + provider.config())
        with broker(tmp_path / "state", "--config", str(config)) as running:
            with ExitStack() as held, httpx.Client(base_url=running.url) as client:
                for _ in range(2):
                    held.enter_context(held_call(running, provider, "127.0.0.1"))
                share = refused_unread(running, "127.0.0.1")
                for _ in range(2):
                    held.enter_context(held_call(running, provider, "127.0.0.2"))
                whole = refused_unread(running, "127.0.0.3")
                others = {
                    path: client.get(path).status_code
                    for path in ("/health/live", "/health/ready", "/v1/models", "/billing/usage", "/admin/health")
                }
                open_calls = client.get("/admin/health").json()["journal_open_calls"]
            totals = running.usage()["totals"]
            with held_call(running, provider, "127.0.0.1"):
                pass

    assert share == (429, "too_many_calls", "1", "true")
    assert whole == (503, "overloaded", "1", "true")
    assert set(others.values()) == {200}
    assert open_calls == 4
    assert (totals["requests"], totals["failed_requests"], totals["total_cost_nano_usd"]) == (4, 0, str(4 * 25_970))
