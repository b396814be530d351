"""Draws plots in a terminal: bars with Rich, lines with plotille."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import count

import plotille
from rich.bar import Bar
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hero_broker.cli.notices import warn
from hero_broker.cli.printing import GAP, amounts, out, say, writing_output

WIDTH = 80  # characters, of a plot that is not drawn on a terminal
MIN_WIDTH = 10  # of the bars and the lines, beside their labels; on a narrower terminal, lines are wrapped
HEIGHT = 15  # characters, without the axes
USD_WIDTH, USD_PLACES = 10, 8  # of a label on the axis of USD
AXIS = " | "  # between such a label and the lines
DOTS = 2  # of a braille character, side by side
LETTER_EVERY = 8  # characters between two letters on a line, at least
MAX_LINES = 6  # more cannot be distinguished
COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "red")
LETTERS = "ABCDEF"

Points = Sequence[tuple[int, Decimal]]  # the number of a bucket, and USD


def bars(usd_by_name: Sequence[tuple[str, Decimal]]) -> None:
    """Draw USD by name, in this order; below its name if it does not fit beside it."""
    largest = max((usd for _, usd in usd_by_name), default=Decimal(0))
    if not largest:
        say("Nothing was spent.")
        return
    console = out()
    names = [name for name, _ in usd_by_name]
    texts = amounts([usd for _, usd in usd_by_name], is_for_people=console.is_terminal)
    usd_width = max(map(len, texts))
    width = _width(console) - max(map(cell_len, names)) - usd_width - 2 * len(GAP)
    with writing_output():
        if width >= MIN_WIDTH:
            chart = Table(box=None, show_header=False, pad_edge=False)
            for (name, usd), text in zip(usd_by_name, texts, strict=True):
                chart.add_row(Text(name), _bar(usd, largest, width), Text(text, justify="right"))
            console.print(chart)
            return
        for (name, usd), text in zip(usd_by_name, texts, strict=True):
            console.print(f"{text:>{usd_width}}{GAP}{name}", markup=False)
            console.print(_bar(usd, largest, _width(console)))


def _bar(usd: Decimal, largest: Decimal, width: int) -> Bar:
    return Bar(float(largest), 0, float(usd), width=width, color="cyan")


def lines(series: Mapping[str, Points], buckets: Sequence[str], unit: str) -> None:
    """Draw USD over two or more buckets, one line each for the names with the largest spend.

    A line has a letter of its own, which the legend names. `unit` is what the buckets are, such as "day".
    """
    ranked = sorted(series, key=lambda name: -sum(usd for _, usd in series[name]))
    if not any(usd for points in series.values() for _, usd in points):
        say("Nothing was spent.")
        return
    console = out()
    width = max(MIN_WIDTH, _width(console) - USD_WIDTH - len(AXIS))
    figure = plotille.Figure()
    figure.width, figure.height = width, HEIGHT
    figure.with_colors = console.color_system is not None
    figure.color_mode = "names"
    figure.with_x_axis = figure.origin = False
    figure.y_label = "USD"
    figure.y_ticks_fkt = lambda usd, _next: _usd_tick(usd)
    figure.set_y_limits(min_=0)
    figure.set_x_limits(0, _end(len(buckets), width))
    drawn = list(zip(ranked, LETTERS, COLOURS, strict=False))
    for number, (name, letter, colour) in enumerate(drawn):
        points = [(float(at), float(usd)) for at, usd in series[name]]
        figure.plot(*zip(*points, strict=True), lc=colour)
        step = -(-len(points) * LETTER_EVERY // width)
        lettered = points[number * step // len(drawn) :: step]  # those of other lines are beside them
        figure.text(*zip(*lettered, strict=True), [letter] * len(lettered), lc=colour)
    with writing_output():
        console.print(Text.from_ansi(figure.show()))
        for line in _axis(buckets, width, unit):
            console.print(line, markup=False)
        console.print()
        for name, letter, colour in drawn:
            console.print(Text(f"{letter} {name}", style=colour))
    if len(ranked) > MAX_LINES:
        warn(f"Only the {MAX_LINES} with the largest spend are drawn, of {len(ranked)}.")


def _width(console: Console) -> int:
    return console.width if console.is_terminal else WIDTH


def _end(buckets: int, width: int) -> float:
    """Return the end of the axis of buckets, so that the last of them is the last dot."""
    dots = DOTS * width
    return (buckets - 1) * dots / (dots - 1)


def _axis(buckets: Sequence[str], width: int, unit: str) -> Iterator[str]:
    """Yield the axis below the lines, and the names of as many buckets as fit, each below the point of its bucket."""
    columns = [round(at * DOTS * width / _end(len(buckets), width)) // DOTS for at in range(len(buckets))]
    names = next(found for step in count(1) if (found := _names(buckets, columns, width, step)) is not None)
    ticks = {columns[at] for at, _ in names}
    rule = "".join("+" if column in ticks else "-" for column in range(width))
    yield f"{'-' * USD_WIDTH}-+-{rule}"
    line = ""
    for at, start in names:
        line = f"{line:<{start}}{buckets[at]}"
    yield f"{f'({unit})':>{USD_WIDTH}}{AXIS}{line}"


def _names(buckets: Sequence[str], columns: Sequence[int], width: int, step: int) -> list[tuple[int, int]] | None:
    """Return every so many buckets, each with the character at which its name begins; None if they do not fit."""
    names: list[tuple[int, int]] = []
    end = 0
    for at in range(0, len(buckets), step):
        start = max(0, min(columns[at], width - len(buckets[at])))
        if start < end:
            return None
        names.append((at, start))
        end = start + len(buckets[at]) + len(GAP)
    return names


def _usd_tick(usd: float) -> str:
    """Return USD without an exponent, with as many places as fit."""
    whole = len(f"{usd:.0f}")
    return f"{usd:.{max(0, min(USD_PLACES, USD_WIDTH - whole - 1))}f}"
