"""REST routes: the methods of the contract under URLs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import nullcontext
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from hero_broker.admin_plane import exports, strict_json
from hero_broker.admin_plane.admin import Admin
from hero_broker.admin_plane.contract import Contract
from hero_broker.admin_plane.errors import RestError
from hero_broker.admin_plane.focus import build_focus_export, focus_query
from hero_broker.admin_plane.params import parse_zone
from hero_broker.admin_plane.registry import METHODS, dispatch
from hero_broker.core.calls import Caller
from hero_broker.core.errors import (
    BodyTimeout,
    BodyTooLarge,
    ClientLeft,
    InvalidParams,
    QueryError,
    SelfServiceOff,
    UnsupportedMedia,
)

MAX_BODY_BYTES = 1024 * 1024
NO_OBJECT = "must be a JSON object in UTF-8, each member once"
WITH_BODY = ("POST", "PUT")


def http_routes(admin: Admin, body_timeout_s: float = 60) -> list[Route]:
    """Return a route for each path of the methods; those without parameters first, which others would match too."""
    contract = Contract(admin.document)
    verbs: dict[str, dict[str, str]] = {}
    for method in METHODS.values():
        verbs.setdefault(method.rest.path, {})[method.rest.verb] = method.name
    return [
        Route(path, _endpoint(admin, contract, methods, body_timeout_s), methods=list(methods))
        for path, methods in sorted(verbs.items(), key=lambda item: "{" in item[0])
    ]


def _endpoint(
    admin: Admin, contract: Contract, methods: Mapping[str, str], body_timeout_s: float
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        method = methods["GET" if request.method == "HEAD" else request.method]
        if METHODS[method].is_own and not admin.has_self_service:
            raise SelfServiceOff("The operator of this broker has switched off what callers can ask about their usage.")
        try:
            params: dict[str, Any] = {
                name: _value(contract.param_type(method, name), text) for name, text in request.path_params.items()
            }
            objects = {} if request.method in WITH_BODY else contract.object_params(method)
            _add_query(contract, method, params, request.query_params.multi_items(), objects)
            if request.method in WITH_BODY:
                _add_members(params, await _body(request, body_timeout_s))
            if method in exports.EXPORTS:
                export = await _export(admin, contract, method, params, request)
                if export is not None:
                    return export
            if method == "billing.focus" and _export_type(request, exports.CSV) is not None:
                arguments = contract.arguments(method, params)
                arguments.pop("version", None)  # there is only one yet
                pieces = build_focus_export(admin, focus_query(**arguments))
                return await _stream(pieces, exports.CSV, request)
            caller: Caller = request.scope["state"]["caller"]
            with admin.own_requests(caller) if METHODS[method].is_own else nullcontext():
                return _json(await dispatch(admin, contract, method, params, caller))
        except QueryError as error:
            raise RestError(error) from error

    return endpoint


def _add_query(
    contract: Contract,
    method: str,
    params: dict[str, Any],
    query: Iterable[tuple[str, str]],
    objects: Mapping[str, str],
) -> None:
    """Add the parameters of a query string: arrays with commas, the members of objects beside the other parameters.

    `objects` are the parameters that are objects, by the names of their members.
    """
    chosen: dict[str, dict[str, str]] = {}
    for name, text in query:
        if name in params or any(name in members for members in chosen.values()):
            raise InvalidParams(name, "is given twice")
        if name in objects:
            chosen.setdefault(objects[name], {})[name] = text
        else:
            params[name] = _value(contract.param_type(method, name), text)
    params.update(chosen)


def _value(kind: str, text: str) -> object:
    """Return a string as the JSON type; unchanged if it does not parse, so that the contract refuses it."""
    if kind == "integer" and text.isascii() and text.isdigit() and len(text) < 17:
        return int(text)
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    if kind == "array":
        return text.split(",") if text else []
    return text


def _add_members(params: dict[str, Any], members: Mapping[str, Any]) -> None:
    for name, value in members.items():
        if name in params:
            raise InvalidParams(name, "is given twice")
        params[name] = value


async def _body(request: Request, timeout_s: float) -> dict[str, Any]:
    """Return a request's JSON object; nothing for an empty body.

    Raises:
        BodyTooLarge, BodyTimeout, UnsupportedMedia: HTTP refuses the body.
        InvalidParams: the body is not a JSON object.
        ClientLeft: the client left before the body was complete.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            async for piece in request.stream():
                body += piece
                if len(body) > MAX_BODY_BYTES:
                    raise BodyTooLarge(f"The body must be at most {MAX_BODY_BYTES} bytes long.")
    except TimeoutError as error:
        raise BodyTimeout("The body did not arrive in time.") from error
    except ClientDisconnect as error:  # not an error of the broker, so not logged as one
        raise ClientLeft("The client left before its request was complete.") from error
    if not body:
        return {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" or request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMedia("The content type must be application/json, without an encoding.")
    try:
        members = strict_json.decode(bytes(body))
    except strict_json.InvalidJson as error:
        raise InvalidParams("body", f"{NO_OBJECT}: {error}") from error
    if not isinstance(members, dict):
        raise InvalidParams("body", NO_OBJECT)
    return members


async def _export(
    admin: Admin, contract: Contract, method: str, params: dict[str, Any], request: Request
) -> Response | None:
    """Return the stream of all lines that `Accept` asks for; None if it asks for JSON.

    The parameters that only a URL has are removed from `params`.
    """
    options = _export_options(method, params)
    media_type = _export_type(request, exports.CSV, exports.NDJSON)
    if media_type is None:
        return None
    arguments = contract.arguments(method, params)
    for name in ("limit", "cursor"):
        if name in arguments:
            raise InvalidParams(name, "is not accepted with an export, which returns all lines")
    pieces = exports.build_export(admin, contract, method, arguments, media_type, options)
    return await _stream(pieces, media_type, request)


def _export_type(request: Request, *kinds: str) -> str | None:
    """Return the media type among `kinds` that `Accept` prefers to JSON; None if there is none."""
    accepted = [part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(",")]
    media_type = next((kind for kind in accepted if kind in kinds), None)
    if media_type is None or "application/json" in accepted[: accepted.index(media_type)]:
        return None
    return media_type


async def _stream(pieces: AsyncIterator[bytes], media_type: str, request: Request) -> Response:
    first = await anext(pieces, b"")  # before the response begins, so that an error can still change its status
    if request.method == "HEAD":
        return Response(media_type=media_type)

    async def all_of_it() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return StreamingResponse(all_of_it(), media_type=media_type)


def _export_options(method: str, params: dict[str, Any]) -> exports.ExportOptions:
    """Remove the parameters that only a URL has from `params`, and return their values."""
    given = {param.name: params.pop(param.name, None) for param in exports.EXPORTS[method].params}
    bom = given.get(exports.BOM.name)
    if bom not in (None, "true", "false"):
        raise InvalidParams(exports.BOM.name, "must be true or false")
    return exports.ExportOptions(zone=parse_zone(given.get(exports.TZ.name)), bom=bom == "true")


def _json(content: bytes, status: int = 200) -> Response:
    return Response(content, status, media_type="application/json")
