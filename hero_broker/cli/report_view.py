"""Prints a bill: as a table, as CSV, or as a plot; or draws it as a chart."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from htpy import Element

from hero_broker.cli import plots
from hero_broker.cli.notices import counted, warn
from hero_broker.cli.printing import amounts, out, say, table, write_csv
from hero_broker.client import Query, models
from hero_broker.client.methods import Bucket
from hero_broker.core.local_time import format_time
from hero_broker.dashboard.charts import ChartBar, ChartSeries, draw_bars, draw_stacks

SUMS = tuple(models.UsageTotals.__struct_fields__)
LABEL = "label"  # a dimension, and otherwise shown beside the others
MS_PER_MINUTE = 60_000
TOKENS = {"requests": "requests", "input": "input_tokens", "output": "output_tokens"}
# Columns for what is not billed by tokens, each with its sum; those without any are left out.
OTHER_UNITS = {
    "characters": "characters",
    "minutes": "audio_ms",
    "searches": "search_units",
    "web searches": "web_searches",
    "images": "images",
}


@dataclass(frozen=True, slots=True)
class BillLine:
    """One line of a bill."""

    names: tuple[str | None, ...]  # one for each dimension
    label: str | None
    start: int | None
    end: int | None
    totals: models.UsageTotals


@dataclass(frozen=True, slots=True)
class BillView:
    """A bill, ready to print."""

    dimensions: tuple[str, ...]
    bucket: Bucket | None
    lines: tuple[BillLine, ...]
    totals: models.UsageTotals  # of all lines, also of those on later pages
    more: bool  # whether there are later pages


def page_view(query: Query[Any], page: models.UsageByIp | models.UsageReport) -> BillView:
    """Return the view of one page of a report."""
    if isinstance(page, models.UsageByIp):
        return addresses_view(page)
    names = tuple(query.params["group_by"])
    lines = tuple(
        BillLine(tuple(item.group[name] for name in names), item.label, item.bucket_start, item.bucket_end, item)
        for item in page.data
    )
    return BillView(names, query.params.get("bucket"), lines, page.totals, page.next_cursor is not None)


def addresses_view(page: models.UsageByIp) -> BillView:
    """Return the view of the spend by address."""
    lines = tuple(BillLine((item.ip,), item.label, None, None, item) for item in page.data)
    return BillView(("ip",), None, lines, page.totals, page.next_cursor is not None)


def address_view(page: models.UsageForIp) -> BillView:
    """Return the view of one address's spend by model."""
    lines = tuple(BillLine((item.model,), None, None, None, item) for item in page.data.models)
    return BillView(("model",), None, lines, page.data.totals, False)


def print_bill(bill: BillView, zone: ZoneInfo, title: str | None = None) -> None:
    """Print the bill as a table, with columns for the units that were billed; on a terminal below its title."""
    has_labels = LABEL not in bill.dimensions and any(line.label for line in bill.lines)
    heads = [*([bill.bucket] if bill.bucket else []), *bill.dimensions, *([LABEL] if has_labels else [])]
    sums = TOKENS | {name: field for name, field in OTHER_UNITS.items() if getattr(bill.totals, field)}
    columns = [*((name, False) for name in heads), *((name, True) for name in (*sums, "USD"))]
    is_for_people = out().is_terminal
    usd = amounts(
        [one.total_cost_usd for one in (*(line.totals for line in bill.lines), bill.totals)],
        is_for_people=is_for_people,
    )
    if title is not None and is_for_people:
        say(title)
    rows = []
    for line, cost in zip(bill.lines, usd, strict=False):  # the last amount is the total
        start = [format_time(line.start, zone, bill.bucket)] if line.start is not None else []
        label = [line.label or ""] if has_labels else []
        rows.append([*start, *_names(bill, line), *label, *_counts(line.totals, sums.values(), is_for_people), cost])
    footer = ["total", *[""] * (len(heads) - 1)] if heads else []
    table(columns, rows, [*footer, *_counts(bill.totals, sums.values(), is_for_people), usd[-1]])
    if bill.more:
        warn(f"Only the first {counted(len(bill.lines), 'line')} of the bill: the total includes all.")


def _names(bill: BillView, line: BillLine) -> list[str]:
    return [
        name if name is not None else "(no label)" if dimension == LABEL else "-"
        for dimension, name in zip(bill.dimensions, line.names, strict=True)
    ]


def _counts(totals: models.UsageTotals, fields: Iterable[str], is_for_people: bool) -> list[str]:
    form = "," if is_for_people else ""
    return [
        format(Decimal(totals.audio_ms) / MS_PER_MINUTE, f"{form}.2f")
        if field == "audio_ms"
        else format(getattr(totals, field), form)
        for field in fields
    ]


def print_csv(bill: BillView, zone: ZoneInfo, *, bom: bool) -> None:
    """Print the bill as CSV, with every sum: the columns of a broker's CSV; see `admin_plane.exports`."""
    buckets = ["bucket", "bucket_start", "bucket_end"] if bill.bucket else []
    labels = [] if LABEL in bill.dimensions else [LABEL]
    write_csv(
        [*buckets, *bill.dimensions, *labels, *SUMS],
        (
            [
                *([format_time(line.start, zone, bill.bucket), line.start, line.end] if line.start is not None else []),
                *line.names,
                *([line.label] if labels else []),
                *(_plain(getattr(line.totals, name)) for name in SUMS),
            ]
            for line in bill.lines
        ),
        bom=bom,
    )


def _plain(value: object) -> object:
    return format(value, "f") if isinstance(value, Decimal) else value


def draw_bill(bill: BillView, zone: ZoneInfo) -> None:
    """Draw lines over time if there are several buckets, else bars."""
    starts = sorted({line.start for line in bill.lines if line.start is not None})
    buckets = [format_time(start, zone, bill.bucket) for start in starts]
    if len(buckets) < 2:
        plots.bars([(_title(bill, line, buckets), line.totals.total_cost_usd) for line in bill.lines])
        return
    numbers = {start: number for number, start in enumerate(starts)}
    series: dict[str, list[tuple[int, Decimal]]] = {}
    for line in bill.lines:
        if line.start is not None:
            series.setdefault(_title(bill, line), []).append((numbers[line.start], line.totals.total_cost_usd))
    plots.lines(series, _short_names(bill.bucket, buckets), str(bill.bucket))


def _short_names(bucket: Bucket | None, names: Sequence[str]) -> list[str]:
    """Return the names of buckets without their year; hours with their day if there are several days."""
    if bucket == "hour":
        is_one_day = len({name[:10] for name in names}) == 1
        return [name[11:16] if is_one_day else name[8:16] for name in names]
    return [name[5:] for name in names] if bucket in ("day", "week") else list(names)


def bill_chart(bill: BillView, zone: ZoneInfo, subtitle: str) -> Element:
    """Return a chart of the bill: bars, over time if there are buckets."""
    title = f"USD by {' and '.join([*([bill.bucket] if bill.bucket else []), *bill.dimensions])}"
    if bill.bucket is None:
        return draw_bars(title, [ChartBar(_title(bill, line), _cost(line)) for line in bill.lines], subtitle)
    starts = sorted({line.start or 0 for line in bill.lines})
    costs: dict[str, dict[int, int]] = {}
    for line in bill.lines:
        costs.setdefault(_title(bill, line), {})[line.start or 0] = _cost(line)
    series = [ChartSeries(name, tuple(own.get(start, 0) for start in starts)) for name, own in costs.items()]
    return draw_stacks(title, [format_time(start, zone, bill.bucket) for start in starts], series, subtitle)


def _cost(line: BillLine) -> int:
    return int(line.totals.total_cost_nano_usd)


def _title(bill: BillView, line: BillLine, buckets: Sequence[str] = ()) -> str:
    names = " ".join([*buckets, *_names(bill, line)]) or "all"
    return f"{names} ({line.label})" if line.label and LABEL not in bill.dimensions else names
