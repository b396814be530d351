"""The one module that knows the HTTP client of the hot path: aiohttp's."""

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
INLINE_BYTES = 64 * 1024  # are handed on in the turn of the event loop in which they come
SWITCHING_PROTOCOLS = 101  # the one status below 200 that is an answer
STATUS_BYTES = 16  # of an answer are kept, so that its status is known even if its head is never whole
CHECK_IDLE_S = 0.02  # a connection that was kept for longer is looked at before it is used again
PLAIN = ("", "identity")  # content codings that are none
_GZIP, _ZLIB, _BARE = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_UNPACKED = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}
_STATUS = re.compile(rb"HTTP/1\.[01] ([45]\d\d)")  # of a refusal

# What aiohttp raises where a provider fails, and where a connection ends.
_FAILURES = (TimeoutError, aiohttp.ClientError, HttpProcessingError)
_ENDS = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Bounds on one exchange with a provider, in seconds."""

    connect_s: float = 5
    first_byte_s: float = 60  # of a stream
    idle_s: float = 60
    total_s: float = 600
    whole_s: float = 600  # silence before the body of an answer that is not streamed


@dataclass(frozen=True, slots=True)
class Provider:
    """Where calls go."""

    name: str
    base_url: str
    api_keys: tuple[str, ...]
    stream_usage: bool
    timeouts: Timeouts | None = None  # None: those of all providers


class Sending(Protocol):
    """Is told what leaves of a call, in the moment in which it is handed to a connection."""

    is_sent: bool  # something of the call has left
    attempts: int  # requests that were made of it, from 1


class Content(Protocol):
    """A body as it arrives."""

    def read_nowait(self) -> bytes: ...
    async def readany(self) -> bytes: ...
    def at_eof(self) -> bool: ...


class UpstreamResponse:
    """A provider's answer: status, headers and the body as it arrives, unpacked where it comes in gzip or deflate."""

    key_number = 0  # which of the provider's keys was used, from 1; 0 without one

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        content: aiohttp.StreamReader,
        connection: "_Connection | None",
        end: Callable[[bool], None],
    ) -> None:
        """Take an answer, and its connection if more is to come; `end` is told whether its body was read to its end."""
        self.status = status
        self.headers = headers
        self._received = content
        self._content: Content = content
        self.coding: str | None = None  # of its body, if nobody here reads it
        self._connection = connection
        self._end = end
        if (named := headers.get("content-encoding")) is not None:
            coding = named.strip().lower()
            if coding in _UNPACKED:
                self._content = _Unpacked(content, coding)
            elif coding not in PLAIN:
                self.coding = coding

    async def read(self) -> bytes:
        """Return what has come of the body, unpacked, once something has; empty at its end.

        Raises:
            ProviderBadAnswer: it cannot be unpacked.
            ProviderError: the provider broke off, or was silent for too long.
        """
        self.check_coding()
        content = self._content
        try:
            while not content.at_eof():
                if piece := await content.readany():
                    return piece
        except (TimeoutError, aiohttp.ClientError) as error:
            raise _provider_error("broke off", error) from error
        return b""

    def check_coding(self) -> None:
        """Return if the body can be read.

        Raises:
            ProviderBadAnswer: it came in a coding that was not offered, and that nobody here reads.
        """
        if self.coding is not None:
            detail = f"content-encoding {self.coding[:40]!r}"
            raise ProviderBadAnswer("The provider's answer comes in a coding that was not offered.", detail=detail)

    async def read_all(self, max_bytes: int) -> bytes:
        """Return the body.

        Raises:
            ProviderError: it is longer, or the provider broke off, or was silent for too long.
        """
        pieces = []
        left = max_bytes
        while piece := await self.read():
            left -= len(piece)
            if left < 0:
                raise ProviderAnswerTooLong("The provider's answer is too long.")
            pieces.append(piece)
        return b"".join(pieces)

    async def stream_to(self, take: Callable[[bytes], bool]) -> bool:
        """Hand each piece of the body to `take` in the turn of the event loop in which it comes, until it says False.

        A large piece waits for the next turn. Return whether more may come. To wake a task for each event of a stream
        would take a fifth of all its time.

        Raises:
            ProviderError: the provider broke off, or was silent for too long.
        """
        handing = _PushReader(self._content, take)
        handing.pump()
        connection = self._connection
        if connection is not None and not handing.is_over.done():
            connection.when_heard = handing.pump
        try:
            return await handing.is_over
        except (TimeoutError, aiohttp.ClientError) as error:
            raise _provider_error("broke off", error) from error
        finally:
            if connection is not None and connection.when_heard == handing.pump:  # else it serves another call
                connection.when_heard = None

    def close(self) -> None:
        """Give the connection back, or close it where the answer was not read to its end."""
        self._end(self._received.at_eof())


class _Unpacked:
    """A body in gzip or deflate, unpacked piece by piece; a `Content`.

    The HTTP client does not unpack: it would fail with the head of an answer whose coding it lacks, status and all.
    """

    def __init__(self, content: aiohttp.StreamReader, coding: str) -> None:
        self._content = content
        self._coding = coding
        self._packed = b""
        self._unpacker = zlib.decompressobj(_UNPACKED[coding])
        self._has_begun = False  # the coding's variant is known
        self._has_more = False  # the last piece was as long as it may be

    def read_nowait(self) -> bytes:
        """Return what has come, at most `INLINE_BYTES` unpacked.

        Raises:
            ProviderBadAnswer: it is not what its head says, or has ended too early.
        """
        while True:
            if self._packed or self._has_more:
                if piece := self._unpack():
                    return piece
                continue
            self._packed = self._content.read_nowait()
            if not self._packed:
                if self._content.at_eof() and not self.at_eof():
                    raise ProviderBadAnswer("The provider's answer ends too early.", detail=self._coding)
                return b""

    async def readany(self) -> bytes:
        """Return what has come, once something has; empty at the end."""
        while not (piece := self.read_nowait()) and not self.at_eof():
            self._packed = await self._content.readany()
        return piece

    def at_eof(self) -> bool:
        """Return whether nothing more will come."""
        is_whole = self._unpacker.eof or not self._has_begun
        return is_whole and not self._packed and self._content.at_eof()

    def _unpack(self) -> bytes:
        packed, self._packed, self._has_more = self._packed, b"", False
        if not self._has_begun:
            self._has_begun = True
            if self._coding == "deflate" and packed[0] & 0xF != zlib.DEFLATED:  # some send it without zlib's frame
                self._unpacker = zlib.decompressobj(_BARE)
        elif self._unpacker.eof:  # gzip may have several members; whatever else follows is padding
            if self._coding == "deflate" or not packed.startswith(b"\x1f\x8b"):
                return b""
            self._unpacker = zlib.decompressobj(_GZIP)
        try:
            piece = self._unpacker.decompress(packed, INLINE_BYTES)
        except zlib.error as error:
            message = "The provider's answer is not in the coding that its head names."
            raise ProviderBadAnswer(message, detail=self._coding) from error
        self._packed = self._unpacker.unconsumed_tail or self._unpacker.unused_data
        self._has_more = len(piece) == INLINE_BYTES and not self._unpacker.eof
        return piece


class _PushReader:
    """Pieces of a body on their way to `take`."""

    __slots__ = ("_content", "_is_busy", "_take", "is_over")

    def __init__(self, content: Content, take: Callable[[bytes], bool]) -> None:
        self._content = content
        self._take = take
        self._is_busy = False
        # Whether more may come, once that is known.
        self.is_over: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def pump(self) -> None:
        """Hand on what has come."""
        if self._is_busy or self.is_over.done():  # reading lets the connection hear more, within this very call
            return
        self._is_busy = True
        try:
            while piece := self._content.read_nowait():
                if not self._take(piece):
                    self.is_over.set_result(True)
                    return
            if self._content.at_eof():
                self.is_over.set_result(False)
        except Exception as error:  # it is raised where the body is waited for
            self.is_over.set_exception(error)
        finally:
            self._is_busy = False


class _Connection(ResponseHandler):
    """A connection that tells the reader of a body what has happened to it; aiohttp itself lets him wait on.

    It sets no timers: `_Open` looks whether anything was heard. It knows whether it can be used again.
    """

    when_heard: Callable[[], None] | None = None  # told that more of a body has come, or its end, or that none will
    has_served = False  # another request was sent on it before
    idle_since = 0.0  # by the event loop's clock
    began = b""  # the first bytes of the answer that is read
    _poll: "select.poll | None" = None

    def is_connected(self) -> bool:
        """Return whether it can be used; aiohttp asks before it takes a connection that was kept.

        An end, or an answer to nobody, may have come that the event loop has not seen yet. To ask the system takes a
        microsecond, which is left out while the connection is busy.
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
        """Prepare for the answer to a session's request."""
        self.began = b""
        super().set_response_params(**params)  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        if not self.began:
            self.began = data[:STATUS_BYTES]
        super().data_received(data)
        if self.when_heard is None:
            return
        if len(data) <= INLINE_BYTES:
            self.when_heard()
        else:  # of a flood the loop reads megabytes before any other connection's turn, unless they are left unread
            self._loop.call_soon(self.when_heard)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self.when_heard is not None:
            self.when_heard()

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        exc.__dict__["began"] = self.began  # so that it is known where a session raises it, too
        super().set_exception(exc, *cause)
        body = self._payload
        if body is None or body.is_eof():
            return
        if isinstance(exc, HttpProcessingError):
            body.set_exception(aiohttp.ClientPayloadError("The body's framing is broken."))
        elif isinstance(exc, aiohttp.SocketTimeoutError):
            body.set_exception(exc)
        if self.when_heard is not None:
            self.when_heard()

    @property
    def heard_bytes(self) -> int:
        """How much of a body has come; 0 before there is one."""
        return 0 if self._payload is None else self._payload.total_bytes

    @property
    def is_held_up(self) -> bool:
        """Whether it is not the provider's turn to speak: it is being sent the request, or is not read."""
        if self._reading_paused:
            return True
        return self.transport is not None and self.transport.get_write_buffer_size() > 0


class _Deadline:
    """An exchange that is not over, and how long its provider may be silent.

    An answer that is not streamed may be silent for as long behind its head as before it: some send the head at once.
    """

    __slots__ = (
        "_all",
        "_connection",
        "_ends_at",
        "_has_begun",
        "_heard_bytes",
        "_idle_s",
        "_quiet_since",
        "_silent_s",
        "protocol",
    )

    def __init__(
        self,
        connection: "_Held",
        protocol: _Connection,
        now: float,
        ends_at: float,
        silent_s: float,
        idle_s: float,
        among: "set[_Deadline]",
    ) -> None:
        self._connection = connection
        self.protocol = protocol
        self._ends_at = ends_at
        self._quiet_since = now
        self._heard_bytes = protocol.heard_bytes  # of the answer before this one
        self._silent_s = silent_s
        self._idle_s = idle_s
        self._has_begun = False
        self._all = among
        among.add(self)

    def got_headers(self, *, is_stream: bool) -> None:
        """Take note that the head of the answer has come."""
        self._has_begun = True
        if is_stream:
            self._silent_s = self._idle_s
        self._heard_bytes = -1  # the next look finds that something was heard

    def check(self, now: float) -> None:
        """End the exchange if its time is over."""
        protocol = self.protocol
        heard_bytes = protocol.heard_bytes
        if heard_bytes != self._heard_bytes or protocol.is_held_up:
            self._heard_bytes = heard_bytes
            self._quiet_since = now
            if heard_bytes and self._has_begun:
                self._silent_s = self._idle_s
        if now >= min(self._ends_at, self._quiet_since + self._silent_s):
            protocol.set_exception(aiohttp.SocketTimeoutError("The provider did not answer in time."))

    def forget(self) -> None:
        """Look at it no longer."""
        self._all.discard(self)

    def end(self, is_whole: bool) -> None:
        """Give the connection back, or close it."""
        self._all.discard(self)
        if is_whole:
            self.protocol.idle_since = self.protocol._loop.time()
            self._connection.release()
        else:
            self._connection.close()


class _Held(Protocol):
    """A connection that an exchange has for itself, or what stands for one."""

    def release(self) -> object: ...
    def close(self) -> None: ...


class _RequestTemplate:
    """A provider's route with one of its keys: what every request to it has in common."""

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
    """Connections to providers. Keys take turns; redirects are not followed, the environment's proxies not used.

    What is sent as a whole goes to aiohttp's connections directly, as its session would send it: made anew for each
    call, what a session does around them takes three times as long. Uploads, which are read from while they are sent,
    are left to the session.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        connector: aiohttp.TCPConnector,
        anew: aiohttp.TCPConnector,
        timeouts: Timeouts,
        look_every_s: float,
    ) -> None:
        """Take a session, its connector, and one that keeps no connection, so that each of its is new."""
        self._session = session
        self._connector = connector
        self._anew = anew
        self._timeouts = timeouts
        self._look_every_s = look_every_s
        self._connecting: dict[str, aiohttp.ClientTimeout] = {}  # by the provider's name
        self._turn = itertools.count()
        self._open: set[_Deadline] = set()
        self.watching = Duty("upstream", "providers that are silent for too long are given up")
        self._now = asyncio.get_running_loop().time
        self._template = lru_cache(maxsize=1024)(_RequestTemplate)

    async def post(
        self,
        provider: Provider,
        url: str,
        passed: Sequence[tuple[str, str]],
        body: bytes | UploadBody,
        sending: Sending,
        *,
        is_stream: bool,
    ) -> UpstreamResponse:
        """Send `body`, which is JSON or a form, and return the reply, to be closed, once its head is there.

        The time to the first byte counts from when the whole body was sent. `passed` are the client's headers.
        If a connection that was kept ends before a byte of an answer, JSON is sent once more, on a new one.

        Raises:
            ProviderTimeout: the provider did not answer in time.
            ProviderBadAnswer: what it sent is not HTTP.
            ProviderError: it could not be reached, or the form broke off (then the form has its failure).
        """
        keys = provider.api_keys
        number = next(self._turn) % len(keys) if keys else -1
        key = keys[number] if keys else None
        timeouts = provider.timeouts or self._timeouts
        try:
            if isinstance(body, bytes):
                connecting = self._connecting.get(provider.name) or self._connects(provider.name, timeouts)
                target, ends_at = self._template(url, key), self._now() + timeouts.total_s
                send = partial(
                    self._send, connecting, target, passed, body, sending, timeouts, ends_at, is_stream=is_stream
                )
                try:
                    reply = await send(self._connector)
                except _KeptConnectionEndedError:
                    sending.attempts += 1
                    reply = await send(self._anew)
            else:
                reply = await self._upload(url, key, passed, body, sending, timeouts, is_stream=is_stream)
        except _FAILURES as error:
            refusal = _refusal(error)
            if refusal is None:
                raise _unanswered(error, sending) from error
            reply = refusal
        reply.key_number = number + 1
        return reply

    def _connects(self, provider: str, timeouts: Timeouts) -> aiohttp.ClientTimeout:
        found = aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect_s)
        self._connecting[provider] = found
        return found

    async def _send(
        self,
        connecting: aiohttp.ClientTimeout,
        target: _RequestTemplate,
        passed: Sequence[tuple[str, str]],
        body: bytes,
        sending: Sending,
        timeouts: Timeouts,
        ends_at: float,
        connector: aiohttp.TCPConnector,
        *,
        is_stream: bool,
    ) -> UpstreamResponse:
        now = self._now()
        connection = await wait_at_most(ends_at - now, connector.connect(target.request, [], connecting))
        protocol = cast(_Connection, connection.protocol)
        silent_s = timeouts.first_byte_s if is_stream else timeouts.whole_s
        opened = _Deadline(connection, protocol, self._now(), ends_at, silent_s, timeouts.idle_s, self._open)
        had_served, protocol.has_served = protocol.has_served, True
        try:
            protocol.began = b""
            ResponseHandler.set_response_params(protocol, read_until_eof=True, auto_decompress=False)
            more = b"".join(b"\r\n%s: %s" % (name.encode(), value.encode("latin-1")) for name, value in passed)
            head = b"%s%s\r\ncontent-length: %d\r\n\r\n" % (target.head, more, len(body))
            cast(asyncio.Transport, protocol.transport).write(head + body)
            sending.is_sent = True
            message, content = await protocol.read()
            while 100 <= message.code < 200 and message.code != SWITCHING_PROTOCOLS:
                message, content = await protocol.read()
        except BaseException as error:
            opened.end(is_whole=False)
            if had_served and isinstance(error, _ENDS) and not protocol.began:
                raise _KeptConnectionEndedError from error
            raise
        opened.got_headers(is_stream=is_stream)
        return UpstreamResponse(message.code, message.headers, content, protocol, opened.end)

    async def _upload(
        self,
        url: str,
        key: str | None,
        passed: Sequence[tuple[str, str]],
        body: UploadBody,
        sending: Sending,
        timeouts: Timeouts,
        *,
        is_stream: bool,
    ) -> UpstreamResponse:
        headers = {**dict(passed), "accept-encoding": "identity", "content-type": body.content_type}
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        if body.length is not None:
            headers["content-length"] = str(body.length)
        ends_at = self._now() + timeouts.total_s
        silent_s = timeouts.first_byte_s if is_stream else timeouts.whole_s
        # What is read first is bound by `sock_read`; it is counted from the end of the request's body.
        bounds = aiohttp.ClientTimeout(total=timeouts.total_s, sock_connect=timeouts.connect_s, sock_read=silent_s)
        chunks = _noted(body.chunks(), sending)
        response = await self._session.post(
            _url(url), data=chunks, headers=headers, allow_redirects=False, timeout=bounds
        )
        held = None if response.connection is None else response.connection.protocol
        if held is None:  # all of it has come
            end = lambda is_whole: response.release() if is_whole else response.close()  # noqa: E731
            return UpstreamResponse(response.status, response.headers, response.content, None, end)
        connection = cast(_Connection, held)
        connection.has_served = True
        connection.read_timeout = None
        connection.start_timeout()
        opened = _Deadline(response, connection, self._now(), ends_at, silent_s, timeouts.idle_s, self._open)
        opened.got_headers(is_stream=is_stream)
        response.content.on_eof(opened.forget)  # the session gives the connection to others at once
        return UpstreamResponse(response.status, response.headers, response.content, connection, opened.end)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look at all open exchanges again and again for the time of the block."""
        watching = asyncio.create_task(self._watch(), name="upstream")
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._look_every_s)
            with self.watching.attempt():
                now = self._now()
                for opened in list(self._open):
                    opened.check(now)


@lru_cache(maxsize=1024)
def _url(text: str) -> URL:
    return URL(text)


class _KeptConnectionEndedError(Exception):
    """A connection that had served before ended without a byte of an answer."""


@asynccontextmanager
async def open_upstream(timeouts: Timeouts, max_calls: int, others: Sequence[Timeouts] = ()) -> AsyncIterator[Upstream]:
    """Open the client's connection pool for the time of the block; `others` are bounds that providers may have."""
    connector = aiohttp.TCPConnector(limit=max_calls)
    anew = aiohttp.TCPConnector(limit=max_calls, force_close=True)
    connection: type[ResponseHandler] = _Connection
    for one in (connector, anew):
        one._factory = partial(connection, loop=asyncio.get_running_loop())
    least_s = min(min(one.first_byte_s, one.idle_s, one.total_s, one.whole_s) for one in (timeouts, *others))
    async with (
        anew,
        aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),  # no caller's answer may set what is sent for another
            auto_decompress=False,
            trust_env=False,
        ) as session,
    ):
        upstream = Upstream(session, connector, anew, timeouts, min(SWEEP_EVERY_S, least_s / 10))
        async with upstream.running():
            yield upstream


async def _noted(chunks: AsyncIterator[bytes], sending: Sending) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        sending.is_sent = True
        yield chunk


def _provider_error(what: str, error: Exception) -> ProviderError:
    if isinstance(error, TimeoutError):
        return ProviderTimeout("The provider did not answer in time.")
    return ProviderError(f"The provider {what}.")


def _refusal(error: Exception) -> UpstreamResponse | None:
    """Return an answer whose head never came whole, or cannot be read, but whose status says that it is a refusal."""
    found = _STATUS.match(_began(error))
    if found is None:
        return None
    return UpstreamResponse(int(found.group(1)), {}, EMPTY_PAYLOAD, None, lambda _is_whole: None)


def _unanswered(error: Exception, sending: Sending) -> ProviderError:
    """Return why there is no head of an answer.

    What a provider does is not free because nobody could read it, or waited for it: only where nothing of an answer
    has come, and its time was not over, has the provider not been reached.
    """
    if isinstance(error, TimeoutError):
        return ProviderTimeout("The provider did not answer in time.", may_charge=sending.is_sent)
    causes = list(_causes(error))
    if any(isinstance(cause, HttpProcessingError) for cause in causes):
        return ProviderBadAnswer("The provider's answer is not readable as HTTP.", may_charge=True)
    if _began(error):
        return ProviderError("The provider broke off.", may_charge=True)
    for cause in causes:
        if isinstance(cause, aiohttp.ClientConnectorDNSError):
            return ProviderDns("The name of the provider's host was not found.", detail=cause.os_error.strerror)
    faults = [cause for cause in causes if isinstance(cause, ssl.SSLError)]
    if faults:
        detail = getattr(faults[-1], "verify_message", None) or faults[-1].reason
        return ProviderTls("There is no TLS connection to the provider.", detail=detail)
    numbers = [cause.errno for cause in causes if isinstance(cause, OSError) and cause.errno]
    detail = os.strerror(numbers[-1]) if numbers and numbers[-1] > 0 else None
    if errno.ECONNREFUSED in numbers:
        return ProviderRefused("The provider's host refuses connections.", detail=detail)
    if errno.ETIMEDOUT in numbers:
        return ProviderTimeout("The provider did not answer in time.", detail=detail, may_charge=sending.is_sent)
    if sending.is_sent or not _RESETS.isdisjoint(numbers):
        return ProviderReset("The provider closed the connection without an answer.", detail=detail)
    return ProviderError("The provider could not be reached.", detail=detail)


_RESETS = frozenset({errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE})


def _began(error: Exception) -> bytes:
    """Return the first bytes of the answer that came before this."""
    return next((began for cause in _causes(error) if (began := cause.__dict__.get("began"))), b"")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
