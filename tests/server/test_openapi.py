"""The OpenAPI document is valid, and says of the routes and the contract what they are."""

import json
from typing import Any

import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from starlette.routing import Route

from hero_broker import __version__
from hero_broker.admin_plane import openapi_routes as admin_plane
from hero_broker.admin_plane.contract import load_document
from hero_broker.admin_plane.errors import CODES
from hero_broker.admin_plane.exports import EXPORTS
from hero_broker.admin_plane.method import AdminMethod
from hero_broker.admin_plane.registry import METHODS
from hero_broker.data_plane import openapi_routes as data_plane
from hero_broker.kinds.registry import KINDS
from hero_broker.server import openapi
from tests.server.test_router import routes_of_the_program

CONTRACT = load_document()
DOCUMENTED = {method["name"]: method for method in CONTRACT["methods"]}
DOCUMENT: dict[str, Any] = json.loads(msgspec.json.encode(openapi.document(CONTRACT)))


def operation_of(method: AdminMethod[...]) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][method.rest.template][method.rest.verb.lower()]
    return found


def test_document_is_openapi_3_1() -> None:
    validate(DOCUMENT, cls=OpenAPIV31SpecValidator)

    assert DOCUMENT["openapi"] == "3.1.0"
    assert DOCUMENT["info"]["version"] == __version__


def test_document_has_each_served_route_and_verb_and_no_other() -> None:
    program = routes_of_the_program()
    served = {(path, "POST") for path in program.hot}
    for route in program.others.routes:
        assert isinstance(route, Route)
        assert route.methods is not None
        assert ("HEAD" in route.methods) == ("GET" in route.methods)
        served |= {(route.path.replace(":path}", "}"), verb) for verb in route.methods - {"HEAD"}}

    stored = [one.spec for kind in KINDS.values() for one in kind.stored_requests]
    served |= {(spec.path, spec.verb.upper()) for spec in stored}
    described = {(path, verb.upper()) for path, verbs in DOCUMENT["paths"].items() for verb in verbs}

    assert described == served
    assert "Every path that has GET also has HEAD" in DOCUMENT["info"]["description"]


def test_planes_name_their_schemas_apart() -> None:
    names = [*CONTRACT["components"]["schemas"], *admin_plane.SCHEMAS, *data_plane.SCHEMAS, "Error"]

    assert sorted(names) == sorted(DOCUMENT["components"]["schemas"])


def without_null(schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schema.get("oneOf", [schema])[0]
    return found


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_operation_takes_the_methods_parameters(method: AdminMethod[...]) -> None:
    operation = operation_of(method)
    wanted: dict[str, tuple[bool, Any]] = {}
    for param in DOCUMENTED[method.name]["params"]:
        schema = without_null(param["schema"])
        if "$ref" in schema and method.rest.verb == "GET":
            members = CONTRACT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"]
            wanted |= {name: (False, without_null(member)) for name, member in members.items()}
        else:
            wanted[param["name"]] = (param.get("required", False), schema)
    if method.name in EXPORTS:
        wanted |= {param.name: (False, param.schema) for param in EXPORTS[method.name].params}

    found = {param["name"]: (param["required"], param["schema"]) for param in operation.get("parameters", ())}
    if "requestBody" in operation:
        body = operation["requestBody"]["content"]["application/json"]["schema"]
        members = {name: without_null(shown(schema)) for name, schema in body["properties"].items()}
        found |= {name: (name in body["required"], schema) for name, schema in members.items()}
        assert body["additionalProperties"] is False
        assert operation["requestBody"]["required"] is bool(body["required"])

    assert found == wanted
    for param in operation.get("parameters", ()):
        assert (param["in"] == "path") == (f"{{{param['name']}}}" in method.rest.template)
        assert (param.get("explode") is False) == (param["schema"]["type"] == "array")


def shown(schema: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name != "description"}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_operation_answers_the_methods_result_and_errors(method: AdminMethod[...]) -> None:
    contract, operation = DOCUMENTED[method.name], operation_of(method)
    statuses = {one.rpc: one.status for one in CODES.values()} | {-32001: 401, -32603: 500}
    documented = {statuses[error["code"]] for error in contract["errors"]}
    always = {200, 400, 403, 500} | ({429} if method.is_own else {401})
    with_body = {408, 413, 415} if method.rest.verb in ("POST", "PUT") else set()
    with_path = {404} if "{" in method.rest.template else set()

    assert operation["responses"]["200"]["content"]["application/json"]["schema"] == contract["result"]["schema"]
    if method.is_own:
        documented.remove(401)
    assert {int(status) for status in operation["responses"]} == documented | always | with_body | with_path
    assert operation["security"] == ([] if method.is_own else [{"bearer": []}])


def test_label_is_named_in_the_query_and_told_in_the_body() -> None:
    operation = DOCUMENT["paths"]["/admin/labels"]["put"]

    assert [(param["name"], param["in"]) for param in operation["parameters"]] == [("target", "query")]
    assert list(operation["requestBody"]["content"]["application/json"]["schema"]["properties"]) == ["label"]


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/billing/usage", ["bom"]),
        ("/billing/usage/{ip}", ["bom"]),
        ("/billing/report", ["bom"]),
        ("/billing/requests", ["tz", "bom"]),
    ],
)
def test_export_is_described_beside_the_page_with_the_parameters_that_only_it_has(path: str, params: list[str]) -> None:
    operation = DOCUMENT["paths"][path]["get"]
    documented = {param["name"] for param in DOCUMENTED[operation["operationId"]]["params"]}
    documented |= set(CONTRACT["components"]["schemas"]["Filter"]["properties"]) if "filter" in documented else set()

    assert list(operation["responses"]["200"]["content"]) == ["application/json", "text/csv", "application/x-ndjson"]
    assert [one["name"] for one in operation["parameters"] if one["name"] not in documented] == params


def test_focus_is_exported_as_csv_alone() -> None:
    answers = DOCUMENT["paths"]["/billing/focus"]["get"]["responses"]["200"]["content"]

    assert list(answers) == ["application/json", "text/csv"]


def test_every_answer_has_a_request_id_and_those_to_wait_for_a_time() -> None:
    responses = [
        (status, response)
        for operations in DOCUMENT["paths"].values()
        for operation in operations.values()
        for status, response in operation["responses"].items()
    ]

    assert all("x-request-id" in response["headers"] for _, response in responses)
    assert all(("retry-after" in response["headers"]) == (status in ("429", "503")) for status, response in responses)
    assert all(("www-authenticate" in response["headers"]) == (status == "401") for status, response in responses)
