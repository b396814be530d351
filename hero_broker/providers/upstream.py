"""The one module that knows the HTTP client of the hot path: aiohttp's."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import aiohttp

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

    def __init__(self, response: aiohttp.ClientResponse, idle_s: float) -> None:
        self._response = response
        self._idle_s = idle_s
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body's bytes as they arrive, decoded.

        Raises:
            ProviderError: the provider broke off, or was silent for too long.
        """
        content = self._response.content
        with _provider_errors("broke off"):
            while True:
                async with asyncio.timeout(self._idle_s):
                    chunk = await content.readany()
                if not chunk:
                    return
                yield chunk


class Upstream:
    """Connections to providers. Keys take turns; redirects are not followed, the environment's proxies not used."""

    def __init__(self, session: aiohttp.ClientSession, timeouts: Timeouts) -> None:
        self._session = session
        self._timeouts = timeouts
        self._turn = itertools.count()

    @asynccontextmanager
    async def post(
        self, provider: Provider, url: str, passed: Sequence[tuple[str, str]], body: bytes | UploadBody
    ) -> AsyncIterator[UpstreamReply]:
        """Send `body`, which is JSON or a form, and hand over the reply once its head is there; closes it in the end.

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
            headers["content-type"] = "application/json"
            deadline, data = asyncio.timeout(self._timeouts.first_byte_s), body
        else:
            headers["content-type"] = body.content_type
            if body.length is not None:
                headers["content-length"] = str(body.length)
            deadline = asyncio.timeout(None)
            data = _sent(body, deadline, self._timeouts.first_byte_s)
        with _provider_errors("could not be reached"):
            async with deadline:
                response = await self._session.post(url, data=data, headers=headers, allow_redirects=False)
        try:
            yield UpstreamReply(response, self._timeouts.idle_s)
        finally:
            response.close() if not response.content.at_eof() else response.release()


async def _sent(body: UploadBody, deadline: asyncio.Timeout, first_byte_s: float) -> AsyncIterator[bytes]:
    """Yield a body's bytes; at its end, the provider's time to answer begins."""
    async for chunk in body.chunks():
        yield chunk
    with contextlib.suppress(RuntimeError):  # it has answered already
        deadline.reschedule(asyncio.get_running_loop().time() + first_byte_s)


@asynccontextmanager
async def open_upstream(timeouts: Timeouts, max_calls: int) -> AsyncIterator[Upstream]:
    """Open the client's connection pool for the time of the block."""
    timeout = aiohttp.ClientTimeout(total=timeouts.total_s, sock_connect=timeouts.connect_s)
    connector = aiohttp.TCPConnector(limit=max_calls)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False) as session:
        yield Upstream(session, timeouts)


@contextmanager
def _provider_errors(what: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise ProviderTimeout("The provider did not answer in time.") from error
    except aiohttp.ClientError as error:
        raise ProviderError(f"The provider {what}.") from error
