"""What commands print: for eyes on a terminal, plain where it is piped."""

import csv
import sys
from collections.abc import Iterable, Sequence

import msgspec
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.table import Table
from rich.text import Text

from hero_broker.core.spreadsheets import cell

PIPED_WIDTH = 10_000  # nothing is cut or folded where no terminal sets the width


def out() -> Console:
    """Return where answers go."""
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    return console


def say(text: str) -> None:
    """Print a line of an answer."""
    out().print(text, markup=False)


def warn(text: str) -> None:
    """Print a line that is no answer: progress, warnings, what went wrong."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)


def table(
    columns: Sequence[tuple[str, bool]], rows: Iterable[Sequence[str]], footer: Sequence[str] | None = None
) -> None:
    """Print a table; each column has a name, and whether it holds numbers.

    On a terminal it has a frame, elsewhere it is plain columns, the last line being the footer.
    """
    console = out()
    framed = console.is_terminal
    made = Table(box=Table().box if framed else None, show_footer=footer is not None, pad_edge=framed)
    for at, (name, is_number) in enumerate(columns):
        made.add_column(
            Text(name),
            Text(footer[at]) if footer is not None else "",
            justify="right" if is_number else "left",
            no_wrap=not framed,
        )
    for row in rows:
        made.add_row(*(Text(value) for value in row))
    console.print(made)


def write_csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print CSV (RFC 4180), safe for spreadsheets."""
    writer = csv.writer(sys.stdout)
    writer.writerow(header)
    writer.writerows([cell(value) for value in row] for row in rows)


def write_json(text: bytes) -> None:
    """Print JSON as it came; on a terminal indented and coloured. Numbers keep their digits."""
    console = out()
    if console.is_terminal:
        shown = Text(msgspec.json.format(text, indent=2).decode())
        JSONHighlighter().highlight(shown)
        console.print(shown)
    else:
        sys.stdout.write(f"{text.decode()}\n")
