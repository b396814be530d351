"""Uploads, streams that fall silent, and the reasons why no response came."""

import asyncio
import errno
import threading
from collections.abc import Callable
from typing import cast

import pytest
import uvloop

from hero_broker.core.errors import ProviderError, ProviderReset, ProviderTimeout
from hero_broker.providers.provider import Provider, Timeouts
from hero_broker.providers.upstream.client import Upstream, open_upstream
from hero_broker.providers.upstream.connection import Connection, ConnectionHandle, Deadline
from hero_broker.providers.upstream.failures import no_response_error
from hero_broker.providers.upstream.response import UpstreamResponse
from tests.e2e.provider import HEAD, Exchange
from tests.providers.test_kept_connections import Form, Sent
from tests.providers.test_upstream import CHUNKED, LONG, WITHIN_S, answering, silent


async def upload(opened: Upstream, url: str, form: Form | bytes, *, is_stream: bool = False) -> UpstreamResponse:
    provider = Provider("p", url, ("sk-key",), stream_usage=True)
    headers = (("openai-beta", "b"), ("authorization", "Bearer the-clients-own"))
    return await asyncio.wait_for(opened.post(provider, url, headers, form, Sent(), is_stream=is_stream), WITHIN_S)


def test_upload_whose_response_arrives_later_is_read_to_its_end() -> None:
    has_head = threading.Event()
    requests: list[bytes] = []

    def answer(exchange: Exchange) -> None:
        requests.append(exchange.request)
        exchange.send(CHUNKED)
        assert has_head.wait(20)
        exchange.send(b"3\r\nabc\r\n0\r\n\r\n")
        exchange.wait_for_close()

    async def ask() -> bytes:
        async with open_upstream(LONG, 1) as opened:
            reply = await upload(opened, url, Form())
            assert (reply.status, reply.key_number, len(opened._open)) == (200, 1, 1)
            has_head.set()
            body = await asyncio.wait_for(reply.read_all(1000), WITHIN_S)
            assert len(opened._open) == 0
            reply.close()
            return body

    with answering(answer) as url:
        assert uvloop.run(ask()) == b"abc"

    head = requests[0].lower()
    assert b"authorization: bearer sk-key" in head
    assert b"the-clients-own" not in head
    assert b"content-length: 2" in head


def test_upload_whose_response_falls_silent_fails_in_time() -> None:
    def answer(exchange: Exchange) -> None:
        exchange.send(CHUNKED + b"3\r\nabc\r\n")
        exchange.wait_for_close()

    async def ask() -> None:
        async with open_upstream(Timeouts(first_byte_s=600, idle_s=0.1), 1) as opened:
            reply = await upload(opened, url, Form(), is_stream=True)
            with pytest.raises(ProviderTimeout):
                await asyncio.wait_for(reply.read_all(1000), WITHIN_S)
            reply.close()
            assert len(opened._open) == 0

    with answering(answer) as url:
        uvloop.run(ask())


@pytest.mark.parametrize("form", [Form(), b"{}"], ids=["form", "json"])
def test_status_of_an_incomplete_head_is_the_responses(form: Form | bytes) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 503 Service Unavailable\r\nx-a: b")
        exchange.end()

    async def ask() -> tuple[int, bytes]:
        async with open_upstream(LONG, 1) as opened:
            reply = await upload(opened, url, form)
            reply_body = await reply.read()
            reply.close()
            return reply.status, reply_body

    with answering(answer) as url:
        assert uvloop.run(ask()) == (503, b"")


def test_stream_that_is_not_complete_in_its_total_time_fails() -> None:
    def answer(exchange: Exchange) -> None:
        exchange.send(HEAD)
        exchange.wait_for_close()

    async def ask() -> None:
        async with open_upstream(Timeouts(first_byte_s=600, idle_s=600, total_s=0.2), 1) as opened:
            reply = await upload(opened, url, b"{}", is_stream=True)
            with pytest.raises(ProviderTimeout):
                await asyncio.wait_for(reply.stream_to(lambda _piece: True), WITHIN_S)
            reply.close()

    with answering(answer) as url:
        uvloop.run(ask())


def test_provider_that_is_silent_after_the_form_fails_in_time() -> None:
    async def ask() -> ProviderError:
        async with open_upstream(Timeouts(first_byte_s=600, whole_s=0.2), 1) as opened:
            with pytest.raises(ProviderTimeout) as failed:
                await upload(opened, url, Form())
            return failed.value

    with answering(silent) as url:
        assert uvloop.run(ask()).may_charge


@pytest.mark.parametrize("is_sent", [False, True])
@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ETIMEDOUT, lambda _is_sent: ProviderTimeout),
        (errno.ECONNRESET, lambda _is_sent: ProviderReset),
        (errno.EPIPE, lambda _is_sent: ProviderReset),
        (errno.ENETUNREACH, lambda is_sent: ProviderReset if is_sent else ProviderError),
    ],
)
def test_systems_reason_names_the_failure(
    number: int, expected: Callable[[bool], type[ProviderError]], is_sent: bool
) -> None:
    lost = ConnectionError("lost")
    lost.__cause__ = OSError(number, "why")

    error = no_response_error(lost, is_sent=is_sent)

    assert type(error) is expected(is_sent)
    assert error.detail or number == errno.ETIMEDOUT
    assert error.may_charge == (is_sent and number == errno.ETIMEDOUT)


class Line:
    """A connection as its deadline sees it."""

    def __init__(self) -> None:
        self.body_bytes = 0
        self.is_held_up = False
        self.failures: list[BaseException] = []

    def set_exception(self, error: BaseException) -> None:
        self.failures.append(error)


def test_deadline_counts_silence_from_the_last_byte_and_not_while_we_hold_the_provider_up() -> None:
    line, every = Line(), cast("set[Deadline]", set())
    deadline = Deadline(cast(ConnectionHandle, None), cast(Connection, line), 0, 100, 10, 2, every)
    assert every == {deadline}

    deadline.check(9)
    line.is_held_up = True
    deadline.check(11)
    line.is_held_up = False
    deadline.check(20)
    deadline.got_headers(is_stream=False)
    line.body_bytes = 5
    deadline.check(21)
    deadline.check(22.9)
    assert line.failures == []

    deadline.check(23)
    assert len(line.failures) == 1
    deadline.forget()
    assert every == set()
