"""`openrpc.json` is what OpenRPC's own meta-schema asks for."""

import copy
import json
import os
from pathlib import Path

import httpx
import pytest
from jsonschema import Draft7Validator
from referencing import Registry
from referencing.jsonschema import DRAFT7

from hero_broker.admin_plane.contract import Document, load_document
from tests.ecosystem.place import INSTALLED, Place

PACKAGES = Path(os.environ[INSTALLED]) / "openrpc_tools" / "node_modules"


@pytest.fixture(scope="module")
def official() -> Draft7Validator:
    """The meta-schema of OpenRPC 1.3, with the one of JSON Schema that it names by its URL, both read from files."""
    openrpc = json.loads((PACKAGES / "@open-rpc/spec/dist/1_3/schema.json").read_text())
    json_schema = DRAFT7.create_resource(
        json.loads((PACKAGES / "@json-schema-tools/meta-schema/schema.json").read_text())
    )
    urls = ("https://meta.json-schema.tools", "https://meta.json-schema.tools/")
    return Draft7Validator(openrpc, registry=Registry().with_resources((url, json_schema) for url in urls))


def complaints(official: Draft7Validator, document: Document) -> list[str]:
    """Return the places of a document that the meta-schema does not allow."""
    return [error.json_path for error in official.iter_errors(document)]


def test_document_is_openrpc(official: Draft7Validator) -> None:
    assert complaints(official, load_document()) == []


def test_what_a_broker_serves_is_the_document(place: Place) -> None:
    assert httpx.get(f"{place.running.url}/openrpc.json").json() == load_document()


@pytest.mark.parametrize(
    ("path", "changed"),
    [
        (("methods", 1, "errors", 0), {"code": -32602, "message": "Invalid params", "description": "extra"}),
        (("methods", 1, "params", 0), {"schema": {"type": "integer"}}),
        (("methods", 1, "paramStructure"), "any"),
        (("methods", 1, "params", 0, "schema"), {"type": "decimal"}),
        (("components", "schemas", "UsageTotals", "properties"), []),
    ],
)
def test_broken_document_is_refused(official: Draft7Validator, path: tuple[str | int, ...], changed: object) -> None:
    document = copy.deepcopy(load_document())
    part: object = document
    for step in path[:-1]:
        part = part[step]  # type: ignore[index]
    part[path[-1]] = changed  # type: ignore[index]

    assert complaints(official, document) != []
