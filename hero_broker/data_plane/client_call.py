"""A client's call: who asks what. For each target it becomes an `Attempt`."""

import re
from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import replace

from hero_broker.core.calls import Attempt, Caller, UploadBody
from hero_broker.core.errors import InvalidRequest
from hero_broker.kinds.kind import Kind, Request
from hero_broker.providers.routes import Route, Routes, Target

# The client's headers that are forwarded to a provider; none decides where a request goes or who pays there.
REQUEST_HEADERS = frozenset({b"http-referer", b"idempotency-key", b"openai-beta", b"x-title"})
MAX_REQUESTED_MODEL = 200  # characters of a model's name, as the client wrote it, in a row
_PARAMETER = re.compile(r"\w{1,32}=\w{1,16}", re.ASCII)
MAX_REQUEST_HEADER_BYTES = 4 * 1024  # of a header's value; longer ones are dropped


class RequestContext(msgspec.Struct, frozen=True):
    """What is known of a request before its body is read."""

    request_id: str
    caller: Caller
    started_at: int  # unix seconds, UTC
    headers: tuple[tuple[str, str], ...] = ()  # those that are forwarded
    wants_cost: bool = False  # the response is to say what the call cost


class ClientCall(msgspec.Struct, frozen=True):
    """One client request to a model, read and checked; no provider has been chosen yet."""

    context: RequestContext
    kind: Kind
    path: str  # on which it came
    request: Request
    upload: UploadBody | None = None  # the body of a form, rewritten for the first target
    query: str | None = None  # of the provider's URL, with its "?"; None if the kind changes neither query nor headers

    def attempt(self, route: Route, target: Target) -> Attempt:
        """Encode the call for a target of its model's route."""
        context, request, kind = self.context, self.request, self.kind
        url, headers = kind.url(self.path, target), context.headers
        if self.query is not None:
            url, headers = url + self.query, kind.headers(headers, target)
        attempt = Attempt(  # by position: so many keywords take longer than the rest
            context.request_id,
            kind.name,
            route.model,
            target.provider.name,
            target.upstream_model,
            url,
            kind.encode(request, target) if self.upload is None else self.upload,
            context.caller,
            context.started_at,
            request.stream,
            request.wants_usage,
            headers,
            request.input_bytes,
            request.characters,
            None if request.model == route.model else request.model[:MAX_REQUESTED_MODEL],
        )
        return attempt if request.storage is None else replace(attempt, storage=request.storage)


def forwarded_headers(
    headers: Iterable[tuple[bytes, bytes]], further: frozenset[bytes] = frozenset(), prefixes: tuple[bytes, ...] = ()
) -> tuple[tuple[str, str], ...]:
    """Return the headers that are forwarded to a provider.

    `further` are names beside `REQUEST_HEADERS`, and `prefixes` the beginnings of others.
    """
    names = REQUEST_HEADERS | further
    return tuple(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in headers
        if (name in names or name.startswith(prefixes)) and len(value) <= MAX_REQUEST_HEADER_BYTES
    )


def forwarded_query(query: bytes, names: Sequence[str]) -> str:
    """Return the parameters of a query that are forwarded to a provider, with their "?"; empty if there are none.

    Only short words pass: the broker keeps what it knows of each URL in a cache.
    """
    pairs = (pair.decode("latin-1") for pair in query.split(b"&"))
    kept = [pair for pair in pairs if pair.partition("=")[0] in names and _PARAMETER.fullmatch(pair)]
    return "?" + "&".join(dict.fromkeys(kept)) if kept else ""


def with_fallbacks(request: Request, route: Route, routes: Routes) -> Request:
    """Return the request with the provider's names of the models that may be used in place of its own.

    Raises:
        InvalidRequest: the route's providers do not serve one of them here, so its price would be unknown.
    """
    names = []
    for model in request.fallbacks:
        other = routes.get(model)
        if other is None or any(target.provider.name != other.provider.name for target in route.targets):
            raise InvalidRequest(
                f"'fallbacks' names {model[:MAX_REQUESTED_MODEL]!r}, which is not a model of the provider "
                f"{route.provider.name} here.",
                param="fallbacks",
            )
        names.append(other.upstream_model)
    return replace(request, fallbacks=tuple(names))
