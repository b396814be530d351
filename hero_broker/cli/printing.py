"""What commands print: for eyes on a terminal, plain where it is piped."""

import csv
import errno
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

import msgspec
import typer
from rich.cells import cell_len
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.table import Table
from rich.text import Text

from hero_broker.cli import streams
from hero_broker.cli.exit_codes import FAILED
from hero_broker.util.spreadsheets import cell

UNBOUNDED = 10_000  # columns: nothing is cut or folded where no terminal sets the width
GAP = "  "  # between columns without a frame

Column = tuple[str, bool]  # its name, and whether it holds numbers


def out() -> Console:
    """Return where answers go."""
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = UNBOUNDED
    return console


def say(text: str) -> None:
    """Print a line of an answer."""
    with written():
        out().print(text, markup=False)


def warn(text: str) -> None:
    """Print a line that is not an answer: progress, warnings, what went wrong. If it cannot be written, it is lost."""
    with suppress(OSError):
        Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)


@contextmanager
def written() -> Iterator[None]:
    """Print an answer in the block; end the command with a message if it cannot be written.

    Raises:
        BrokenPipeError: nobody reads it any more, which ends the command without a word.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        streams.drop(sys.stdout)
        warn(f"the answer cannot be written: {error.strerror}")
        raise typer.Exit(FAILED) from error


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]], footer: Sequence[str] | None = None) -> None:
    """Print a table, the last line being the footer; no cell is ever cut or folded.

    On a terminal it has a frame if it fits; otherwise it is plain columns; where those do not fit either, each row
    takes two lines: its texts, and below them its numbers in their columns.
    """
    console, cells = out(), [list(row) for row in rows]
    framed = _table(columns, cells, footer, framed=True)
    plain = _table(columns, cells, footer, framed=False)
    with written():
        if console.is_terminal and _fits(console, framed):
            console.print(framed)
        elif not console.is_terminal or _fits(console, plain):
            console.print(plain)
        else:
            for line in _in_two_lines(columns, [*cells, *([footer] if footer is not None else [])]):
                console.print(line, markup=False)


def _table(
    columns: Sequence[Column], rows: Iterable[Sequence[str]], footer: Sequence[str] | None, *, framed: bool
) -> Table:
    made = Table(box=Table().box if framed else None, show_footer=footer is not None, pad_edge=framed)
    for at, (name, is_number) in enumerate(columns):
        made.add_column(
            Text(name),
            Text(footer[at]) if footer is not None else "",
            justify="right" if is_number else "left",
            no_wrap=True,
        )
    for row in rows:
        made.add_row(*(Text(value) for value in row))
    return made


def _fits(console: Console, made: Table) -> bool:
    options = console.options.update(width=UNBOUNDED)
    return console.measure(made, options=options).maximum <= console.width


def _in_two_lines(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield lines that may be longer than a terminal is wide, which then breaks them itself."""
    names = [name for name, _ in columns]
    widths = [max(cell_len(row[at]) for row in [names, *rows]) for at in range(len(columns))]
    for row in [names, *rows]:
        yield GAP.join(row[at] for at, (_, is_number) in enumerate(columns) if not is_number and row[at])
        numbers = [
            " " * (widths[at] - cell_len(row[at])) + row[at] for at, (_, is_number) in enumerate(columns) if is_number
        ]
        if numbers:
            yield GAP + GAP.join(numbers)


def write_csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print CSV (RFC 4180), safe for spreadsheets."""
    lines = [header, *([cell(value) for value in row] for row in rows)]
    with written():
        csv.writer(sys.stdout).writerows(lines)


def write_json(text: bytes) -> None:
    """Print JSON as it came; on a terminal indented and coloured. Numbers keep their digits."""
    console = out()
    with written():
        if console.is_terminal:
            shown = Text(msgspec.json.format(text, indent=2).decode())
            JSONHighlighter().highlight(shown)
            console.print(shown)
        else:
            sys.stdout.write(f"{text.decode()}\n")
