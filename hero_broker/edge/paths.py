"""Classifies a request's path, once for the admin gate and the router."""

import re
from functools import lru_cache
from typing import NamedTuple

from hero_broker.core.errors import InvalidRequest

GUARDED = ("/rpc", "/billing", "/admin", "/metrics", "/openrpc.json", "/openapi.json")
HEALTH = "/health"

MAX_CACHED_PATH = 256  # characters of a path; caching longer ones would let callers fill the memory


class PathInfo(NamedTuple):
    """What a path says by its spelling alone."""

    plain: str  # with single slashes, and none at the end
    is_guarded: bool  # a path of the admin plane
    is_health: bool


def classify_path(path: str) -> PathInfo:
    """Return a path's plain spelling and whether it is guarded.

    Raises:
        InvalidRequest: the path has a character that cannot be printed. A route's pattern may match before a final
            newline while a comparison does not, so such paths are refused before both.
    """
    return (_cached if len(path) <= MAX_CACHED_PATH else _classify)(path)


def _classify(path: str) -> PathInfo:
    if not path.isprintable():
        raise InvalidRequest("The path has a control character or another that cannot be printed.")
    plain = re.sub("/+", "/", path).removesuffix("/")
    return PathInfo(plain, any(is_below(plain, prefix) for prefix in GUARDED), is_below(plain, HEALTH))


_cached = lru_cache(maxsize=1024)(_classify)


def is_below(plain: str, prefix: str) -> bool:
    """Return whether a plain path is `prefix`, or below it."""
    return plain == prefix or plain.startswith(f"{prefix}/")
