"""Pooled connections: data that arrives between calls, and calls whose connection is lost."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import uvloop

from hero_broker.core.calls import UploadBody
from hero_broker.core.errors import BrokerError, ProviderError, ProviderReset
from hero_broker.providers.provider import Provider, Timeouts
from hero_broker.providers.upstream.client import Upstream, open_upstream
from hero_broker.providers.upstream.connection import CHECK_IDLE_S

WITHIN_S = 20
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n"


class Sent:
    """What was sent of a call."""

    def __init__(self) -> None:
        self.is_sent = False
        self.attempts = 1
        self.may_retry = True


class Form:
    """An upload of a few bytes."""

    content_type = "multipart/form-data"
    length: int | None = 2
    failure: BrokerError | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b"{}"

    def audio_ms(self, is_over: Callable[[], bool]) -> int:
        return 0

    async def close(self) -> None:
        return


@dataclass
class Scripted:
    """A provider that follows a script: for each connection what is sent after each request; then it is closed."""

    url: str = ""
    requests: list[int] = field(default_factory=list)  # the connection on which each was read
    has_closed: threading.Event = field(default_factory=threading.Event)  # the first connection


@contextmanager
def scripted(*connections: list[bytes], stays_open: bool = False) -> Iterator[Scripted]:
    """Run a provider inside the block."""
    script = Scripted()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(WITHIN_S)
    script.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"

    def run() -> None:
        held = []
        for number, answers in enumerate(connections):
            connection, _ = listener.accept()
            connection.settimeout(WITHIN_S)
            for answer in answers:
                request = b""
                while not request.endswith(b"{}"):
                    piece = connection.recv(65536)
                    if not piece:
                        break
                    request += piece
                script.requests.append(number)
                connection.sendall(answer)
            held.append(connection)
            if not stays_open:
                connection.close()
            script.has_closed.set()
        listener.close()
        for connection in held:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    yield script
    thread.join(WITHIN_S)
    assert not thread.is_alive()


def using(scenario: Callable[[Upstream], Awaitable[None]]) -> None:
    """Run a scenario with an open upstream."""

    async def run() -> None:
        async with open_upstream(Timeouts(), 10) as upstream:
            await asyncio.wait_for(scenario(upstream), WITHIN_S)

    uvloop.run(run())


async def ask(
    upstream: Upstream, url: str, body: "bytes | UploadBody" = b"{}", *, may_retry: bool = True
) -> tuple[bytes, int]:
    """Make a call; return its response and the number of requests sent for it."""
    sent = Sent()
    sent.may_retry = may_retry
    reply = await upstream.post(Provider("p", url, (), stream_usage=True), url, (), body, sent, is_stream=False)
    answer = await reply.read_all(1000)
    reply.close()
    return answer, sent.attempts


async def until(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, WITHIN_S)


def test_call_is_sent_once_more_if_a_kept_connection_ends_without_a_byte() -> None:
    with scripted([ANSWER + b"{}", b""], [ANSWER + b"[]"]) as provider:

        async def scenario(upstream: Upstream) -> None:
            assert await ask(upstream, provider.url) == (b"{}", 1)
            assert await ask(upstream, provider.url) == (b"[]", 2)

        using(scenario)

    assert provider.requests == [0, 0, 1]


@pytest.mark.parametrize("blocked", [False, True], ids=["seen by the loop", "not seen yet"])
def test_end_that_has_come_is_found_before_a_kept_connection_is_used(blocked: bool) -> None:
    with scripted([ANSWER + b"{}"], [ANSWER + b"[]"]) as provider:

        async def scenario(upstream: Upstream) -> None:
            await ask(upstream, provider.url)
            if blocked:  # the event loop has no turn in which it could hear of the end
                assert provider.has_closed.wait(WITHIN_S)
                threading.Event().wait(CHECK_IDLE_S * 2)
            else:
                await until(provider.has_closed)
            assert (await ask(upstream, provider.url))[0] == b"[]"

        using(scenario)

    assert provider.requests == [0, 1]


def test_upload_finds_the_end_of_a_kept_connection_too() -> None:
    with scripted([ANSWER + b"{}"], [ANSWER + b"[]"]) as provider:

        async def scenario(upstream: Upstream) -> None:
            await ask(upstream, provider.url)
            assert provider.has_closed.wait(WITHIN_S)
            threading.Event().wait(CHECK_IDLE_S * 2)
            assert await ask(upstream, provider.url, Form()) == (b"[]", 1)

        using(scenario)


def test_call_after_an_upload_is_sent_once_more_too() -> None:
    with scripted([ANSWER + b"{}", b""], [ANSWER + b"[]"]) as provider:

        async def scenario(upstream: Upstream) -> None:
            await ask(upstream, provider.url, Form())
            assert await ask(upstream, provider.url) == (b"[]", 2)

        using(scenario)

    assert provider.requests == [0, 0, 1]


def test_call_whose_client_has_left_is_not_sent_twice() -> None:
    with scripted([ANSWER + b"{}", b""]) as provider:

        async def scenario(upstream: Upstream) -> None:
            await ask(upstream, provider.url)
            with pytest.raises(ProviderReset):
                await ask(upstream, provider.url, may_retry=False)

        using(scenario)

    assert provider.requests == [0, 0]


def test_upload_is_not_sent_twice() -> None:
    with scripted([ANSWER + b"{}", b""]) as provider:

        async def scenario(upstream: Upstream) -> None:
            await ask(upstream, provider.url)
            with pytest.raises(ProviderReset):
                await ask(upstream, provider.url, Form())

        using(scenario)

    assert provider.requests == [0, 0]


@pytest.mark.parametrize("answer", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_call_is_not_sent_twice_once_a_byte_of_an_answer_has_come(answer: bytes) -> None:
    with scripted([ANSWER + b"{}", answer]) as provider:

        async def scenario(upstream: Upstream) -> None:
            await ask(upstream, provider.url)
            with pytest.raises(ProviderError) as failed:
                await ask(upstream, provider.url)
            assert failed.value.may_charge

        using(scenario)

    assert provider.requests == [0, 0]


def test_call_is_not_sent_twice_on_a_new_connection() -> None:
    with scripted([b""]) as provider:

        async def scenario(upstream: Upstream) -> None:
            with pytest.raises(ProviderReset) as failed:
                await ask(upstream, provider.url)
            assert not failed.value.may_charge

        using(scenario)

    assert provider.requests == [0]


def test_answer_to_nobody_is_not_taken_for_the_next_calls() -> None:
    forged = ANSWER + b'""'
    with scripted([ANSWER + b"{}"], [ANSWER + b"[]"], stays_open=True) as provider:

        async def scenario(upstream: Upstream) -> None:
            await ask(upstream, provider.url)
            await until(provider.has_closed)
            kept = next(iter(upstream._connector._conns.values()))[0][0]
            kept.data_received(forged)
            assert (await ask(upstream, provider.url))[0] == b"[]"

        using(scenario)

    assert provider.requests == [0, 1]
