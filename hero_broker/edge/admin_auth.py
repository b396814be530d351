"""Guards every admin path: by a bearer token, or in dev mode by a loopback `Host` and the page's origin."""

import hmac
import logging
from collections.abc import Awaitable, Mapping
from functools import lru_cache
from ipaddress import ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

from hero_broker.core.calls import Caller
from hero_broker.core.errors import HostRefused, OriginRefused, Unauthorized
from hero_broker.edge.errors import error_headers
from hero_broker.edge.origins import is_from_another_page
from hero_broker.edge.paths import classify_path
from hero_broker.util.once_per_minute import OncePerMinute

log = logging.getLogger(__name__)

MAX_LOGGED = 100  # characters of a path
MAX_CACHED_LENGTH = 256  # bytes of a host; caching longer ones would let callers fill the memory

MISSING = "An admin token is required: Authorization: Bearer TOKEN."
NOT_BEARER = "The Authorization header has no admin token in the form: Bearer TOKEN."
WRONG = "The admin token is wrong."

_RPC_BODY = '{"jsonrpc":"2.0","error":{"code":-32001,"message":"Unauthorized","data":{"reason":"%s"}},"id":null}'


class AdminGate:
    """Plain ASGI middleware. It decides by `scope["path"]`, never by the URL, and needs the edge's `state`."""

    def __init__(self, app: ASGIApp, tokens: tuple[str, ...]) -> None:
        self._app = app
        self._tokens = tuple(token.encode() for token in tokens)
        self._warnings = OncePerMinute()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Forward a request, or refuse it before its body is read; a plain function, because it awaits nothing itself.

        Raises:
            HostRefused: dev mode, and `Host` is no loopback name or address.
            InvalidRequest: the path has a control character.
            OriginRefused: dev mode, and a page of another site requests an admin path.
            Unauthorized: an admin path, and no token or a wrong one; `/rpc` is answered in JSON-RPC's shape instead.
        """
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        path, is_guarded, _ = classify_path(scope["path"])
        headers: Mapping[bytes, bytes] = scope["state"]["headers"]
        if (
            self._tokens
            and is_guarded
            and not self._is_valid_token(token := _bearer(headers.get(b"authorization", b"")))
        ):
            error = Unauthorized(WRONG if token else NOT_BEARER if b"authorization" in headers else MISSING)
            caller: Caller = scope["state"]["caller"]
            if self._warnings.is_due(caller.ip):
                log.warning("admin: a request of %s to %s is refused: %s", caller.ip, path[:MAX_LOGGED], error.message)
            if path != "/rpc":
                raise error
            return _refuse_rpc(error, send)
        if not self._tokens:
            self.check_host(scope.get("client"), headers.get(b"host", b""))
            if is_guarded and not _is_own_page(scope["method"], headers):
                raise OriginRefused("In dev mode, pages of other sites are refused.")
        return self._app(scope, receive, send)

    def check_host(self, client: tuple[str, int] | None, host: bytes) -> None:
        """Check the `Host` of any request from `client`, which is None on a Unix socket.

        Raises:
            HostRefused: dev mode, and `Host` is no loopback name or address.
        """
        if not self._tokens and client is not None and not _is_loopback(host):
            raise HostRefused("In dev mode, Host must be a loopback name or address.")

    def _is_valid_token(self, token: bytes) -> bool:
        matches = [hmac.compare_digest(token, expected) for expected in self._tokens]
        return any(matches)


async def _refuse_rpc(error: Unauthorized, send: Send) -> None:
    body = (_RPC_BODY % error.message).encode()
    await send({"type": "http.response.start", "status": error.status, "headers": error_headers(error, body)})
    await send({"type": "http.response.body", "body": body})


def _bearer(authorization: bytes) -> bytes:
    """Return the header's bearer token; empty if the header is missing or has another scheme."""
    scheme, _, token = authorization.partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""


def _is_loopback(host: bytes) -> bool:
    return len(host) <= MAX_CACHED_LENGTH and _is_loopback_name(host)


@lru_cache(maxsize=1024)
def _is_loopback_name(host: bytes) -> bool:
    name = host.decode("latin-1")
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    if name.lower() == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _is_own_page(method: str, headers: Mapping[bytes, bytes]) -> bool:
    """Return whether no web page sent the request, or one of this machine whose origin is the broker's own."""
    origin = headers.get(b"origin")
    is_local = origin is None or _is_loopback(origin.rpartition(b"://")[2])
    return is_local and not is_from_another_page(method, headers)
