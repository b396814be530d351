"""Draws plots in a terminal: bars with Rich, lines with plotille."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import plotille
from rich.bar import Bar
from rich.table import Table
from rich.text import Text

from hero_broker.cli.printing import out, say, warn, writing_output

WIDTH, HEIGHT = 60, 15  # characters, without the labels of the axes
TICK_WIDTH = 10
MAX_LINES = 6  # more cannot be distinguished
COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "red")

Points = Sequence[tuple[datetime, Decimal]]


def bars(amounts: Sequence[tuple[str, Decimal]]) -> None:
    """Draw USD by name, in this order."""
    largest = max((usd for _, usd in amounts), default=Decimal(0))
    if not largest:
        say("Nothing was spent.")
        return
    chart = Table(box=None, show_header=False, pad_edge=False)
    for name, usd in amounts:
        bar = Bar(float(largest), 0, float(usd), width=WIDTH, color="cyan")
        chart.add_row(Text(name), bar, Text(f"{usd:f}"))
    with writing_output():
        out().print(chart)


def lines(series: Mapping[str, Points], bucket: str) -> None:
    """Draw USD over time, one line each for the names with the largest spend."""
    ranked = sorted(series, key=lambda name: -sum(usd for _, usd in series[name]))
    if not any(usd for points in series.values() for _, usd in points):
        say("Nothing was spent.")
        return
    console = out()
    figure = plotille.Figure()
    figure.width, figure.height = WIDTH, HEIGHT
    figure.with_colors = console.color_system is not None
    figure.color_mode = "names"
    figure.x_label, figure.y_label = bucket, "USD"
    figure.set_y_limits(min_=0)
    figure.y_ticks_fkt = lambda usd, _next: f"{usd:.8f}"[:TICK_WIDTH]  # no exponent
    for name, colour in zip(ranked[:MAX_LINES], COLOURS, strict=False):
        points = series[name]
        figure.plot([at for at, _ in points], [float(usd) for _, usd in points], label=name, lc=colour)
    with writing_output():
        console.print(Text.from_ansi(figure.show(legend=True)))
    if len(ranked) > MAX_LINES:
        warn(f"Only the {MAX_LINES} with the largest spend are drawn, of {len(ranked)}.")
