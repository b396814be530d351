"""`hero-broker labels`: names for addresses and networks."""

from typing import Annotated

import typer

from hero_broker.cli.backend import DatabaseOption, TokenOption, UrlOption, open_backend
from hero_broker.cli.printing import say, table
from hero_broker.client import methods

EXAMPLES = """Examples:

hero-broker labels set 192.0.2.0/24 office

hero-broker labels set 2001:db8::7 "build server"

hero-broker labels list

hero-broker labels remove 192.0.2.0/24"""

labels = typer.Typer(no_args_is_help=True, help="Name addresses and networks; reports show the names.", epilog=EXAMPLES)

TargetArgument = Annotated[str, typer.Argument(help='An address, a network such as 192.0.2.0/24, or "unknown".')]


@labels.command("list")
def list_all(url: UrlOption = None, token: TokenOption = None, database: DatabaseOption = None) -> None:
    """Print all labels."""
    with open_backend(url, token, database) as asker:
        found = asker.call(methods.list_labels()).data
    table([("target", False), ("label", False)], [(one.target, one.label) for one in found])


@labels.command("set")
def set_one(
    target: TargetArgument,
    label: Annotated[str, typer.Argument(help="Its name, at most 100 characters.")],
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Name an address or a network; the smallest network around an address counts."""
    with open_backend(url, token) as asker:
        done = asker.call(methods.set_label(target, label)).data
    say(f"{done.target} is {done.label}")


@labels.command("remove")
def remove_one(target: TargetArgument, url: UrlOption = None, token: TokenOption = None) -> None:
    """Remove a name."""
    with open_backend(url, token) as asker:
        done = asker.call(methods.remove_label(target)).data
    say(f"{done.target} is no longer {done.label}")
