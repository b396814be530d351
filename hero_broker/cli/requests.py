"""`hero-broker requests`: the calls themselves, as they are billed; `--follow` goes on like `tail -f`."""

import sys
import time
from collections.abc import Callable, Iterator
from typing import Annotated

import msgspec
import typer

from hero_broker.cli.asking import Asker, DatabaseOption, TokenOption, UrlOption, asking
from hero_broker.cli.filters import WhereOption, filter_of
from hero_broker.cli.printing import warn
from hero_broker.cli.times import FORMS, moment, shown, zone_of
from hero_broker.client import DEFAULT_URL, BrokerUnreachable, answers, questions
from hero_broker.client.clients import every_page
from hero_broker.client.questions import Question

POLL_S = 1.0
PAGE = 1_000  # rows that are asked for at once

EXAMPLES = """Examples:

hero-broker requests --limit 50

hero-broker requests --follow --where ip=192.0.2.7

hero-broker requests --since today --json | jq -r .model"""

_HEAD = (
    f"{'TIME':19}  {'IP':24}  {'KIND':10}  {'MODEL':28}  {'OUTCOME':19}"
    f"  {'INPUT':>9}  {'OUTPUT':>9}  {'USD':>12}  {'MS':>8}  REQUEST"
)


def requests(
    since: Annotated[str | None, typer.Option(help=f"Calls from then on: {FORMS}.")] = None,
    until: Annotated[str | None, typer.Option(help="Calls before then: as --since.")] = None,
    where: WhereOption = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 20,
    tz: Annotated[str, typer.Option(help="Time zone of what is shown, and of dates.")] = "UTC",
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with calls as they come, until Ctrl-C.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")] = False,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    database: DatabaseOption = None,
) -> None:
    """Print the newest calls, the newest last."""
    zone, now = zone_of(tz), int(time.time())
    chosen = filter_of(where) or None
    first, last = moment(since, zone, now, "--since"), moment(until, zone, now, "--until")
    question = questions.requests(first, last, chosen, min(limit, PAGE))
    with asking(url, token, database) as asker:
        if not as_json:
            _write(_HEAD)
        seen = 0
        for row in _newest(asker, question, limit):
            seen = row.seq
            _print(row, as_json, lambda at: shown(at, zone))
        if not follow:
            return
        seen = seen or _last_seq(asker)
        for row in _following(asker, questions.requests(first, last, chosen, PAGE), seen):
            _print(row, as_json, lambda at: shown(at, zone))


def _newest(asker: Asker, question: Question[answers.RequestsPage], limit: int) -> list[answers.Request]:
    """Return the newest rows, oldest first."""
    found: list[answers.Request] = []
    for page in every_page(asker.ask, question):
        found.extend(page.data)
        if len(found) >= limit:
            break
    return found[:limit][::-1]


def _last_seq(asker: Asker) -> int:
    newest = asker.ask(questions.requests(limit=1)).data
    return newest[0].seq if newest else 0


def _following(asker: Asker, question: Question[answers.RequestsPage], seen: int) -> Iterator[answers.Request]:
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


def _above(asker: Asker, question: Question[answers.RequestsPage], seen: int) -> list[answers.Request]:
    """Return the rows above `seen`, newest first."""
    found: list[answers.Request] = []
    for page in every_page(asker.ask, question):
        new = [row for row in page.data if row.seq > seen]
        found.extend(new)
        if len(new) < len(page.data) or not page.data:
            break
    return found


def _print(row: answers.Request, as_json: bool, time_of: Callable[[int], str]) -> None:
    if as_json:
        cost = None if row.cost_usd is None else msgspec.Raw(format(row.cost_usd, "f").encode())
        _write(msgspec.json.encode({**msgspec.structs.asdict(row), "cost_usd": cost}).decode())
        return
    usd = "-" if row.cost_usd is None else format(row.cost_usd, "f")
    name = row.ip if row.label is None else f"{row.ip} ({row.label})"
    _write(
        f"{time_of(row.started_at):19}  {name:24}  {row.kind:10}  {row.model:28}  {row.outcome:19}"
        f"  {_count(row.input_tokens):>9}  {_count(row.output_tokens):>9}  {usd:>12}  {row.duration_ms:>8}"
        f"  {row.request_id}"
    )


def _count(units: int | None) -> str:
    return "-" if units is None else str(units)


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
