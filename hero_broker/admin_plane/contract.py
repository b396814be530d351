"""Pairs `openrpc.json` with the methods, and checks parameters by it."""

import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator
from jsonschema.exceptions import best_match

from hero_broker.core.errors import InvalidParams

Document = dict[str, Any]

# What a database cannot look for: PostgreSQL takes no NUL, and lone surrogates, which JSON can escape, are no UTF-8.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

PACKAGE = Path(__file__).parent.parent
# Of a parameter; the document's have fewer. To validate what is larger would take long, each item being compared with
# each other, and what is deeper would end the interpreter's stack.
MAX_MEMBERS, MAX_DEPTH = 20, 2


def load_document() -> Document:
    """Return the contract: the package's copy, or the repository's in a checkout."""
    packaged = PACKAGE / "openrpc.json"
    path = packaged if packaged.exists() else PACKAGE.parent / "openrpc.json"
    document: Document = json.loads(path.read_text(encoding="utf-8"))
    return document


class ContractMismatch(Exception):
    """The document and the code do not say the same."""


class Contract:
    """The document's parameters, ready to check what callers send."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._params: dict[str, dict[str, tuple[bool, Draft7Validator]]] = {
            method["name"]: {
                param["name"]: (param.get("required", False), _validator(document, param["schema"]))
                for param in method["params"]
            }
            for method in document["methods"]
        }

    @property
    def methods(self) -> Mapping[str, tuple[str, ...]]:
        """The documented methods, each with its parameters' names in order."""
        return {name: tuple(params) for name, params in self._params.items()}

    def check(self, functions: Mapping[str, Callable[..., object]]) -> None:
        """Compare the documented methods with the functions that answer them; the first parameter is theirs alone.

        Raises:
            ContractMismatch: a name, an order or what may be left out differs.
        """
        if functions.keys() != self._params.keys():
            raise ContractMismatch(f"methods differ: {sorted(functions.keys() ^ self._params.keys())}")
        for name, function in functions.items():
            ours = list(inspect.signature(function).parameters.values())[1:]
            found = [(param.name, param.default is inspect.Parameter.empty) for param in ours]
            documented = [(param, required) for param, (required, _) in self._params[name].items()]
            if found != documented:
                raise ContractMismatch(f"parameters of {name} differ: {found} in the code, {documented} documented")

    def arguments(self, method: str, params: list[Any] | dict[str, Any]) -> dict[str, Any]:
        """Return parameters by name; null for an optional one counts as absent.

        Raises:
            InvalidParams: one is missing, unknown, or not of the documented form.
        """
        known = self._params[method]
        if isinstance(params, list):
            if len(params) > len(known):
                raise InvalidParams("params", f"{method} takes at most {len(known)} parameters")
            params = dict(zip(known, params, strict=False))
        for name in params:
            if name not in known:
                printable = name[:100].encode("utf-8", "replace").decode()
                raise InvalidParams(printable, f"unknown; {method} takes {', '.join(known) or 'no parameters'}")
        for name, (required, validator) in known.items():
            if name not in params:
                if required:
                    raise InvalidParams(name, "is required")
                continue
            if not _is_small(params[name], MAX_DEPTH):
                raise InvalidParams(name, _describe_form(resolved(validator.schema, validator.schema)))
            error = best_match(validator.iter_errors(params[name]))
            if error is not None:
                inside = "".join(f"{part}: " for part in error.absolute_path if isinstance(part, str))
                raise InvalidParams(name, inside + _describe_form(_find_schema(validator, error.absolute_path)))
            for inside, text in _texts(params[name]):
                if _UNSTORABLE.search(text):
                    raise InvalidParams(name, inside + "must be Unicode text without a null character")
        return {name: _whole_numbers(value) for name, value in params.items() if value is not None}

    def param_type(self, method: str, param: str) -> str:
        """Return the JSON type of a parameter; empty for one that the method does not have."""
        found = self._params[method].get(param)
        return "" if found is None else str(resolved(found[1].schema, found[1].schema)["type"])

    def object_members(self, method: str, param: str) -> tuple[str, ...]:
        """Return the members of a parameter that is an object; none for others."""
        found = self._params[method].get(param)
        return () if found is None else tuple(resolved(found[1].schema, found[1].schema).get("properties", ()))


def _validator(document: Document, schema: Mapping[str, Any]) -> Draft7Validator:
    return Draft7Validator({**schema, "components": document["components"]})


def _is_small(value: Any, depth: int) -> bool:
    if not isinstance(value, list | dict):
        return True
    inside = value.values() if isinstance(value, dict) else value
    return depth > 0 and len(value) <= MAX_MEMBERS and all(_is_small(one, depth - 1) for one in inside)


def _texts(value: Any) -> Iterator[tuple[str, str]]:
    """Yield the texts of a parameter, each with where it stands."""
    members = value.items() if isinstance(value, dict) else [("", value)]
    for name, text in members:
        if isinstance(text, str):
            yield (f"{name}: " if name else ""), text


def resolved(whole: Any, schema: Any) -> Mapping[str, Any]:
    """Return a schema behind its reference and beside its null; `whole` has the components that it may refer to."""
    wanted: Mapping[str, Any] = schema.get("oneOf", [schema])[0]
    if "$ref" in wanted:
        wanted = whole["components"]["schemas"][wanted["$ref"].rpartition("/")[2]]
    return wanted


def _find_schema(validator: Draft7Validator, path: Iterable[str | int]) -> Mapping[str, Any]:
    """Return the schema of the place at which a value is wrong."""
    wanted = resolved(validator.schema, validator.schema)
    for part in path:
        inner = wanted.get("properties", {}).get(part) if isinstance(part, str) else None
        if inner is None:
            return wanted
        wanted = resolved(validator.schema, inner)
    return wanted


def _whole_numbers(value: Any) -> Any:
    return int(value) if isinstance(value, float) else value


def _describe_form(wanted: Mapping[str, Any]) -> str:
    if "enum" in wanted:
        return f"must be one of {', '.join(wanted['enum'])}"
    match wanted["type"]:
        case "integer":
            return f"must be an integer from {wanted['minimum']} to {wanted['maximum']}"
        case "boolean":
            return "must be true or false"
        case "array":
            return f"must be a list of different names among {', '.join(wanted['items']['enum'])}"
        case "object":
            return f"must be an object with members among {', '.join(wanted['properties'])}"
    return f"must be a text of {wanted.get('minLength', 0)} to {wanted['maxLength']} characters"
