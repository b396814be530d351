"""The document is OpenRPC 1.3 as its specification says, and moves its version when it changes."""

import hashlib
import json
import keyword
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from hero_broker.admin_plane.contract import load_document
from tests.admin_plane import document as known

DOCUMENT = load_document()
METHODS = DOCUMENT["methods"]
SCHEMAS = DOCUMENT["components"]["schemas"]

# The fields of each object: those that it must have, those that it may have; `x-` fields besides, but in an error.
ROOT = {"openrpc", "info", "methods"}, {"servers", "components", "externalDocs", "$schema"}
LICENSE = {"name"}, {"url"}
INFO = {"title", "version"}, {"description", "termsOfService", "contact", "license"}
METHOD = (
    {"name", "params"},
    {"description", "summary", "servers", "tags", "paramStructure", "errors", "links", "examples", "result"}
    | {"externalDocs", "deprecated"},
)
DESCRIPTOR = {"name", "schema"}, {"summary", "description", "required", "deprecated"}
ERROR = {"code", "message"}, {"data"}
TAG = {"name"}, {"summary", "description", "externalDocs"}
PAIRING = {"name", "params"}, {"description", "summary", "result"}
ERROR_PAIRING = {"name", "params", "error"}, set[str]()
EXAMPLE = {"name", "value"}, {"summary", "description"}
COMPONENTS = (
    set[str](),
    {"contentDescriptors", "schemas", "examples", "links", "errors", "examplePairingObjects", "tags"},
)
PREDEFINED = range(-32768, -31999)


def check_fields(found: Mapping[str, Any], fields: tuple[set[str], set[str]], *, extensions: bool = True) -> None:
    must, may = fields
    names = {name for name in found if not (extensions and name.startswith("x-"))}
    assert must <= names <= must | may, names


def schemas() -> Iterator[Mapping[str, Any]]:
    """Yield the outermost schemas: those that clients make types of."""
    yield from SCHEMAS.values()
    for method in METHODS:
        yield from (param["schema"] for param in method["params"])
        yield method["result"]["schema"]


def inside(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Yield a schema and those inside it."""
    yield schema
    inner = [*schema.get("properties", {}).values(), *schema.get("oneOf", ())]
    inner += [schema[name] for name in ("items", "additionalProperties") if isinstance(schema.get(name), dict)]
    for one in inner:
        yield from inside(one)


def references(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return int(isinstance(value, dict) and "$ref" in value) + sum(map(references, inner))


def is_valid(schema: Mapping[str, Any], value: object) -> bool:
    return bool(Draft7Validator({**schema, "components": DOCUMENT["components"]}).is_valid(value))


def test_root_has_the_fields_of_the_specification() -> None:
    check_fields(DOCUMENT, ROOT)
    check_fields(DOCUMENT["info"], INFO)
    check_fields(DOCUMENT["info"]["license"], LICENSE)
    check_fields(DOCUMENT["components"], COMPONENTS)
    assert re.fullmatch(r"1\.3\.\d+", DOCUMENT["openrpc"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", DOCUMENT["info"]["version"])


def test_method_names_are_unique_and_only_discovery_is_reserved() -> None:
    names = [method["name"] for method in METHODS]

    assert len(names) == len(set(names))
    assert [name for name in names if name.startswith("rpc.")] == ["rpc.discover"]
    assert all(re.fullmatch(r"[a-z]+\.[a-z_]+", name) for name in names)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method["name"])
def test_method_has_the_fields_of_the_specification(method: Any) -> None:
    check_fields(method, METHOD)
    assert method["paramStructure"] in ("by-name", "by-position", "either")
    assert method["summary"]
    assert method["description"]
    assert method["tags"]
    for tag in method["tags"]:
        check_fields(tag, TAG)

    names = [param["name"] for param in method["params"]]
    required = [param.get("required", False) for param in method["params"]]
    for descriptor in (*method["params"], method["result"]):
        check_fields(descriptor, DESCRIPTOR)
    assert all(param["description"] for param in method["params"])
    assert len(names) == len(set(names))
    assert required == sorted(required, reverse=True), "required parameters come first"

    codes = [error["code"] for error in method["errors"]]
    assert len(codes) == len(set(codes))
    for error in method["errors"]:
        check_fields(error, ERROR, extensions=False)
        assert type(error["code"]) is int
        assert error["code"] in PREDEFINED
        assert error["message"]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method["name"])
def test_examples_of_a_method_are_what_its_schemas_allow(method: Any) -> None:
    described = {param["name"]: param["schema"] for param in method["params"]}
    required = {param["name"] for param in method["params"] if param.get("required", False)}
    names = [example["name"] for example in method["examples"]]

    assert len(set(names)) == len(names)
    assert len(names) >= 2, "a method has two examples or more"
    for example in method["examples"]:
        check_fields(example, PAIRING)
        check_fields(example["result"], EXAMPLE)
        given = [param["name"] for param in example["params"]]
        assert required <= set(given)
        assert given == [name for name in described if name in given], "in the order of the parameters, each once"
        for param in example["params"]:
            check_fields(param, EXAMPLE)
            assert is_valid(described[param["name"]], param["value"]), param
        assert is_valid(method["result"]["schema"], example["result"]["value"])


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method["name"])
def test_examples_of_errors_have_the_form_of_other_examples(method: Any) -> None:
    assert method.get("x-error-examples"), "a method has an example of each error that a request can provoke"
    names = [example["name"] for example in method["x-error-examples"]]

    assert len(set(names)) == len(names)
    for example in method["x-error-examples"]:
        check_fields(example, ERROR_PAIRING, extensions=False)
        check_fields(example["error"], ERROR, extensions=False)
        for param in example["params"]:
            check_fields(param, EXAMPLE)


def test_license_is_the_one_of_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]

    assert DOCUMENT["info"]["license"]["name"] == project["license"]


def test_references_stand_in_schemas_and_lead_to_objects_and_enums() -> None:
    found = [one["$ref"] for schema in schemas() for one in inside(schema) if "$ref" in one]

    assert references(DOCUMENT) == len(found), "a reference outside a schema"
    for reference in found:
        name = reference.removeprefix("#/components/schemas/")
        assert SCHEMAS[name]["type"] == "object" or "enum" in SCHEMAS[name]
    assert {reference.rpartition("/")[2] for reference in found} == SCHEMAS.keys(), "a schema that nothing refers to"


def test_titles_are_unique_names_of_types() -> None:
    titles = [schema["title"] for schema in schemas() if "$ref" not in schema]

    assert len(titles) == len(set(titles))
    assert all(re.fullmatch(r"[A-Z][A-Za-z0-9]*", title) for title in titles)
    assert all(schema["title"] == name for name, schema in SCHEMAS.items())


def test_example_of_this_version_has_this_version() -> None:
    (discover,) = [method for method in METHODS if method["name"] == "rpc.discover"]
    (example,) = [item for item in discover["examples"] if item["name"].startswith("this version")]

    assert example["result"]["value"]["info"]["version"] == DOCUMENT["info"]["version"]


def test_version_moves_with_the_document() -> None:
    info = {name: value for name, value in DOCUMENT["info"].items() if name != "version"}
    canonical = json.dumps({**DOCUMENT, "info": info}, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).hexdigest()

    assert (DOCUMENT["info"]["version"], digest) == (known.VERSION, known.SHA256), (
        "openrpc.json and the version it was last given differ. Raise info.version: major for a change that an existing"
        " client could notice; minor for a new method, parameter or member that may be left out; patch for words and"
        " examples. While it is 0.x, minor stands for major, too. Then write both into tests/admin_plane/document.py:"
        f" VERSION = {DOCUMENT['info']['version']!r}, SHA256 = {digest!r}."
    )


def test_no_member_is_a_keyword_of_python() -> None:
    """A generated client cannot have an attribute of that name."""
    members = {
        member for schema in DOCUMENT["components"]["schemas"].values() for member in schema.get("properties", ())
    }

    assert [member for member in sorted(members) if keyword.iskeyword(member)] == []
