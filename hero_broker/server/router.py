"""Routes requests by path: plain ASGI for the hot routes, Starlette for the rest."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from hero_broker.admin_plane import rest
from hero_broker.admin_plane.admin import Admin
from hero_broker.admin_plane.rpc import RpcEndpoint
from hero_broker.core.errors import BrokerError, InternalError, MethodNotAllowed, NotFound
from hero_broker.data_plane import front_page, models
from hero_broker.data_plane.not_served import not_found_message
from hero_broker.data_plane.path_spellings import canonical_path, deployment_path, stored_path
from hero_broker.edge.errors import OPENAI_ERRORS, encode_error
from hero_broker.kinds.registry import CALL_PATHS
from hero_broker.providers.routes import Routes
from hero_broker.server import openapi


def _method_not_allowed(request: Request, error: Exception) -> MethodNotAllowed:
    """Translate the only error that Starlette itself raises here: the path exists, with other methods."""
    allowed = (getattr(error, "headers", None) or {}).get("Allow", "")
    return MethodNotAllowed(request.method, request.scope["path"], ", ".join(sorted(allowed.split(", "))))


def _error_response(request: Request, error: BrokerError) -> Response:
    state = request.scope.get("state", {})
    status, headers, body = encode_error(error, state.get("error_shape", OPENAI_ERRORS), state.get("request_id", ""))
    response = Response(body, status)
    response.raw_headers[:] = headers
    return response


async def _answer_error(request: Request, error: Exception) -> Response:
    return _error_response(request, error if isinstance(error, BrokerError) else _method_not_allowed(request, error))


async def _answer_fault(request: Request, _error: Exception) -> Response:
    return _error_response(request, InternalError("The broker failed."))  # the edge logs why


# How Starlette answers what a route raises.
EXCEPTION_HANDLERS: Mapping[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    BrokerError: _answer_error,
    HTTPException: _answer_error,
    Exception: _answer_fault,
}


@dataclass(frozen=True, slots=True)
class Router:
    """Plain ASGI for the hot routes, which take only POST; Starlette for the rest."""

    hot: Mapping[str, ASGIApp]
    stored: ASGIApp  # of the paths of stored responses
    others: Starlette

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer a request by its path; a coroutine of its own would only pass on what it awaits."""
        return (self.hot.get(scope["path"]) or self._find(scope))(scope, receive, send)

    def _find(self, scope: Scope) -> ASGIApp:
        """Return what answers a path that is not hot; `scope` gets the canonical path of another spelling.

        `state.deployment` gets the model that a path of Azure's names, `state.stored` what the path of a stored
        response means.
        """
        path = canonical_path(scope["path"])
        if path is None:
            deployment = deployment_path(scope["path"])
            if deployment is None:
                stored = stored_path(scope["path"])
                if stored is None:
                    return self.others
                scope["state"]["stored"] = stored
                return self.stored
            path, scope["state"]["deployment"] = deployment
        scope["path"] = path
        return self.hot.get(path, self.others)


def build_router(calls: ASGIApp, stored: ASGIApp, model_routes: Routes, admin: Admin, body_timeout_s: float) -> Router:
    """Return the router; `calls` is the application of the data plane's paths, `stored` that of stored responses."""

    async def live(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(_request: Request) -> Response:
        health = admin.health()
        return JSONResponse(dict(health), 503 if health["status"] == "unavailable" else 200)

    openapi_json = msgspec.json.encode(openapi.document(admin.document))

    async def description(_request: Request) -> Response:
        return Response(openapi_json, media_type="application/json")

    async def not_found(scope: Scope, _receive: Receive, _send: Send) -> None:
        raise NotFound(not_found_message(scope["path"]))

    starlette = Starlette(
        routes=[
            front_page.http_route(),
            Route("/health/live", live),
            Route("/health/ready", ready),
            Route(openapi.PATH, description),
            *models.http_routes(model_routes),
            *rest.http_routes(admin, body_timeout_s),
        ],
        exception_handlers=EXCEPTION_HANDLERS,
    )
    starlette.router.default = not_found
    starlette.router.redirect_slashes = False
    return Router({**dict.fromkeys(CALL_PATHS, calls), "/rpc": RpcEndpoint(admin, body_timeout_s)}, stored, starlette)
