"""Sends calls to providers over HTTP; the only module that knows the client, aiohttp."""

import asyncio
import errno
import itertools
import os
import re
import select
import ssl
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Protocol, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD
from yarl import URL

from hero_broker.core.calls import UploadBody
from hero_broker.core.duties import Duty
from hero_broker.core.errors import (
    ProviderAnswerTooLong,
    ProviderBadAnswer,
    ProviderDns,
    ProviderError,
    ProviderRefused,
    ProviderReset,
    ProviderTimeout,
    ProviderTls,
)
from hero_broker.util.timeouts import wait_at_most

SWEEP_EVERY_S = 1.0
INLINE_BYTES = 64 * 1024  # the largest piece that is passed on in the loop iteration in which it arrives
MAX_INTERIM_RESPONSES = 1_000  # 1xx before a response; more would block the event loop
RESEND_WITHIN_S = 1.0  # after a request was written to a pooled connection that is lost
SWITCHING_PROTOCOLS = 101  # the only status below 200 that is a final response
STATUS_BYTES = 16  # the first bytes of a response, kept so that its status is known even if its head is incomplete
CHECK_IDLE_S = 0.02  # a pooled connection that was idle for longer is checked before it is reused
PLAIN = ("", "identity")  # values of content-encoding that mean no coding
_GZIP, _ZLIB, _RAW_DEFLATE = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_WINDOW_BITS = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}
_ERROR_STATUS = re.compile(rb"HTTP/1\.[01] ([45]\d\d)")

_INCOMPLETE = "The provider's response is incomplete."

# What aiohttp raises if a provider fails, and if a connection is lost.
_FAILURES = (TimeoutError, aiohttp.ClientError, HttpProcessingError)
_DISCONNECTS = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Time limits for one request to a provider, in seconds."""

    connect_s: float = 5
    first_byte_s: float = 60  # of an event stream
    idle_s: float = 60
    total_s: float = 600
    whole_s: float = 600  # silence before the body of a response that is not streamed


@dataclass(frozen=True, slots=True)
class Provider:
    """A service that answers calls, and how to reach it."""

    name: str
    base_url: str
    api_keys: tuple[str, ...]
    stream_usage: bool
    timeouts: Timeouts | None = None  # None: the defaults for all providers


class Sending(Protocol):
    """Records what was sent of a call; updated at the moment in which data is written to a connection."""

    is_sent: bool  # some of the call was sent
    attempts: int  # number of requests sent for it, from 1


class Content(Protocol):
    """A body as it arrives."""

    def read_nowait(self) -> bytes: ...
    async def readany(self) -> bytes: ...
    def at_eof(self) -> bool: ...


class UpstreamResponse:
    """A provider's response: status, headers, and the body as it arrives, with gzip and deflate decoded."""

    key_number = 0  # which of the provider's keys was used, from 1; 0 without one

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        content: aiohttp.StreamReader,
        connection: "_Connection | None",
        end: Callable[[bool], None],
    ) -> None:
        """Wrap a response, with its connection if it is incomplete; `end` gets whether the body was read to its end."""
        self.status = status
        self.headers = headers
        self._received = content
        self._content: Content = content
        self.coding: str | None = None  # the body's content coding, if we cannot decode it
        self._connection = connection
        self._end = end
        if (header := headers.get("content-encoding")) is not None:
            coding = header.strip().lower()
            if coding in _WINDOW_BITS:
                self._content = _DecodedBody(content, coding)
            elif coding not in PLAIN:
                self.coding = coding

    async def read(self) -> bytes:
        """Wait for the next piece of the decoded body and return it; empty at its end.

        Raises:
            ProviderBadAnswer: the body cannot be decoded.
            ProviderError: the provider disconnected, or was silent for too long.
        """
        self.check_coding()
        content = self._content
        try:
            while not content.at_eof():
                if piece := await content.readany():
                    return piece
        except (TimeoutError, aiohttp.ClientError) as error:
            raise _body_error(error) from error
        return b""

    def check_coding(self) -> None:
        """Check that the body can be decoded.

        Raises:
            ProviderBadAnswer: the body has a content coding that we neither accept nor decode.
        """
        if self.coding is not None:
            detail = f"content-encoding {self.coding[:40]!r}"
            raise ProviderBadAnswer(
                "The provider's response has a content coding that was not accepted.", detail=detail
            )

    async def read_all(self, max_bytes: int) -> bytes:
        """Return the whole body.

        Raises:
            ProviderError: the body is longer than `max_bytes`, or the provider disconnected or was silent for too
                long.
        """
        pieces = []
        left = max_bytes
        while piece := await self.read():
            left -= len(piece)
            if left < 0:
                raise ProviderAnswerTooLong("The provider's response is too long.")
            pieces.append(piece)
        return b"".join(pieces)

    async def stream_to(self, take: Callable[[bytes], bool]) -> bool:
        """Pass each piece of the body to `take` until it returns False; return whether more may come.

        A piece is passed on in the event loop's iteration in which it arrives, a large one in the next. Waking a task
        for each event instead would take a fifth of a stream's total time.

        Raises:
            ProviderError: the provider disconnected, or was silent for too long.
        """
        reader = _PushReader(self._content, take)
        reader.pump()
        connection = self._connection
        if connection is not None and not reader.may_continue.done():
            connection.on_body_change = reader.pump
        try:
            return await reader.may_continue
        except (TimeoutError, aiohttp.ClientError) as error:
            raise _body_error(error) from error
        finally:
            if connection is not None and connection.on_body_change == reader.pump:  # else it serves another call
                connection.on_body_change = None

    def close(self) -> None:
        """Return the connection to the pool, or close it if the response was not read to its end."""
        self._end(self._received.at_eof())


class _DecodedBody:
    """A body in gzip or deflate, decoded piece by piece; a `Content`.

    The HTTP client does not decode: if it lacks a coding, it rejects the whole response, head and status included.
    """

    def __init__(self, content: aiohttp.StreamReader, coding: str) -> None:
        self._content = content
        self._coding = coding
        self._encoded = b""
        self._decompressor = zlib.decompressobj(_WINDOW_BITS[coding])
        self._has_begun = False  # the coding's variant is known
        self._has_more = False  # the last piece had the maximum length

    def read_nowait(self) -> bytes:
        """Return what has arrived, at most `INLINE_BYTES` decoded.

        Raises:
            ProviderBadAnswer: the body is not in the coding that its header names, or is truncated.
        """
        while True:
            if self._encoded or self._has_more:
                if piece := self._decompress():
                    return piece
                continue
            self._encoded = self._content.read_nowait()
            if not self._encoded:
                if self._content.at_eof() and not self.at_eof():
                    raise ProviderBadAnswer("The provider's response is truncated.", detail=self._coding)
                return b""

    async def readany(self) -> bytes:
        """Wait for the next decoded piece and return it; empty at the end."""
        while not (piece := self.read_nowait()) and not self.at_eof():
            self._encoded = await self._content.readany()
        return piece

    def at_eof(self) -> bool:
        """Return whether nothing more will come."""
        is_complete = self._decompressor.eof or not self._has_begun
        return is_complete and not self._encoded and self._content.at_eof()

    def _decompress(self) -> bytes:
        encoded, self._encoded, self._has_more = self._encoded, b"", False
        if not self._has_begun:
            self._has_begun = True
            if self._coding == "deflate" and encoded[0] & 0xF != zlib.DEFLATED:  # some omit the zlib header
                self._decompressor = zlib.decompressobj(_RAW_DEFLATE)
        elif self._decompressor.eof:  # gzip may have several members; anything else that follows is padding
            if self._coding == "deflate" or not encoded.startswith(b"\x1f\x8b"):
                return b""
            self._decompressor = zlib.decompressobj(_GZIP)
        try:
            piece = self._decompressor.decompress(encoded, INLINE_BYTES)
        except zlib.error as error:
            message = "The provider's response is not in the coding that its content-encoding header names."
            raise ProviderBadAnswer(message, detail=self._coding) from error
        self._encoded = self._decompressor.unconsumed_tail or self._decompressor.unused_data
        self._has_more = len(piece) == INLINE_BYTES and not self._decompressor.eof
        return piece


class _PushReader:
    """Passes the pieces of a body to `take`."""

    __slots__ = ("_content", "_is_busy", "_take", "may_continue")

    def __init__(self, content: Content, take: Callable[[bytes], bool]) -> None:
        self._content = content
        self._take = take
        self._is_busy = False
        # Done at the end; the result is whether more may come.
        self.may_continue: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def pump(self) -> None:
        """Pass on what has arrived."""
        if self._is_busy or self.may_continue.done():  # reading may resume the connection, which calls this again
            return
        self._is_busy = True
        try:
            passed = 0
            while piece := self._content.read_nowait():
                if not self._take(piece):
                    self.may_continue.set_result(True)
                    return
                passed += len(piece)
                if passed > INLINE_BYTES:  # a few kB may decode to many MB, which must not block the event loop
                    asyncio.get_running_loop().call_soon(self.pump)
                    return
            if self._content.at_eof():
                self.may_continue.set_result(False)
        except Exception as error:  # raised in the task that awaits the body
            self.may_continue.set_exception(error)
        finally:
            self._is_busy = False


class _Connection(ResponseHandler):
    """A connection that wakes the body's reader on disconnects and parse errors; aiohttp alone would leave it waiting.

    It sets no timers: `_Deadline` checks whether data has arrived. It knows whether it can be reused.
    """

    on_body_change: Callable[[], None] | None = None  # called when data, the end or a failure of the body arrives
    has_served = False  # an earlier request was sent on it
    idle_since = 0.0  # by the event loop's clock
    first_bytes = b""  # of the response that is being read
    _poll: "select.poll | None" = None

    def is_connected(self) -> bool:
        """Return whether it can be used; aiohttp calls this before it reuses a pooled connection.

        A disconnect or an unexpected response may have arrived that the event loop has not seen yet. Polling the
        socket takes a microsecond, and is skipped if the connection was idle for less than `CHECK_IDLE_S`.
        """
        if not super().is_connected() or self._should_close or self._buffer or self._tail:
            return False
        return self._loop.time() - self.idle_since < CHECK_IDLE_S or not self._has_unread()

    def _has_unread(self) -> bool:
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(cast(asyncio.Transport, self.transport).get_extra_info("socket"), select.POLLIN)
        return bool(self._poll.poll(0))

    def set_response_params(self, **params: object) -> None:
        """Prepare for the response to a session's request."""
        self.first_bytes = b""
        super().set_response_params(**params)  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        if not self.first_bytes:
            self.first_bytes = data[:STATUS_BYTES]
        super().data_received(data)
        if self.on_body_change is None:
            return
        if len(data) <= INLINE_BYTES:
            self.on_body_change()
        else:  # reading a flood at once would let the loop take in megabytes before it serves other connections
            self._loop.call_soon(self.on_body_change)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self.on_body_change is not None:
            self.on_body_change()

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        exc.__dict__["first_bytes"] = self.first_bytes  # so that they are known even if a session raises it
        super().set_exception(exc, *cause)
        body = self._payload
        if body is None or body.is_eof():
            return
        if isinstance(exc, HttpProcessingError):
            body.set_exception(aiohttp.ClientPayloadError("The body's framing is broken."))
        elif isinstance(exc, aiohttp.SocketTimeoutError):
            body.set_exception(exc)
        if self.on_body_change is not None:
            self.on_body_change()

    @property
    def body_bytes(self) -> int:
        """How many bytes of a body have arrived; 0 before there is a body."""
        return 0 if self._payload is None else self._payload.total_bytes

    @property
    def is_held_up(self) -> bool:
        """Whether silence is not the provider's fault: we are still sending the request, or have paused reading."""
        if self._reading_paused:
            return True
        return self.transport is not None and self.transport.get_write_buffer_size() > 0


class _Deadline:
    """The deadline of an open request: its total time, and how long its provider may be silent.

    A response that is not streamed may be silent after its head for as long as before it: some providers send the head
    at once.
    """

    __slots__ = (
        "_all",
        "_body_bytes",
        "_connection",
        "_ends_at",
        "_has_headers",
        "_idle_s",
        "_quiet_since",
        "_silent_s",
        "protocol",
    )

    def __init__(
        self,
        connection: "_ConnectionHandle",
        protocol: _Connection,
        now: float,
        ends_at: float,
        silent_s: float,
        idle_s: float,
        all_open: "set[_Deadline]",
    ) -> None:
        self._connection = connection
        self.protocol = protocol
        self._ends_at = ends_at
        self._quiet_since = now
        self._body_bytes = protocol.body_bytes  # of the connection's previous response
        self._silent_s = silent_s
        self._idle_s = idle_s
        self._has_headers = False
        self._all = all_open
        all_open.add(self)

    def got_headers(self, *, is_stream: bool) -> None:
        """Note that the head of the response has arrived."""
        self._has_headers = True
        if is_stream:
            self._silent_s = self._idle_s
        self._body_bytes = -1  # so that the next check sees a change

    def check(self, now: float) -> None:
        """Fail the request if its time is over."""
        protocol = self.protocol
        body_bytes = protocol.body_bytes
        if body_bytes != self._body_bytes or protocol.is_held_up:
            self._body_bytes = body_bytes
            self._quiet_since = now
            if body_bytes and self._has_headers:
                self._silent_s = self._idle_s
        if now >= min(self._ends_at, self._quiet_since + self._silent_s):
            protocol.set_exception(aiohttp.SocketTimeoutError("The provider did not answer in time."))

    def forget(self) -> None:
        """Stop checking it."""
        self._all.discard(self)

    def end(self, is_complete: bool) -> None:
        """Return the connection to the pool, or close it if the response was not read to its end."""
        self._all.discard(self)
        if is_complete:
            self.protocol.idle_since = self.protocol._loop.time()
            self._connection.release()
        else:
            self._connection.close()


class _ConnectionHandle(Protocol):
    """What releases or closes the connection of a request."""

    def release(self) -> object: ...
    def close(self) -> None: ...


class _RequestTemplate:
    """What all requests to one URL with one key have in common: request line and headers."""

    def __init__(self, url: str, key: str | None) -> None:
        headers = {"accept-encoding": "identity", "content-type": "application/json"}
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        self.request = aiohttp.ClientRequest("POST", URL(url), headers=headers)
        lines = [f"POST {self.request.url.raw_path_qs} HTTP/1.1"]
        lines += [
            f"{name}: {value}" for name, value in self.request.headers.items() if name.lower() != "content-length"
        ]
        self.head = "\r\n".join(lines).encode()


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
    ) -> None:
        """Take a session, its connector, and an `unpooled` connector whose connections are always new."""
        self._session = session
        self._connector = connector
        self._unpooled = unpooled
        self._timeouts = timeouts
        self._sweep_every_s = sweep_every_s
        self._connecting: dict[str, aiohttp.ClientTimeout] = {}  # by the provider's name
        self._turn = itertools.count()
        self._open: set[_Deadline] = set()
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
        key = keys[number] if keys else None
        timeouts = provider.timeouts or self._timeouts
        try:
            if isinstance(body, bytes):
                connecting = self._connecting.get(provider.name) or self._connect_timeout(provider.name, timeouts)
                template, ends_at = self._template(url, key), self._now() + timeouts.total_s
                send = partial(
                    self._send,
                    connecting,
                    template,
                    client_headers,
                    body,
                    sending,
                    timeouts,
                    ends_at,
                    is_stream=is_stream,
                )
                try:
                    reply = await send(self._connector)
                except _PooledConnectionLostError:
                    sending.attempts += 1
                    reply = await send(self._unpooled)
            else:
                reply = await self._upload(url, key, client_headers, body, sending, timeouts, is_stream=is_stream)
        except _FAILURES as error:
            error_response = _error_response(error)
            if error_response is None:
                raise _no_response_error(error, sending) from error
            reply = error_response
        reply.key_number = number + 1
        return reply

    def _connect_timeout(self, provider: str, timeouts: Timeouts) -> aiohttp.ClientTimeout:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect_s)
        self._connecting[provider] = timeout
        return timeout

    async def _send(
        self,
        connecting: aiohttp.ClientTimeout,
        template: _RequestTemplate,
        client_headers: Sequence[tuple[str, str]],
        body: bytes,
        sending: Sending,
        timeouts: Timeouts,
        ends_at: float,
        connector: aiohttp.TCPConnector,
        *,
        is_stream: bool,
    ) -> UpstreamResponse:
        now = self._now()
        connection = await wait_at_most(ends_at - now, connector.connect(template.request, [], connecting))
        protocol = cast(_Connection, connection.protocol)
        silent_s = timeouts.first_byte_s if is_stream else timeouts.whole_s
        deadline = _Deadline(connection, protocol, self._now(), ends_at, silent_s, timeouts.idle_s, self._open)
        had_served, protocol.has_served = protocol.has_served, True
        try:
            protocol.first_bytes = b""
            ResponseHandler.set_response_params(protocol, read_until_eof=True, auto_decompress=False)
            more = b"".join(b"\r\n%s: %s" % (name.encode(), value.encode("latin-1")) for name, value in client_headers)
            head = b"%s%s\r\ncontent-length: %d\r\n\r\n" % (template.head, more, len(body))
            cast(asyncio.Transport, protocol.transport).write(head + body)
            sending.is_sent = True
            sent_at = self._now()
            message, content = await protocol.read()
            interim = 0
            while 100 <= message.code < 200 and message.code != SWITCHING_PROTOCOLS:
                if (interim := interim + 1) > MAX_INTERIM_RESPONSES:
                    raise HttpProcessingError(message="too many interim responses")
                message, content = await protocol.read()
        except BaseException as error:
            deadline.end(is_complete=False)
            is_unread = had_served and isinstance(error, _DISCONNECTS) and not protocol.first_bytes
            # Later than that the provider may have worked on the call, and charge for it.
            if is_unread and self._now() - sent_at < RESEND_WITHIN_S:
                raise _PooledConnectionLostError from error
            raise
        deadline.got_headers(is_stream=is_stream)
        return UpstreamResponse(message.code, message.headers, content, protocol, deadline.end)

    async def _upload(
        self,
        url: str,
        key: str | None,
        client_headers: Sequence[tuple[str, str]],
        body: UploadBody,
        sending: Sending,
        timeouts: Timeouts,
        *,
        is_stream: bool,
    ) -> UpstreamResponse:
        headers = {**dict(client_headers), "accept-encoding": "identity", "content-type": body.content_type}
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
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
        connection = cast(_Connection, protocol)
        connection.has_served = True
        connection.read_timeout = None
        connection.start_timeout()
        deadline = _Deadline(response, connection, self._now(), ends_at, silent_s, timeouts.idle_s, self._open)
        deadline.got_headers(is_stream=is_stream)
        response.content.on_eof(deadline.forget)  # at the end, the session gives the connection to others at once
        return UpstreamResponse(response.status, response.headers, response.content, connection, deadline.end)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Check the deadlines of all open requests periodically, inside the block."""
        watching = asyncio.create_task(self._watch(), name="upstream")
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._sweep_every_s)
            with self.watching.attempt():
                now = self._now()
                for deadline in list(self._open):
                    deadline.check(now)


@lru_cache(maxsize=1024)
def _url(text: str) -> URL:
    return URL(text)


class _PooledConnectionLostError(Exception):
    """A reused connection was lost before the first byte of a response."""


@asynccontextmanager
async def open_upstream(timeouts: Timeouts, max_calls: int, others: Sequence[Timeouts] = ()) -> AsyncIterator[Upstream]:
    """Open the connection pool inside the block; `others` are the time limits that single providers have."""
    connector = aiohttp.TCPConnector(limit=max_calls)
    unpooled = aiohttp.TCPConnector(limit=max_calls, force_close=True)
    connection: type[ResponseHandler] = _Connection
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
        upstream = Upstream(session, connector, unpooled, timeouts, min(SWEEP_EVERY_S, least_s / 10))
        async with upstream.running():
            yield upstream


async def _record_sent(chunks: AsyncIterator[bytes], sending: Sending) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        sending.is_sent = True
        yield chunk


def _body_error(error: Exception) -> ProviderError:
    if isinstance(error, TimeoutError):
        return ProviderTimeout("The provider did not answer in time.")
    return ProviderError(_INCOMPLETE)


def _error_response(error: Exception) -> UpstreamResponse | None:
    """Return a response with an error status whose head is incomplete or malformed; None if there is no such status."""
    status_line = _ERROR_STATUS.match(_first_bytes(error))
    if status_line is None:
        return None
    return UpstreamResponse(int(status_line.group(1)), {}, EMPTY_PAYLOAD, None, lambda _is_complete: None)


def _no_response_error(error: Exception, sending: Sending) -> ProviderError:
    """Return the reason why no head of a response was read.

    A provider may charge for a response that we could not read or did not wait for. So a provider counts as not reached
    only if not a byte of a response arrived and the time was not over.
    """
    if isinstance(error, TimeoutError):
        return ProviderTimeout("The provider did not answer in time.", may_charge=sending.is_sent)
    causes = list(_causes(error))
    if any(isinstance(cause, HttpProcessingError) for cause in causes):
        return ProviderBadAnswer("The provider's response is not valid HTTP.", may_charge=True)
    if _first_bytes(error):
        return ProviderError(_INCOMPLETE, may_charge=True)
    for cause in causes:
        if isinstance(cause, aiohttp.ClientConnectorDNSError):
            return ProviderDns("The host name of the provider could not be resolved.", detail=cause.os_error.strerror)
    faults = [cause for cause in causes if isinstance(cause, ssl.SSLError)]
    if faults:
        detail = getattr(faults[-1], "verify_message", None) or faults[-1].reason
        return ProviderTls("The TLS connection to the provider failed.", detail=detail)
    numbers = [cause.errno for cause in causes if isinstance(cause, OSError) and cause.errno]
    detail = os.strerror(numbers[-1]) if numbers and numbers[-1] > 0 else None
    if errno.ECONNREFUSED in numbers:
        return ProviderRefused("The provider's host refuses connections.", detail=detail)
    if errno.ETIMEDOUT in numbers:
        return ProviderTimeout("The provider did not answer in time.", detail=detail, may_charge=sending.is_sent)
    if sending.is_sent or not _RESETS.isdisjoint(numbers):
        return ProviderReset("The provider closed the connection without a response.", detail=detail)
    return ProviderError("The provider could not be reached.", detail=detail)


_RESETS = frozenset({errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE})


def _first_bytes(error: Exception) -> bytes:
    """Return the first bytes of the response during which `error` occurred."""
    return next((data for cause in _causes(error) if (data := cause.__dict__.get("first_bytes"))), b"")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
