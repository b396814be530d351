"""Sends requests to providers, on pooled connections."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import lru_cache, partial
from typing import Protocol, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.streams import EMPTY_PAYLOAD
from yarl import URL

from hero_broker.core.calls import UploadBody
from hero_broker.core.duties import Duty
from hero_broker.kinds.dialect import Dialect
from hero_broker.providers.provider import Provider, Timeouts
from hero_broker.providers.upstream.connection import Connection, Deadline
from hero_broker.providers.upstream.failures import DISCONNECTS, FAILURES, error_status, no_response_error
from hero_broker.providers.upstream.fast_connection import FastConnection
from hero_broker.providers.upstream.pool import PooledConnection, take_pooled
from hero_broker.providers.upstream.response import UpstreamResponse
from hero_broker.util.timeouts import wait_at_most

SWEEP_EVERY_S = 1.0
_HEADER = b"\r\n%s: %s"  # after the lines before it
RESEND_WITHIN_S = 1.0  # after a request was written to a pooled connection that is lost


class Sending(Protocol):
    """Records what was sent of a call; updated at the moment in which data is written to a connection."""

    is_sent: bool  # some of the call was sent
    attempts: int  # number of requests sent for it, from 1
    may_retry: bool  # another request may be sent; False once its client has left


class _RequestTemplate:
    """What all requests to one URL with one key have in common: request line, headers, the bound on connecting."""

    def __init__(
        self,
        dialect: Dialect,
        url: str,
        key: str | None,
        connect_s: float,
        method: str = "POST",
        content_type: str | None = "application/json",
    ) -> None:
        headers = {"accept-encoding": "identity", **dialect.headers_with(key)}
        if content_type is not None:
            headers["content-type"] = content_type
        self.request = aiohttp.ClientRequest(method, URL(url), headers=headers)
        lines = [f"{method} {self.request.url.raw_path_qs} HTTP/1.1"]
        lines += [
            f"{name}: {value}" for name, value in self.request.headers.items() if name.lower() != "content-length"
        ]
        self.head = "\r\n".join(lines).encode()
        self.connection_key = self.request.connection_key
        self.connecting = aiohttp.ClientTimeout(total=None, sock_connect=connect_s)


class Upstream:
    """Sends requests to providers. Keys rotate; redirects are not followed, the environment's proxies not used.

    JSON bodies are written directly to aiohttp's connections, in the form in which its session would send them: the
    session's own work for each call takes three times as long. Uploads, which are read while they are sent, go through
    the session.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        connector: aiohttp.TCPConnector,
        unpooled: aiohttp.TCPConnector,
        timeouts: Timeouts,
        sweep_every_s: float,
        *,
        fast: bool,
    ) -> None:
        """Take a session, its connector, and an `unpooled` connector whose connections are always new.

        With `fast`, free connections of the pool are taken without waiting.
        """
        self._fast = fast
        self._session = session
        self._connector = connector
        self._unpooled = unpooled
        self._timeouts = timeouts
        self._sweep_every_s = sweep_every_s
        self._turn = itertools.count()
        self._open: set[Deadline] = set()
        self.watching = Duty("upstream", "requests to providers that are silent for too long are aborted")
        self._now = asyncio.get_running_loop().time
        self._template = lru_cache(maxsize=1024)(_RequestTemplate)

    async def post(
        self,
        provider: Provider,
        url: str,
        client_headers: Sequence[tuple[str, str]],
        body: bytes | UploadBody,
        sending: Sending,
        *,
        is_stream: bool,
    ) -> UpstreamResponse:
        """Send `body`, which is JSON or a form, and return the response as soon as its head has arrived.

        The caller closes the response. The time to the first byte counts from the end of the request's body.
        If a pooled connection is lost before the first byte of a response, JSON is retried once, on a new connection.

        Raises:
            ProviderTimeout: the provider did not answer in time.
            ProviderBadAnswer: the response is not HTTP.
            ProviderError: the provider could not be reached, or reading the form failed (the form has the error).
        """
        keys = provider.api_keys
        number = next(self._turn) % len(keys) if keys else -1
        if provider.only_key:
            number = provider.only_key - 1
        key = keys[number] if keys else None
        timeouts = provider.timeouts or self._timeouts
        try:
            if isinstance(body, bytes):
                template = self._template(provider.dialect, url, key, timeouts.connect_s)
                more = b"".join([_HEADER % (name.encode(), value.encode("latin-1")) for name, value in client_headers])
                data = b"%s%s\r\ncontent-length: %d\r\n\r\n%s" % (template.head, more, len(body), body)
                reply = await self._send(template, data, sending, timeouts, is_stream=is_stream)
            else:
                own = provider.dialect.headers_with(key)
                reply = await self._upload(url, own, client_headers, body, sending, timeouts, is_stream=is_stream)
        except FAILURES as error:
            status = error_status(error)
            if status is None:
                raise no_response_error(error, is_sent=sending.is_sent) from error
            reply = UpstreamResponse(status, {}, EMPTY_PAYLOAD, None, lambda _is_complete: None)
        reply.key_number = number + 1
        return reply

    async def send_empty(
        self,
        provider: Provider,
        method: str,
        url: str,
        client_headers: Sequence[tuple[str, str]],
        sending: Sending,
    ) -> UpstreamResponse:
        """Send a request without a body, and return the response as soon as its head has arrived; as `post` does.

        The provider must be as `Provider.with_key` returns it. What is known of the URL is not cached.

        Raises:
            ProviderTimeout: the provider did not answer in time.
            ProviderBadAnswer: the response is not HTTP.
            ProviderError: the provider could not be reached.
        """
        key = provider.api_keys[provider.only_key - 1] if provider.only_key else None
        timeouts = provider.timeouts or self._timeouts
        template = _RequestTemplate(provider.dialect, url, key, timeouts.connect_s, method, None)
        length = b"content-length: 0\r\n" if method == "POST" else b""
        more = b"".join([_HEADER % (name.encode(), value.encode("latin-1")) for name, value in client_headers])
        data = b"%s%s\r\n%s\r\n" % (template.head, more, length)
        try:
            reply = await self._send(template, data, sending, timeouts, is_stream=False)
        except FAILURES as error:
            status = error_status(error)
            if status is None:
                raise no_response_error(error, is_sent=sending.is_sent) from error
            reply = UpstreamResponse(status, {}, EMPTY_PAYLOAD, None, lambda _is_complete: None)
        reply.key_number = provider.only_key
        return reply

    async def _send(
        self,
        template: _RequestTemplate,
        data: bytes,
        sending: Sending,
        timeouts: Timeouts,
        *,
        is_stream: bool,
    ) -> UpstreamResponse:
        silent_s = timeouts.first_byte_s if is_stream else timeouts.whole_s
        left_s, ends_at = timeouts.total_s, self._now() + timeouts.total_s
        connector = self._connector
        while True:
            connection: PooledConnection | aiohttp.connector.Connection | None = None
            if self._fast and connector is self._connector:
                connection = take_pooled(connector, template.connection_key)
            if connection is None:
                connection = await wait_at_most(left_s, connector.connect(template.request, [], template.connecting))
            protocol: Connection = connection.protocol  # type: ignore[assignment]  # `open_upstream` makes no others
            had_served = protocol.has_served
            protocol.begin_exchange()
            sent_at = self._now()
            deadline = Deadline(connection, protocol, sent_at, ends_at, silent_s, timeouts.idle_s, self._open)
            try:
                protocol.transport.write(data)  # type: ignore[union-attr]  # it is connected
                sending.is_sent = True
                status, headers, content = await protocol.read_response()
            except BaseException as error:  # whatever ends the exchange, its connection is not used again
                deadline.end(is_complete=False)
                is_unread = had_served and isinstance(error, DISCONNECTS) and not protocol.first_bytes
                # Later than that the provider may have worked on the call, and charge for it.
                if not is_unread or not sending.may_retry or self._now() - sent_at >= RESEND_WITHIN_S:
                    raise
                sending.attempts += 1
                connector, left_s = self._unpooled, ends_at - self._now()
                continue
            deadline.got_headers(is_stream=is_stream)
            return UpstreamResponse(status, headers, content, protocol, deadline.end)

    async def _upload(
        self,
        url: str,
        own: Mapping[str, str],
        client_headers: Sequence[tuple[str, str]],
        body: UploadBody,
        sending: Sending,
        timeouts: Timeouts,
        *,
        is_stream: bool,
    ) -> UpstreamResponse:
        headers = {**dict(client_headers), "accept-encoding": "identity", "content-type": body.content_type, **own}
        if body.length is not None:
            headers["content-length"] = str(body.length)
        ends_at = self._now() + timeouts.total_s
        silent_s = timeouts.first_byte_s if is_stream else timeouts.whole_s
        # `sock_read` bounds the time to the first byte; aiohttp counts it from the end of the request's body.
        limits = aiohttp.ClientTimeout(total=timeouts.total_s, sock_connect=timeouts.connect_s, sock_read=silent_s)
        chunks = _record_sent(body.chunks(), sending)
        response = await self._session.post(
            _url(url), data=chunks, headers=headers, allow_redirects=False, timeout=limits
        )
        protocol = None if response.connection is None else response.connection.protocol
        if protocol is None:  # the whole response has arrived
            end = lambda is_complete: response.release() if is_complete else response.close()  # noqa: E731
            return UpstreamResponse(response.status, response.headers, response.content, None, end)
        connection = cast(Connection, protocol)
        connection.read_timeout = None
        connection.start_timeout()
        deadline = Deadline(response, connection, self._now(), ends_at, silent_s, timeouts.idle_s, self._open)
        deadline.got_headers(is_stream=is_stream)
        response.content.on_eof(deadline.forget)  # at the end, the session gives the connection to others at once
        return UpstreamResponse(response.status, response.headers, response.content, connection, deadline.end)

    def running(self) -> AbstractAsyncContextManager[None]:
        """Check the deadlines of all open requests periodically, inside the block."""
        return self.watching.repeated(self._sweep, self._sweep_every_s)

    def _sweep(self) -> None:
        now = self._now()
        for deadline in list(self._open):
            deadline.check(now)


@lru_cache(maxsize=1024)
def _url(text: str) -> URL:
    return URL(text)


@asynccontextmanager
async def open_upstream(
    timeouts: Timeouts, max_calls: int, others: Sequence[Timeouts] = (), *, fast: bool = True
) -> AsyncIterator[Upstream]:
    """Open the connection pool inside the block; `others` are the time limits that single providers have.

    Unless `fast`, aiohttp does all that it can do.
    """
    connector = aiohttp.TCPConnector(limit=max_calls)
    unpooled = aiohttp.TCPConnector(limit=max_calls, force_close=True)
    connection: type[ResponseHandler] = FastConnection if fast else Connection
    for one in (connector, unpooled):
        one._factory = partial(connection, loop=asyncio.get_running_loop())
    least_s = min(min(one.first_byte_s, one.idle_s, one.total_s, one.whole_s) for one in (timeouts, *others))
    async with (
        unpooled,
        aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),  # no response may set cookies that are sent for another caller
            auto_decompress=False,
            trust_env=False,
        ) as session,
    ):
        upstream = Upstream(session, connector, unpooled, timeouts, min(SWEEP_EVERY_S, least_s / 10), fast=fast)
        async with upstream.running():
            yield upstream


async def _record_sent(chunks: AsyncIterator[bytes], sending: Sending) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        sending.is_sent = True
        yield chunk
