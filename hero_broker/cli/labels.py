"""`hero-broker labels`: lists, finds, sets and removes labels of addresses and networks, one by one or from a file."""

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from hero_broker.admin_plane import label_files
from hero_broker.cli.backend import DatabaseOption, TokenOption, UrlOption, open_backend
from hero_broker.cli.exit_codes import WRONG_USE
from hero_broker.cli.notices import warn
from hero_broker.cli.printing import say, table, write_csv, write_json
from hero_broker.client import methods, models

EXAMPLES = """Examples:

hero-broker labels set 192.0.2.0/24 office

hero-broker labels set 2001:db8::7 "build server"

hero-broker labels list

hero-broker labels get 192.0.2.7

hero-broker labels remove 192.0.2.0/24

hero-broker labels export > departments.csv

hero-broker labels import departments.csv"""

labels = typer.Typer(no_args_is_help=True, help="Name addresses and networks; reports show the names.", epilog=EXAMPLES)

TargetArgument = Annotated[str, typer.Argument(help='An address, a network such as 192.0.2.0/24, or "unknown".')]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the broker's response unchanged.")]


@labels.command("list")
def list_all(
    as_json: JsonOption = False, url: UrlOption = None, token: TokenOption = None, database: DatabaseOption = None
) -> None:
    """Print all labels."""
    items = _all_labels(url, token, database, as_json=as_json)
    if items is not None:
        table([("target", False), ("label", False)], items)


@labels.command("get")
def get_one(
    target: TargetArgument,
    as_json: JsonOption = False,
    url: UrlOption = None,
    token: TokenOption = None,
    database: DatabaseOption = None,
) -> None:
    """Print the name that reports show for an address or a network, and the target that has it."""
    query = methods.get_label(target)
    with open_backend(url, token, database) as backend:
        if as_json:
            write_json(backend.call_raw(query.method, query.params))
            return
        found = backend.call(query).data
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


@labels.command("export")
def export_all(
    as_json: JsonOption = False, url: UrlOption = None, token: TokenOption = None, database: DatabaseOption = None
) -> None:
    """Print all labels as CSV, which `labels import` reads."""
    items = _all_labels(url, token, database, as_json=as_json)
    if items is not None:
        write_csv(label_files.HEADER, items)


def _all_labels(
    url: str | None, token: str | None, database: str | None, *, as_json: bool
) -> list[tuple[str, str]] | None:
    """Return targets and labels; with `as_json`, print the broker's response instead, and return None."""
    query = methods.list_labels()
    with open_backend(url, token, database) as backend:
        if as_json:
            write_json(backend.call_raw(query.method, query.params))
            return None
        return [(item.target, item.label) for item in backend.call(query).data]


@labels.command("import")
def import_file(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE.csv",
            help="Lines of a target and its label, in UTF-8, with a comma, a semicolon or a tab between them; "
            "the header target,label may come first. - is the standard input.",
        ),
    ],
    as_json: JsonOption = False,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Set all labels of a CSV file, or none if a line has a fault; labels of other targets stay."""
    text = _read(file)
    _, faults = label_files.parse(text)
    if faults:
        _refuse(file, faults)
    query = methods.set_many_labels(text)
    with open_backend(url, token, options={"csv": file}) as backend:
        if as_json:
            write_json(backend.call_raw(query.method, query.params))
            return
        changes = backend.call(query).data
    _print_changes(changes)


def _read(file: str) -> str:
    """Return the text of a file; end the command with 2 if it cannot be read, or is not UTF-8."""
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        warn(f"{file} cannot be read: {error.strerror}")
        raise typer.Exit(WRONG_USE) from error
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        _refuse(file, [f'line {line}: must be UTF-8; a spreadsheet calls it "CSV UTF-8"'])


def _refuse(file: str, faults: list[str]) -> NoReturn:
    for fault in faults:
        warn(f"{file}: {fault}")
    warn("No label was set.")
    raise typer.Exit(WRONG_USE)


def _print_changes(changes: models.LabelChanges) -> None:
    for one in changes.added:
        say(f"{one.target} is {one.label}")
    for change in changes.changed:
        say(f"{change.target} is {change.label}, no longer {change.previous}")
    counts = {"added": changes.added, "changed": changes.changed, "unchanged": changes.unchanged}
    say(", ".join(f"{len(some):,} {name}" for name, some in counts.items()))
