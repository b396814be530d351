"""All commands, under their names.

Exit codes: 0 fine; 1 a command failed, or found that something is wrong; 2 bad settings, options or parameters;
3 a broker cannot start, or a ledger cannot be opened.
"""

from typing import Annotated

import typer

from hero_broker import __version__
from hero_broker.cli import books, doctor, labels, requests, rpc, running, usage
from hero_broker.cli.printing import say

EXAMPLES = """Exit codes: 0 fine, 1 failed, 2 wrong settings or use, 3 cannot start or open a ledger."""

cli = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks show values, among them tokens
    epilog=EXAMPLES,
)


def _version(wanted: bool) -> None:
    if wanted:
        say(f"hero-broker {__version__}")
        raise typer.Exit


@cli.callback()
def _options(
    _version_wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """An AI gateway that bills every request to the address that made it."""


cli.command(epilog=running.SERVE_EXAMPLES)(running.serve)
cli.command()(running.demo)
cli.command(epilog=usage.EXAMPLES)(usage.usage)
cli.command(epilog=requests.EXAMPLES)(requests.requests)
cli.add_typer(labels.labels, name="labels")
cli.command(epilog=rpc.EXAMPLES)(rpc.rpc)
cli.command(epilog=doctor.EXAMPLES)(doctor.doctor)
cli.command()(books.verify)
cli.command()(books.rebuild)
cli.command("check-config")(running.check_config)
cli.command("copy-ledger", epilog=running.COPY_EXAMPLES)(running.copy_ledgers)


def main() -> None:
    """Run the command line."""
    cli()
