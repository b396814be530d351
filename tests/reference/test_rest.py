"""The reference of REST routes is what the OpenAPI document says."""

from hero_broker.admin_plane.contract import load_document
from hero_broker.server import openapi
from tests.reference.rest import page


def test_page_has_each_operation_parameter_and_status() -> None:
    sections = [section.partition("\n### ")[::2] for section in page().split("\n## ")]
    texts = {
        route.partition("`\n")[0].removeprefix("`"): (shared, route)
        for shared, routes in sections
        for route in routes.split("\n### ")
    }

    for path, operations in openapi.document(load_document())["paths"].items():
        for verb, operation in operations.items():
            shared, own = texts[f"{verb.upper()} {path}"]
            assert all(f"| `{param['name']}`" in own for param in operation.get("parameters", ()))
            assert all((f"\n| {status} |" in own) != (f"\n| {status} |" in shared) for status in operation["responses"])
