"""Which web pages may call. A browser names the page in `Origin`, and how far away it is in `Sec-Fetch-Site`.

Other programs send neither, and are never refused here.
"""

import re
from collections.abc import Iterable, Mapping

from starlette.types import Send

from hero_broker.core.errors import OriginRefused
from hero_broker.edge.paths import place_of
from hero_broker.edge.response_channel import Headers

CALLS = ("/v1/", "/v2/")
OWN_USAGE = "/v1/usage"  # tells what the visitor's address has spent, which is no page's business
READING = ("GET", "HEAD")
PREFLIGHT_S = 7200  # how long a browser may remember a preflight; Chromium keeps none for longer

# Beside what a preflight asks for, which is allowed to a listed page: other clients send what they like too.
ALLOWED_HEADERS = (
    b"authorization",
    b"content-type",
    b"x-api-key",
    b"anthropic-beta",
    b"anthropic-version",
    b"anthropic-dangerous-direct-browser-access",
    b"x-hero-context",
    b"x-hero-want",
)
_ASKED = b"access-control-request-method"
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Origins:
    """The web pages that may call, and what they are answered beside the answer."""

    def __init__(self, allowed: Iterable[str]) -> None:
        """Allow these origins, spelled as browsers spell them."""
        self._answers: Mapping[bytes, Headers] = {
            origin.encode(): (
                (b"access-control-allow-origin", origin.encode()),
                (b"access-control-expose-headers", b"x-request-id, *"),
                (b"vary", b"Origin"),
            )
            for origin in allowed
        }

    def check(self, method: str, path: str, headers: Mapping[bytes, bytes]) -> Headers:
        """Return the headers that an answer needs for the page that asks to read it; none where no page asks.

        Paths of the admin plane are the gate's to judge.

        Raises:
            InvalidRequest: the path has a control character.
            OriginRefused: a page asks that is not among the allowed origins.
        """
        place = place_of(path)
        if place.is_guarded:
            return ()
        is_call = path.startswith(CALLS)
        answer = self._answers.get(headers.get(b"origin", b""))
        if answer is not None:
            return answer if is_call and place.plain != OWN_USAGE else ()
        if (is_call or method not in READING) and (b"origin" in headers or is_from_another_page(method, headers)):
            raise OriginRefused("Web pages may call only if server.allowed_origins names their origin.")
        return ()


def is_from_another_page(method: str, headers: Mapping[bytes, bytes]) -> bool:
    """Return whether a page of another origin asks, by `Sec-Fetch-Site`; a link that somebody follows is no page's."""
    if headers.get(b"sec-fetch-site") not in (b"cross-site", b"same-site"):
        return False
    return method not in READING or headers.get(b"sec-fetch-mode") != b"navigate"


def is_preflight(method: str, headers: Mapping[bytes, bytes]) -> bool:
    """Return whether a browser asks what a page may send."""
    return method == "OPTIONS" and _ASKED in headers


async def answer_preflight(headers: Mapping[bytes, bytes], send: Send) -> None:
    """Allow what a listed page wants to send."""
    asked = (name.strip().lower() for name in headers.get(b"access-control-request-headers", b"").split(b","))
    names = dict.fromkeys((*ALLOWED_HEADERS, *(name for name in asked if _NAME.fullmatch(name))))
    told = [
        (b"access-control-allow-methods", b"GET, HEAD, POST, DELETE"),
        (b"access-control-allow-headers", b", ".join(names)),
        (b"access-control-max-age", b"%d" % PREFLIGHT_S),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": told})
    await send({"type": "http.response.body", "body": b""})
