"""Clients of a broker's admin plane, one that blocks and one that waits: `client.billing.usage_by_ip(since=…)`."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import httpx

from hero_broker.client import jsonrpc
from hero_broker.client.async_methods import AsyncMethods
from hero_broker.client.errors import RpcError
from hero_broker.client.query import Query
from hero_broker.client.sync_methods import SyncMethods

DEFAULT_URL = "http://127.0.0.1:33850"
TIMEOUT_S = 60.0

Answer = TypeVar("Answer")


class Page(Protocol):
    """A result that may have more pages."""

    @property
    def next_cursor(self) -> str | None:
        """The cursor of the next page; None at the end."""
        ...


AnyPage = TypeVar("AnyPage", bound=Page)


class Client(SyncMethods):
    """Queries a broker, and blocks until it responds. For one thread at a time; a context manager.

    Every query raises:
        RpcError: the broker refused the query, or failed.
        BrokerUnreachable: nothing responds at the URL, or the response is not a broker's.
        UnexpectedResponse: the result has an unknown shape.
    """

    def __init__(self, url: str = DEFAULT_URL, token: str | None = None, *, timeout_s: float = TIMEOUT_S) -> None:
        """Take the broker's URL, `unix:PATH` for a Unix socket, and its admin token, if it has one.

        Raises:
            ValueError: `url` is no URL of a broker.
        """
        base, socket = jsonrpc.base_url(url)
        self._url = url
        self._http = httpx.Client(
            base_url=base,
            headers=jsonrpc.headers(token),
            timeout=timeout_s,
            transport=httpx.HTTPTransport(uds=socket) if socket else None,
            verify=base.startswith("https:"),  # reading the certificate authorities takes longer than most queries
            trust_env=False,
        )
        super().__init__(self.call)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def call(self, query: Query[Answer]) -> Answer:
        """Return the result of one query."""
        return jsonrpc.decode(query, self.call_raw(query.method, query.params))

    def batch(self, queries: Sequence[Query[Any]]) -> list[Any]:
        """Return the results of at most 100 queries, sent as one batch, in their order; errors in their places."""
        if not queries:
            return []
        answer = self._post([(query.method, query.params) for query in queries])
        results = jsonrpc.parse_results(answer, len(queries))
        return [_decoded(query, result) for query, result in zip(queries, results, strict=True)]

    def pages(self, query: Query[AnyPage]) -> Iterator[AnyPage]:
        """Yield a page and all that follow it."""
        return every_page(self.call, query)

    def call_raw(self, method: str, params: Mapping[str, Any] | Sequence[Any] = ()) -> bytes:
        """Return the JSON of a method's result, as the broker wrote it; also of methods that are not known here."""
        return jsonrpc.parse_result(self._post([(method, params)]))

    ask, ask_all, raw = call, batch, call_raw  # the names that they had before 0.2, for a release

    def _post(self, calls: list[tuple[str, Any]]) -> httpx.Response:
        try:
            return self._http.post(jsonrpc.RPC_PATH, content=jsonrpc.encode(calls))
        except httpx.HTTPError as error:
            raise jsonrpc.broker_unreachable(self._url, error) from error


class AsyncClient(AsyncMethods):
    """Queries a broker, and awaits the response. For one event loop; an async context manager.

    Raises as `Client`.
    """

    def __init__(self, url: str = DEFAULT_URL, token: str | None = None, *, timeout_s: float = TIMEOUT_S) -> None:
        """Take the broker's URL, `unix:PATH` for a Unix socket, and its admin token, if it has one.

        Raises:
            ValueError: `url` is no URL of a broker.
        """
        base, socket = jsonrpc.base_url(url)
        self._url = url
        self._http = httpx.AsyncClient(
            base_url=base,
            headers=jsonrpc.headers(token),
            timeout=timeout_s,
            transport=httpx.AsyncHTTPTransport(uds=socket) if socket else None,
            verify=base.startswith("https:"),  # reading the certificate authorities takes longer than most queries
            trust_env=False,
        )
        super().__init__(self.call)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def call(self, query: Query[Answer]) -> Answer:
        """Return the result of one query."""
        return jsonrpc.decode(query, await self.call_raw(query.method, query.params))

    async def batch(self, queries: Sequence[Query[Any]]) -> list[Any]:
        """Return the results of at most 100 queries, sent as one batch, in their order; errors in their places."""
        if not queries:
            return []
        answer = await self._post([(query.method, query.params) for query in queries])
        results = jsonrpc.parse_results(answer, len(queries))
        return [_decoded(query, result) for query, result in zip(queries, results, strict=True)]

    async def pages(self, query: Query[AnyPage]) -> AsyncIterator[AnyPage]:
        """Yield a page and all that follow it."""
        page = await self.call(query)
        yield page
        while page.next_cursor is not None:
            page = await self.call(_next(query, page.next_cursor))
            yield page

    async def call_raw(self, method: str, params: Mapping[str, Any] | Sequence[Any] = ()) -> bytes:
        """Return the JSON of a method's result, as the broker wrote it; also of methods that are not known here."""
        return jsonrpc.parse_result(await self._post([(method, params)]))

    ask, ask_all, raw = call, batch, call_raw  # the names that they had before 0.2, for a release

    async def _post(self, calls: list[tuple[str, Any]]) -> httpx.Response:
        try:
            return await self._http.post(jsonrpc.RPC_PATH, content=jsonrpc.encode(calls))
        except httpx.HTTPError as error:
            raise jsonrpc.broker_unreachable(self._url, error) from error


def every_page(call: Callable[[Query[AnyPage]], AnyPage], query: Query[AnyPage]) -> Iterator[AnyPage]:
    """Yield a page and all that follow it; `call` returns the result of a query."""
    page = call(query)
    yield page
    while page.next_cursor is not None:
        page = call(_next(query, page.next_cursor))
        yield page


def _next(query: Query[AnyPage], cursor: str) -> Query[AnyPage]:
    return replace(query, params={**query.params, "cursor": cursor})


def _decoded(query: Query[Any], result: bytes | RpcError) -> Any:
    return result if isinstance(result, RpcError) else jsonrpc.decode(query, result)
