"""What a method of the admin plane is; `registry` has them all."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, ParamSpec

Params = ParamSpec("Params")
Function = Callable[Params, Coroutine[Any, Any, dict[str, object]]]


class NeedsBroker(Exception):
    """A ledger without its broker cannot answer a method."""


class RestRoute(NamedTuple):
    """The HTTP method and the URL of a method."""

    verb: str
    path: str  # as Starlette spells it
    in_query: tuple[str, ...] = ()  # parameters that are documented in the query of a request with a body

    @property
    def template(self) -> str:
        """The path as OpenAPI spells it."""
        return self.path.replace(":path}", "}")

    def __str__(self) -> str:
        """Return the route as `openrpc.json` spells it: the HTTP method and the path."""
        return f"{self.verb} {self.template}"


@dataclass(frozen=True, slots=True)
class AdminMethod(Generic[Params]):
    """A function that answers a method of `openrpc.json`."""

    name: str
    function: Function[Params]
    rest: RestRoute
    scope: str  # what a caller's token must allow: a subject, and "read" or "write"
    is_offline: bool  # a ledger without its broker can answer it
    # It answers about the caller's own address alone: the function gets the `Caller` behind the `Admin`, and the REST
    # route needs no token.
    is_own: bool = False

    def __call__(self, *args: Params.args, **kwargs: Params.kwargs) -> Coroutine[Any, Any, dict[str, object]]:
        """Call the function."""
        return self.function(*args, **kwargs)


def method(
    name: str, *, rest: str, scope: str, offline: bool = False, own: bool = False, in_query: tuple[str, ...] = ()
) -> Callable[[Function[Params]], AdminMethod[Params]]:
    """Make a coroutine function a method of the admin plane; its first parameter is the `Admin`.

    `rest` is an HTTP method and a path, such as "GET /admin/labels"; every method has one. `scope` is a subject and
    an access, such as "labels:read". The document has both, as `x-rest` and `x-scope`. An `offline` method only reads
    the database, so that a ledger without its broker can answer it. A method of the caller's `own` usage has the
    `Caller` as its second parameter; its REST route must not be one that `edge.paths` guards.
    """
    verb, path = rest.split(" ")
    return lambda function: AdminMethod(name, function, RestRoute(verb, path, in_query), scope, offline, own)
