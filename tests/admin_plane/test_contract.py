"""The document and the code say the same."""

import inspect
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft7Validator

from hero_broker.admin_plane.contract import Contract, ContractMismatch, load_document
from hero_broker.admin_plane.method import RestRoute
from hero_broker.admin_plane.registry import METHODS
from hero_broker.core.errors import InvalidParams


def test_every_documented_method_is_a_coroutine_function() -> None:
    for method in load_document()["methods"]:
        assert inspect.iscoroutinefunction(METHODS[method["name"]].function)


def test_document_names_what_the_code_takes() -> None:
    documented = load_document()["methods"]

    assert {method["name"] for method in documented} == METHODS.keys()
    for method in documented:
        called = METHODS[method["name"]]
        not_sent = 2 if called.is_own else 1  # the Admin, and the Caller
        written = list(inspect.signature(called.function).parameters.values())[not_sent:]
        takes = [(param.name, param.default is param.empty) for param in written]
        assert takes == [(param["name"], param.get("required", False)) for param in method["params"]]


def test_reason_says_what_is_accepted() -> None:
    contract = Contract(load_document())

    with pytest.raises(InvalidParams) as caught:
        contract.arguments("billing.usage_by_ip", {"limit": True})
    with pytest.raises(InvalidParams) as missing:
        contract.arguments("billing.usage_for_ip", {})

    assert caught.value.reason == "must be an integer from 1 to 10000"
    assert (missing.value.param, missing.value.reason) == ("ip", "is required")


def nodes(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(child)


def test_schemas_suit_the_client_generators() -> None:
    document = load_document()
    schemas = [*document["components"]["schemas"].values()]
    schemas += [param["schema"] for method in document["methods"] for param in method["params"]]

    for schema in schemas:
        Draft7Validator.check_schema(schema)
        assert not [key for node in nodes(schema) for key in node if key == "format" or key.startswith("x-")]


def test_member_that_may_be_absent_has_a_default() -> None:
    # The Python generator takes a member without a default for one that every answer has.
    for schema in load_document()["components"]["schemas"].values():
        optional = schema["properties"].keys() - set(schema.get("required", ()))
        assert {name: schema["properties"][name]["default"] for name in optional} == dict.fromkeys(optional)


def test_examples_are_the_same_call_by_position_and_by_name() -> None:
    contract = Contract(load_document())

    for method in load_document()["methods"]:
        for example in method["examples"]:
            by_name = {param["name"]: param["value"] for param in example["params"]}
            by_position = [param["value"] for param in example["params"]]
            assert list(by_name) == [param["name"] for param in method["params"]][: len(by_name)]
            assert contract.arguments(method["name"], by_name) == contract.arguments(method["name"], by_position)


def test_document_and_code_that_differ_stop_the_start() -> None:
    document = load_document()
    contract = Contract(document)

    contract.check(METHODS)
    with pytest.raises(ContractMismatch, match=r"system\.info"):
        contract.check({name: method for name, method in METHODS.items() if name != "system.info"})
    with pytest.raises(ContractMismatch, match=r"billing\.usage_for_ip"):
        contract.check({**METHODS, "billing.usage_for_ip": METHODS["billing.usage_by_ip"]})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"scope": "labels:write"}, r"scope of labels\.list: labels:write in the code, labels:read documented"),
        ({"rest": RestRoute("GET", "/admin/{name}")}, r"REST route of labels\.list: GET /admin/\{name\} in the code"),
    ],
    ids=["scope", "route"],
)
def test_scope_or_route_that_the_document_does_not_have_stops_the_start(changed: dict[str, Any], message: str) -> None:
    changed_method = replace(METHODS["labels.list"], **changed)

    with pytest.raises(ContractMismatch, match=message):
        Contract(load_document()).check({**METHODS, "labels.list": changed_method})


@pytest.mark.parametrize("extension", ["x-scope", "x-rest"])
def test_method_without_its_extension_stops_the_start(extension: str) -> None:
    document = load_document()
    del document["methods"][0][extension]

    with pytest.raises(ContractMismatch, match=r"of rpc\.discover: .* None documented"):
        Contract(document).check(METHODS)
