"""Questions ↔ JSON-RPC 2.0 over HTTP; no IO."""

from collections.abc import Sequence
from typing import Any, TypeVar

import httpx
import msgspec

from hero_broker.client.errors import BrokerUnreachable, RpcError, UnexpectedResponse
from hero_broker.client.methods import Query

Answer = TypeVar("Answer")

UNIX = "unix:"
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
    """What is said before a question is read: that the address or the host may not ask."""

    error: _RpcMessage


_REFUSAL = msgspec.json.Decoder(_Refusal)
_RESPONSE = msgspec.json.Decoder(Response)
_RESPONSES = msgspec.json.Decoder(list[Response] | Response)


def base_url(url: str) -> tuple[str, str | None]:
    """Return the URL for HTTP and the path of the Unix socket behind it; None where there is none.

    `url` is `http://HOST:PORT`, `https://…` or `unix:PATH`.
    """
    if url.startswith(UNIX):
        return "http://localhost", url.removeprefix(UNIX)
    return url.rstrip("/"), None


def headers(token: str | None) -> dict[bytes, bytes]:
    """Return the headers of every question."""
    told = {b"content-type": b"application/json"}
    return told if token is None else {**told, b"authorization": f"Bearer {token}".encode()}


def encode(questions: Sequence[tuple[str, Any]]) -> bytes:
    """Return the body that asks methods with their params: one alone, several as a batch."""
    asked = [
        {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        for number, (method, params) in enumerate(questions)
    ]
    return msgspec.json.encode(asked[0] if len(asked) == 1 else asked)


def parse_result(answer: httpx.Response) -> bytes:
    """Return the result of one question, as the broker wrote it.

    Raises:
        RpcError: the broker refused it, or failed.
        BrokerUnreachable: what answered is no broker.
    """
    try:
        return _result(_RESPONSE.decode(answer.content))
    except msgspec.DecodeError as error:
        raise _no_broker(answer) from error


def parse_results(answer: httpx.Response, count: int) -> list[bytes | RpcError]:
    """Return the results of a batch in the order of its questions; an error in the place of a result.

    Raises:
        RpcError: the broker refused the whole batch.
        BrokerUnreachable: what answered is no broker.
    """
    try:
        told = _RESPONSES.decode(answer.content)
    except msgspec.DecodeError as error:
        raise _no_broker(answer) from error
    if isinstance(told, Response):
        if count == 1 or told.error is not None:
            return [_result(told)]
        raise _no_broker(answer)
    by_id = {one.id: one for one in told}
    if by_id.keys() != set(range(count)):
        raise _no_broker(answer)
    return [_error(one.error) if one.error is not None else _result(one) for _, one in sorted(by_id.items())]


def decode(question: Query[Answer], result: bytes) -> Answer:
    """Return a result as the question's type.

    Raises:
        UnexpectedResponse: it has another shape.
    """
    try:
        return msgspec.json.decode(result, type=question.answer)
    except msgspec.DecodeError as error:
        raise UnexpectedResponse(
            f"{question.method} was answered in a shape that is not known here: {error}"
        ) from error


def broker_unreachable(url: str, error: httpx.HTTPError) -> BrokerUnreachable:
    """Return what is said of a broker that does not answer."""
    return BrokerUnreachable(f"no broker answers at {url}: {error or type(error).__name__}")


def _result(told: Response) -> bytes:
    if told.error is not None:
        raise _error(told.error)
    if not bytes(told.result):
        raise msgspec.DecodeError("neither result nor error")
    return bytes(told.result)


def _error(told: _Error) -> RpcError:
    data = told.data if isinstance(told.data, dict) else {}
    known = {name: str(data[name]) for name in ("param", "reason", "request_id") if name in data}
    return RpcError(told.code, told.message, **known)


def _no_broker(answer: httpx.Response) -> BrokerUnreachable:
    try:
        said = f": {_REFUSAL.decode(answer.content).error.message}"
    except msgspec.DecodeError:
        said = ", and no JSON-RPC"
    return BrokerUnreachable(f"{answer.url} answered {answer.status_code}{said}")
