"""Pairs `openrpc.json` with the methods, and checks parameters by it."""

import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator
from jsonschema.exceptions import best_match

from hero_broker.admin_plane.method import AdminMethod
from hero_broker.core.errors import InvalidParams
from hero_broker.util.nearest import did_you_mean, nearest

Document = dict[str, Any]

# Characters that a database rejects: PostgreSQL accepts no NUL; lone surrogates, which JSON can escape, are not UTF-8.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

PACKAGE = Path(__file__).parent.parent
# The bounds of a parameter; the document's schemas need less. Larger values would take long to validate, because each
# item is compared with each other; deeper ones would exhaust the interpreter's stack.
MAX_MEMBERS, MAX_DEPTH = 20, 3
MAX_NAMES, MAX_NAME_CHARACTERS = 3, 100  # of unknown members, in a message


def load_document() -> Document:
    """Return the contract: the package's copy, or the repository's in a checkout."""
    packaged = PACKAGE / "openrpc.json"
    path = packaged if packaged.exists() else PACKAGE.parent / "openrpc.json"
    document: Document = json.loads(path.read_text(encoding="utf-8"))
    return document


class ContractMismatch(Exception):
    """The document and the code differ."""


class Contract:
    """Checks the parameters that callers send against the document."""

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

    def check(self, methods: Mapping[str, AdminMethod[...]]) -> None:
        """Compare the document with the methods; parameters of their functions that callers do not send are left out.

        Raises:
            ContractMismatch: the name, the order or the optionality of a parameter differs, or a method's scope or
                REST route.
        """
        if methods.keys() != self._params.keys():
            raise ContractMismatch(f"methods differ: {sorted(methods.keys() ^ self._params.keys())}")
        for described in self.document["methods"]:
            name = described["name"]
            method = methods[name]
            code_params = list(inspect.signature(method.function).parameters.values())[2 if method.is_own else 1 :]
            documented = [(param, required) for param, (required, _) in self._params[name].items()]
            for subject, actual, wanted in (
                ("parameters", [(param.name, param.default is param.empty) for param in code_params], documented),
                ("scope", method.scope, described.get("x-scope")),
                ("REST route", str(method.rest), described.get("x-rest")),
            ):
                if actual != wanted:
                    raise ContractMismatch(f"{subject} of {name}: {actual} in the code, {wanted} documented")

    def arguments(self, method: str, params: list[Any] | dict[str, Any], *, may_lack: bool = False) -> dict[str, Any]:
        """Return parameters by name; null for an optional one counts as absent. With `may_lack` none is required.

        Raises:
            InvalidParams: a parameter is missing, unknown, or does not match its schema.
        """
        known = self._params[method]
        if isinstance(params, list):
            if len(params) > len(known):
                raise InvalidParams("params", f"{method} takes at most {len(known)} parameters")
            params = dict(zip(known, params, strict=False))
        for name in params:
            if name not in known:
                raise self._unknown_param(method, name)
        for name, (required, validator) in known.items():
            if name not in params:
                if required and not may_lack:
                    raise InvalidParams(name, "is required")
                continue
            if not _is_small(params[name], MAX_DEPTH):
                raise InvalidParams(name, _describe_form(resolved(validator.schema, validator.schema)))
            error = best_match(validator.iter_errors(params[name]))
            if error is not None:
                inside = "".join(f"{part}: " for part in error.absolute_path if isinstance(part, str))
                target = _find_schema(validator, error.absolute_path)
                unknown = ""
                if error.validator == "additionalProperties":
                    unknown = f", not {_unknown_members(target, error.instance)}"
                raise InvalidParams(name, f"{inside}{_describe_form(target)}{unknown}")
            for inside, text in _strings(params[name]):
                if _UNSTORABLE.search(text):
                    raise InvalidParams(name, inside + "must be Unicode text without a null character")
        return {name: _whole_numbers(value) for name, value in params.items() if value is not None}

    def param_type(self, method: str, param: str) -> str:
        """Return the JSON type of a parameter; an empty string if the method has no such parameter."""
        entry = self._params[method].get(param)
        return "" if entry is None else str(resolved(entry[1].schema, entry[1].schema)["type"])

    def object_members(self, method: str, param: str) -> tuple[str, ...]:
        """Return the member names of an object parameter; an empty tuple for others."""
        entry = self._params[method].get(param)
        return () if entry is None else tuple(resolved(entry[1].schema, entry[1].schema).get("properties", ()))

    def object_params(self, method: str) -> Mapping[str, str]:
        """Return the object parameters of a method by the names of their members."""
        return {member: name for name in self._params[method] for member in self.object_members(method, name)}

    def _unknown_param(self, method: str, name: str) -> InvalidParams:
        known = self._params[method]
        # A member of the filter is a parameter of its own in a URL, and easily taken for one.
        names = {member: f"{member} of the filter" for member in self.object_members(method, "filter")}
        names |= {param: param for param in known}
        question = did_you_mean([names[one] for one in nearest(name, names)])
        takes = f"{method} takes {', '.join(known) or 'no parameters'}"
        printable = name[:100].encode("utf-8", "replace").decode()
        return InvalidParams(printable, f"is unknown; {question}{' ' if question else ''}{takes}")


def _validator(document: Document, schema: Mapping[str, Any]) -> Draft7Validator:
    return Draft7Validator({**schema, "components": document["components"]})


def _is_small(value: Any, depth: int) -> bool:
    if not isinstance(value, list | dict):
        return True
    inside = value.values() if isinstance(value, dict) else value
    return depth > 0 and len(value) <= MAX_MEMBERS and all(_is_small(one, depth - 1) for one in inside)


def _strings(value: Any) -> Iterator[tuple[str, str]]:
    """Yield the strings of a parameter, each with the prefix that names its member."""
    members = value.items() if isinstance(value, dict) else [("", value)]
    for name, text in members:
        if isinstance(text, str):
            yield (f"{name}: " if name else ""), text


def resolved(whole: Any, schema: Any) -> Mapping[str, Any]:
    """Return a schema behind its reference and beside its null; `whole` has the components that it may refer to."""
    target: Mapping[str, Any] = schema.get("oneOf", [schema])[0]
    if "$ref" in target:
        target = whole["components"]["schemas"][target["$ref"].rpartition("/")[2]]
    return target


def _find_schema(validator: Draft7Validator, path: Iterable[str | int]) -> Mapping[str, Any]:
    """Return the schema of the invalid part of a value."""
    target = resolved(validator.schema, validator.schema)
    for part in path:
        inner = target.get("properties", {}).get(part) if isinstance(part, str) else None
        if inner is None:
            return target
        target = resolved(validator.schema, inner)
    return target


def _unknown_members(target: Mapping[str, Any], members: Iterable[str]) -> str:
    """Return the first of those members that an object must not have, as text that can be printed."""
    unknown = [name for name in members if name not in target["properties"]]
    return ", ".join(repr(name[:MAX_NAME_CHARACTERS]) for name in unknown[:MAX_NAMES])


def _whole_numbers(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _describe_form(target: Mapping[str, Any]) -> str:
    if "enum" in target:
        return f"must be one of {', '.join(target['enum'])}"
    match target["type"]:
        case "number":
            return f"must be a number from {target['minimum']} to {target['maximum']}"
        case "integer":
            return f"must be an integer from {target['minimum']} to {target['maximum']}"
        case "boolean":
            return "must be true or false"
        case "array" if "enum" not in target["items"]:
            return f"must be an array of at most {target['maxItems']} different {target['items']['type']}s"
        case "array":
            return f"must be an array of different names among {', '.join(target['items']['enum'])}"
        case "object":
            return f"must be an object with members among {', '.join(target['properties'])}"
    return f"must be a string of {target.get('minLength', 0)} to {target['maxLength']} characters"
