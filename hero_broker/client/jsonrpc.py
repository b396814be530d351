"""Encodes queries as JSON-RPC 2.0 over HTTP, and decodes responses; no IO."""

from collections.abc import Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from hero_broker.client.errors import BrokerUnreachable, RpcError, UnexpectedResponse
from hero_broker.client.query import Query

Answer = TypeVar("Answer")

UNIX = "unix:"
URL_FORMS = "http://HOST:PORT, https://HOST:PORT or unix:PATH"
RPC_PATH = "/rpc"


class _Error(msgspec.Struct):
    code: int
    message: str
    data: Any = None


class Response(msgspec.Struct):
    """One answer of the broker: a result, or an error."""

    result: msgspec.Raw = msgspec.Raw(b"")
    error: _Error | None = None
    id: int | str | None = None


class _RpcMessage(msgspec.Struct):
    message: str


class _Refusal(msgspec.Struct):
    """The error body of a request that is refused because of its address or host."""

    error: _RpcMessage


_REFUSAL = msgspec.json.Decoder(_Refusal)
_RESPONSE = msgspec.json.Decoder(Response)
_ENCODER = msgspec.json.Encoder(decimal_format="number")  # as the contract has amounts
_RESPONSES = msgspec.json.Decoder(list[Response] | Response)


def base_url(url: str) -> tuple[str, str | None]:
    """Return the URL for HTTP and the path of the Unix socket behind it; None if there is no socket.

    Raises:
        ValueError: `url` has none of the forms in `URL_FORMS`.
    """
    if url.startswith(UNIX) and url != UNIX:
        return "http://localhost", url.removeprefix(UNIX)
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number or too large, or a bracket without its other
        is_valid = False
    if not is_valid:
        raise ValueError(f"the broker's URL must be {URL_FORMS}")
    return url.rstrip("/"), None


def headers(token: str | None) -> dict[bytes, bytes]:
    """Return the headers of every request."""
    fields = {b"content-type": b"application/json"}
    return fields if token is None else {**fields, b"authorization": f"Bearer {token}".encode()}


def encode(queries: Sequence[tuple[str, Any]]) -> bytes:
    """Return the request body: one call alone, several as a batch."""
    requests = [
        {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        for number, (method, params) in enumerate(queries)
    ]
    return _ENCODER.encode(requests[0] if len(requests) == 1 else requests)


def parse_result(answer: httpx.Response) -> bytes:
    """Return the result of one query, as the broker wrote it.

    Raises:
        RpcError: the broker refused the query, or failed.
        BrokerUnreachable: the response is not a broker's.
    """
    try:
        return _result(_RESPONSE.decode(answer.content))
    except msgspec.DecodeError as error:
        raise _no_broker(answer) from error


def parse_results(answer: httpx.Response, count: int) -> list[bytes | RpcError]:
    """Return the results of a batch in the order of its queries; an error in the place of a result.

    Raises:
        RpcError: the broker refused the whole batch.
        BrokerUnreachable: the response is not a broker's.
    """
    try:
        response = _RESPONSES.decode(answer.content)
    except msgspec.DecodeError as error:
        raise _no_broker(answer) from error
    if isinstance(response, Response):
        if count == 1 or response.error is not None:
            return [_result(response)]
        raise _no_broker(answer)
    by_id = {one.id: one for one in response}
    if by_id.keys() != set(range(count)):
        raise _no_broker(answer)
    return [_error(one.error) if one.error is not None else _result(one) for _, one in sorted(by_id.items())]


def decode(query: Query[Answer], result: bytes) -> Answer:
    """Return a result as the query's type.

    Raises:
        UnexpectedResponse: the result has another shape.
    """
    try:
        return msgspec.json.decode(result, type=query.answer)
    except msgspec.DecodeError as error:
        raise UnexpectedResponse(f"{query.method} returned a result of unknown shape: {error}") from error


def broker_unreachable(url: str, error: httpx.HTTPError) -> BrokerUnreachable:
    """Return the error for a broker that does not respond."""
    return BrokerUnreachable(f"no broker answers at {url}: {error or type(error).__name__}")


def _result(response: Response) -> bytes:
    if response.error is not None:
        raise _error(response.error)
    if not bytes(response.result):
        raise msgspec.DecodeError("neither result nor error")
    return bytes(response.result)


def _error(response: _Error) -> RpcError:
    data = response.data if isinstance(response.data, dict) else {}
    known = {name: str(data[name]) for name in ("param", "reason", "request_id") if name in data}
    return RpcError(response.code, response.message, **known)


def _no_broker(answer: httpx.Response) -> BrokerUnreachable:
    try:
        detail = f": {_REFUSAL.decode(answer.content).error.message}"
    except msgspec.DecodeError:
        detail = ", and no JSON-RPC"
    return BrokerUnreachable(f"{answer.url} answered {answer.status_code}{detail}")
