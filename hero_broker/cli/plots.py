"""Draws plots in a terminal: bars with Rich, lines with plotille."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import plotille
from rich.bar import Bar
from rich.table import Table
from rich.text import Text

from hero_broker.cli.notices import warn
from hero_broker.cli.printing import out, say, writing_output

BAR_WIDTH = 60  # characters
WIDTH, HEIGHT = 50, 15  # characters; with the labels of the axes 72 wide
USD_WIDTH, USD_PLACES = 10, 8  # of a label on the axis of USD
TICK_FORMS = {
    "hour": "%d %H:%M",
    "day": "%m-%d",
    "week": "%m-%d",
    "month": "%Y-%m",
    "quarter": "%Y-%m",
}  # at most 9 characters
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
        bar = Bar(float(largest), 0, float(usd), width=BAR_WIDTH, color="cyan")
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
    figure.y_ticks_fkt = lambda usd, _next: _usd_tick(usd)
    figure.x_ticks_fkt = lambda at, following: _time_tick(at, following, bucket)
    moments = [at for points in series.values() for at, _ in points]
    figure.set_x_limits(min(moments), max(max(moments), min(moments) + timedelta(hours=1)))
    for name, colour in zip(ranked[:MAX_LINES], COLOURS, strict=False):
        points = series[name]
        figure.plot([at for at, _ in points], [float(usd) for _, usd in points], label=name, lc=colour)
    with writing_output():
        console.print(Text.from_ansi(figure.show(legend=True)))
    if len(ranked) > MAX_LINES:
        warn(f"Only the {MAX_LINES} with the largest spend are drawn, of {len(ranked)}.")


def _usd_tick(usd: float) -> str:
    """Return USD without an exponent, with as many places as fit."""
    whole = len(f"{usd:.0f}")
    return f"{usd:.{max(0, min(USD_PLACES, USD_WIDTH - whole - 1))}f}"


def _time_tick(at: datetime, following: datetime, bucket: str) -> str:
    """Return the bucket in which a tick is; empty if the tick before it is in the same one."""
    form, before = TICK_FORMS[bucket], at - (following - at)
    tick = at.strftime(form)
    return "" if tick == before.strftime(form) else tick
