"""The generator of the client writes what a changed document needs."""

import ast
import copy
from typing import Any

import pytest

from hero_broker.admin_plane.contract import Document, load_document
from tests.reference import client

LABEL: dict[str, Any] = {"$ref": "#/components/schemas/LabelAnswer"}


def method(name: str, **schemas: dict[str, Any]) -> dict[str, Any]:
    """Return a method with optional parameters."""
    params = [
        {"name": param, "description": f"The {param}.", "required": False, "schema": {"title": param.title(), **schema}}
        for param, schema in schemas.items()
    ]
    result = {"name": "result", "schema": LABEL}
    return {"name": name, "summary": "A new one", "description": "Does it.", "params": params, "result": result}


def written(document: Document) -> dict[str, str]:
    """Return the text of each file by its name; all are Python."""
    texts = {path.name: text for path, text in client.files(document)}
    for text in texts.values():
        ast.parse(text)
    return texts


@pytest.fixture
def document() -> Document:
    return copy.deepcopy(load_document())


def test_new_method_is_in_both_clients_and_among_the_queries(document: Document) -> None:
    document["methods"].append(method("labels.get", target={"type": "string"}))

    texts = written(document)

    assert "def get_label(target: str | None = None) -> Query[models.LabelAnswer]:" in texts["methods.py"]
    assert "    def get(self, target: str | None = None) -> models.LabelAnswer:" in texts["sync_methods.py"]
    assert "        return self._call(methods.get_label(target))" in texts["sync_methods.py"]
    assert "    async def get(self, target: str | None = None) -> models.LabelAnswer:" in texts["async_methods.py"]


def test_new_group_and_types_of_parameters_are_defined_and_imported(document: Document) -> None:
    window = {"oneOf": [{"type": "string", "enum": ["hour", "week"]}, {"type": "null"}]}
    document["methods"].append(method("alerts.set", window=window, type={"type": "integer"}))

    texts = written(document)

    assert 'Window = Literal["hour", "week"]' in texts["methods.py"]
    assert "def set_alert(" in texts["methods.py"]
    for name, prefix in (("sync_methods.py", ""), ("async_methods.py", "Async")):
        assert "    QueryFilter,\n    Window,\n)\n" in texts[name]
        assert f"        self.alerts = {prefix}AlertsMethods(call)\n" in texts[name]
        assert "        type: int | None = None,  # noqa: A002 - the contract's word\n" in texts[name]


def test_new_member_of_the_row_is_said_once(document: Document) -> None:
    schemas = document["components"]["schemas"]
    for name in ("Request", "ExplainedRequest"):
        schemas[name]["properties"]["queue_ms"] = {"type": "integer", "description": "Milliseconds; null at first."}
        schemas[name]["required"].append("queue_ms")

    models = written(document)["models.py"]

    assert models.count("    queue_ms: int  # Milliseconds; None at first.\n") == 1
    assert "class ExplainedRequest(Request, frozen=True, kw_only=True):" in models
