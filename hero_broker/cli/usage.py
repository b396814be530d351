"""`hero-broker usage`: who spent how much, as a table, JSON, CSV or a plot."""

import time
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, cast, get_args
from zoneinfo import ZoneInfo

import typer

from hero_broker.cli import plots
from hero_broker.cli.asking import Asker, DatabaseOption, TokenOption, UrlOption, asking
from hero_broker.cli.filters import WhereOption, filter_of
from hero_broker.cli.printing import table, warn, write_csv, write_json
from hero_broker.cli.times import FORMS, moment, shown, zone_of
from hero_broker.client import DEFAULT_URL, Filter, Question, answers, questions
from hero_broker.client.clients import every_page
from hero_broker.client.questions import Bucket, Dimension

DIMENSIONS: tuple[str, ...] = get_args(Dimension)
BUCKETS: tuple[str, ...] = get_args(Bucket)
SUMS = tuple(answers.UsageTotals.__struct_fields__)

EXAMPLES = """Examples:

hero-broker usage --since month

hero-broker usage 192.0.2.7 --since 7d

hero-broker usage --by model,day --since 30d --tz Europe/Berlin --plot

hero-broker usage --by ip --where provider=groq --csv > bill.csv"""


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of a bill."""

    names: tuple[str | None, ...]  # of the dimensions
    label: str | None
    start: int | None
    end: int | None
    totals: answers.UsageTotals


@dataclass(frozen=True, slots=True)
class _Bill:
    """What is shown."""

    dimensions: tuple[str, ...]
    bucket: Bucket | None
    lines: tuple[_Line, ...]
    totals: answers.UsageTotals
    more: bool


def usage(
    ip: Annotated[str | None, typer.Argument(help="One address: its spend by model.")] = None,
    since: Annotated[str | None, typer.Option(help=f"Calls from then on: {FORMS}.")] = None,
    until: Annotated[str | None, typer.Option(help="Calls before then: as --since.")] = None,
    by: Annotated[
        str | None,
        typer.Option(
            help=f"What to sum by, with commas: {', '.join((*DIMENSIONS, *BUCKETS))}.",
            autocompletion=lambda: [*DIMENSIONS, *BUCKETS],
        ),
    ] = None,
    tz: Annotated[str, typer.Option(help="Time zone of dates, hours, days and months.")] = "UTC",
    where: WhereOption = None,
    limit: Annotated[int | None, typer.Option(min=1, max=10_000, help="Only the largest so many.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the broker's answer as it came.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, with every sum.")] = False,
    plot: Annotated[bool, typer.Option("--plot", help="Draw it: over time if --by has a bucket.")] = False,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    database: DatabaseOption = None,
) -> None:
    """Print who spent how much, the largest first."""
    if as_json + as_csv + plot > 1:
        raise typer.BadParameter("--json, --csv and --plot exclude each other")
    zone, now = zone_of(tz), int(time.time())
    window = moment(since, zone, now, "--since"), moment(until, zone, now, "--until")
    question = _question(ip, window, by, tz, filter_of(where), limit, dense=plot)
    with asking(url, token, database) as asker:
        if as_json:
            write_json(asker.raw(question.method, question.params))
            return
        bill = _bill(asker, question, whole=limit is None)
    if as_csv:
        _print_csv(bill)
    elif plot:
        _draw(bill, zone)
    else:
        print_bill(bill, zone)


def _question(
    ip: str | None,
    window: tuple[int | None, int | None],
    by: str | None,
    tz: str,
    chosen: Filter,
    limit: int | None,
    *,
    dense: bool,
) -> Question[Any]:
    """Return what is asked: the shortest question that answers it."""
    since, until = window
    if by is None and not chosen and ip is not None and limit is None:
        return questions.usage_for_ip(ip, since, until)
    if by is None and not chosen and ip is None:
        return questions.usage_by_ip(since, until, limit)
    dimensions, bucket = _grouping(by or ("ip" if ip is None else "model"))
    if ip is not None:
        if "ip" in chosen:
            raise typer.BadParameter("an address is given twice", param_hint="--where")
        chosen = {**chosen, "ip": ip}
    return questions.usage(
        dimensions,
        since,
        until,
        bucket,
        tz if bucket else None,
        chosen or None,
        limit,
        dense=True if dense and bucket else None,
    )


def _grouping(by: str) -> tuple[list[Dimension], Bucket | None]:
    names = by.split(",")
    buckets = [name for name in names if name in BUCKETS]
    dimensions = [name for name in names if name in DIMENSIONS]
    if len(buckets) > 1 or len(set(names)) != len(names) or len(buckets) + len(dimensions) != len(names):
        raise typer.BadParameter(
            f"must be different names among {', '.join(DIMENSIONS)} and one of {', '.join(BUCKETS)}", param_hint="--by"
        )
    return cast("list[Dimension]", dimensions), cast("Bucket", buckets[0]) if buckets else None


def _bill(asker: Asker, question: Question[Any], *, whole: bool) -> _Bill:
    if question.method == "billing.usage_for_ip":
        return of_address(asker.ask(question))
    pages = every_page(asker.ask, question)
    bill = _of_page(question, next(pages))
    if not whole or not bill.more:
        return bill
    lines = [*bill.lines, *(line for page in pages for line in _of_page(question, page).lines)]
    return replace(bill, lines=tuple(lines), more=False)


def _of_page(question: Question[Any], page: answers.UsageByIp | answers.UsageReport) -> _Bill:
    if isinstance(page, answers.UsageByIp):
        return of_addresses(page)
    names = tuple(question.params["group_by"])
    lines = tuple(
        _Line(tuple(one.group[name] for name in names), one.label, one.bucket_start, one.bucket_end, one)
        for one in page.data
    )
    return _Bill(names, question.params.get("bucket"), lines, page.totals, page.next_cursor is not None)


def of_addresses(page: answers.UsageByIp) -> _Bill:
    """Return what addresses spent as what is shown."""
    lines = tuple(_Line((one.ip,), one.label, None, None, one) for one in page.data)
    return _Bill(("ip",), None, lines, page.totals, page.next_cursor is not None)


def of_address(found: answers.UsageForIp) -> _Bill:
    """Return what one address spent as what is shown."""
    lines = tuple(_Line((one.model,), None, None, None, one) for one in found.data.models)
    return _Bill(("model",), None, lines, found.data.totals, False)


def print_bill(bill: _Bill, zone: ZoneInfo) -> None:
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


def _numbers(totals: answers.UsageTotals) -> list[str]:
    return [
        str(totals.requests),
        str(totals.input_tokens),
        str(totals.output_tokens),
        format(totals.total_cost_usd, "f"),
    ]


def _print_csv(bill: _Bill) -> None:
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


def _draw(bill: _Bill, zone: ZoneInfo) -> None:
    if bill.bucket is None:
        plots.bars([(_title(line), line.totals.total_cost_usd) for line in bill.lines])
        return
    series: dict[str, list[tuple[datetime, Decimal]]] = {}
    for line in bill.lines:
        at = datetime.fromtimestamp(line.start or 0, zone).replace(tzinfo=None)
        series.setdefault(_title(line), []).append((at, line.totals.total_cost_usd))
    plots.lines(series, str(bill.bucket))


def _title(line: _Line) -> str:
    names = " ".join("-" if name is None else name for name in line.names) or "all"
    return f"{names} ({line.label})" if line.label else names
