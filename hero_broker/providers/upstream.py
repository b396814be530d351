"""The one module that knows the HTTP client of the hot path: aiohttp's."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from hero_broker.core.calls import UploadBody
from hero_broker.core.errors import ProviderError, ProviderTimeout
from hero_broker.core.waiting import within

LOOK_EVERY_S = 1.0
AT_ONCE_BYTES = 64 * 1024  # are handed on in the turn of the event loop in which they come
SWITCHING = 101  # the one status below 200 that is an answer


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Bounds on one exchange with a provider, in seconds."""

    connect_s: float = 5
    first_byte_s: float = 60
    idle_s: float = 60
    total_s: float = 600


@dataclass(frozen=True, slots=True)
class Provider:
    """Where calls go."""

    name: str
    base_url: str
    api_keys: tuple[str, ...]
    stream_usage: bool


class UpstreamReply:
    """A provider's answer: status, headers and the body as it arrives."""

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
        self._content = content
        self._connection = connection
        self._end = end

    async def read(self) -> bytes:
        """Return what has come of the body, decoded, once something has; empty at its end.

        Raises:
            ProviderError: the provider broke off, or was silent for too long.
        """
        content = self._content
        try:
            while not content.at_eof():
                if piece := await content.readany():
                    return piece
        except (TimeoutError, aiohttp.ClientError) as error:
            raise _failure("broke off", error) from error
        return b""

    async def whole(self, max_bytes: int) -> bytes:
        """Return the body.

        Raises:
            ProviderError: it is longer, or the provider broke off, or was silent for too long.
        """
        pieces = []
        left = max_bytes
        while piece := await self.read():
            left -= len(piece)
            if left < 0:
                raise ProviderError("The provider's answer is too long.", code="provider_answer_too_long")
            pieces.append(piece)
        return b"".join(pieces)

    async def hand_on(self, take: Callable[[bytes], bool]) -> bool:
        """Hand each piece of the body to `take` in the turn of the event loop in which it comes, until it says False.

        A large piece waits for the next turn. Return whether more may come. To wake a task for each event of a stream
        would take a fifth of all its time.

        Raises:
            ProviderError: the provider broke off, or was silent for too long.
        """
        handing = _Handing(self._content, take)
        handing.go_on()
        connection = self._connection
        if connection is not None and not handing.is_over.done():
            connection.when_heard = handing.go_on
        try:
            return await handing.is_over
        except (TimeoutError, aiohttp.ClientError) as error:
            raise _failure("broke off", error) from error
        finally:
            if connection is not None and connection.when_heard == handing.go_on:  # else it serves another call
                connection.when_heard = None

    def close(self) -> None:
        """Give the connection back, or close it where the answer was not read to its end."""
        self._end(self._content.at_eof())


class _Handing:
    """Pieces of a body on their way to `take`."""

    __slots__ = ("_content", "_is_busy", "_take", "is_over")

    def __init__(self, content: aiohttp.StreamReader, take: Callable[[bytes], bool]) -> None:
        self._content = content
        self._take = take
        self._is_busy = False
        # Whether more may come, once that is known.
        self.is_over: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def go_on(self) -> None:
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

    It sets no timers: `_Open` looks whether anything was heard.
    """

    when_heard: Callable[[], None] | None = None  # told that more of a body has come, or its end, or that none will

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.when_heard is None:
            return
        if len(data) <= AT_ONCE_BYTES:
            self.when_heard()
        else:  # of a flood the loop reads megabytes before any other connection's turn, unless they are left unread
            self._loop.call_soon(self.when_heard)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self.when_heard is not None:
            self.when_heard()

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
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


class _Open:
    """An exchange that is not over, and how long its provider may be silent."""

    __slots__ = ("_all", "_connection", "_ends_at", "_heard_bytes", "_quiet_since", "_silent_s", "protocol")

    def __init__(
        self, connection: Connection, protocol: _Connection, now: float, timeouts: Timeouts, among: "set[_Open]"
    ) -> None:
        self._connection = connection
        self.protocol = protocol
        self._ends_at = now + timeouts.total_s
        self._quiet_since = now
        self._heard_bytes = protocol.heard_bytes  # of the answer before this one
        self._silent_s = timeouts.first_byte_s
        self._all = among
        among.add(self)

    def begins(self, silent_s: float) -> None:
        """Take note that the head of the answer has come; its body may pause for `silent_s`."""
        self._silent_s = silent_s
        self._heard_bytes = -1  # the next look finds that something was heard

    def look(self, now: float) -> None:
        """End the exchange if its time is over."""
        protocol = self.protocol
        heard_bytes = protocol.heard_bytes
        if heard_bytes != self._heard_bytes or protocol.is_held_up:
            self._heard_bytes = heard_bytes
            self._quiet_since = now
        if now >= min(self._ends_at, self._quiet_since + self._silent_s):
            protocol.set_exception(aiohttp.SocketTimeoutError("The provider did not answer in time."))

    def end(self, is_whole: bool) -> None:
        """Give the connection back, or close it."""
        self._all.discard(self)
        if is_whole:
            self._connection.release()
        else:
            self._connection.close()


class _Target:
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

    def __init__(self, session: aiohttp.ClientSession, connector: aiohttp.TCPConnector, timeouts: Timeouts) -> None:
        self._session = session
        self._connector = connector
        self._timeouts = timeouts
        self._turn = itertools.count()
        self._open: set[_Open] = set()
        self._now = asyncio.get_running_loop().time
        self._target = lru_cache(maxsize=1024)(_Target)

    async def post(
        self, provider: Provider, url: str, passed: Sequence[tuple[str, str]], body: bytes | UploadBody
    ) -> UpstreamReply:
        """Send `body`, which is JSON or a form, and return the reply, to be closed, once its head is there.

        The time to the first byte counts from when the whole body was sent. `passed` are the client's headers.

        Raises:
            ProviderError: the provider could not be reached, or the form broke off (then the form has its failure).
            ProviderTimeout: it did not answer in time.
        """
        keys = provider.api_keys
        key = keys[next(self._turn) % len(keys)] if keys else None
        try:
            if isinstance(body, bytes):
                return await self._send(self._target(url, key), passed, body)
            return await self._upload(url, key, passed, body)
        except (TimeoutError, aiohttp.ClientError, HttpProcessingError) as error:
            raise _failure("could not be reached", error) from error

    async def _send(self, target: _Target, passed: Sequence[tuple[str, str]], body: bytes) -> UpstreamReply:
        timeouts = self._timeouts
        connecting = self._connector.connect(target.request, [], self._session.timeout)
        connection = await within(timeouts.total_s, connecting)
        protocol = cast(_Connection, connection.protocol)
        opened = _Open(connection, protocol, self._now(), timeouts, self._open)
        try:
            protocol.set_response_params(read_until_eof=True)
            more = b"".join(b"\r\n%s: %s" % (name.encode(), value.encode("latin-1")) for name, value in passed)
            head = b"%s%s\r\ncontent-length: %d\r\n\r\n" % (target.head, more, len(body))
            cast(asyncio.Transport, protocol.transport).write(head + body)
            message, content = await protocol.read()
            while 100 <= message.code < 200 and message.code != SWITCHING:
                message, content = await protocol.read()
        except BaseException:
            opened.end(is_whole=False)
            raise
        opened.begins(timeouts.idle_s)
        return UpstreamReply(message.code, message.headers, content, protocol, opened.end)

    async def _upload(
        self, url: str, key: str | None, passed: Sequence[tuple[str, str]], body: UploadBody
    ) -> UpstreamReply:
        headers = {**dict(passed), "accept-encoding": "identity", "content-type": body.content_type}
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        if body.length is not None:
            headers["content-length"] = str(body.length)
        response = await self._session.post(_url(url), data=body.chunks(), headers=headers, allow_redirects=False)
        connection = None if response.connection is None else cast(_Connection | None, response.connection.protocol)
        if connection is not None:  # more is to come
            connection.read_timeout = self._timeouts.idle_s
            connection.start_timeout()
        return UpstreamReply(
            response.status,
            response.headers,
            response.content,
            connection,
            lambda is_whole: response.release() if is_whole else response.close(),
        )

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Look at all open exchanges again and again for the time of the block."""
        watching = asyncio.create_task(self._watch(), name="upstream")
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    async def _watch(self) -> None:
        bounds = self._timeouts
        every_s = min(LOOK_EVERY_S, min(bounds.first_byte_s, bounds.idle_s, bounds.total_s) / 10)
        while True:
            await asyncio.sleep(every_s)
            now = self._now()
            for opened in list(self._open):
                opened.look(now)


@lru_cache(maxsize=1024)
def _url(text: str) -> URL:
    return URL(text)


@asynccontextmanager
async def open_upstream(timeouts: Timeouts, max_calls: int) -> AsyncIterator[Upstream]:
    """Open the client's connection pool for the time of the block."""
    # What is read first is bound by `first_byte_s`; it is counted from the end of the request's body.
    timeout = aiohttp.ClientTimeout(
        total=timeouts.total_s, sock_connect=timeouts.connect_s, sock_read=timeouts.first_byte_s
    )
    connector = aiohttp.TCPConnector(limit=max_calls)
    connection: type[ResponseHandler] = _Connection
    connector._factory = partial(connection, loop=asyncio.get_running_loop())
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),  # no caller's answer may set what is sent for another
        timeout=timeout,
        trust_env=False,
    ) as session:
        upstream = Upstream(session, connector, timeouts)
        async with upstream.watched():
            yield upstream


def _failure(what: str, error: Exception) -> ProviderError:
    if isinstance(error, TimeoutError):
        return ProviderTimeout("The provider did not answer in time.")
    return ProviderError(f"The provider {what}.")
