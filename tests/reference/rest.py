"""The page of the REST routes, generated from the OpenAPI document."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hero_broker.admin_plane.contract import load_document
from hero_broker.server import openapi

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "rest.md"
HEAD = """\
# REST routes

This page is generated from the OpenAPI 3.1 document at `GET /openapi.json`.
[How to call it](../how-to/call.md) and [how to bill](../how-to/bill.md) have examples.

"""
SECURITY = """
Routes marked "admin token" need `Authorization: Bearer` with an admin token, unless the broker is in dev mode.
In a query string, commas separate the items of an array.
Errors are `{"error": {"message", "type", "param", "code"}}`, and those of `POST /rpc` after authentication are JSON-RPC's.
"""
STATUSES = "| Status | Response | When |\n| --- | --- | --- |"
HEADINGS = {
    "calls": "Calls",
    "health": "Health",
    "billing": "Billing",
    "models": "Models and providers",
    "prices": "Models and providers",
    "providers": "Models and providers",
    "labels": "Labels",
    "limits": "Limits",
    "system": "System",
    "rpc": "JSON-RPC and descriptions",
}

Node = Mapping[str, Any]


def page() -> str:
    """Return the page's text."""
    document = openapi.document(load_document())
    sections: dict[str, dict[str, Node]] = {heading: {} for heading in HEADINGS.values()}
    for path, operations in document["paths"].items():
        for verb, operation in operations.items():
            sections[HEADINGS[operation["tags"][0]]][f"{verb.upper()} {path}"] = operation
    lines = [HEAD + document["info"]["description"], SECURITY]
    for heading, operations in sections.items():
        lines.extend(_section(heading, operations, document))
    return "\n".join(lines)


def _section(heading: str, operations: Mapping[str, Node], document: Node) -> Iterator[str]:
    """Yield a section's lines; responses that all of its routes share are written once."""
    rows = {name: list(_statuses(operation, document)) for name, operation in operations.items()}
    shared = [row for row in next(iter(rows.values())) if all(row in others for others in rows.values())]
    yield f"## {heading}\n"
    if shared:
        yield "Each of these routes may return:\n"
        yield STATUSES
        yield from shared
        yield ""
    for name, operation in operations.items():
        yield from _operation(name, operation)
        yield STATUSES
        yield from (row for row in rows[name] if row not in shared)
        yield ""


def _operation(name: str, operation: Node) -> Iterator[str]:
    yield f"### `{name}`\n"
    yield f"{operation['summary']}{' (admin token)' if operation['security'] else ''}."
    yield from (_sentences(operation["description"]) if "description" in operation else ())
    yield ""
    rows = list(_parameters(operation))
    if rows:
        yield "| Parameter | Where | Form | Meaning |\n| --- | --- | --- | --- |"
        yield from rows
        yield ""


def _statuses(operation: Node, document: Node) -> Iterator[str]:
    for status, response in operation["responses"].items():
        yield f"| {status} | {_answers(response, document)} | {response['description']} |"


def _sentences(text: str) -> Iterator[str]:
    """Yield each sentence on a line of its own."""
    yield from text.replace(". ", ".\n").split("\n")


def _parameters(operation: Node) -> Iterator[str]:
    for param in operation.get("parameters", ()):
        yield _row(param["name"], param["in"], param["schema"], param["required"], param.get("description", ""))
    content = operation.get("requestBody", {}).get("content", {})
    for kind, media in list(content.items())[:1]:
        schema = media["schema"]
        where = f"`{kind}`" if len(content) == 1 else ", ".join(f"`{other}`" for other in content)
        if "properties" not in schema:
            yield f"| | {where} | {_form(schema)} | |"
        for name, member in schema.get("properties", {}).items():
            yield _row(name, where, member, name in schema["required"], "")


def _row(name: str, where: str, schema: Node, is_required: bool, description: str) -> str:
    meaning = description or schema.get("description", "")
    return f"| `{name}`{', required' if is_required else ''} | {where} | {_form(schema)} | {meaning} |"


def _form(schema: Node) -> str:
    """Return a schema in a few words."""
    if "$ref" in schema:
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    if "oneOf" in schema:
        return " or ".join(_form(one) for one in schema["oneOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" if value else "nothing" for value in schema["enum"])
    kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    form = " or ".join(kinds)
    if "items" in schema:
        form += f" of {_form(schema['items'])}"
    if schema.get("contentMediaType"):
        return "file"
    for low, high in (("minimum", "maximum"), ("minLength", "maxLength"), ("minItems", "maxItems")):
        unit = {"minLength": " characters", "minItems": " members"}.get(low, "")
        if high in schema:
            form += f", {schema.get(low, 0)} to {schema[high]}{unit}"
        elif schema.get(low) == 1:
            form += ", not empty"
    return form


def _answers(response: Node, document: Node) -> str:
    """Return an answer's media types, with the members of those that are JSON."""
    types = []
    for kind, media in response.get("content", {}).items():
        schema = media.get("schema", {})
        schemas = schema.get("oneOf", [schema])
        names = [one["$ref"].rpartition("/")[2] for one in schemas if "$ref" in one]
        for name in names if len(names) == len(schemas) else ():
            members = document["components"]["schemas"][name]["properties"]
            types.append(f"`{name}`" if name == "Error" else f"`{name}`: {', '.join(f'`{one}`' for one in members)}")
        if len(names) < len(schemas):
            types.append(f"`{kind}`")
    return "; ".join(types) or "nothing"
