"""`--where name=value` → a filter of the contract."""

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
        help=f"Only these calls; repeatable. NAME: {', '.join(NAMES)}.",
        autocompletion=lambda: [f"{name}=" for name in NAMES],
    ),
]


def parse_filters(where: Sequence[str] | None) -> QueryFilter:
    """Return which calls count.

    Raises:
        typer.BadParameter: one is not NAME=VALUE, has an unknown name, or stands twice.
    """
    found: dict[str, str | None] = {}
    for one in where or ():
        name, equals, value = one.partition("=")
        if not equals or name not in NAMES or name in found:
            raise typer.BadParameter(
                f"{one!r} must be NAME=VALUE, each once, NAME among {', '.join(NAMES)}", param_hint="--where"
            )
        found[name] = value
    return cast("QueryFilter", found)  # whose names were looked at
