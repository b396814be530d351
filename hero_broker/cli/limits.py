"""`hero-broker limits`: prints the limits in force, and who has used how much of one."""

from decimal import Decimal
from typing import Annotated

import typer

from hero_broker.cli.backend import OPTIONS, TokenOption, UrlOption, open_backend
from hero_broker.cli.me import amount_text
from hero_broker.cli.printing import say, table, write_json
from hero_broker.cli.times import parse_zone
from hero_broker.client import methods, models
from hero_broker.core.local_time import format_time
from hero_broker.limits.thresholds import percent

EXAMPLES = """Examples:

hero-broker limits list

hero-broker limits status machine-month

hero-broker limits status machine-month --limit 10 --tz Europe/Brussels"""

limits = typer.Typer(
    no_args_is_help=True, help="Print the limits in force, and who has used how much of one.", epilog=EXAMPLES
)

JsonOption = Annotated[bool, typer.Option("--json", help="Print the broker's response unchanged.")]

LIST_COLUMNS = (("limit", False), ("bound", False), ("subjects", True), ("refused", True))
# Columns if there are any.
WOULD_REFUSE, OVERSHOOTS, WARNED = ("would refuse", True), ("overshoots", True), ("warned", True)


@limits.command("list")
def list_all(as_json: JsonOption = False, url: UrlOption = None, token: TokenOption = None) -> None:
    """Print the limits in force, and how many calls each has refused since the broker started."""
    query = methods.list_limits()
    with open_backend(url, token) as backend:
        if as_json:
            write_json(backend.call_raw(query.method, query.params))
            return
        found = backend.call(query).data
    columns = [*LIST_COLUMNS]
    rows = [[one.name, one.description, f"{one.subjects:,}", f"{one.refused:,}"] for one in found]
    for column, counts in (
        (WOULD_REFUSE, [one.would_refuse for one in found]),
        (OVERSHOOTS, [one.overshoots for one in found]),
        (WARNED, [one.warned for one in found]),
    ):
        if any(counts):
            columns.append(column)
            for row, count in zip(rows, counts, strict=True):
                row.append(f"{count:,}")
    table(columns, rows)


@limits.command("status")
def status(
    name: Annotated[str, typer.Argument(metavar="LIMIT", help="The name of a limit.")],
    limit: Annotated[int, typer.Option(min=1, help="Number of the subjects that have used most.")] = 100,
    tz: Annotated[str, typer.Option(help="Time zone of the times.")] = "UTC",
    as_json: JsonOption = False,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Print who has used most of a limit: what is used in the present window, held for calls in flight, and left."""
    zone, query = parse_zone(tz), methods.status_limit(name, limit)
    with open_backend(url, token, options={**OPTIONS, "name": "LIMIT"}) as backend:
        if as_json:
            write_json(backend.call_raw(query.method, query.params))
            return
        found = backend.call(query)
    say(f"{found.limit.name}: {found.limit.description}")
    if not found.data:
        say("Nobody has used any of it.")
        return
    window = found.data[0]
    if window.window_start is not None and window.window_end is not None:
        say(f"From {format_time(window.window_start, zone)} to {format_time(window.window_end, zone)} {zone.key}")
    unit = "USD" if found.limit.unit == "usd" else found.limit.unit.replace("_", " ")
    columns = [("subject", False), *((f"{column}, {unit}", True) for column in ("used", "held", "remaining"))]
    rows = [_row(one) for one in found.data]
    if any(one.warnings for one in found.data):
        columns.append(("warned at", False))
        for row, one in zip(rows, found.data, strict=True):
            row.append(", ".join(percent(Decimal(str(part))) for part in one.warnings))
    table(columns, rows)


def _row(one: models.LimitSubject) -> list[str]:
    subject = ", ".join(value or "-" for value in one.subject.values()) or "all together"
    return [subject, *(amount_text(amount) for amount in (one.used, one.held, one.remaining))]
