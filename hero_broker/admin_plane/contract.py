"""Pairs `openrpc.json` with the methods, and checks parameters by it."""

import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator
from jsonschema.exceptions import best_match

from hero_broker.core.errors import InvalidParams

Document = dict[str, Any]

PACKAGE = Path(__file__).parent.parent


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
                param["name"]: (param.get("required", False), Draft7Validator(param["schema"]))
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
            error = best_match(validator.iter_errors(params[name]))
            if error is not None:
                raise InvalidParams(name, _form(validator.schema))
        return {name: _integral(value) for name, value in params.items() if value is not None}


def _integral(value: Any) -> Any:
    return int(value) if isinstance(value, float) else value


def _form(schema: Mapping[str, Any] | bool) -> str:
    if isinstance(schema, bool):
        return "is not of the documented form"
    wanted = schema.get("oneOf", [schema])[0]
    if wanted["type"] == "integer":
        return f"must be an integer from {wanted['minimum']} to {wanted['maximum']}"
    return f"must be a text of {wanted.get('minLength', 0)} to {wanted['maxLength']} characters"
