"""The OpenAPI document of every route, joined from what the planes say of theirs."""

from collections.abc import Mapping
from typing import Any

from hero_broker import __version__
from hero_broker.admin_plane import openapi_routes as admin_plane
from hero_broker.admin_plane.contract import Document
from hero_broker.data_plane import openapi_routes as data_plane

PATH = "/openapi.json"
JSON = "application/json"
DESCRIPTION = f"""\
An AI gateway that bills every request to the address that made it.
HEAD is answered where GET is, as GET without its body.
Another verb on a path that is there is answered 405 with Allow, and a path that is not there 404, both as Error.
{data_plane.DROPPED}
Clients ignore members that they do not know."""

_REQUEST_ID = {"x-request-id": {"$ref": "#/components/headers/RequestId"}}
_MORE_HEADERS: Mapping[str, Mapping[str, Any]] = {
    "401": {"www-authenticate": {"$ref": "#/components/headers/Authenticate"}},
    "429": {"retry-after": {"$ref": "#/components/headers/RetryAfter"}},
    "503": {"retry-after": {"$ref": "#/components/headers/RetryAfter"}},
}
_ERROR = {
    "title": "Error",
    "type": "object",
    "description": "An error in OpenAI's shape.",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"], "description": "The member or parameter that is wrong."},
                "code": {"type": ["string", "null"]},
            },
            "required": ["message", "type", "param", "code"],
        }
    },
    "required": ["error"],
}


def document(contract: Document) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document; `contract` is the admin plane's OpenRPC document.

    Its version is the program's: the contract's counts the admin plane's changes alone.
    """
    paths: dict[str, dict[str, Any]] = {}
    for route in data_plane.ROUTES:
        paths.setdefault(route.path, {})[route.verb] = _operation(route)
    for path, operation in _health():
        paths[path] = {"get": operation}
    for path, verb, operation in admin_plane.operations(contract):
        paths.setdefault(path, {})[verb] = operation
    paths[PATH] = {"get": _itself()}
    for operations in paths.values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                response["headers"] = {**_REQUEST_ID, **_MORE_HEADERS.get(status, {})}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Hero Broker",
            "version": __version__,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": {
                **contract["components"]["schemas"],
                **admin_plane.SCHEMAS,
                **data_plane.SCHEMAS,
                "Error": _ERROR,
            },
            "headers": {
                "RequestId": {"description": "The request's id, a UUIDv7.", "schema": {"type": "string"}},
                "RetryAfter": {
                    "description": "Seconds, or a provider's date; missing where a provider names none.",
                    "schema": {"type": "string"},
                },
                "Authenticate": {"description": "Bearer.", "schema": {"type": "string"}},
            },
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An admin token; not asked for in dev mode, where none is set.",
                }
            },
        },
    }


def _operation(route: data_plane.RouteSpec) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": ["calls" if route.body else "models"],
        "security": [],
    }
    if route.path_parameters:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": schema}
            for name, schema in route.path_parameters.items()
        ]
    if route.body is not None:
        schema = {
            "type": "object",
            "description": "Further members go through to the provider.",
            "properties": route.body.members,
            "required": route.body.required,
        }
        operation["requestBody"] = {"required": True, "content": {route.body.media_type: {"schema": schema}}}
    answers = {kind: {"schema": schema} for kind, schema in route.answers.items()}
    operation["responses"] = {
        "200": {"description": "The provider's answer." if route.body else "Found.", "content": answers}
    }
    operation["responses"] |= {str(status): _error(told) for status, told in sorted(route.statuses.items())}
    return operation


def _health() -> list[tuple[str, dict[str, Any]]]:
    """Return the routes that the program itself answers."""
    alive = {"type": "object", "properties": {"status": {"const": "ok"}}, "required": ["status"]}
    health = {"$ref": "#/components/schemas/Health"}
    return [
        ("/health/live", _told("healthLive", "Tell that the program runs", {"200": ("It does.", alive)})),
        (
            "/health/ready",
            _told(
                "healthReady",
                "Tell whether calls are served",
                {"200": ("They are.", health), "503": ("They are refused.", health)},
            ),
        ),
    ]


def _itself() -> dict[str, Any]:
    schema = {"type": "object", "required": ["openapi", "info", "paths", "components"]}
    operation = _told("openapi", "Describe these routes", {"200": ("This document.", schema)})
    operation["responses"]["401"] = _error("Unauthorized.")
    return operation | {"tags": ["rpc"], "security": [{"bearer": []}]}


def _told(name: str, summary: str, answers: Mapping[str, tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    responses: dict[str, Any] = {
        status: {"description": told, "content": {JSON: {"schema": schema}}}
        for status, (told, schema) in answers.items()
    }
    responses |= {str(status): _error(told) for status, told in data_plane.READ_STATUSES.items()}
    return {"operationId": name, "summary": summary, "tags": ["health"], "security": [], "responses": responses}


def _error(description: str) -> dict[str, Any]:
    return {"description": description, "content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}}
