"""Prints the results of commands: formatted on a terminal, plain in a pipe."""

import csv
import errno
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from textwrap import wrap

import msgspec
import typer
from rich.cells import cell_len
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.table import Table
from rich.text import Text

from hero_broker.cli import streams
from hero_broker.cli.exit_codes import FAILED
from hero_broker.cli.notices import warn
from hero_broker.util.spreadsheets import BYTE_ORDER_MARK, cell

UNBOUNDED = 10_000  # columns: without a terminal, no line is cut or wrapped
GAP = "  "  # between columns without a frame
INDENT = "    "  # of a text below a row
MIN_NOTE = 20  # columns of such a text, however narrow the terminal is
NOTHING = "-"  # an empty text, if others follow it on its line

Column = tuple[str, bool]  # its name, and whether it has numbers


def out() -> Console:
    """Return the console for results, on standard output."""
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = UNBOUNDED
    return console


def say(text: str) -> None:
    """Print a line of the result."""
    with writing_output():
        out().print(text, markup=False)


@contextmanager
def writing_output() -> Iterator[None]:
    """Write output in the block; end the command with a message if that fails.

    Raises:
        BrokenPipeError: the reader of the pipe has left; the command then ends without a message.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        streams.discard(sys.stdout)
        warn(f"the output cannot be written: {error.strerror}")
        raise typer.Exit(FAILED) from error


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]], footer: Sequence[str] | None = None) -> None:
    """Print a table with `footer` as its last line; no cell is cut or wrapped.

    On a terminal the table has a frame if it fits, else plain columns; if those do not fit either, each row takes
    several lines: its texts, and below them its numbers in their columns.
    """
    console, cells = out(), [list(row) for row in rows]
    framed = _table(columns, cells, footer, framed=True)
    plain = _table(columns, cells, footer, framed=False)
    with writing_output():
        if console.is_terminal and _fits(console, framed):
            console.print(framed)
        elif not console.is_terminal or _fits(console, plain):
            console.print(plain)
        else:
            for line in _in_lines(columns, [*cells, *([footer] if footer is not None else [])], console.width):
                console.print(line, markup=False)


def noted_table(columns: Sequence[Column], rows: Iterable[Sequence[str]], note: str, notes: Sequence[str]) -> None:
    """Print a table whose last column, `note`, has a text for each row.

    On a terminal that is too narrow for it, each text is below its row instead, wrapped and indented.
    """
    console, cells = out(), [list(row) for row in rows]
    with_notes = [*columns, (note, False)], [[*row, text] for row, text in zip(cells, notes, strict=True)]
    if not console.is_terminal or _fits(console, _table(*with_notes, None, framed=False)):
        table(*with_notes)
        return
    names = [name for name, _ in columns]
    widths = [max(cell_len(row[at]) for row in [names, *cells]) for at in range(len(columns))]
    with writing_output():
        for row, text in zip([names, *cells], ["", *notes], strict=True):
            for line in _lines(_padded(columns, row, widths), console.width):
                console.print(line.rstrip(), markup=False)
            for line in wrap(text, max(MIN_NOTE, console.width - len(INDENT))):
                console.print(INDENT + line, markup=False)


def _padded(columns: Sequence[Column], row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Return the cells of a row as wide as their columns, numbers at the right."""
    padding = [" " * (width - cell_len(text)) for text, width in zip(row, widths, strict=True)]
    return [
        space + text if is_number else text + space
        for (_, is_number), text, space in zip(columns, row, padding, strict=True)
    ]


def amounts(values: Sequence[Decimal], *, is_for_people: bool) -> list[str]:
    """Return amounts in full, each with as many decimal places as the longest, so that a column has one line of points.

    For people thousands are separated.
    """
    places = max((max(0, -int(value.as_tuple().exponent)) for value in values), default=0)
    return [format(value, f"{',' if is_for_people else ''}.{places}f") for value in values]


def _table(
    columns: Sequence[Column], rows: Iterable[Sequence[str]], footer: Sequence[str] | None, *, framed: bool
) -> Table:
    result = Table(box=Table().box if framed else None, show_footer=footer is not None, pad_edge=framed)
    for at, (name, is_number) in enumerate(columns):
        result.add_column(
            Text(name),
            Text(footer[at]) if footer is not None else "",
            justify="right" if is_number else "left",
            no_wrap=True,
        )
    for row in rows:
        result.add_row(*(Text(value) for value in row))
    return result


def _fits(console: Console, candidate: Table) -> bool:
    options = console.options.update(width=UNBOUNDED)
    return console.measure(candidate, options=options).maximum <= console.width


def _in_lines(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Yield two lines a row, or more if they are longer than `width`; only a longer cell is wrapped."""
    names = [name for name, _ in columns]
    widths = [max(cell_len(row[at]) for row in [names, *rows]) for at in range(len(columns))]
    for row in [names, *rows]:
        texts = [row[at] for at, (_, is_number) in enumerate(columns) if not is_number]
        while texts and not texts[-1]:
            texts.pop()
        yield from _lines([text or NOTHING for text in texts], width)
        numbers = [
            " " * (widths[at] - cell_len(row[at])) + row[at] for at, (_, is_number) in enumerate(columns) if is_number
        ]
        yield from (GAP + line for line in _lines(numbers, width - len(GAP)))


def _lines(cells: Sequence[str], width: int) -> Iterator[str]:
    """Yield cells in lines of at most `width`; one that is wider has a line of its own."""
    line = ""
    for number, text in enumerate(cells):
        if number and cell_len(line) + len(GAP) + cell_len(text) > width:
            yield line
            line = text
        else:
            line = f"{line}{GAP if number else ''}{text}"
    if cells:
        yield line


def write_csv(header: Sequence[str], rows: Iterable[Sequence[object]], *, bom: bool = False) -> None:
    """Print CSV (RFC 4180), safe for spreadsheets; with `bom` after a byte order mark."""
    lines = [header, *([cell(value) for value in row] for row in rows)]
    with writing_output():
        if bom:
            sys.stdout.write(BYTE_ORDER_MARK)
        csv.writer(sys.stdout).writerows(lines)


def write_text(text: str) -> None:
    """Print a file unchanged."""
    with writing_output():
        sys.stdout.write(text)


def write_json(text: bytes) -> None:
    """Print JSON unchanged; on a terminal indented and coloured. Numbers keep their digits."""
    console = out()
    with writing_output():
        if console.is_terminal:
            pretty = Text(msgspec.json.format(text, indent=2).decode())
            JSONHighlighter().highlight(pretty)
            console.print(pretty)
        else:
            sys.stdout.write(f"{text.decode()}\n")
