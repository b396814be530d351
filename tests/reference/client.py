"""The code of the typed client, generated from `openrpc.json`: results, queries, and the methods of both clients."""

import builtins
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hero_broker.admin_plane.contract import Document

FOLDER = Path(__file__).parents[2] / "hero_broker" / "client"
WIDTH = 120
# Types of parameters whose title in the document is another.
NAMES = {
    "Filter": "QueryFilter",
    "GroupBy": "Dimension",
    "LimitDefinition": "NewLimit",
    "LimitMatch": "NewLimitMatch",
}
PLURAL = ("list", "set_many", "refresh")  # methods of several things
MAY_BE_USD = ("amount", "granted", "held", "needed", "remaining", "used")  # of a limit; its unit says whether
PLAIN = {"integer": "int", "string": "str", "boolean": "bool", "number": "Decimal"}

MARK = "Generated from `openrpc.json` by `python -m tests.reference`."
MODELS = f'''"""Results of the contract's methods: one class for each of its schemas, with the same names.

Members that a newer broker adds are ignored, and enumerations are plain strings, so that an
older client understands a newer broker. Times are unix seconds, UTC. Sums are exact: USD are Decimal.
{MARK}
"""
'''
QUERIES = f'''"""The methods of the contract as typed queries; a client sends them, alone or as a batch.

Parameters and their order are the contract's. A window is half-open, in unix seconds UTC: `since` counts, `until` does
not. Parameters that are None are left out.
{MARK}
"""
'''
METHODS = f'''"""The methods of the contract on a client that {{does}}: `client.billing.usage_by_ip(since=…)`.

{MARK}
"""
'''


class Import(NamedTuple):
    """A name that generated code may use, and where it comes from."""

    block: int  # 0: the standard library, 1: other packages, 2: this one
    module: str
    name: str


IMPORTS = [
    Import(0, "collections.abc", "Sequence"),
    Import(0, "decimal", "Decimal"),
    Import(0, "typing", "Any"),
    Import(0, "typing", "Literal"),
    Import(0, "typing", "TypedDict"),
    Import(1, "", "msgspec"),
    Import(2, "hero_broker.client", "methods"),
    Import(2, "hero_broker.client", "models"),
    Import(2, "hero_broker.client.query", "AsyncCall"),
    Import(2, "hero_broker.client.query", "Call"),
    Import(2, "hero_broker.client.query", "Query as Query"),  # programs import it from `methods`
    Import(2, "hero_broker.client.query", "build_query"),
]


def files(document: Document) -> Iterator[tuple[Path, str]]:
    """Yield each file with its text."""
    yield FOLDER / "models.py", _models(document)
    yield FOLDER / "methods.py", _queries(document)
    yield FOLDER / "sync_methods.py", _methods(document, is_async=False)
    yield FOLDER / "async_methods.py", _methods(document, is_async=True)


def _models(document: Document) -> str:
    schemas = document["components"]["schemas"]
    written: dict[str, str] = {}
    for method in document["methods"]:
        _add_models(method["result"]["schema"], schemas, written)
    return _module(MODELS, list(written.values()))


def _add_models(schema: Mapping[str, Any], schemas: Mapping[str, Any], written: dict[str, str]) -> None:
    """Add the classes that a schema needs, each after those that it needs itself."""
    if "$ref" in schema:
        name = _referred(schema)
        if name not in written:
            base = base_of(name, schemas)
            if base is not None:
                _add_models({"$ref": base}, schemas, written)
            for member in schemas[name]["properties"].values():
                _add_models(member, schemas, written)
            written[name] = _model(name, base, schemas)
    inside = [schema[name] for name in ("items", "additionalProperties") if isinstance(schema.get(name), dict)]
    for inner in (*schema.get("oneOf", ()), *inside):
        _add_models(inner, schemas, written)


def base_of(name: str, schemas: Mapping[str, Any]) -> str | None:
    """Return the largest schema whose members are among those of another one; None if there is none."""
    members = schemas[name]["properties"].items()
    smaller = [one for one, schema in schemas.items() if schema["properties"].items() < members]
    return max(smaller, key=lambda one: len(schemas[one]["properties"]), default=None)


def _model(name: str, base: str | None, schemas: Mapping[str, Any]) -> str:
    schema = schemas[name]
    inherited = schemas[base]["properties"] if base else ()
    lines = [f"class {name}({base or 'msgspec.Struct'}, frozen=True, kw_only=True):"]
    lines += [*_docstring([schema["description"]], "    "), ""]
    for member, form in schema["properties"].items():
        if member not in inherited:
            default = "" if member in schema.get("required", ()) else " = None"
            lines += _commented(f"    {member}: {_result_type(form, member)}{default}", _meaning(form))
    return "\n".join(lines)


def _result_type(schema: Mapping[str, Any], member: str) -> str:
    if "oneOf" in schema:
        return _union(_result_type(one, member) for one in schema["oneOf"])
    if "$ref" in schema:
        return _referred(schema)
    match schema["type"]:
        case "null":
            return "None"
        case "number":
            return "Decimal" if member.endswith("_usd") or member in MAY_BE_USD else "float"
        case "array":
            return f"tuple[{_result_type(schema['items'], member)}, ...]"
        case "object":
            values = schema.get("additionalProperties")
            return f"dict[str, {_result_type(values, member) if values else 'Any'}]"
    return PLAIN[schema["type"]]


def _meaning(schema: Mapping[str, Any]) -> str:
    values: list[str] = next((one["enum"] for one in schema.get("oneOf", [schema]) if "enum" in one), [])
    return " ".join([schema.get("description", ""), f"One of {', '.join(values)}." if values else ""]).strip()


def _commented(code: str, comment: str) -> list[str]:
    """Return a line with its comment: beside it, or above it if the line becomes too long."""
    comment = _pythonic(comment)
    if not comment:
        return [code]
    beside = f"{code}  # {comment}"
    if len(beside) <= WIDTH:
        return [beside]
    return [*textwrap.wrap(comment, WIDTH, initial_indent="    # ", subsequent_indent="    # "), code]


def _queries(document: Document) -> str:
    types = dict(_types(document))
    literals = [code for code in types.values() if not code.startswith("class ")]
    classes = [code for code in types.values() if code.startswith("class ")]
    return _module(QUERIES, ["\n".join(literals), *classes, *map(_query, document["methods"])])


def _types(document: Document) -> Iterator[tuple[str, str]]:
    """Yield the types of parameters, each with its definition: enumerations, and objects."""
    for schema in (param["schema"] for method in document["methods"] for param in method["params"]):
        for one in (*schema.get("oneOf", [schema]), schema.get("items", {})):
            if "enum" in one:
                values = [f'"{value}"' for value in one["enum"]]
                name = _named(schema["title"])
                yield name, "\n".join(_fitted(f"{name} = Literal[", values, "]", ""))
            elif "$ref" in one:
                yield from _typed_dicts(_referred(one), document)


def _typed_dicts(name: str, document: Document) -> Iterator[tuple[str, str]]:
    """Yield the type of an object and, before it, those of the objects in it; each with its definition."""
    for member in document["components"]["schemas"][name]["properties"].values():
        for one in member.get("oneOf", [member]):
            if "$ref" in one:
                yield from _typed_dicts(_referred(one), document)
    yield _named(name), _typed_dict(name, document)


def _typed_dict(name: str, document: Document) -> str:
    schema = document["components"]["schemas"][name]
    types = {
        member: _union(
            _named(_referred(one)) if "$ref" in one else _result_type(one, member) for one in form.get("oneOf", [form])
        )
        for member, form in schema["properties"].items()
    }
    lines = [f"class {_named(name)}(TypedDict, total=False):", *_docstring([schema["description"]], "    "), ""]
    for member, form in schema["properties"].items():
        lines += _commented(f"    {member}: {types[member]}", _meaning(form))
    return "\n".join(lines)


def _query(method: Mapping[str, Any]) -> str:
    name, answer = method["name"], _answer(method)
    lines = _fitted(f"def {function_name(name)}(", _params(method), f") -> Query[{answer}]:", "")
    lines += _docstring(_explained(method), "    ")
    arguments = [f'"{name}"', answer]
    for param in method["params"]:
        value = f"list({param['name']})" if "items" in param["schema"] else param["name"]
        arguments.append(f"{param['name']}={value}")
    return "\n".join([*lines, *_fitted("return build_query(", arguments, ")", "    ")])


def _methods(document: Document, *, is_async: bool) -> str:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for method in document["methods"]:
        groups.setdefault(method["name"].partition(".")[0], []).append(method)
    prefix, call = ("Async", "AsyncCall") if is_async else ("", "Call")
    parts = []
    for group, methods in groups.items():
        lines = [f"class {prefix}{group.title()}Methods:", f'    """`{group}.…`"""', ""]
        lines += [f"    def __init__(self, call: {call}) -> None:", "        self._call = call"]
        for method in methods:
            lines += ["", *_method(method, is_async)]
        parts.append("\n".join(lines))
    lines = [
        f"class {'Async' if is_async else 'Sync'}Methods:",
        '    """All methods, by the first part of their names."""',
    ]
    lines += ["", f"    def __init__(self, call: {call}) -> None:"]
    lines += [f"        self.{group} = {prefix}{group.title()}Methods(call)" for group in groups]
    parts.append("\n".join(lines))
    types = [Import(2, "hero_broker.client.methods", name) for name, _ in _types(document)]
    return _module(METHODS.format(does="awaits" if is_async else "blocks"), parts, types)


def _method(method: Mapping[str, Any], is_async: bool) -> Iterator[str]:
    name = method["name"].partition(".")[2]
    head = f"{'async ' if is_async else ''}def {name}("
    yield from _fitted(head, ["self", *_params(method)], f") -> {_answer(method)}:", "    ")
    yield from _docstring(_explained(method), "        ")
    head, query = f"return {'await ' if is_async else ''}self._call(", f"methods.{function_name(method['name'])}("
    arguments = [param["name"] for param in method["params"]]
    whole = f"        {head}{query}{', '.join(arguments)}))"
    if len(whole) <= WIDTH:
        yield whole
    else:
        yield from (f"        {head}", *_fitted(query, arguments, ")", "            "), "        )")


def function_name(method: str) -> str:
    """Return the name of a method's query: `usage` of `billing.usage`, `list_labels` and `set_label` of `labels`."""
    group, _, name = method.partition(".")
    if not group.endswith("s"):
        return name
    return f"{name}_{group if name in PLURAL else group.removesuffix('s')}"


def _answer(method: Mapping[str, Any]) -> str:
    schema = method["result"]["schema"]
    return f"models.{_referred(schema)}" if "$ref" in schema else _result_type({"type": schema["type"]}, "")


def _params(method: Mapping[str, Any]) -> list[str]:
    params = []
    for param in method["params"]:
        form, optional = (
            _param_type(param["schema"], param["schema"].get("title", "")),
            not param.get("required", False),
        )
        if optional:
            form = f"{form} = None" if form.endswith(" | None") else f"{form} | None = None"
        code = f"{param['name']}: {form}"
        params.append(code + ("  # noqa: A002 - the contract's word" if hasattr(builtins, param["name"]) else ""))
    return params


def _param_type(schema: Mapping[str, Any], title: str) -> str:
    if "oneOf" in schema:
        return _union(_param_type(one, title) for one in schema["oneOf"])
    if "$ref" in schema:
        return _named(_referred(schema))
    if "enum" in schema:
        return _named(title)
    if schema["type"] == "array":
        return f"Sequence[{_param_type(schema['items'], title)}]"
    return "None" if schema["type"] == "null" else PLAIN[schema["type"]]


def _explained(method: Mapping[str, Any]) -> list[str]:
    """Return the paragraphs of a method's docstring."""
    params = [f"    {param['name']}: {param['description']}" for param in method["params"]]
    return [f"{method['summary']}.", method["description"], *(["\n".join(["Args:", *params])] if params else [])]


def _module(head: str, parts: Sequence[str], types: Sequence[Import] = ()) -> str:
    body = "\n\n\n".join(parts)
    code = re.sub(r'(?s)""".*?"""|#[^\n]*', "", body)
    statements: dict[int, dict[str, list[str]]] = {}
    for one in sorted({*IMPORTS, *types}):
        if re.search(rf"(?<![.\w]){one.name.split()[0]}(?![:\w])", code):
            start = f"from {one.module} import" if one.module else "import"
            key = f"{start} {one.name}" if " as " in one.name else start
            statements.setdefault(one.block, {}).setdefault(key, []).append(one.name)
    blocks = ["".join(f"{_import(*one)}\n" for one in block.items()) for block in statements.values()]
    gap = "\n" if body.startswith("class ") else ""
    return "\n".join([head, *blocks, f"{gap}{body}\n"])


def _import(start: str, names: Sequence[str]) -> str:
    if " as " in start:
        return start
    line = f"{start} {', '.join(names)}"
    return line if len(line) <= WIDTH else "\n".join([f"{start} (", *(f"    {name}," for name in names), ")"])


def _fitted(head: str, items: Sequence[str], tail: str, indent: str) -> list[str]:
    """Return a bracket with its items: on one line, else all items on a line of their own, else each on its own."""
    inside = ", ".join(items)
    if "#" not in inside:
        if len(f"{indent}{head}{inside}{tail}") <= WIDTH:
            return [f"{indent}{head}{inside}{tail}"]
        if len(f"{indent}    {inside}") <= WIDTH:
            return [f"{indent}{head}", f"{indent}    {inside}", f"{indent}{tail}"]
    items = [item.replace("  #", ",  #") if "#" in item else f"{item}," for item in items]
    return [f"{indent}{head}", *(f"{indent}    {item}" for item in items), f"{indent}{tail}"]


def _docstring(paragraphs: Sequence[str], indent: str) -> list[str]:
    """Return a docstring; a paragraph of several lines has a heading, and the others are below it."""
    lines: list[str] = []
    for paragraph in paragraphs:
        lines.append("")
        for line in paragraph.split("\n"):
            own = line[: len(line) - len(line.lstrip())]
            deeper = f"{indent}{own}    " if own else indent
            words = _pythonic(line.strip())
            quotes = '"""' if len(lines) == 1 else ""
            first = indent + own + " " * len(quotes)  # the quotes take their place below
            lines += textwrap.wrap(words, WIDTH, initial_indent=first, subsequent_indent=deeper)
    lines[:2] = [f'{indent}"""{lines[1].strip()}']
    if len(lines) == 1:
        return [f'{lines[0]}"""']
    return [*lines, f'{indent}"""']


def _pythonic(words: str) -> str:
    return re.sub(r"\bnull\b", "None", words)


def _union(types: Iterator[str]) -> str:
    return " | ".join(dict.fromkeys(types))


def _named(title: str) -> str:
    return NAMES.get(title, title)


def _referred(schema: Mapping[str, Any]) -> str:
    return str(schema["$ref"]).rpartition("/")[2]
