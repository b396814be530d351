"""Reads simple options without Typer, which imports pydantic to convert the options of any command.

That takes 75 ms, and 7.5 MB for as long as the process runs. So a broker's options are read here if they can be, and by
Typer if there is anything to say about them: help, a mistake, or a form that is not simple.
"""

import os
from collections.abc import Callable, Sequence
from inspect import signature
from pathlib import Path
from typing import Any, get_args

from typer.core import TyperCommand
from typer.models import OptionInfo


def plain_command(name: str, function: Callable[..., None], arguments: Sequence[str]) -> TyperCommand | None:
    """Return the command `function` with its options set by `arguments`; None if Typer must read them."""
    values = plain_values(function, arguments)
    if values is None:
        return None
    return TyperCommand(name, callback=lambda: function(**values), add_help_option=False)


def plain_values(function: Callable[..., None], arguments: Sequence[str]) -> dict[str, Any] | None:
    """Return the values of those options of `function` that `arguments` set, by parameter.

    None unless each is a declared `--flag`, or `--option VALUE` or `--option=VALUE` with a text, or with the path of a
    file that can be read; given once unless it is declared as a list.
    """
    kinds = {}
    for parameter in signature(function).parameters.values():
        kind, option = get_args(parameter.annotation)
        if isinstance(option, OptionInfo):
            # In an annotation, the first declaration is where a default would be.
            for declaration in (option.default, *(option.param_decls or ())):
                kinds[declaration] = (parameter.name, kind)
    values: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        declaration, equals, text = rest.pop(0).partition("=")
        parameter_name, kind = kinds.get(declaration, ("", None))
        if kind is bool:
            value: Any = None if equals else True
        else:
            value = _converted(kind, text if equals else rest.pop(0) if rest else "")
        if kind == list[str] | None and value is not None:
            values.setdefault(parameter_name, []).append(value)
        elif value is None or parameter_name in values:
            return None
        else:
            values[parameter_name] = value
    return values


def _converted(kind: Any, text: str) -> str | Path | None:
    """Return the value of an option; None if Typer may have something to say about it."""
    if not text or text.startswith("-"):
        return None
    if kind == Path | None:
        return Path(text) if Path(text).is_file() and os.access(text, os.R_OK) else None
    return text if kind in (str | None, list[str] | None) else None
