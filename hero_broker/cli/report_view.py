"""What is shown of a bill: as a table, CSV, or a drawing."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from hero_broker.cli import plots
from hero_broker.cli.printing import table, warn, write_csv
from hero_broker.cli.times import shown
from hero_broker.client import Question, models
from hero_broker.client.methods import Bucket

SUMS = tuple(models.UsageTotals.__struct_fields__)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a bill."""

    names: tuple[str | None, ...]  # of the dimensions
    label: str | None
    start: int | None
    end: int | None
    totals: models.UsageTotals


@dataclass(frozen=True, slots=True)
class Bill:
    """What is shown."""

    dimensions: tuple[str, ...]
    bucket: Bucket | None
    lines: tuple[Line, ...]
    totals: models.UsageTotals  # of all lines, also of those that are not here
    more: bool  # whether there are such


def of_page(question: Question[Any], page: models.UsageByIp | models.UsageReport) -> Bill:
    """Return a page of a report as what is shown."""
    if isinstance(page, models.UsageByIp):
        return of_addresses(page)
    names = tuple(question.params["group_by"])
    lines = tuple(
        Line(tuple(one.group[name] for name in names), one.label, one.bucket_start, one.bucket_end, one)
        for one in page.data
    )
    return Bill(names, question.params.get("bucket"), lines, page.totals, page.next_cursor is not None)


def of_addresses(page: models.UsageByIp) -> Bill:
    """Return what addresses spent as what is shown."""
    lines = tuple(Line((one.ip,), one.label, None, None, one) for one in page.data)
    return Bill(("ip",), None, lines, page.totals, page.next_cursor is not None)


def of_address(found: models.UsageForIp) -> Bill:
    """Return what one address spent as what is shown."""
    lines = tuple(Line((one.model,), None, None, None, one) for one in found.data.models)
    return Bill(("model",), None, lines, found.data.totals, False)


def print_bill(bill: Bill, zone: ZoneInfo) -> None:
    """Print a table."""
    has_labels = any(line.label for line in bill.lines)
    heads = [*([bill.bucket] if bill.bucket else []), *bill.dimensions, *(["label"] if has_labels else [])]
    columns = [*((name, False) for name in heads), *((name, True) for name in ("requests", "input", "output", "USD"))]
    rows = []
    for line in bill.lines:
        start = [shown(line.start, zone, bill.bucket)] if line.start is not None else []
        names = [name if name is not None else "-" for name in line.names]
        rows.append([*start, *names, *([line.label or ""] if has_labels else []), *_numbers(line.totals)])
    footer = ["total", *[""] * (len(heads) - 1)] if heads else []
    table(columns, rows, [*footer, *_numbers(bill.totals)])
    if bill.more:
        warn(f"These are the first {len(bill.lines)}; the total is of all.")
    if bill.totals.estimated_requests or bill.totals.unpriced_requests:
        warn(
            f"{bill.totals.estimated_requests} requests are estimated,"
            f" {bill.totals.unpriced_requests} have no known price and count as 0 USD."
        )


def _numbers(totals: models.UsageTotals) -> list[str]:
    return [
        str(totals.requests),
        str(totals.input_tokens),
        str(totals.output_tokens),
        format(totals.total_cost_usd, "f"),
    ]


def print_csv(bill: Bill) -> None:
    """Print CSV, with every sum."""
    buckets = ["bucket_start", "bucket_end"] if bill.bucket else []
    write_csv(
        [*buckets, *bill.dimensions, "label", *SUMS],
        (
            [
                *([line.start, line.end] if bill.bucket else []),
                *line.names,
                line.label,
                *(_plain(getattr(line.totals, name)) for name in SUMS),
            ]
            for line in bill.lines
        ),
    )


def _plain(value: object) -> object:
    return format(value, "f") if isinstance(value, Decimal) else value


def draw_bill(bill: Bill, zone: ZoneInfo) -> None:
    """Draw lines over time where there are buckets, else bars."""
    if bill.bucket is None:
        plots.bars([(_title(line), line.totals.total_cost_usd) for line in bill.lines])
        return
    series: dict[str, list[tuple[datetime, Decimal]]] = {}
    for line in bill.lines:
        at = datetime.fromtimestamp(line.start or 0, zone).replace(tzinfo=None)
        series.setdefault(_title(line), []).append((at, line.totals.total_cost_usd))
    plots.lines(series, str(bill.bucket))


def _title(line: Line) -> str:
    names = " ".join("-" if name is None else name for name in line.names) or "all"
    return f"{names} ({line.label})" if line.label else names
