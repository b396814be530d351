"""The one module that knows the HTTP client of the hot path: aiohttp's."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache, partial

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from hero_broker.core.calls import UploadBody
from hero_broker.core.errors import ProviderError, ProviderTimeout


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

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body's bytes as they arrive, decoded.

        Raises:
            ProviderError: the provider broke off, or was silent for too long.
        """
        content = self._response.content
        try:
            while chunk := await content.readany():
                yield chunk
        except (TimeoutError, aiohttp.ClientError) as error:
            raise _failure("broke off", error) from error

    def close(self) -> None:
        """Give the connection back, or close it where the answer was not read to its end."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


class _Connection(ResponseHandler):
    """A connection that tells the reader of a body that its framing is broken; aiohttp itself lets him wait on."""

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        super().set_exception(exc, *cause)
        body = self._payload
        if isinstance(exc, HttpProcessingError) and body is not None and not body.is_eof():
            body.set_exception(aiohttp.ClientPayloadError("The body's framing is broken."))


class Upstream:
    """Connections to providers. Keys take turns; redirects are not followed, the environment's proxies not used."""

    def __init__(self, session: aiohttp.ClientSession, timeouts: Timeouts) -> None:
        self._session = session
        self._idle_s = timeouts.idle_s
        self._turn = itertools.count()

    async def post(
        self, provider: Provider, url: str, passed: Sequence[tuple[str, str]], body: bytes | UploadBody
    ) -> UpstreamReply:
        """Send `body`, which is JSON or a form, and return the reply, to be closed, once its head is there.

        The time to the first byte counts from when the whole body was sent. `passed` are the client's headers.

        Raises:
            ProviderError: the provider could not be reached, or the form broke off (then the form has its failure).
            ProviderTimeout: it did not answer in time.
        """
        headers = {**dict(passed), "accept-encoding": "identity"}
        if provider.api_keys:
            key = provider.api_keys[next(self._turn) % len(provider.api_keys)]
            headers["authorization"] = f"Bearer {key}"
        data: bytes | AsyncIterator[bytes]
        if isinstance(body, bytes):
            headers["content-type"], data = "application/json", body
        else:
            headers["content-type"], data = body.content_type, body.chunks()
            if body.length is not None:
                headers["content-length"] = str(body.length)
        try:
            response = await self._session.post(_url(url), data=data, headers=headers, allow_redirects=False)
        except (TimeoutError, aiohttp.ClientError) as error:
            raise _failure("could not be reached", error) from error
        if response.connection is not None and response.connection.protocol is not None:  # more is to come
            response.connection.protocol.read_timeout = self._idle_s
            response.connection.protocol.start_timeout()
        return UpstreamReply(response)


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
        yield Upstream(session, timeouts)


def _failure(what: str, error: Exception) -> ProviderError:
    if isinstance(error, TimeoutError):
        return ProviderTimeout("The provider did not answer in time.")
    return ProviderError(f"The provider {what}.")
