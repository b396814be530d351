"""Thin REST routes: the methods of the contract under URLs."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hero_broker.admin_plane.contract import Contract
from hero_broker.admin_plane.methods import Admin, answer
from hero_broker.core.errors import AdminError, InvalidParams

PATHS = {
    "/billing/usage": "billing.usage_by_ip",
    "/billing/usage/{ip:path}": "billing.usage_for_ip",
    "/billing/requests/{request_id}": "billing.request",
    "/admin/health": "system.health",
    "/admin/info": "system.info",
    "/openrpc.json": "rpc.discover",
}


# OpenAI's clients expect a text as `code`.
CODES = {400: "invalid_parameter", 401: "unauthorized", 404: "not_found", 503: "store_unavailable"}


def routes(admin: Admin) -> list[Route]:
    """Return a route for each of `PATHS`."""
    contract = Contract(admin.document)
    return [Route(path, _endpoint(admin, contract, method), methods=["GET"]) for path, method in PATHS.items()]


def _endpoint(admin: Admin, contract: Contract, method: str) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            params: dict[str, Any] = dict(request.path_params)
            for name, value in request.query_params.multi_items():
                if name in params:
                    raise InvalidParams(name, "stands twice")
                is_count = (
                    name in ("since", "until", "limit") and value.isascii() and value.isdigit() and len(value) < 17
                )
                params[name] = int(value) if is_count else value
            return _json(await answer(admin, contract, method, params))
        except InvalidParams as error:
            return _error(error, f"{error.param}: {error.reason}", error.param)
        except AdminError as error:
            return _error(error, error.message, None)

    return endpoint


def _json(content: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")


def _error(error: AdminError, message: str, param: str | None) -> Response:
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    told = _json(
        {
            "error": {
                "message": message,
                "type": kind,
                "param": param,
                "code": CODES.get(error.status, "internal_error"),
            }
        },
        error.status,
    )
    if error.status == 503:
        told.headers["retry-after"] = "5"
    return told
