"""The one module that knows the HTTP client of the hot path: aiohttp's."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import aiohttp

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
        with _provider_errors("broke off"):
            async for chunk in self._response.content.iter_any():
                yield chunk


class Upstream:
    """Connections to providers. Redirects are not followed, proxies of the environment not used."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    @asynccontextmanager
    async def post(self, provider: Provider, path: str, body: bytes) -> AsyncIterator[UpstreamReply]:
        """Send `body` as JSON and hand over the reply once its head is there; closes it when the block ends.

        Raises:
            ProviderError: the provider could not be reached.
            ProviderTimeout: it did not answer in time.
        """
        headers = {"content-type": "application/json", "accept-encoding": "identity"}
        if provider.api_keys:
            headers["authorization"] = f"Bearer {provider.api_keys[0]}"
        with _provider_errors("could not be reached"):
            response = await self._session.post(
                provider.base_url.rstrip("/") + path, data=body, headers=headers, allow_redirects=False
            )
        try:
            yield UpstreamReply(response)
        finally:
            response.close() if not response.content.at_eof() else response.release()


@asynccontextmanager
async def open_upstream(timeouts: Timeouts, max_calls: int) -> AsyncIterator[Upstream]:
    """Open the client's connection pool for the time of the block."""
    timeout = aiohttp.ClientTimeout(
        total=timeouts.total_s, sock_connect=timeouts.connect_s, sock_read=max(timeouts.first_byte_s, timeouts.idle_s)
    )
    connector = aiohttp.TCPConnector(limit=max_calls)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False) as session:
        yield Upstream(session)


@contextmanager
def _provider_errors(what: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise ProviderTimeout("The provider did not answer in time.") from error
    except aiohttp.ClientError as error:
        raise ProviderError(f"The provider {what}.") from error
