"""The page of the methods, generated from `openrpc.json`."""

import json
from pathlib import Path
from typing import Any

from hero_broker.admin_plane.contract import load_document

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "reference" / "methods.md"

HEAD = """# Methods

The admin plane speaks JSON-RPC 2.0 at `POST /rpc`, by name or by position, one request or a batch of at most 100.
This page is generated from `openrpc.json`, which `rpc.discover` and `GET /openrpc.json` return.
Times are Unix seconds, UTC; a window counts calls that started at or after `since` and before `until`.
Null for an optional parameter counts as absent.
Clients ignore members that they do not know.
In the document, `x-rest` is a method's REST route, `x-scope` what a caller needs (no token is limited to scopes yet), and `x-error-examples` are requests that fail; those in `components` fail in the same way for every method.
"""


def page() -> str:
    """Return the page."""
    document = load_document()
    methods = [_method(method, document) for method in document["methods"]]
    schemas = [_schema(schema, document) for schema in document["components"]["schemas"].values()]
    return HEAD + "\n" + "\n".join(methods) + "\n# Schemas\n\n" + "\n".join(schemas)


def _method(method: dict[str, Any], document: dict[str, Any]) -> str:
    text = f"## `{method['name']}`\n\n{method['summary']}. {method['description']}\n\nREST: `{method['x-rest']}`.\n\n"
    if method["params"]:
        text += "| Parameter | Form | |\n| --- | --- | --- |\n"
        for param in method["params"]:
            name = f"`{param['name']}`" + ("" if param["required"] else " (optional)")
            text += f"| {name} | {_form(param['schema'], document)} | {param['description']} |\n"
        text += "\n"
    text += f"Returns {_form(method['result']['schema'], document)}.\n"
    codes = ", ".join(f"{error['code']} ({error['message']})" for error in method["errors"])
    text += f"Errors: {codes}; see [errors](errors.md).\n\n"
    example = method["examples"][0]
    params = {param["name"]: param["value"] for param in example["params"]}
    request: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": method["name"]}
    request |= {"params": params} if params else {}
    return text + f"```json\n{json.dumps(request)}\n```\n\n" + _errors(method.get("x-error-examples", []))


def _errors(examples: list[dict[str, Any]]) -> str:
    text = "| Request that fails | Parameters | Error |\n| --- | --- | --- |\n"
    for example in examples:
        params = json.dumps({param["name"]: param["value"] for param in example["params"]})
        error = example["error"]
        data = error.get("data", {})
        named = f": `{data['param']}` {data['reason']}" if "param" in data else ""
        reason = f" (`{data['reason']}`)" if data and not named else named
        text += f"| {example['name']} | `{params}` | {error['code']}, {error['message']}{reason} |\n"
    return text


def _schema(schema: dict[str, Any], document: dict[str, Any]) -> str:
    text = f"## {schema['title']}\n\n"
    if "description" in schema:
        text += f"{schema['description']}\n\n"
    text += "| Member | Form | |\n| --- | --- | --- |\n"
    for name, member in schema["properties"].items():
        text += f"| `{name}` | {_form(member, document)} | {member.get('description', '')} |\n"
    return text


def _form(schema: dict[str, Any], document: dict[str, Any]) -> str:
    if "oneOf" in schema:
        return " or ".join(_form(one, document) for one in schema["oneOf"])
    if "$ref" in schema:
        title = schema["$ref"].rpartition("/")[2]
        return f"[{title}](#{title.lower()})"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "array":
        return f"array of {_form(schema['items'], document)}"
    if "maximum" in schema:
        return f"integer, {schema['minimum']} to {schema['maximum']}"
    if "maxLength" in schema:
        return f"string, {schema.get('minLength', 0)} to {schema['maxLength']} characters"
    return str(schema["type"])
