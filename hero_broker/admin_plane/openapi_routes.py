"""The admin plane's routes as OpenAPI, made from the sources of the routes: `rest.REST_ROUTES` and `openrpc.json`.

The contract's schemas are of JSON Schema draft 7; what they use of it means the same in OpenAPI 3.1's 2020-12, and
references to `#/components/schemas` lead to the same place in both documents.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from hero_broker.admin_plane import exports
from hero_broker.admin_plane.contract import Document, resolved
from hero_broker.admin_plane.errors import CODES, INTERNAL_ERROR, UNAUTHORIZED
from hero_broker.admin_plane.jsonrpc import MAX_BATCH
from hero_broker.admin_plane.rest import MAX_BODY_BYTES, REST_ROUTES, WITH_BODY, RestRoute
from hero_broker.admin_plane.rpc import MEDIA_TYPES
from hero_broker.core.errors import (
    BodyTimeout,
    BodyTooLarge,
    UnsupportedMedia,
)

JSON = "application/json"

_STATUSES = {one.rpc: one.status for one in (*CODES.values(), INTERNAL_ERROR)} | {UNAUTHORIZED: 401}
_EITHER = "Each parameter may stand in the query or in the body, but only once."
_EXPORT = (
    "Accept: text/csv or application/x-ndjson streams all rows, without limit and cursor; "
    "text that a spreadsheet would compute has an apostrophe before it."
)

Operation = dict[str, Any]


def operations(document: Document) -> Iterator[tuple[str, str, Operation]]:
    """Yield each route's path, verb in lower case, and operation; answers with content have no headers yet."""
    methods = {method["name"]: method for method in document["methods"]}
    for twin in REST_ROUTES:
        yield twin.template, twin.verb.lower(), _operation(twin, methods[twin.method], document)
    yield "/rpc", "post", _rpc()


def _operation(twin: RestRoute, method: Mapping[str, Any], document: Document) -> Operation:
    operation: Operation = {
        "operationId": method["name"],
        "summary": method["summary"],
        "description": method["description"],
        "tags": [tag["name"] for tag in method["tags"]],
        "security": [{"bearer": []}],
    }
    in_body: list[Mapping[str, Any]] = []
    parameters: list[dict[str, Any]] = []
    for param in method["params"]:
        schema = resolved(document, param["schema"])
        if f"{{{param['name']}}}" in twin.template:
            parameters.append({**_parameter("path", param), "schema": schema})
        elif twin.verb in WITH_BODY and param["name"] not in twin.in_query:
            in_body.append(param)
        elif schema["type"] == "object":
            parameters.extend(_members(document, schema))
        else:
            parameters.append({**_parameter("query", param), "schema": schema, **_list_form(schema)})
    if parameters:
        operation["parameters"] = parameters
    if in_body:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": _object_schema(in_body)}}}
        operation["description"] += f" {_EITHER}"
    answers: dict[str, Any] = {JSON: {"schema": method["result"]["schema"]}}
    if twin.method == "billing.requests":
        operation["description"] += f" {_EXPORT}"
        answers |= {kind: {"schema": {"type": "string"}} for kind in (exports.CSV, exports.NDJSON)}
    operation["responses"] = {"200": {"description": "The same as the method's result.", "content": answers}}
    for status, told in sorted(_errors(twin, method).items()):
        operation["responses"][str(status)] = _error(" ".join(f"{one}." for one in told))
    return operation


def _errors(twin: RestRoute, method: Mapping[str, Any]) -> dict[int, list[str]]:
    """Return what can go wrong by status: what the contract says, and what HTTP and the gate add."""
    found: dict[int, list[str]] = {}
    for error in method["errors"]:
        found.setdefault(_STATUSES[error["code"]], []).append(error["message"])
    found.setdefault(400, []).append("Or the header X-Hero-Context is too long, or the path has a control character")
    if "{" in twin.template:
        found.setdefault(404, []).append("Or the path is none that is here")
    found[403] = [
        "The address may not call; in dev mode, Host or Origin is no loopback name, or a page of another port asks"
    ]
    if twin.verb in WITH_BODY:
        found[BodyTimeout.status] = ["The body did not arrive in time"]
        found[BodyTooLarge.status] = [f"The body is longer than {MAX_BODY_BYTES} bytes"]
        found[UnsupportedMedia.status] = ["The body's content type or encoding is another"]
    return found


def _error(description: str) -> dict[str, Any]:
    return {"description": description, "content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}}


def _parameter(place: str, param: Mapping[str, Any]) -> dict[str, Any]:
    found = {"name": param["name"], "in": place, "required": place == "path" or param.get("required", False)}
    return found | ({"description": param["description"]} if "description" in param else {})


def _list_form(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"style": "form", "explode": False} if schema["type"] == "array" else {}


def _members(document: Document, schema: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the members of a filter, which stand flat in a query."""
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
    asked = {"$ref": "#/components/schemas/RpcRequest"}
    told = {"$ref": "#/components/schemas/RpcAnswer"}
    body = {"oneOf": [asked, {"type": "array", "items": asked, "minItems": 1, "maxItems": MAX_BATCH}]}
    answer = {"oneOf": [told, {"type": "array", "items": told, "minItems": 1, "maxItems": MAX_BATCH}]}
    responses: dict[str, Any] = {
        "200": {"description": "Answers, errors among them.", "content": {JSON: {"schema": answer}}},
        "204": {"description": "There were notifications only."},
        "400": _error("The header X-Hero-Context is too long, or the path has a control character."),
        "403": _error(
            "The address may not call; in dev mode, Host or Origin is no loopback name, or a page of another port asks."
        ),
        "500": _error("The broker failed."),
    }
    for status, description in (
        (401, "Unauthorized."),
        (408, "The body did not arrive in time."),
        (413, "The body is too long."),
        (415, "The body's content type or encoding is another."),
    ):
        responses[str(status)] = {"description": description, "content": {JSON: {"schema": told}}}
    return {
        "operationId": "rpc",
        "summary": "Ask by JSON-RPC 2.0",
        "description": "Its methods are described at GET /openrpc.json.",
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
            "id": {"type": ["string", "number", "null"], "description": "Without it, nothing is answered."},
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
            "result": {"description": "As the method's result in openrpc.json."},
            "error": {
                "type": "object",
                "properties": {"code": {"type": "integer"}, "message": {"type": "string"}, "data": {"type": "object"}},
                "required": ["code", "message"],
            },
        },
        "required": ["jsonrpc", "id"],
    },
}
