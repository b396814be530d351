"""`hero-broker labels`: lists, finds, sets and removes labels of addresses and networks."""

from typing import Annotated

import typer

from hero_broker.cli.backend import DatabaseOption, TokenOption, UrlOption, open_backend
from hero_broker.cli.printing import say, table
from hero_broker.client import methods

EXAMPLES = """Examples:

hero-broker labels set 192.0.2.0/24 office

hero-broker labels set 2001:db8::7 "build server"

hero-broker labels list

hero-broker labels get 192.0.2.7

hero-broker labels remove 192.0.2.0/24"""

labels = typer.Typer(no_args_is_help=True, help="Name addresses and networks; reports show the names.", epilog=EXAMPLES)

TargetArgument = Annotated[str, typer.Argument(help='An address, a network such as 192.0.2.0/24, or "unknown".')]


@labels.command("list")
def list_all(url: UrlOption = None, token: TokenOption = None, database: DatabaseOption = None) -> None:
    """Print all labels."""
    with open_backend(url, token, database) as backend:
        items = backend.call(methods.list_labels()).data
    table([("target", False), ("label", False)], [(item.target, item.label) for item in items])


@labels.command("get")
def get_one(
    target: TargetArgument, url: UrlOption = None, token: TokenOption = None, database: DatabaseOption = None
) -> None:
    """Print the name that reports show for an address or a network, and the target that has it."""
    with open_backend(url, token, database) as backend:
        found = backend.call(methods.get_label(target)).data
    table([("target", False), ("label", False)], [(found.target, found.label)])


@labels.command("set")
def set_one(
    target: TargetArgument,
    label: Annotated[str, typer.Argument(help="Its name, at most 100 characters.")],
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Name an address or a network; an address has the label of the smallest network around it."""
    with open_backend(url, token) as backend:
        change = backend.call(methods.set_label(target, label)).data
    say(f"{change.target} is {change.label}")


@labels.command("remove")
def remove_one(target: TargetArgument, url: UrlOption = None, token: TokenOption = None) -> None:
    """Remove a name."""
    with open_backend(url, token) as backend:
        change = backend.call(methods.remove_label(target)).data
    say(f"{change.target} is no longer {change.label}")
