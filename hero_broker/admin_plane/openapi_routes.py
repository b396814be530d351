"""The admin plane's routes as OpenAPI, made from their sources: `registry.METHODS` and `openrpc.json`.

The contract's schemas are of JSON Schema draft 7; the keywords that they use mean the same in OpenAPI 3.1's
2020-12, and references to `#/components/schemas` resolve to the same place in both documents.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from hero_broker.admin_plane import exports
from hero_broker.admin_plane.contract import Document, resolved
from hero_broker.admin_plane.errors import CODES, INTERNAL_ERROR, UNAUTHORIZED
from hero_broker.admin_plane.jsonrpc import MAX_BATCH
from hero_broker.admin_plane.method import RestRoute
from hero_broker.admin_plane.registry import METHODS
from hero_broker.admin_plane.rest import MAX_BODY_BYTES, WITH_BODY
from hero_broker.admin_plane.rpc import MEDIA_TYPES
from hero_broker.core.errors import (
    BodyTimeout,
    BodyTooLarge,
    RateLimitExceeded,
    UnsupportedMedia,
)

JSON = "application/json"
_FORBIDDEN = (
    "The address may not call; in dev mode, Host or Origin is not a loopback name, or a page of another port called"
)
_UNSUPPORTED = "The body's content type or content encoding is not supported"

_STATUSES = {error.rpc: error.status for error in (*CODES.values(), INTERNAL_ERROR)} | {UNAUTHORIZED: 401}
_EITHER = "Send each parameter in the query or in the body, but only once."
_EXPORT = (
    "With Accept: text/csv or application/x-ndjson, the response streams all lines, without limit and cursor; "
    "in CSV, a string that a spreadsheet would compute has an apostrophe before it."
)

Operation = dict[str, Any]


def operations(document: Document) -> Iterator[tuple[str, str, Operation]]:
    """Yield each route's path, method in lower case, and operation; responses with content have no headers yet."""
    documented = {method["name"]: method for method in document["methods"]}
    for name, method in METHODS.items():
        yield (
            method.rest.template,
            method.rest.verb.lower(),
            _operation(method.rest, documented[name], document, is_own=method.is_own),
        )
    yield "/rpc", "post", _rpc()


def _operation(route: RestRoute, method: Mapping[str, Any], document: Document, *, is_own: bool) -> Operation:
    operation: Operation = {
        "operationId": method["name"],
        "summary": method["summary"],
        "description": method["description"],
        "tags": [tag["name"] for tag in method["tags"]],
        "security": [] if is_own else [{"bearer": []}],
    }
    in_body: list[Mapping[str, Any]] = []
    parameters: list[dict[str, Any]] = []
    for param in method["params"]:
        schema = resolved(document, param["schema"])
        if f"{{{param['name']}}}" in route.template:
            parameters.append({**_parameter("path", param), "schema": schema})
        elif route.verb in WITH_BODY and param["name"] not in route.in_query:
            in_body.append(param)
        elif schema["type"] == "object":
            parameters.extend(_members(document, schema))
        else:
            parameters.append({**_parameter("query", param), "schema": schema, **_list_form(schema)})
    if method["name"] in exports.EXPORTS:
        parameters.extend(_export_params(exports.EXPORTS[method["name"]]))
    if parameters:
        operation["parameters"] = parameters
    if in_body:
        is_required = any(param.get("required") for param in in_body)
        operation["requestBody"] = {"required": is_required, "content": {JSON: {"schema": _object_schema(in_body)}}}
        operation["description"] += f" {_EITHER}"
    contents: dict[str, Any] = {JSON: {"schema": method["result"]["schema"]}}
    if method["name"] in exports.EXPORTS:
        operation["description"] += f" {_EXPORT}"
        contents |= {kind: {"schema": {"type": "string"}} for kind in (exports.CSV, exports.NDJSON)}
    if method["name"] == "billing.focus":
        contents[exports.CSV] = {"schema": {"type": "string"}}
    operation["responses"] = {"200": {"description": "The method's result.", "content": contents}}
    for status, causes in sorted(_errors(route, method, is_own=is_own).items()):
        operation["responses"][str(status)] = _error(" ".join(f"{cause}." for cause in causes))
    return operation


def _errors(route: RestRoute, method: Mapping[str, Any], *, is_own: bool) -> dict[int, list[str]]:
    """Return the causes of errors by status: those of the contract, and those that HTTP and the gate add."""
    causes: dict[int, list[str]] = {}
    for error in method["errors"]:
        causes.setdefault(_STATUSES[error["code"]], []).append(error["message"])
    causes.setdefault(400, []).append("The header X-Hero-Context is too long, or the path has a control character")
    if "{" in route.template:
        causes.setdefault(404, []).append("No route has this path")
    causes[403] = [_FORBIDDEN]
    if is_own:  # the gate lets it pass
        del causes[401]
        causes[RateLimitExceeded.status] = ["The address sends too many of these requests"]
    if route.verb in WITH_BODY:
        causes[BodyTimeout.status] = ["The body did not arrive in time"]
        causes[BodyTooLarge.status] = [f"The body is longer than {MAX_BODY_BYTES} bytes"]
        causes[UnsupportedMedia.status] = [_UNSUPPORTED]
    return causes


def _error(description: str) -> dict[str, Any]:
    return {"description": description, "content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}}


def _parameter(place: str, param: Mapping[str, Any]) -> dict[str, Any]:
    parameter = {"name": param["name"], "in": place, "required": place == "path" or param.get("required", False)}
    return parameter | ({"description": param["description"]} if "description" in param else {})


def _export_params(exported: exports.ExportedMethod) -> Iterator[dict[str, Any]]:
    for param in exported.params:
        yield {**_parameter("query", {"name": param.name, "description": param.description}), "schema": param.schema}


def _list_form(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"style": "form", "explode": False} if schema["type"] == "array" else {}


def _members(document: Document, schema: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the members of a filter, each of which is a parameter of the query."""
    for name, member in schema["properties"].items():
        yield {**_parameter("query", {**member, "name": name}), "schema": resolved(document, member)}


def _object_schema(params: list[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            param["name"]: param["schema"] | ({"description": param["description"]} if "description" in param else {})
            for param in params
        },
        "required": [param["name"] for param in params if param.get("required", False)],
        "additionalProperties": False,
    }


def _rpc() -> Operation:
    """Return JSON-RPC itself, whose methods `openrpc.json` describes."""
    request = {"$ref": "#/components/schemas/RpcRequest"}
    response = {"$ref": "#/components/schemas/RpcAnswer"}
    body = {"oneOf": [request, {"type": "array", "items": request, "minItems": 1, "maxItems": MAX_BATCH}]}
    result = {"oneOf": [response, {"type": "array", "items": response, "minItems": 1, "maxItems": MAX_BATCH}]}
    responses: dict[str, Any] = {
        "200": {"description": "Results and errors.", "content": {JSON: {"schema": result}}},
        "204": {"description": "The request had notifications only."},
        "400": _error("The header X-Hero-Context is too long, or the path has a control character."),
        "403": _error(f"{_FORBIDDEN}."),
        "500": _error("The broker failed."),
    }
    for status, description in (
        (401, "Unauthorized."),
        (408, "The body did not arrive in time."),
        (413, "The body is too long."),
        (415, f"{_UNSUPPORTED}."),
    ):
        responses[str(status)] = {"description": description, "content": {JSON: {"schema": response}}}
    return {
        "operationId": "rpc",
        "summary": "Call methods by JSON-RPC 2.0",
        "description": "GET /openrpc.json describes the methods.",
        "tags": ["rpc"],
        "security": [{"bearer": []}],
        "requestBody": {"required": True, "content": {kind: {"schema": body} for kind in MEDIA_TYPES}},
        "responses": dict(sorted(responses.items())),
    }


SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "RpcRequest": {
        "title": "RpcRequest",
        "type": "object",
        "properties": {
            "jsonrpc": {"const": "2.0"},
            "id": {
                "type": ["string", "number", "null"],
                "description": "Without it, the request is a notification, which gets no response.",
            },
            "method": {"type": "string"},
            "params": {"type": ["array", "object"]},
        },
        "required": ["jsonrpc", "method"],
    },
    "RpcAnswer": {
        "title": "RpcAnswer",
        "type": "object",
        "properties": {
            "jsonrpc": {"const": "2.0"},
            "id": {"type": ["string", "number", "null"]},
            "result": {"description": "The method's result, as in openrpc.json."},
            "error": {
                "type": "object",
                "properties": {"code": {"type": "integer"}, "message": {"type": "string"}, "data": {"type": "object"}},
                "required": ["code", "message"],
            },
        },
        "required": ["jsonrpc", "id"],
    },
}
