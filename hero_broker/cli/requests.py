"""`hero-broker requests`: prints the billed calls; `--follow` continues like `tail -f`."""

import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec
import typer
from rich.cells import cell_len

from hero_broker.cli.backend import Backend, DatabaseOption, TokenOption, UrlOption, open_backend
from hero_broker.cli.filters import WhereOption, parse_filters
from hero_broker.cli.notices import warn
from hero_broker.cli.one_request import print_request
from hero_broker.cli.printing import GAP, write_json, writing_output
from hero_broker.cli.suggestions import warn_of_misspelling
from hero_broker.cli.times import FORMS, MONTH_FORMS, parse_window, parse_zone
from hero_broker.cli.zones import DEFAULT, TzOption, choose_zone
from hero_broker.client import BrokerUnreachable, Query, methods, models
from hero_broker.client.clients import every_page
from hero_broker.core.local_time import format_time

POLL_S = 1.0
PAGE = 1_000  # rows per query
DEFAULT_LIMIT = 20
NANO_PLACES = 9  # decimal places of a nano-USD

EXAMPLES = """Examples:

hero-broker requests --limit 50

hero-broker requests --follow --where ip=192.0.2.7

hero-broker requests 01920000-0000-7000-8000-000000000001

hero-broker requests --since today --json | jq -r .model"""

# Each column's name and width, numbers to the right; a longer cell takes the space that the next cells leave.
_COLUMNS = {
    "TIME": "<19",
    "IP": "<24",
    "KIND": "<10",
    "MODEL": "<28",
    "OUTCOME": "<19",
    "ERROR": "<20",
    "INPUT": ">9",
    "OUTPUT": ">9",
    "USD": ">12",
    "MS": ">8",
    "REQUEST": "<36",
}
# On a terminal that is too narrow for one line, a call takes two; what does not fit into them is left out.
_BY_USE = ("TIME", "IP", "OUTCOME", "USD", "MODEL", "REQUEST", "KIND", "ERROR", "INPUT", "OUTPUT", "MS")
_LINES = 2


@dataclass(frozen=True, slots=True)
class RowLayout:
    """Which columns each line of a call has."""

    lines: tuple[tuple[str, ...], ...]
    width: int | None  # of the terminal; None: a line may be longer than any terminal


def requests(
    request_id: Annotated[
        str | None, typer.Argument(metavar="REQUEST", help="Only this call, by its id, and how its cost was computed.")
    ] = None,
    since: Annotated[str | None, typer.Option(help=f"Calls at or after this time: {FORMS}.")] = None,
    until: Annotated[
        str | None, typer.Option(help="Calls before this time; accepts the same forms as --since.")
    ] = None,
    where: WhereOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Number of the latest calls.")] = DEFAULT_LIMIT,
    month: Annotated[
        str | None, typer.Option(help=f"Calls of one month: {MONTH_FORMS}; in place of --since and --until.")
    ] = None,
    tz: TzOption = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new calls until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    wide: Annotated[
        bool, typer.Option("--wide", help="Print each call with all columns on one line, however narrow the terminal.")
    ] = False,
    url: UrlOption = None,
    token: TokenOption = None,
    database: DatabaseOption = None,
) -> None:
    """Print the latest calls, in the order in which they were recorded; or one call, with its cost explained."""
    if request_id is not None:
        _print_one(request_id, tz, url, token, database, as_json=as_json)
        return
    now, layout = int(time.time()), _layout(is_wide=wide)
    filters = parse_filters(where) or None
    zone = choose_zone(tz, filters or {}, url, token, database)
    first, last = parse_window(since, until, month, zone, now)
    query = methods.requests(first, last, filters, min(limit, PAGE))
    with open_backend(url, token, database) as backend:
        if not as_json:
            for line in _lines({name: name for name in _COLUMNS}, layout):
                _write(line)
        last_seq = 0
        for row in _newest(backend, query, limit):
            last_seq = row.seq
            _print(row, as_json, layout, zone)
        if not last_seq and filters is not None:
            warn_of_misspelling(backend, filters)
        if not follow:
            return
        last_seq = last_seq or _last_seq(backend)
        for row in _following(backend, methods.requests(first, last, filters, PAGE), last_seq):
            _print(row, as_json, layout, zone)


def _print_one(
    request_id: str, tz: str | None, url: str | None, token: str | None, database: str | None, *, as_json: bool
) -> None:
    zone, query = parse_zone(tz or DEFAULT), methods.request(request_id)
    with open_backend(url, token, database, {"request_id": "REQUEST"}) as backend:
        if as_json:
            write_json(backend.call_raw(query.method, query.params))
        else:
            print_request(backend.call(query).data, zone)


def _newest(backend: Backend, query: Query[models.RequestsPage], limit: int) -> list[models.Request]:
    """Return the newest rows, oldest first."""
    rows: list[models.Request] = []
    for page in every_page(backend.call, query):
        rows.extend(page.data)
        if len(rows) >= limit:
            break
    return rows[:limit][::-1]


def _last_seq(backend: Backend) -> int:
    newest = backend.call(methods.requests(limit=1)).data
    return newest[0].seq if newest else 0


def _following(backend: Backend, query: Query[models.RequestsPage], last_seq: int) -> Iterator[models.Request]:
    """Yield rows above `last_seq` in their order, as they come; wait while the broker is unreachable."""
    is_warned = False
    while True:
        try:
            more = _above(backend, query, last_seq)
            is_warned = False
        except BrokerUnreachable as error:
            if not is_warned:
                warn(f"{error}; trying again")
            is_warned, more = True, []
        for row in reversed(more):
            last_seq = row.seq
            yield row
        if not more:
            time.sleep(POLL_S)


def _above(backend: Backend, query: Query[models.RequestsPage], last_seq: int) -> list[models.Request]:
    """Return the rows above `last_seq`, newest first."""
    rows: list[models.Request] = []
    for page in every_page(backend.call, query):
        new = [row for row in page.data if row.seq > last_seq]
        rows.extend(new)
        if len(new) < len(page.data) or not page.data:
            break
    return rows


def _layout(*, is_wide: bool) -> RowLayout:
    """Return the columns of each line of a call: one line with all of them if it fits, or if there is no terminal."""
    if is_wide or not sys.stdout.isatty():
        return RowLayout((tuple(_COLUMNS),), None)
    width = shutil.get_terminal_size().columns
    if _width(tuple(_COLUMNS)) <= width:
        return RowLayout((tuple(_COLUMNS),), width)
    lines: list[tuple[str, ...]] = [()] * _LINES
    for name in _BY_USE:
        for at, columns in enumerate(lines):
            if _width((*columns, name)) + (len(GAP) if at else 0) <= width or not (at or columns):
                lines[at] = (*columns, name)
                break
    return RowLayout(tuple(columns for columns in lines if columns), width)


def _width(columns: Sequence[str]) -> int:
    return sum(int(_COLUMNS[name][1:]) + len(GAP) for name in columns) - len(GAP)


def _lines(cells: Mapping[str, str], layout: RowLayout) -> Iterator[str]:
    """Yield the lines of a call; all but the first are indented. A cell that a line has no space for begins another."""
    for at, columns in enumerate(layout.lines):
        line, begin = "", len(GAP) if at else 0
        for name in columns:
            alignment, width = _COLUMNS[name][0], int(_COLUMNS[name][1:])
            text = cells[name]
            aligned = begin + (max(0, width - cell_len(text)) if alignment == ">" else 0)
            start = max(aligned, cell_len(line) + len(GAP)) if line else aligned
            length = cell_len(text.rstrip())
            if line and layout.width is not None and start + length > layout.width:
                yield line
                line, start = "", max(len(GAP), min(aligned, layout.width - length))
            line = f"{line}{' ' * (start - cell_len(line))}{text}".rstrip()
            begin += width + len(GAP)
        yield line


def _print(row: models.Request, as_json: bool, layout: RowLayout, zone: ZoneInfo) -> None:
    if as_json:
        cost = None if row.cost_usd is None else msgspec.Raw(format(row.cost_usd, "f").encode())
        _write(msgspec.json.encode({**msgspec.structs.asdict(row), "cost_usd": cost}).decode())
        return
    cells = {
        "TIME": format_time(row.started_at, zone),
        "IP": row.ip if row.label is None else f"{row.ip} ({row.label})",
        "KIND": row.kind,
        "MODEL": row.model,
        "OUTCOME": row.outcome,
        "ERROR": row.error_code or "-",
        "INPUT": _count(row.input_tokens),
        "OUTPUT": _count(row.output_tokens),
        "USD": "-" if row.cost_usd is None else _usd(row.cost_usd),
        "MS": str(row.duration_ms),
        "REQUEST": row.request_id,
    }
    for line in _lines(cells, layout):
        _write(line)
    if row.error_code is not None and all("ERROR" not in columns for columns in layout.lines):
        _write(f"{GAP}error: {row.error_code}")


def _usd(cost: Decimal) -> str:
    """Return an amount in full, with spaces in place of the digits that it lacks, so that points are aligned."""
    whole, point, fraction = format(cost, "f").partition(".")
    return whole + (point or " ") + fraction.ljust(NANO_PLACES)


def _count(units: int | None) -> str:
    return "-" if units is None else str(units)


def _write(line: str) -> None:
    with writing_output():
        sys.stdout.write(f"{line}\n")
