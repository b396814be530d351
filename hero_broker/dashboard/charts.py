"""Draws charts of USD as SVG: bars by name, and stacked bars over time.

A chart has no script, no style sheet and no font of its own, so that it looks the same in a page, in a file and on
paper. Its positions are integers, in tenths of a unit of the drawing: the same data give the same bytes.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import htpy as h
from htpy import Element, Node

from hero_broker.core.money import usd_column

WIDTH = 720  # units of the drawing; those of a browser's pixels in a file
MARGIN = 8
LINE = 18  # of text
FONT = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
TEXT, QUIET, RULE = "#1c1c1c", "#595959", "#d9d9d9"
# Each has a contrast of at least 3 to white; the stripes of every second one show where a bar ends without colour.
COLOURS = ("#1b4965", "#c9660f", "#2a8c7e", "#8e3b8a", "#a88a00", "#4a8fd0")
OTHERS = "#7a7a7a"
STRIPES = 6  # units from one stripe to the next

MAX_BARS = 40
MAX_SERIES = len(COLOURS)  # more cannot be distinguished
MAX_NAME = 56  # columns; a title has the whole name
BAR_HEIGHT, BAR_ROW = 9, 36
PLOT_HEIGHT = 180
MAX_BAR_WIDTH = 40
GRID_LINES = 5  # at most, besides the base line
DIGIT_WIDTH = 7  # about the width of a digit
NOTHING = "Nothing was spent."


@dataclass(frozen=True, slots=True)
class ChartBar:
    """One bar: a name, and what was spent under it."""

    name: str
    cost_nano_usd: int


@dataclass(frozen=True, slots=True)
class ChartSeries:
    """What was spent under one name, over time."""

    name: str
    costs_nano_usd: tuple[int, ...]  # one for each bucket

    @property
    def total(self) -> int:
        """The spend of all buckets, in nano-USD."""
        return sum(self.costs_nano_usd)


def draw_bars(title: str, bars: Sequence[ChartBar], subtitle: str = "") -> Element:
    """Return a chart with a bar for each name, in this order; those beyond `MAX_BARS` are one bar, the last."""
    shown = list(bars)
    if len(bars) > MAX_BARS:
        rest = bars[MAX_BARS - 1 :]
        shown = [*bars[: MAX_BARS - 1], ChartBar(_others(len(rest)), sum(bar.cost_nano_usd for bar in rest))]
    amounts = usd_column([bar.cost_nano_usd for bar in shown])
    largest = max((bar.cost_nano_usd for bar in shown), default=0)
    heading, top = _heading(title, subtitle)
    rows = [
        _bar(top + BAR_ROW * at, bar, amount, largest)
        for at, (bar, amount) in enumerate(zip(shown, amounts, strict=True))
    ]
    total = usd_column([sum(bar.cost_nano_usd for bar in bars)])[0]
    description = f"Bars by name; in all {total} USD. The largest: {_spoken(shown, amounts)}." if shown else NOTHING
    return _svg(title, description, top + BAR_ROW * max(1, len(rows)), [heading, rows or _nothing(top)])


def draw_stacks(title: str, buckets: Sequence[str], series: Sequence[ChartSeries], subtitle: str = "") -> Element:
    """Return a chart with a bar for each bucket, made of the series, the largest at its foot.

    The series beyond `MAX_SERIES` are one, the last. `buckets` are the names of the buckets, in their order.
    """
    shown = _largest_series(series)
    heading, top = _heading(title, subtitle)
    sums = [sum(one.costs_nano_usd[at] for one in shown) for at in range(len(buckets))]
    if not any(sums):
        return _svg(title, NOTHING, top + BAR_ROW, [heading, _nothing(top)])
    step = _grid_step(max(sums))
    lines = -(-max(sums) // step)
    scale = usd_column([step * line for line in range(lines + 1)])
    left = DIGIT_WIDTH * max(map(len, scale)) + 12
    base = top + 14 + PLOT_HEIGHT
    paints, patterns = _paints(len(shown), has_others=len(series) > MAX_SERIES)
    legend_top = base + 2 * LINE
    totals = usd_column([one.total for one in shown])
    legend = [
        _legend_line(legend_top + LINE * at, paint, one.name, amount)
        for at, (paint, one, amount) in enumerate(zip(paints, shown, totals, strict=True))
    ]
    at_most = sums.index(max(sums))
    total, most = usd_column([sum(sums), sums[at_most]])
    span = buckets[0] if len(buckets) == 1 else f"{buckets[0]} to {buckets[-1]}"
    description = f"Bars from {span}; in all {total} USD, the most in {buckets[at_most]}: {most} USD."
    content = [
        heading,
        h.defs[patterns] if patterns else None,
        _text("USD", left - 6, top + 4, anchor="end", fill=QUIET),
        _grid(scale, left, base),
        list(_stacks(buckets, shown, paints, left=left, base=base, whole=step * lines)),
        list(_ticks(buckets, left, base)),
        legend,
    ]
    return _svg(title, description, legend_top + LINE * len(shown) - 6, content)


def svg_file(chart: Element) -> bytes:
    """Return the content of an SVG file with a chart."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{chart}\n'.encode()


def printable(text: str) -> str:
    """Return a text in which U+FFFD replaces each character that moves, hides or reverses others, or that XML lacks."""
    return text if text.isprintable() else "".join(one if one.isprintable() else "\ufffd" for one in text)


def _others(count: int) -> str:
    return f"{count} others"


def _largest_series(series: Sequence[ChartSeries]) -> list[ChartSeries]:
    ranked = sorted(series, key=lambda one: (-one.total, one.name))
    if len(ranked) <= MAX_SERIES:
        return ranked
    rest = ranked[MAX_SERIES:]
    costs = tuple(map(sum, zip(*(one.costs_nano_usd for one in rest), strict=True)))
    return [*ranked[:MAX_SERIES], ChartSeries(_others(len(rest)), costs)]


def _spoken(bars: Sequence[ChartBar], amounts: Sequence[str]) -> str:
    at = max(range(len(bars)), key=lambda one: (bars[one].cost_nano_usd, -one))
    return f"{printable(bars[at].name)}, {amounts[at]} USD"


def _svg(title: str, description: str, height: int, content: Node) -> Element:
    outer_width, outer_height = WIDTH + 2 * MARGIN, height + 2 * MARGIN
    return h.svg(
        {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"{-MARGIN} {-MARGIN} {outer_width} {outer_height}"},
        width=outer_width,
        height=outer_height,
        role="img",
        font_family=FONT,
        font_size=12,
        fill=TEXT,
    )[
        h.title[printable(title)],
        h.desc[description],
        h.rect(x=-MARGIN, y=-MARGIN, width=outer_width, height=outer_height, fill="#ffffff"),
        content,
    ]


def _heading(title: str, subtitle: str) -> tuple[Node, int]:
    """Return the visible title, and where the drawing below it begins."""
    lines = [_text(title, 0, 14, font_weight="bold", font_size=14)]
    if subtitle:
        lines.append(_text(subtitle, 0, 14 + LINE, fill=QUIET))
    return lines, 14 + LINE * len(lines)


def _nothing(top: int) -> Element:
    return _text(NOTHING, 0, top + 12)


def _text(text: str, x: int, y: int, anchor: str = "start", **attributes: str | int) -> Element:
    return h.text(x=x, y=y, text_anchor=None if anchor == "start" else anchor, **attributes)[_short(printable(text))]


def _amount(amount: str, y: int) -> Element:
    """Return an amount at the right edge, with a white border that ends a name that is too long for its line."""
    return _text(amount, WIDTH, y, anchor="end", stroke="#ffffff", stroke_width=8, paint_order="stroke")


def _short(text: str) -> str:
    """Return a text of at most `MAX_NAME` columns, with an ellipsis if it is cut; a wide character takes two."""
    widths = (
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text
    )
    ends = list(accumulate(widths))
    if not ends or ends[-1] <= MAX_NAME:
        return text
    return f"{text[: sum(end < MAX_NAME for end in ends)]}…"


def _tenths(number: int) -> str:
    """Return tenths as a decimal."""
    return f"{number // 10}.{number % 10}"


def _bar(top: int, bar: ChartBar, amount: str, largest: int) -> Element:
    width = max(10, bar.cost_nano_usd * WIDTH * 10 // largest) if bar.cost_nano_usd else 0
    return h.g[
        h.title[f"{printable(bar.name)}: {amount} USD"],
        _text(bar.name, 0, top + 16),
        _amount(amount, top + 16),
        h.rect(y=top + 21, width=WIDTH, height=BAR_HEIGHT, fill="#efefef"),
        h.rect(y=top + 21, width=_tenths(width), height=BAR_HEIGHT, fill=COLOURS[0]),
    ]


def _grid_step(largest: int) -> int:
    """Return the nano-USD between two lines: 1, 2 or 5 times a power of ten, the least that needs few lines."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            if factor * power * GRID_LINES >= largest:
                return factor * power
        power *= 10


def _grid(scale: Sequence[str], left: int, base: int) -> Node:
    lines = len(scale) - 1
    return [
        [
            h.line(x1=left, x2=WIDTH, y1=y, y2=y, stroke=QUIET if at == 0 else RULE),
            _text(amount, left - 6, y + 4, anchor="end", fill=QUIET),
        ]
        for at, amount in enumerate(scale)
        for y in [base - PLOT_HEIGHT * at // lines]
    ]


def _paints(count: int, *, has_others: bool) -> tuple[list[str], list[Element]]:
    """Return the fill of each series, and the patterns that the fills need."""
    paints, patterns = [], []
    for at in range(count):
        is_others = has_others and at == count - 1
        colour = OTHERS if is_others else COLOURS[at]
        if at % 2 and not is_others:
            name = f"stripes-{at}"
            patterns.append(
                h.pattern(
                    {"patternUnits": "userSpaceOnUse", "patternTransform": "rotate(45)"},
                    id=name,
                    width=STRIPES,
                    height=STRIPES,
                )[
                    h.rect(width=STRIPES, height=STRIPES, fill=colour),
                    h.rect(width=1, height=STRIPES, fill="#ffffff"),
                ]
            )
            colour = f"url(#{name})"
        paints.append(colour)
    return paints, patterns


def _stacks(
    buckets: Sequence[str],
    series: Sequence[ChartSeries],
    paints: Sequence[str],
    *,
    left: int,
    base: int,
    whole: int,
) -> Iterator[Element]:
    """Yield the bars; one that reaches the top of the plot costs `whole`."""
    room = (WIDTH - left) * 10  # tenths
    width = max(1, min(MAX_BAR_WIDTH * 10, room * 4 // 5 // len(buckets)))
    for at, bucket in enumerate(buckets):
        x = left * 10 + (room * (2 * at + 1) // len(buckets) - width) // 2
        below = 0
        for one, paint in zip(series, paints, strict=True):
            cost = one.costs_nano_usd[at]
            if not cost:
                continue
            # Both ends are rounded, not the height: so the parts of a bar touch.
            bottom, top = (PLOT_HEIGHT * 10 * amount // whole for amount in (below, below + cost))
            below += cost
            yield h.rect(
                x=_tenths(x), y=_tenths(base * 10 - top), width=_tenths(width), height=_tenths(top - bottom), fill=paint
            )[h.title[f"{bucket}, {printable(one.name)}: {usd_column([cost])[0]} USD"]]


def _ticks(buckets: Sequence[str], left: int, base: int) -> Iterator[Element]:
    """Yield the names of the buckets, of as many as there is room for."""
    room = WIDTH - left
    fitting = max(1, room // (DIGIT_WIDTH * max(map(len, buckets)) + 10))
    every = -(-len(buckets) // fitting)
    for at in range(0, len(buckets), every):
        x = left + room * (2 * at + 1) // (2 * len(buckets))
        is_cut = 2 * (WIDTH - x) < DIGIT_WIDTH * len(buckets[at])  # the last one, in a narrow bucket
        x, anchor = (WIDTH, "end") if is_cut else (x, "middle")
        yield _text(buckets[at], x, base + LINE - 2, anchor=anchor, fill=QUIET)


def _legend_line(top: int, paint: str, name: str, amount: str) -> Element:
    return h.g[
        h.title[f"{printable(name)}: {amount} USD"],
        h.rect(y=top - 10, width=12, height=12, fill=paint),
        _text(name, 20, top),
        _amount(amount, top),
    ]
