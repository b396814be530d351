"""Lists all commands, and imports a command's module only when the command is called.

Exit codes: 0 success; 1 a command failed, or a check did; 2 wrong settings, options or parameters; 3 a broker cannot
start, or a ledger cannot be opened.
"""

import gc
import sys
from importlib import import_module
from types import ModuleType
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from hero_broker import __version__
from hero_broker.cli import streams
from hero_broker.cli.plain_options import plain_command

EXIT_CODES = "Exit codes: 0 fine, 1 failed, 2 wrong settings or use, 3 cannot start or open a ledger."


class Command(NamedTuple):
    """A command: its function's place, and its line in the list."""

    name: str
    module: str  # in this package; EXAMPLES, if defined there, end the command's help
    attribute: str  # a function, or a Typer with commands of its own
    help: str  # the first sentence of the function's docstring


COMMANDS = (
    Command("init", "init", "init", "Write a settings file with the providers whose keys are in the environment."),
    Command("serve", "serve", "serve", "Run the broker until Ctrl-C."),
    Command(
        "demo",
        "demo",
        "demo",
        "Show a bill: a broker with a fake provider, calls from several addresses, and what each spent.",
    ),
    Command("usage", "usage", "usage", "Print who spent how much, the largest first."),
    Command(
        "statement", "statement", "statement", "Write a statement of a month for a label, an address or all, as HTML."
    ),
    Command("close", "closing", "close", "Close a month: bill what began before its end and is in no period yet."),
    Command("periods", "closing", "periods", "Print all billing periods, the oldest first."),
    Command("unbilled", "closing", "unbilled", "Print what is in no billing period yet."),
    Command(
        "requests",
        "requests",
        "requests",
        "Print the latest calls, in the order in which they were recorded; or one call, with its cost explained.",
    ),
    Command(
        "providers",
        "providers",
        "providers",
        "Print the providers, how they have answered since the broker started, and why the last call failed.",
    ),
    Command(
        "prices",
        "prices",
        "prices",
        "Print what calls cost now: each rate of each model, and where it was read; or take a newer price list.",
    ),
    Command("limits", "limits", "limits", "Print, set, remove and explain limits, and grant more of budgets."),
    Command(
        "me",
        "me",
        "me",
        "Print what this machine's address used today and this month, and what is left of its limits.",
    ),
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
        "rebuild",
        "verify",
        "rebuild",
        "Rebuild the running broker's roll-ups from all rows, and wait until it is done.",
    ),
    Command("check-config", "check_config", "check_config", "Print what would be served, with prices."),
    Command("copy-ledger", "copy_ledger", "copy", "Copy a ledger into another store, such as SQLite into PostgreSQL."),
)


def load_command(command: Command) -> Any:
    """Import a command's module, and return the command as Click's object."""
    module = _module(command)
    target = getattr(module, command.attribute)
    if isinstance(target, typer.Typer):
        return typer.main.get_command(target)
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(command.name, epilog=getattr(module, "EXAMPLES", None))(target)
    return typer.main.get_command(app)


def _module(command: Command) -> ModuleType:
    return import_module(f"hero_broker.cli.{command.module}")


class _LazyGroup(TyperGroup):
    """A group that lists commands without importing them."""

    def resolve_command(self, ctx: Any, args: Any) -> Any:
        name, placeholder, rest = super().resolve_command(ctx, args)
        command = next((item for item in COMMANDS if item.name == name), None)
        return name, placeholder if command is None else load_command(command), rest


cli = typer.Typer(
    cls=_LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks print values, and so tokens
    epilog=EXIT_CODES,
)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"hero-broker {__version__}")
        raise typer.Exit


@cli.callback()
def _options(
    _version_wanted: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """An AI gateway that bills every request to the address that made it."""


def _placeholder() -> None:
    """Represent, in the list, a command that is imported when it is called."""


for _command in COMMANDS:
    cli.command(_command.name, help=_command.help)(_placeholder)


def _plain_serve() -> TyperCommand | None:
    """Return `serve` with the options of the command line, if that is its command and the options are simple."""
    serve = next(command for command in COMMANDS if command.name == "serve")
    if sys.argv[1:2] != [serve.name]:
        return None
    gc.disable()  # a tenth of the start went into looking for garbage among imports; `cli.runner` enables it
    return plain_command(serve.name, getattr(_module(serve), serve.attribute), sys.argv[2:])


def main() -> None:
    """Run the command line."""
    streams.prepare()
    try:
        command = _plain_serve()
        if command is None:
            cli()
        else:
            command([])
    finally:
        gc.enable()
        streams.flush()
