"""Builds the OpenAPI document of every route, from the data plane's and the admin plane's descriptions."""

from collections.abc import Mapping
from typing import Any

from hero_broker import __version__
from hero_broker.admin_plane import openapi_routes as admin_plane
from hero_broker.admin_plane.contract import Document
from hero_broker.data_plane import openapi_routes as data_plane
from hero_broker.kinds.route_spec import RouteSpec

PATH = "/openapi.json"
JSON = "application/json"
DESCRIPTION = f"""\
An AI gateway that bills every request to the address that made it.
Every path that has GET also has HEAD: the same response without its body.
A path that does not allow the method is answered with 405 and Allow, an unknown path with 404, both as Error.
The paths of calls, of stored responses and of models are also served without /v1, below /v1/v1 and below /openai/v1.
Calls are also served below /openai/deployments/MODEL, as Azure's clients send them: the body need not name the model.
On /v1/messages and below it, every error is an AnthropicError.
{data_plane.DROPPED}
If a call has the header X-Hero-Want: cost, its response has X-Hero-Cost-USD, X-Hero-Cost-Source and X-Hero-Budget-Left.
Clients must ignore members that they do not know."""

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
                "param": {"type": ["string", "null"], "description": "The member or parameter at fault."},
                "code": {"type": ["string", "null"]},
            },
            "required": ["message", "type", "param", "code"],
        }
    },
    "required": ["error"],
}


def document(contract: Document) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document; `contract` is the admin plane's OpenRPC document.

    Its version is the program's; the contract has a version of its own, which counts the admin plane's changes.
    """
    paths: dict[str, dict[str, Any]] = {}
    for tag, routes in data_plane.ROUTES.items():
        for route in routes:
            paths.setdefault(route.path, {})[route.verb] = _operation(route, tag)
    for path, operation in _health():
        paths[path] = {"get": operation}
    for path, verb, operation in admin_plane.operations(contract):
        paths.setdefault(path, {})[verb] = operation
    paths[PATH] = {"get": _openapi_operation()}
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
                    "description": "Seconds, or the provider's date; missing if the provider sends none.",
                    "schema": {"type": "string"},
                },
                "Authenticate": {"description": "The scheme: Bearer.", "schema": {"type": "string"}},
            },
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An admin token; not required in dev mode, in which none is set.",
                }
            },
        },
    }


def _operation(route: RouteSpec, tag: str) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [tag],
        "security": [],
    }
    parameters = [
        {"name": name, "in": place, "required": place == "path", "schema": schema}
        for place, schemas in (
            ("path", route.path_parameters),
            ("query", route.query_parameters),
            ("header", route.header_parameters),
        )
        for name, schema in schemas.items()
    ]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        schema: dict[str, Any] = {
            "type": "object",
            "description": "Other members are passed to the provider.",
            "properties": route.body.members,
            "required": route.body.required,
        }
        if route.body.any_of:
            schema["anyOf"] = [{"required": [name]} for name in route.body.any_of]
        operation["requestBody"] = {"required": True, "content": {route.body.media_type: {"schema": schema}}}
    content = {media_type: {"schema": schema} for media_type, schema in route.answers.items()}
    operation["responses"] = {
        "200": {"description": "The provider's response." if route.body else "Success.", "content": content}
    }
    statuses = data_plane.CALL_STATUSES if route.statuses is None else route.statuses
    operation["responses"] |= {
        str(status): _error(text, route.error_schema) for status, text in sorted(statuses.items())
    }
    return operation


def _health() -> list[tuple[str, dict[str, Any]]]:
    """Return the operations of the health probes, by path."""
    alive = {"type": "object", "properties": {"status": {"const": "ok"}}, "required": ["status"]}
    health = {"$ref": "#/components/schemas/Health"}
    return [
        ("/health/live", _get_operation("healthLive", "Liveness probe", {"200": ("The process is running.", alive)})),
        (
            "/health/ready",
            _get_operation(
                "healthReady",
                "Readiness probe",
                {"200": ("The broker accepts calls.", health), "503": ("The broker refuses calls.", health)},
            ),
        ),
    ]


def _openapi_operation() -> dict[str, Any]:
    schema = {"type": "object", "required": ["openapi", "info", "paths", "components"]}
    operation = _get_operation("openapi", "Describe these routes", {"200": ("This document.", schema)})
    operation["responses"]["401"] = _error("The admin token is missing or wrong.")
    return operation | {"tags": ["rpc"], "security": [{"bearer": []}]}


def _get_operation(name: str, summary: str, by_status: Mapping[str, tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    responses: dict[str, Any] = {
        status: {"description": text, "content": {JSON: {"schema": schema}}}
        for status, (text, schema) in by_status.items()
    }
    responses |= {str(status): _error(text) for status, text in data_plane.READ_STATUSES.items()}
    return {"operationId": name, "summary": summary, "tags": ["health"], "security": [], "responses": responses}


def _error(description: str, schema: str = "Error") -> dict[str, Any]:
    return {"description": description, "content": {JSON: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}
