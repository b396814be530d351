"""Response bodies from a provider: in pieces, in a flood, incomplete, or not HTTP."""

import asyncio
import gzip
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager

import aiohttp
import pytest
import uvloop
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError

from hero_broker.core.calls import UploadBody
from hero_broker.core.errors import BrokerError, ProviderError, ProviderTimeout
from hero_broker.kinds.dialect import OPENAI, Dialect
from hero_broker.providers.provider import Provider, Timeouts
from hero_broker.providers.upstream.client import open_upstream
from hero_broker.providers.upstream.connection import Connection
from hero_broker.providers.upstream.decoding import INLINE_BYTES
from hero_broker.providers.upstream.failures import error_status, no_response_error
from hero_broker.providers.upstream.response import PushReader, UpstreamResponse
from tests.e2e.provider import HEAD, Exchange
from tests.e2e.provider import Provider as RawProvider

CHUNKED = HEAD.replace(b"connection: close", b"transfer-encoding: chunked")
WITHIN_S = 30
# No time-out could end an exchange within a test.
LONG = Timeouts(first_byte_s=600, idle_s=600, total_s=600)


class Sent:
    """What was sent of a call."""

    is_sent = False
    attempts = 1
    may_retry = True


@contextmanager
def answering(answer: Callable[[Exchange], None]) -> Iterator[str]:
    """Run a provider whose first exchange `answer` handles; yield its URL."""
    with RawProvider() as provider:
        thread = threading.Thread(target=lambda: answer(provider.accept()))
        thread.start()
        yield provider.url
        thread.join(20)
        assert not thread.is_alive()


def exchange_with(url: str, read: Callable[[UpstreamResponse], Awaitable[None]]) -> None:
    """Send a request and let `read` read its response."""

    async def ask() -> None:
        async with open_upstream(LONG, 1) as opened:
            provider = Provider("p", url, (), stream_usage=True)
            reply = await opened.post(provider, url, (), b"{}", Sent(), is_stream=False)
            await asyncio.wait_for(read(reply), WITHIN_S)
            reply.close()

    uvloop.run(ask())


async def read_whole(reply: UpstreamResponse) -> bytes:
    return await reply.read_all(1000)


async def take_all(reply: UpstreamResponse) -> bytes:
    taken: list[bytes] = []

    def take(piece: bytes) -> bool:
        taken.append(piece)
        return True

    assert not await reply.stream_to(take)
    return b"".join(taken)


@pytest.mark.parametrize("rest", [read_whole, take_all])
@pytest.mark.parametrize("broken", [b"zz\r\n", b"-1\r\n", b"1\r\nabc\r\n", b""], ids=["zz", "-1", "too long", "end"])
def test_body_that_breaks_off_ends_at_once(broken: bytes, rest: Callable[[UpstreamResponse], Awaitable[bytes]]) -> None:
    reads_first = threading.Event()

    def answer(exchange: Exchange) -> None:
        exchange.send(CHUNKED + b"3\r\nabc\r\n")
        assert reads_first.wait(20)
        exchange.send(broken)
        if broken:
            exchange.wait_for_close()
        else:
            exchange.end()

    async def read(reply: UpstreamResponse) -> None:
        assert await reply.read() == b"abc"
        reads_first.set()
        with pytest.raises(ProviderError, match="is incomplete"):
            await rest(reply)

    with answering(answer) as url:
        exchange_with(url, read)


def test_pieces_are_handed_on_until_one_is_not_taken_and_none_is_lost() -> None:
    taken: list[bytes] = []
    takes = [threading.Event() for _ in range(3)]

    def answer(exchange: Exchange) -> None:
        exchange.send(CHUNKED)
        for number, is_taken in enumerate(takes):
            exchange.send(b"1\r\n%d\r\n" % number)
            assert is_taken.wait(20)
        exchange.send(b"0\r\n\r\n")
        exchange.wait_for_close()

    def take(piece: bytes) -> bool:
        taken.append(piece)
        takes[int(piece)].set()
        return piece != b"1"

    async def read(reply: UpstreamResponse) -> None:
        assert await reply.stream_to(take)
        assert taken == [b"0", b"1"]
        assert not await reply.stream_to(take)
        assert taken == [b"0", b"1", b"2"]

    with answering(answer) as url:
        exchange_with(url, read)


def test_flood_is_handed_on_whole_and_in_order() -> None:
    pieces = [b"%07d" % number * 100 for number in range(5000)]  # more than is buffered: reading pauses and goes on

    def answer(exchange: Exchange) -> None:
        exchange.send(CHUNKED + b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in pieces) + b"0\r\n\r\n")
        exchange.wait_for_close()

    async def read(reply: UpstreamResponse) -> None:
        assert await take_all(reply) == b"".join(pieces)

    with answering(answer) as url:
        exchange_with(url, read)


def test_flood_leaves_the_event_loop_to_others() -> None:
    flood = b"100000\r\n%s\r\n" % bytes(1 << 20) * 64
    in_turn = [0]

    def answer(exchange: Exchange) -> None:
        exchange.send(CHUNKED + flood + b"0\r\n\r\n")
        exchange.wait_for_close()

    def take(piece: bytes) -> bool:
        in_turn[-1] += len(piece)
        return True

    def next_turn() -> None:
        in_turn.append(0)
        asyncio.get_running_loop().call_soon(next_turn)

    async def read(reply: UpstreamResponse) -> None:
        next_turn()
        assert not await reply.stream_to(take)

    with answering(answer) as url:
        exchange_with(url, read)

    assert sum(in_turn) == 64 << 20
    assert max(in_turn) <= 2 << 20


def test_fault_of_who_takes_is_raised_where_the_body_is_waited_for() -> None:
    def answer(exchange: Exchange) -> None:
        exchange.send(CHUNKED + b"3\r\nabc\r\n")
        exchange.wait_for_close()

    def take(_piece: bytes) -> bool:
        raise ZeroDivisionError

    async def read(reply: UpstreamResponse) -> None:
        with pytest.raises(ZeroDivisionError):
            await reply.stream_to(take)

    with answering(answer) as url:
        exchange_with(url, read)


def test_body_longer_than_is_asked_for_is_refused() -> None:
    def answer(exchange: Exchange) -> None:
        exchange.send(HEAD + b"a" * 1001)
        exchange.end()

    async def read(reply: UpstreamResponse) -> None:
        with pytest.raises(ProviderError, match="too long"):
            await reply.read_all(1000)

    with answering(answer) as url:
        exchange_with(url, read)


def failing(url: str, timeouts: Timeouts = LONG, *, is_stream: bool = False) -> tuple[ProviderError, Sent]:
    """Send a request that fails before its response; return the error and what was sent."""
    sent = Sent()

    async def ask() -> ProviderError:
        async with open_upstream(timeouts, 1) as opened:
            provider = Provider("p", url, (), stream_usage=True)
            with pytest.raises(ProviderError) as failed:
                await asyncio.wait_for(opened.post(provider, url, (), b"{}", sent, is_stream=is_stream), WITHIN_S)
            return failed.value

    return uvloop.run(ask()), sent


def silent(exchange: Exchange) -> None:
    exchange.wait_for_close()


def test_host_that_has_no_address_is_named_as_the_cause() -> None:
    error, sent = failing("http://nowhere.invalid/v1")

    assert (error.code, error.status, error.may_charge, sent.is_sent) == ("provider_dns", 502, False, False)
    assert error.detail


def test_host_that_refuses_connections_is_named_as_the_cause() -> None:
    with RawProvider() as provider:
        url = provider.url
    error, sent = failing(url)

    assert (error.code, error.detail, sent.is_sent) == ("provider_refused", "Connection refused", False)


def test_host_that_speaks_no_tls_is_named_as_the_cause() -> None:
    with RawProvider() as provider:

        def answer() -> None:
            connection, _ = provider._listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        error, sent = failing(provider.url.replace("http:", "https:"))
        thread.join(20)

    assert (error.code, error.may_charge, sent.is_sent) == ("provider_tls", False, False)
    assert error.detail == "WRONG_VERSION_NUMBER"


def test_connection_that_takes_too_long_was_not_sent_on() -> None:
    with socket.socket() as listener:  # its queue is full, so that the system answers no further connection
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        waiting = []
        for _ in range(3):
            connection = socket.socket()
            connection.setblocking(False)
            connection.connect_ex(("127.0.0.1", port))
            waiting.append(connection)
        error, sent = failing(f"http://127.0.0.1:{port}/v1", Timeouts(connect_s=0.2))
        for connection in waiting:
            connection.close()

    assert (error.code, error.status, error.may_charge, sent.is_sent) == ("provider_timeout", 504, False, False)


@pytest.mark.parametrize("is_stream", [True, False])
def test_silence_before_the_head_has_a_bound_for_streams_and_one_for_whole_answers(is_stream: bool) -> None:
    bounds = Timeouts(first_byte_s=0.2 if is_stream else 600, whole_s=600 if is_stream else 0.2)

    with answering(silent) as url:
        error, sent = failing(url, bounds, is_stream=is_stream)

    assert (error.code, error.may_charge, sent.is_sent) == ("provider_timeout", True, True)


def test_whole_answer_may_be_silent_behind_its_head_too() -> None:
    go_on = threading.Event()

    def answer(exchange: Exchange) -> None:
        exchange.send(HEAD)
        assert go_on.wait(20)
        exchange.send(b"abc")
        exchange.end()

    async def ask() -> bytes:
        async with open_upstream(Timeouts(first_byte_s=0.1, idle_s=0.1), 1) as opened:
            provider = Provider("p", url, (), stream_usage=True)
            reply = await opened.post(provider, url, (), b"{}", Sent(), is_stream=False)
            asyncio.get_running_loop().call_later(0.5, go_on.set)
            body = await asyncio.wait_for(reply.read_all(1000), WITHIN_S)
            reply.close()
            return body

    with answering(answer) as url:
        assert uvloop.run(ask()) == b"abc"


def test_providers_own_bounds_go_before_those_of_all() -> None:
    own = Timeouts(first_byte_s=0.2)

    async def ask() -> None:
        async with open_upstream(LONG, 1, [own]) as opened:
            provider = Provider("p", url, (), stream_usage=True, timeouts=own)
            with pytest.raises(ProviderTimeout):
                await asyncio.wait_for(opened.post(provider, url, (), b"{}", Sent(), is_stream=True), WITHIN_S)

    with answering(silent) as url:
        uvloop.run(ask())


class Decoding:
    """A body of which a few bytes were received, and many are decoded."""

    def __init__(self, pieces: int) -> None:
        self.left = pieces

    def read_nowait(self) -> bytes:
        self.left = max(0, self.left - 1)
        return bytes(INLINE_BYTES) if self.left else b""

    async def readany(self) -> bytes:
        return self.read_nowait()

    def at_eof(self) -> bool:
        return not self.left


def test_body_that_decodes_to_much_more_than_was_received_takes_turns_with_all_others() -> None:
    async def read() -> tuple[int, bool]:
        content, turns = Decoding(100), 0
        reader = PushReader(content, lambda _piece: True)
        reader.pump()
        while not reader.may_continue.done():
            await asyncio.sleep(0)
            turns += 1
            assert turns < 1000
        return turns, reader.may_continue.result()

    turns, may_continue = asyncio.run(read())

    assert turns >= 40
    assert not may_continue


INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: a\r\nlink: HTTP/1.1 200 OK\r\n\r\n"


class Closable(asyncio.Transport):
    """A transport that sends nothing."""

    def close(self) -> None:
        return


async def failure_of(pieces: list[bytes]) -> Exception:
    """Return the failure of a response that arrives in these pieces, after which the provider disconnects."""
    connection = Connection(asyncio.get_running_loop())
    connection.connection_made(Closable())
    connection.begin_exchange()
    for piece in pieces:
        connection.data_received(piece)
    connection.connection_lost(None)
    try:
        while True:
            await connection.read()
    except (aiohttp.ClientError, HttpProcessingError) as error:
        return error


@pytest.mark.parametrize("interim", [b"", INTERIM], ids=["alone", "after interim responses"])
@pytest.mark.parametrize("rest", [b"", b"\r\nx-a: b", b"\r\nbroken\r\n\r\n"], ids=["cut", "cut later", "malformed"])
def test_refusal_is_known_by_its_status_in_whatever_pieces_its_head_comes(interim: bytes, rest: bytes) -> None:
    head = interim + b"HTTP/1.1 503 Service Unavailable" + rest

    async def run() -> None:
        for at in range(len(head)):
            error = await failure_of([head[:at], head[at:]] if at else [head])
            assert error_status(error) == 503, at
        assert error_status(await failure_of([bytes((byte,)) for byte in head])) == 503

    asyncio.run(run())


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 50", INTERIM, INTERIM + b"HTTP/1.1 200 OK\r\nbroken\r\n\r\n", INTERIM * 200 + b"HTTP/1.1 503"]
)
def test_head_without_an_error_status_may_be_charged(head: bytes) -> None:
    async def run() -> None:
        error = await failure_of([head])
        assert error_status(error) is None
        assert no_response_error(error, is_sent=True).may_charge

    asyncio.run(run())


def test_body_that_decodes_to_much_more_than_was_received_lets_others_run_between_reads() -> None:
    encoded = gzip.compress(bytes(100 * INLINE_BYTES))

    async def read() -> int:
        content = aiohttp.StreamReader(BaseProtocol(asyncio.get_running_loop()), 2**20)
        content.feed_data(encoded)
        content.feed_eof()
        reply = UpstreamResponse(200, {"content-encoding": "gzip"}, content, None, lambda _is_complete: None)
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        task = asyncio.create_task(others())
        assert len(await reply.read_all(2**30)) == 100 * INLINE_BYTES
        task.cancel()
        return turns

    assert asyncio.run(read()) >= 90


def test_flood_of_interim_responses_ends_the_exchange() -> None:
    def flood(exchange: Exchange) -> None:
        try:
            for _ in range(100):
                exchange.send(b"HTTP/1.1 102 Processing\r\n\r\n" * 500)
        except OSError:
            return
        finally:
            exchange.end()

    async def nothing(_reply: UpstreamResponse) -> None:
        return

    with answering(flood) as url, pytest.raises(ProviderError) as caught:
        exchange_with(url, nothing)

    assert caught.value.code == "provider_bad_answer"


class Form:
    """A form that is in memory."""

    content_type = "multipart/form-data; boundary=b"
    length: int | None = len(b"--b--")
    failure: BrokerError | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b"--b--"

    def audio_ms(self, is_over: Callable[[], bool]) -> int:
        raise NotImplementedError

    async def close(self) -> None:
        return


VERSIONED = Dialect(
    credential_header="x-api-key", credential_prefix="", headers=(("X-Version", "2026-01-01"), ("x-beta", "a,b"))
)
VERSIONED_HEADERS = {"x-version": ["2026-01-01"], "x-beta": ["a,b"]}


@pytest.mark.parametrize("body", [pytest.param(b"{}", id="JSON"), pytest.param(Form(), id="upload")])
@pytest.mark.parametrize(
    ("dialect", "keys", "headers"),
    [
        pytest.param(OPENAI, ("k",), {"authorization": ["Bearer k"]}, id="OpenAI's"),
        pytest.param(OPENAI, (), {}, id="OpenAI's without a key"),
        pytest.param(VERSIONED, ("k",), {"x-api-key": ["k"], **VERSIONED_HEADERS}, id="another's"),
        pytest.param(VERSIONED, (), VERSIONED_HEADERS, id="another's without a key"),
    ],
)
def test_credential_and_headers_of_the_providers_dialect_are_sent_once(
    dialect: Dialect, keys: tuple[str, ...], headers: dict[str, list[str]], body: bytes | UploadBody
) -> None:
    sent: list[bytes] = []

    def answer(exchange: Exchange) -> None:
        sent.append(exchange.request)
        exchange.send(CHUNKED + b"0\r\n\r\n")
        exchange.wait_for_close()

    async def ask(url: str) -> None:
        async with open_upstream(LONG, 1) as opened:
            provider = Provider("p", url, keys, stream_usage=True, dialect=dialect)
            client_headers = [("openai-beta", "c")]
            reply = await asyncio.wait_for(
                opened.post(provider, url, client_headers, body, Sent(), is_stream=False), WITHIN_S
            )
            assert await reply.read_all(1000) == b""
            assert reply.key_number == len(keys)
            reply.close()

    with answering(answer) as url:
        uvloop.run(ask(url))

    received: dict[str, list[str]] = {}
    for line in sent[0].partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]:
        name, _, value = line.partition(": ")
        received.setdefault(name.lower(), []).append(value)
    content_type = "application/json" if isinstance(body, bytes) else Form.content_type
    others = {"host", "accept", "accept-encoding", "user-agent", "content-length", "content-type", "openai-beta"}
    assert {name: values for name, values in received.items() if name not in others} == headers
    assert (received["content-type"], received["openai-beta"]) == ([content_type], ["c"])


ONE_KEY = ("GET", "POST", "DELETE")


def test_requests_of_one_key_alone_have_that_key_and_no_body() -> None:
    seen: list[bytes] = []

    def answer_all(provider: RawProvider) -> None:
        for _ in (*ONE_KEY, "post"):
            with provider.accept_raw() as connection:
                seen.append(connection.recv(65536))
                connection.sendall(HEAD)

    async def ask(url: str) -> list[int]:
        numbers = []
        async with open_upstream(LONG, 1) as opened:
            two = Provider("p", url, ("k1", "k2"), stream_usage=True)
            provider = two.with_key(two.key_fingerprints[2])
            assert provider is not None
            path = f"{url}/responses/resp_MQ==?include%5B%5D=a.b&limit=2"
            for method in ONE_KEY:
                reply = await opened.send_empty(provider, method, path, (("x-title", "t"),), Sent())
                await asyncio.wait_for(reply.read_all(1000), WITHIN_S)
                reply.close()
                numbers.append(reply.key_number)
            reply = await opened.post(provider, url, (), b"{}", Sent(), is_stream=False)
            reply.close()
            numbers.append(reply.key_number)
        return numbers

    with RawProvider() as provider:
        thread = threading.Thread(target=answer_all, args=(provider,))
        thread.start()
        numbers = uvloop.run(ask(provider.url))
        thread.join(20)

    assert numbers == [2, 2, 2, 2]
    assert [b"authorization: bearer k2" in request.lower() for request in seen] == [True] * 4
    for method, request in zip(ONE_KEY, seen, strict=False):
        head, _, body = request.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        assert lines[0].startswith(f"{method} /v1/responses/resp_MQ==?include".encode())
        assert lines[0].endswith(b"=a.b&limit=2 HTTP/1.1")
        assert b"x-title: t" in lines
        assert (b"content-length: 0" in lines) is (method == "POST")
        assert b"content-type" not in head.lower()
        assert body == b""


@pytest.mark.parametrize("raw", [b"", b"no HTTP\r\n\r\n"])
def test_request_without_a_body_that_gets_no_response_fails_as_others_do(raw: bytes) -> None:
    def answer_once(provider: RawProvider) -> None:
        with provider.accept_raw() as connection:
            connection.recv(65536)
            connection.sendall(raw)

    async def ask(url: str) -> None:
        async with open_upstream(LONG, 1) as opened:
            provider = Provider("p", url, (), stream_usage=True)
            await opened.send_empty(provider, "GET", f"{url}/responses/a", (), Sent())

    with RawProvider() as provider:
        thread = threading.Thread(target=answer_once, args=(provider,))
        thread.start()
        with pytest.raises(ProviderError):
            uvloop.run(ask(provider.url))
        thread.join(20)


def test_keys_of_a_dialect_take_turns() -> None:
    seen: list[bytes] = []

    def answer_both(provider: RawProvider) -> None:
        for _ in range(2):
            exchange = provider.accept()
            seen.append(exchange.request)
            exchange.send(HEAD)
            exchange.end()

    async def ask(url: str) -> None:
        async with open_upstream(LONG, 1) as opened:
            provider = Provider("p", url, ("k1", "k2"), stream_usage=True, dialect=VERSIONED)
            for body in (b"{}", Form()):
                reply = await opened.post(provider, url, (), body, Sent(), is_stream=False)
                await asyncio.wait_for(reply.read_all(1000), WITHIN_S)
                reply.close()

    with RawProvider() as provider:
        thread = threading.Thread(target=answer_both, args=(provider,))
        thread.start()
        uvloop.run(ask(provider.url))
        thread.join(20)

    assert [[key for key in (b"k1", b"k2") if b"x-api-key: " + key in request.lower()] for request in seen] == [
        [b"k1"],
        [b"k2"],
    ]
