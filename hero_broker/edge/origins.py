"""Decides which web pages may call.

A browser names the page in `Origin`, and its relation to the broker in `Sec-Fetch-Site`. Other programs send neither
header, and are never refused here.
"""

import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping

from starlette.types import Send

from hero_broker.core.errors import OriginRefused, UnreadableRequest
from hero_broker.edge.paths import classify_path, is_below
from hero_broker.edge.response_channel import Headers
from hero_broker.util.once_per_minute import OncePerMinute

OWN_USAGE = "/v1/usage"  # what the visitor's address has spent, which no page may read
SAFE_METHODS = ("GET", "HEAD")
PREFLIGHT_S = 7200  # how long a browser may remember a preflight; Chromium caps it at this

# Allowed even if the preflight does not name them. A listed page may also send any header that its preflight names:
# other clients may send any header, too.
ALLOWED_HEADERS = (
    b"authorization",
    b"content-type",
    b"x-api-key",
    b"api-key",
    b"anthropic-beta",
    b"anthropic-version",
    b"anthropic-dangerous-direct-browser-access",
    b"x-hero-context",
    b"x-hero-want",
)
# Headers of a browser that decide about a page. Of two lines the last would count here, and the first elsewhere.
SINGLE_HEADERS = {b"origin": "Origin", b"sec-fetch-site": "Sec-Fetch-Site", b"sec-fetch-mode": "Sec-Fetch-Mode"}
MAX_LOGGED = 20  # refused origins in a minute
MAX_LOGGED_LENGTH = 200  # characters of an origin
_REQUESTED_METHOD = b"access-control-request-method"
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

log = logging.getLogger(__name__)


class Origins:
    """The web pages that may call, and the CORS headers of their responses."""

    def __init__(self, allowed: Iterable[str], clock: Callable[[], float] = time.monotonic) -> None:
        """Allow these origins, in the spelling of browsers."""
        self._refused = OncePerMinute(MAX_LOGGED, clock)
        self._cors_headers: Mapping[bytes, Headers] = {
            origin.encode(): (
                (b"access-control-allow-origin", origin.encode()),
                (b"access-control-expose-headers", b"x-request-id, *"),
                (b"vary", b"Origin"),
            )
            for origin in allowed
        }

    def check(self, method: str, path: str, headers: Mapping[bytes, bytes]) -> Headers:
        """Return the CORS headers for the response; empty if no listed page may read it.

        Paths of the admin plane pass: `AdminGate` decides on them.

        Raises:
            InvalidRequest: the path has a control character.
            OriginRefused: the request comes from a web page whose origin is not allowed.
        """
        info = classify_path(path)
        if info.is_guarded:
            return ()
        is_call = not info.is_health and info.plain != ""  # however the path of a call is spelled
        cors_headers = self._cors_headers.get(headers.get(b"origin", b""))
        if cors_headers is not None:
            return cors_headers if is_call and not is_below(info.plain, OWN_USAGE) else ()
        if (is_call or method not in SAFE_METHODS) and (b"origin" in headers or is_from_another_page(method, headers)):
            raise OriginRefused("Web pages may call only if server.allowed_origins names their origin.")
        return ()

    def log_refused(self, headers: Mapping[bytes, bytes], caller: str) -> None:
        """Log that a page's request was refused: once a minute for each origin, and at most 20 origins a minute."""
        value = headers.get(b"origin")
        origin = "" if value is None else value[:MAX_LOGGED_LENGTH].decode("latin-1")
        if self._refused.is_due(origin):
            page = "that hides its origin" if value is None else f"of {origin!r}"
            log.warning(
                "edge: a web page %s was refused; its browser called from %s. "
                "server.allowed_origins names the pages that may call",
                page,
                caller,
            )


def check_single(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Return if each header that decides about a page came once.

    Raises:
        UnreadableRequest: one of `SINGLE_HEADERS` came twice.
    """
    names = [name for name, _ in headers]
    for name, title in SINGLE_HEADERS.items():
        if names.count(name) > 1:
            raise UnreadableRequest(f"The request cannot be read. There must be at most one {title} header.")


def is_from_another_page(method: str, headers: Mapping[bytes, bytes]) -> bool:
    """Return whether `Sec-Fetch-Site` says that another origin's page sent it; following a link does not count."""
    if headers.get(b"sec-fetch-site") not in (b"cross-site", b"same-site"):
        return False
    return method not in SAFE_METHODS or headers.get(b"sec-fetch-mode") != b"navigate"


def is_preflight(method: str, headers: Mapping[bytes, bytes]) -> bool:
    """Return whether the request is a CORS preflight."""
    return method == "OPTIONS" and _REQUESTED_METHOD in headers


async def answer_preflight(headers: Mapping[bytes, bytes], send: Send) -> None:
    """Respond to a listed page's preflight: allow the methods, and the headers that it names."""
    requested = (name.strip().lower() for name in headers.get(b"access-control-request-headers", b"").split(b","))
    names = dict.fromkeys((*ALLOWED_HEADERS, *(name for name in requested if _NAME.fullmatch(name))))
    response_headers = [
        (b"access-control-allow-methods", b"GET, HEAD, POST, DELETE"),
        (b"access-control-allow-headers", b", ".join(names)),
        (b"access-control-max-age", b"%d" % PREFLIGHT_S),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": response_headers})
    await send({"type": "http.response.body", "body": b""})
