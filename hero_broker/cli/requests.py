"""`hero-broker requests`: the calls themselves, as they are billed; `--follow` goes on like `tail -f`."""

import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec
import typer

from hero_broker.cli.backend import Backend, DatabaseOption, TokenOption, UrlOption, open_backend
from hero_broker.cli.filters import WhereOption, parse_filters
from hero_broker.cli.printing import GAP, warn, written
from hero_broker.cli.times import FORMS, format_time, parse_time, parse_zone
from hero_broker.client import BrokerUnreachable, methods, models
from hero_broker.client.clients import every_page
from hero_broker.client.methods import Query

POLL_S = 1.0
PAGE = 1_000  # rows that are asked for at once

EXAMPLES = """Examples:

hero-broker requests --limit 50

hero-broker requests --follow --where ip=192.0.2.7

hero-broker requests --since today --json | jq -r .model"""

# Each column's name and least width, numbers to the right; what is longer than its column is not cut.
_COLUMNS = {
    "TIME": "<19",
    "IP": "<24",
    "KIND": "<10",
    "MODEL": "<28",
    "OUTCOME": "<19",
    "INPUT": ">9",
    "OUTPUT": ">9",
    "USD": ">12",
    "MS": ">8",
    "REQUEST": "<36",
}
_DISPENSABLE = ("REQUEST", "MS", "KIND", "OUTPUT", "INPUT", "OUTCOME", "MODEL", "TIME")  # on a narrow terminal, in turn


def requests(
    since: Annotated[str | None, typer.Option(help=f"Calls from then on: {FORMS}.")] = None,
    until: Annotated[str | None, typer.Option(help="Calls before then: as --since.")] = None,
    where: WhereOption = None,
    limit: Annotated[int, typer.Option(min=1, help="How many of the latest calls.")] = 20,
    tz: Annotated[str, typer.Option(help="Time zone of what is shown, and of dates.")] = "UTC",
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with calls as they come, until Ctrl-C.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")] = False,
    url: UrlOption = None,
    token: TokenOption = None,
    database: DatabaseOption = None,
) -> None:
    """Print the latest calls, in the order in which they were recorded."""
    zone, now, columns = parse_zone(tz), int(time.time()), _columns()
    chosen = parse_filters(where) or None
    first, last = parse_time(since, zone, now, "--since"), parse_time(until, zone, now, "--until")
    question = methods.requests(first, last, chosen, min(limit, PAGE))
    with open_backend(url, token, database) as asker:
        if not as_json:
            _write(_line({name: name for name in columns}, columns))
        seen = 0
        for row in _newest(asker, question, limit):
            seen = row.seq
            _print(row, as_json, columns, zone)
        if not follow:
            return
        seen = seen or _last_seq(asker)
        for row in _following(asker, methods.requests(first, last, chosen, PAGE), seen):
            _print(row, as_json, columns, zone)


def _newest(asker: Backend, question: Query[models.RequestsPage], limit: int) -> list[models.Request]:
    """Return the newest rows, oldest first."""
    found: list[models.Request] = []
    for page in every_page(asker.call, question):
        found.extend(page.data)
        if len(found) >= limit:
            break
    return found[:limit][::-1]


def _last_seq(asker: Backend) -> int:
    newest = asker.call(methods.requests(limit=1)).data
    return newest[0].seq if newest else 0


def _following(asker: Backend, question: Query[models.RequestsPage], seen: int) -> Iterator[models.Request]:
    """Yield rows above `seen` in their order, as they come; a broker that is gone is waited for."""
    told = False
    while True:
        try:
            more = _above(asker, question, seen)
            told = False
        except BrokerUnreachable as error:
            if not told:
                warn(f"{error}; waiting for it")
            told, more = True, []
        for row in reversed(more):
            seen = row.seq
            yield row
        if not more:
            time.sleep(POLL_S)


def _above(asker: Backend, question: Query[models.RequestsPage], seen: int) -> list[models.Request]:
    """Return the rows above `seen`, newest first."""
    found: list[models.Request] = []
    for page in every_page(asker.call, question):
        new = [row for row in page.data if row.seq > seen]
        found.extend(new)
        if len(new) < len(page.data) or not page.data:
            break
    return found


def _columns() -> tuple[str, ...]:
    """Return the columns that fit a terminal's width; all of them where there is no terminal."""
    names = list(_COLUMNS)
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        for name in _DISPENSABLE:
            if sum(int(_COLUMNS[one][1:]) + len(GAP) for one in names) - len(GAP) <= width:
                break
            names.remove(name)
    return tuple(names)


def _line(cells: Mapping[str, str], columns: Sequence[str]) -> str:
    return GAP.join(f"{cells[name]:{_COLUMNS[name]}}" for name in columns).rstrip()


def _print(row: models.Request, as_json: bool, columns: Sequence[str], zone: ZoneInfo) -> None:
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
        "INPUT": _count(row.input_tokens),
        "OUTPUT": _count(row.output_tokens),
        "USD": "-" if row.cost_usd is None else format(row.cost_usd, "f"),
        "MS": str(row.duration_ms),
        "REQUEST": row.request_id,
    }
    _write(_line(cells, columns))


def _count(units: int | None) -> str:
    return "-" if units is None else str(units)


def _write(line: str) -> None:
    with written():
        sys.stdout.write(f"{line}\n")
