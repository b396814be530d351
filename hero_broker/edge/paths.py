"""A request's path as the gate and the router both see it."""

import re
from functools import lru_cache
from typing import NamedTuple

from hero_broker.core.errors import InvalidRequest

GUARDED = ("/rpc", "/billing", "/admin", "/metrics", "/openrpc.json", "/openapi.json")
HEALTH = "/health"

REMEMBERED = 256  # characters of a path: longer ones would let callers fill the memory


class Place(NamedTuple):
    """Where a path leads, by its spelling alone."""

    plain: str  # without doubled slashes and without one at the end
    is_guarded: bool  # a path of the admin plane
    is_health: bool


def place_of(path: str) -> Place:
    """Return where a path leads.

    Raises:
        InvalidRequest: the path has a character that cannot be printed. A route's pattern may match before a final
            newline, where a comparison does not, so no such path gets as far as either.
    """
    return (_remembered if len(path) <= REMEMBERED else _look_at)(path)


def _look_at(path: str) -> Place:
    if not path.isprintable():
        raise InvalidRequest("The path has a control character, or another that cannot be printed.")
    plain = re.sub("/+", "/", path).removesuffix("/")
    return Place(plain, any(_is_below(plain, prefix) for prefix in GUARDED), _is_below(plain, HEALTH))


_remembered = lru_cache(maxsize=1024)(_look_at)


def _is_below(plain: str, prefix: str) -> bool:
    return plain == prefix or plain.startswith(f"{prefix}/")
