"""Clients of a broker's admin plane, one that blocks and one that waits: `client.billing.usage_by_ip(since=…)`."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from types import TracebackType
from typing import Any, Generic, ParamSpec, Protocol, Self, TypeVar, overload

import httpx

from hero_broker.client import jsonrpc, methods
from hero_broker.client.errors import RpcError
from hero_broker.client.methods import Query

DEFAULT_URL = "http://127.0.0.1:33850"
TIMEOUT_S = 60.0

P = ParamSpec("P")
Answer = TypeVar("Answer")


class Sync:
    """Marks the methods of a client that blocks."""


class Async:
    """Marks the methods of a client that waits."""


Mode = TypeVar("Mode", Sync, Async)


class Page(Protocol):
    """A result that may have more pages."""

    @property
    def next_cursor(self) -> str | None:
        """The cursor of the next page; None at the end."""
        ...


AnyPage = TypeVar("AnyPage", bound=Page)


class MethodGroup(Generic[Mode]):
    """Methods of the contract that share the first part of their names."""

    def __init__(self, call: Callable[[Query[Any]], Any]) -> None:
        self.call = call


class Method(Generic[P, Answer]):
    """A method of both clients: declared once, it returns its answer from one and an awaitable from the other."""

    def __init__(self, query: Callable[P, Query[Answer]]) -> None:
        self.query = query

    @overload
    def __get__(self, at: None, owner: type) -> Self: ...
    @overload
    def __get__(self, at: MethodGroup[Sync], owner: type) -> Callable[P, Answer]: ...
    @overload
    def __get__(self, at: MethodGroup[Async], owner: type) -> Callable[P, Awaitable[Answer]]: ...
    def __get__(self, at: MethodGroup[Any] | None, owner: type) -> Any:
        if at is None:
            return self

        @wraps(self.query)
        def send(*args: P.args, **kwargs: P.kwargs) -> Any:
            return at.call(self.query(*args, **kwargs))

        return send


class RpcMethods(MethodGroup[Mode]):
    """`rpc.…`"""

    discover = Method(methods.discover)


class BillingMethods(MethodGroup[Mode]):
    """`billing.…`"""

    usage_by_ip = Method(methods.usage_by_ip)
    usage_for_ip = Method(methods.usage_for_ip)
    usage = Method(methods.usage)
    requests = Method(methods.requests)
    request = Method(methods.request)
    unbilled = Method(methods.unbilled)
    mark_billed = Method(methods.mark_billed)
    periods = Method(methods.periods)
    verify = Method(methods.verify)
    rebuild = Method(methods.rebuild)


class ModelsMethods(MethodGroup[Mode]):
    """`models.…`"""

    list = Method(methods.list_models)


class ProvidersMethods(MethodGroup[Mode]):
    """`providers.…`"""

    list = Method(methods.list_providers)


class LabelsMethods(MethodGroup[Mode]):
    """`labels.…`"""

    set = Method(methods.set_label)
    list = Method(methods.list_labels)
    remove = Method(methods.remove_label)


class SystemMethods(MethodGroup[Mode]):
    """`system.…`"""

    health = Method(methods.health)
    info = Method(methods.info)


class Client:
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
        self.rpc = RpcMethods[Sync](self.call)
        self.billing = BillingMethods[Sync](self.call)
        self.models = ModelsMethods[Sync](self.call)
        self.providers = ProvidersMethods[Sync](self.call)
        self.labels = LabelsMethods[Sync](self.call)
        self.system = SystemMethods[Sync](self.call)

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


class AsyncClient:
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
        self.rpc = RpcMethods[Async](self.call)
        self.billing = BillingMethods[Async](self.call)
        self.models = ModelsMethods[Async](self.call)
        self.providers = ProvidersMethods[Async](self.call)
        self.labels = LabelsMethods[Async](self.call)
        self.system = SystemMethods[Async](self.call)

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
