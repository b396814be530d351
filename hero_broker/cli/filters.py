"""Parses `--where name=value` into a filter of the contract."""

from collections.abc import Sequence
from typing import Annotated, cast, get_type_hints

import typer

from hero_broker.client import QueryFilter

NAMES = tuple(get_type_hints(QueryFilter))

WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="NAME=VALUE",
        help=f"Only these calls; repeatable. NAME: {', '.join(NAMES)}; `label=` selects addresses without one.",
        autocompletion=lambda: [f"{name}=" for name in NAMES],
    ),
]


def parse_filters(where: Sequence[str] | None) -> QueryFilter:
    """Return the filter.

    Raises:
        typer.BadParameter: an option is not NAME=VALUE, or its name is unknown or given twice.
    """
    filters: dict[str, str | None] = {}
    for option in where or ():
        name, equals, value = option.partition("=")
        if not equals or name not in NAMES or name in filters:
            raise typer.BadParameter(
                f"{option!r} must be NAME=VALUE, with each NAME given once, and NAME one of {', '.join(NAMES)}",
                param_hint="--where",
            )
        filters[name] = value
    return cast("QueryFilter", filters)  # its names are checked above
