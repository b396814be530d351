"""The gate before every admin path: a bearer token, or in dev mode a loopback `Host`, and no page of another site."""

import hmac
import re
from functools import lru_cache
from ipaddress import ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

GUARDED = ("/rpc", "/billing", "/admin", "/metrics", "/openrpc.json", "/openapi.json")

REMEMBERED = 256  # characters of a path, bytes of a host: what is longer would let callers fill the memory

_RPC_BODY = b'{"jsonrpc":"2.0","error":{"code":-32001,"message":"Unauthorized"},"id":null}'
_REST_BODY = b'{"error":{"message":"%s","type":"permission_error","param":null,"code":"%s"}}'


class AdminGate:
    """Plain ASGI middleware that reads `scope["path"]` and never the URL."""

    def __init__(self, app: ASGIApp, tokens: tuple[str, ...]) -> None:
        self._app = app
        self._tokens = tuple(token.encode() for token in tokens)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it before its body is read."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, guarded = (_guarded if len(scope["path"]) <= REMEMBERED else _look_at)(scope["path"])
        headers = dict(scope["headers"])
        if self._tokens and guarded and not self._knows(headers.get(b"authorization", b"")):
            body = _RPC_BODY if path == "/rpc" else _REST_BODY % (b"An admin token is needed.", b"unauthorized")
            await _refuse(send, 401, body, (b"www-authenticate", b"Bearer"))
        elif not self._tokens and scope.get("client") is not None and not _is_loopback(headers.get(b"host", b"")):
            body = _REST_BODY % (b"In dev mode the Host must be a loopback name or address.", b"host_not_allowed")
            await _refuse(send, 403, body)
        elif not self._tokens and guarded and not _is_own_page(headers.get(b"origin")):
            body = _REST_BODY % (b"In dev mode a page of another site may not ask.", b"origin_not_allowed")
            await _refuse(send, 403, body)
        else:
            await self._app(scope, receive, send)

    def _knows(self, authorization: bytes) -> bool:
        scheme, _, token = authorization.partition(b" ")
        known = [hmac.compare_digest(token.strip(), expected) for expected in self._tokens]
        return scheme.lower() == b"bearer" and any(known)


def _look_at(path: str) -> tuple[str, bool]:
    """Return a path without doubled slashes, and whether it is an admin path."""
    plain = re.sub("/+", "/", path).removesuffix("/")
    return plain, any(plain == prefix or plain.startswith(f"{prefix}/") for prefix in GUARDED)


_guarded = lru_cache(maxsize=1024)(_look_at)


def _is_loopback(host: bytes) -> bool:
    return len(host) <= REMEMBERED and _names_loopback(host)


@lru_cache(maxsize=1024)
def _names_loopback(host: bytes) -> bool:
    name = host.decode("latin-1")
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    if name.lower() == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _is_own_page(origin: bytes | None) -> bool:
    """Return whether no browser asks, or one for a page of this machine; browsers name a page of another site."""
    return origin is None or _is_loopback(origin.rpartition(b"://")[2])


async def _refuse(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    told = [*headers, (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": told})
    await send({"type": "http.response.body", "body": body})
