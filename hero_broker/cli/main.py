"""All commands, under their names. A command's module is imported when the command is called.

Exit codes: 0 fine; 1 a command failed, or found that something is wrong; 2 bad settings, options or parameters;
3 a broker cannot start, or a ledger cannot be opened.
"""

from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

from hero_broker import __version__
from hero_broker.cli import streams

EXIT_CODES = "Exit codes: 0 fine, 1 failed, 2 wrong settings or use, 3 cannot start or open a ledger."


class Command(NamedTuple):
    """Where a command is, and what is said of it in the list."""

    name: str
    module: str  # of this package; its EXAMPLES, if it has them, end the command's help
    attribute: str  # a function, or a Typer with commands of its own
    help: str  # the first sentence of the function's docstring


COMMANDS = (
    Command("serve", "serve", "serve", "Run the broker until Ctrl-C."),
    Command(
        "demo",
        "demo",
        "demo",
        "Show a bill: a broker with a fake provider, calls from several addresses, and what each spent.",
    ),
    Command("usage", "usage", "usage", "Print who spent how much, the largest first."),
    Command("requests", "requests", "requests", "Print the latest calls, in the order in which they were recorded."),
    Command("labels", "labels", "labels", "Name addresses and networks; reports show the names."),
    Command("rpc", "rpc", "rpc", "Call a method of the admin plane and print its result, as JSON."),
    Command(
        "doctor",
        "doctor",
        "doctor",
        "Prove the billing path: send one call, find its row, check price, sums and reports.",
    ),
    Command("verify", "verify", "verify", "Prove that rows, roll-ups and billing periods agree."),
    Command(
        "rebuild", "verify", "rebuild", "Have the running broker make its roll-ups anew from all rows, and wait for it."
    ),
    Command("check-config", "check_config", "check_config", "Print what would be served, with prices."),
    Command("copy-ledger", "copy_ledger", "copy", "Copy a ledger into another store, such as SQLite into PostgreSQL."),
)


def loaded(command: Command) -> Any:
    """Return a command as it is called, its module imported."""
    module = import_module(f"hero_broker.cli.{command.module}")
    found = getattr(module, command.attribute)
    if not isinstance(found, typer.Typer):
        function, found = found, typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        found.command(command.name, epilog=getattr(module, "EXAMPLES", None))(function)
    return typer.main.get_command(found)


class _WhenCalled(TyperGroup):
    """Lists commands without importing them."""

    def resolve_command(self, ctx: Any, args: Any) -> Any:
        name, listed, rest = super().resolve_command(ctx, args)
        command = next((one for one in COMMANDS if one.name == name), None)
        return name, listed if command is None else loaded(command), rest


cli = typer.Typer(
    cls=_WhenCalled,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks show values, among them tokens
    epilog=EXIT_CODES,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hero-broker {__version__}")
        raise typer.Exit


@cli.callback()
def _options(
    _version_wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """An AI gateway that bills every request to the address that made it."""


def _listed() -> None:
    """Stand in the list for a command that is imported when it is called."""


for _command in COMMANDS:
    cli.command(_command.name, help=_command.help)(_listed)


def main() -> None:
    """Run the command line."""
    streams.complete()
    try:
        cli()
    finally:
        streams.settle()
