"""`hero-broker usage`: prints who spent how much, as a table, JSON, CSV or a plot, or draws it into an SVG file."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, cast, get_args
from zoneinfo import ZoneInfo

import typer

from hero_broker.cli.backend import OPTIONS, Backend, DatabaseOption, TokenOption, UrlOption, open_backend, redact_url
from hero_broker.cli.files import write_file
from hero_broker.cli.filters import WhereOption, parse_filters
from hero_broker.cli.notices import counted, warn
from hero_broker.cli.printing import say, write_json, write_text
from hero_broker.cli.report_view import (
    BillView,
    address_view,
    bill_chart,
    draw_bill,
    page_view,
    print_bill,
    print_csv,
)
from hero_broker.cli.requests import DEFAULT_LIMIT
from hero_broker.cli.suggestions import warn_of_misspelling
from hero_broker.cli.times import FORMS, MONTH_FORMS, parse_window
from hero_broker.cli.unpriced import command_that_lists, describe, estimated_usd, unpriced_models
from hero_broker.cli.zones import TzOption, choose_zone
from hero_broker.client import Query, QueryFilter, methods, models
from hero_broker.client.clients import every_page
from hero_broker.client.methods import Bucket, Dimension
from hero_broker.core.local_time import format_time
from hero_broker.dashboard.charts import svg_file
from hero_broker.util.spreadsheets import BYTE_ORDER_MARK

DIMENSIONS: tuple[str, ...] = get_args(Dimension)
BUCKETS: tuple[str, ...] = get_args(Bucket)

EXAMPLES = """Examples:

hero-broker usage --month last

hero-broker usage 192.0.2.7 --since 7d

hero-broker usage --by model,day --since 30d --tz Europe/Berlin --plot

hero-broker usage --by label,month --since 2026-01-01 --tz Europe/Berlin

hero-broker usage --by model,day --month last --svg november.svg

hero-broker usage --by ip --where provider=groq --csv > bill.csv

hero-broker usage --focus --month last > focus.csv"""


def usage(
    ip: Annotated[str | None, typer.Argument(help="Only this address: its spend by model.")] = None,
    since: Annotated[str | None, typer.Option(help=f"Calls at or after this time: {FORMS}.")] = None,
    until: Annotated[
        str | None, typer.Option(help="Calls before this time; accepts the same forms as --since.")
    ] = None,
    month: Annotated[
        str | None, typer.Option(help=f"Calls of one month: {MONTH_FORMS}; in place of --since and --until.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            help=f"Dimensions to group by, with commas: {', '.join((*DIMENSIONS, *BUCKETS))}. "
            "Most combinations of several need a window of at most 31 days.",
            autocompletion=lambda: [*DIMENSIONS, *BUCKETS],
        ),
    ] = None,
    tz: TzOption = None,
    where: WhereOption = None,
    limit: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="Number of lines at most, the largest first.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the broker's response unchanged.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, with every sum.")] = False,
    bom: Annotated[
        bool, typer.Option("--bom", help="Begin the CSV with a UTF-8 byte order mark, which Excel needs.")
    ] = False,
    plot: Annotated[bool, typer.Option("--plot", help="Draw a plot: over time if --by has a bucket.")] = False,
    svg: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a chart into this SVG file, and replace the file: bars, over time if --by has a bucket.",
        ),
    ] = None,
    as_focus: Annotated[
        bool,
        typer.Option(
            "--focus", help="Print the CSV of FOCUS 1.2 for finance tools; takes a window, or --where period=NAME."
        ),
    ] = False,
    url: UrlOption = None,
    token: TokenOption = None,
    database: DatabaseOption = None,
) -> None:
    """Print who spent how much, the largest first."""
    if bom and not (as_csv or as_focus):
        raise typer.BadParameter("needs --csv or --focus", param_hint="--bom")
    if as_json + as_csv + plot + (svg is not None) + as_focus > 1:
        raise typer.BadParameter("--json, --csv, --plot, --svg and --focus exclude each other")
    now, filters = int(time.time()), parse_filters(where)
    zone = choose_zone(tz, filters, url, token, database)
    window = parse_window(since, until, month, zone, now)
    if as_focus:
        focus = _focus_query(window, filters, has_others=bool(ip or by or limit))
        with open_backend(url, token, database, {**OPTIONS, "period": "--where period"}) as backend:
            text = backend.call(focus).data.csv
        write_text(BYTE_ORDER_MARK + text if bom else text)
        return
    query = _build_query(ip, window, by, zone, filters, limit, dense=plot or svg is not None)
    with open_backend(url, token, database) as backend:
        if as_json:
            write_json(backend.call_raw(query.method, query.params))
            return
        bill = _bill(backend, query, whole=limit is None)
        if not bill.totals.requests:
            warn_of_misspelling(backend, filters)
        is_table = not (as_csv or plot or svg)
        models = unpriced_models(backend, query, bill) if is_table else Counter()
        estimated = estimated_usd(backend, query, bill) if is_table else None
    if as_csv:
        print_csv(bill, zone, bom=bom)
        if bill.more:
            warn(f"Only the first {counted(len(bill.lines), 'line')}, because of --limit.")
    elif plot:
        draw_bill(bill, zone)
    elif svg is not None:
        subtitle = _title((window[0], now if window[1] is None else window[1]), zone)  # a file is read later than now
        write_file(svg, svg_file(bill_chart(bill, zone, subtitle)))
        say(str(svg))
    else:
        print_bill(bill, zone, None if window == (None, None) else _title(window, zone))
        conditions = [*(where or ()), *([f"ip={ip}"] if ip else [])]
        options = [
            ("--since", since),
            ("--until", until),
            ("--month", month),
            ("--tz", tz),
            ("--database", None if database is None else redact_url(database)),
        ]
        if count := bill.totals.failed_requests:
            warn(f"Failed, because a provider or the broker broke them off: {counted(count, 'request')}.")
        if count := bill.totals.estimated_requests:
            worth = "" if estimated is None else f", {estimated:f} USD"
            warn(f"Estimated, because the provider did not report the usage: {counted(count, 'request')}{worth}.")
            _suggest_list("usage_source=estimated", count, conditions, options)
        if count := bill.totals.unpriced_requests:
            named = f", of {describe(models)}" if models else ""
            warn(f"Without a known price, counted as 0 USD: {counted(count, 'request')}{named}.")
            _suggest_list("cost=unpriced", count, conditions, options)


def _suggest_list(
    condition: str, count: int, conditions: Sequence[str], options: Sequence[tuple[str, str | None]]
) -> None:
    """Print the command that lists the calls of a condition."""
    others = [("--where", one) for one in conditions if one.partition("=")[0] != condition.partition("=")[0]]
    limit = None if count <= DEFAULT_LIMIT else str(count)
    words = command_that_lists(condition, [*others, *options, ("--limit", limit)])
    warn(f"List them: {words}")


def _build_query(
    ip: str | None,
    window: tuple[int | None, int | None],
    by: str | None,
    zone: ZoneInfo,
    filters: QueryFilter,
    limit: int | None,
    *,
    dense: bool,
) -> Query[Any]:
    """Return the simplest query that answers the options."""
    since, until = window
    if by is None and not filters and ip is not None and limit is None:
        return methods.usage_for_ip(ip, since, until)
    if by is None and not filters and ip is None:
        return methods.usage_by_ip(since, until, limit)
    dimensions, bucket = _grouping(by or ("ip" if ip is None else "model"))
    if ip is not None:
        if "ip" in filters:
            raise typer.BadParameter("the address is given twice", param_hint="--where")
        filters = {**filters, "ip": ip}
    return methods.usage(
        dimensions,
        since,
        until,
        bucket,
        zone.key if bucket else None,
        filters or None,
        limit,
        dense=True if dense and bucket else None,
    )


def _focus_query(
    window: tuple[int | None, int | None], filters: QueryFilter, *, has_others: bool
) -> Query[models.FocusAnswer]:
    """Return the query for a FOCUS file; `has_others`: there are options that it cannot take."""
    period = filters.get("period")
    if has_others or filters.keys() - {"period"}:
        raise typer.BadParameter(
            "takes only --since, --until, --month, --tz and --where period=NAME", param_hint="--focus"
        )
    return methods.focus(period, *window)


def _title(window: tuple[int | None, int | None], zone: ZoneInfo) -> str:
    """Return the line that names a window and its zone."""
    since, until = window
    begin = "" if since is None else f" from {format_time(since, zone)}"
    return f"Calls{begin} until {'now' if until is None else format_time(until, zone)}, {zone.key}"


def _grouping(by: str) -> tuple[list[Dimension], Bucket | None]:
    names = by.split(",")
    buckets = [name for name in names if name in BUCKETS]
    dimensions = [name for name in names if name in DIMENSIONS]
    if len(buckets) > 1 or len(set(names)) != len(names) or len(buckets) + len(dimensions) != len(names):
        unknown = [name for name in names if name not in (*DIMENSIONS, *BUCKETS)]
        wrong = f"{', '.join(map(repr, unknown))} is no name here; " if unknown else ""
        raise typer.BadParameter(
            f"{wrong}takes different names among {', '.join(DIMENSIONS)}, and at most one of {', '.join(BUCKETS)}",
            param_hint="--by",
        )
    return cast("list[Dimension]", dimensions), cast("Bucket", buckets[0]) if buckets else None


def _bill(backend: Backend, query: Query[Any], *, whole: bool) -> BillView:
    if query.method == "billing.usage_for_ip":
        return address_view(backend.call(query))
    pages = every_page(backend.call, query)
    bill = page_view(query, next(pages))
    if not whole or not bill.more:
        return bill
    lines = [*bill.lines, *(line for page in pages for line in page_view(query, page).lines)]
    return replace(bill, lines=tuple(lines), more=False)
