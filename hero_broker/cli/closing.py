"""`hero-broker close`, `periods` and `unbilled`: billing periods, from what is in none to a closed month."""

import sys
import time
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from hero_broker.cli.backend import OPTIONS, Backend, DatabaseOption, TokenOption, UrlOption, open_backend
from hero_broker.cli.exit_codes import WRONG_USE
from hero_broker.cli.notices import counted, warn
from hero_broker.cli.printing import amounts, out, say, table, write_json
from hero_broker.cli.times import FORMS, MONTH_FORMS, parse_month, parse_time, parse_zone
from hero_broker.cli.zones import DEFAULT, TzOption, latest_zone, period_zone
from hero_broker.client import methods, models
from hero_broker.core.local_time import format_time

EXAMPLES = """Examples:

hero-broker close last --tz Europe/Zurich

hero-broker close 2026-11 --tz Europe/Zurich --dry-run

hero-broker close "week 45" --until 2026-11-09 --yes

hero-broker periods

hero-broker unbilled --month last --tz Europe/Zurich"""

JsonOption = Annotated[bool, typer.Option("--json", help="Print the broker's response unchanged.")]


def close(
    period: Annotated[
        str,
        typer.Argument(
            metavar="PERIOD",
            help=f"{MONTH_FORMS[0].upper()}{MONTH_FORMS[1:]}; with --until, a name of your own for the period.",
        ),
    ],
    until: Annotated[
        str | None, typer.Option(help=f"Close what began before this time, in place of a month's end: {FORMS}.")
    ] = None,
    tz: TzOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be closed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Close it without a question.")] = False,
    as_json: JsonOption = False,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Close a month: bill what began before its end and is in no period yet.

    Prints what is in the period and what falls on either side, and asks before it closes. To close the same month again
    changes nothing.
    """
    options = {**OPTIONS, "until": "PERIOD's end" if until is None else "--until", "reference": "PERIOD"}
    with open_backend(url, token, options=options) as backend:
        zone = _choose_zone(tz, backend)
        reference, end = _bounds(period, until, zone, int(time.time()))
        preview = methods.close(reference, end, zone.key, dry_run=True)
        query = methods.close(reference, end, zone.key)
        if as_json:
            if not (yes or dry_run):
                raise typer.BadParameter("needs --yes or --dry-run", param_hint="--json")
            chosen = preview if dry_run else query
            write_json(backend.call_raw(chosen.method, chosen.params))
            return
        found = backend.call(preview).data
        if found.period.marked_at is not None:
            _print_closing(found, zone)
            say(f"Closed already, on {format_time(found.period.marked_at, zone)}. Nothing was changed.")
            return
        if not yes or dry_run:
            _print_closing(found, zone)
        if not yes and not dry_run and not _is_terminal():
            warn("Nothing was closed. Without a terminal, close the period with --yes.")
            raise typer.Exit(WRONG_USE)
        if dry_run or not (yes or typer.confirm(f"Close {reference}?")):
            say("Nothing was closed.")
            return
        closed = backend.call(query).data
    if yes:
        _print_closing(closed, zone)
    totals = closed.period.totals
    say(f"Closed: {reference}, {counted(totals.requests, 'request')}, {totals.total_cost_usd:f} USD.")


def periods(
    tz: TzOption = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    token: TokenOption = None,
    database: DatabaseOption = None,
) -> None:
    """Print all billing periods, the oldest first."""
    zone, query = None if tz is None else parse_zone(tz), methods.periods()
    with open_backend(url, token, database) as backend:
        if as_json:
            write_json(backend.call_raw(query.method, query.params))
            return
        found = backend.call(query).data
    if not found:
        say("No period was closed yet.")
        return
    is_for_people = out().is_terminal
    usd = amounts([one.totals.total_cost_usd for one in found], is_for_people=is_for_people)
    columns = [
        *((name, False) for name in ("period", "calls before", "closed")),
        *((name, True) for name in ("requests", "late", "held over", "USD")),
    ]
    form = "," if is_for_people else ""
    rows = [
        [
            one.reference,
            f"seq {one.to_seq + 1}" if one.until is None else _moment(one.until, zone or period_zone(one)),
            "" if one.marked_at is None else format_time(one.marked_at, zone or period_zone(one)),
            *(
                "-" if count is None else format(count, form)
                for count in (one.totals.requests, one.late_requests, one.held_over_requests)
            ),
            cost,
        ]
        for one, cost in zip(found, usd, strict=True)
    ]
    table(columns, rows)


def unbilled(
    until: Annotated[str | None, typer.Option(help=f"Only calls before this time: {FORMS}.")] = None,
    month: Annotated[
        str | None, typer.Option(help=f"Only calls before the end of {MONTH_FORMS}; in place of --until.")
    ] = None,
    tz: TzOption = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    token: TokenOption = None,
    database: DatabaseOption = None,
) -> None:
    """Print what is in no billing period yet."""
    if month is not None and until is not None:
        raise typer.BadParameter("excludes --until", param_hint="--month")
    with open_backend(url, token, database) as backend:
        zone, now = _choose_zone(tz, backend), int(time.time())
        end = parse_time(until, zone, now, "--until") if month is None else parse_month(month, zone, now)[1]
        query = methods.unbilled(end)
        if as_json:
            write_json(backend.call_raw(query.method, query.params))
            return
        found = backend.call(query).data
    what = "All calls" if end is None else f"Calls before {_moment(end, zone)}"
    say(f"{what} that are in no period yet:")
    _print_sums([("unbilled", found.totals)])


def _choose_zone(tz: str | None, backend: Backend) -> ZoneInfo:
    """Return the zone of the option, else that in which the last month was closed, else UTC, which is said."""
    if tz is not None:
        return parse_zone(tz)
    zone = latest_zone(backend)
    if zone is None:
        warn("The time zone is UTC: --tz or HERO_BROKER_TZ names another.")
    return zone or ZoneInfo(DEFAULT)


def _bounds(period: str, until: str | None, zone: ZoneInfo, now: int) -> tuple[str, int]:
    """Return the reference of a period, and its end."""
    if until is None:
        first, end = parse_month(period, zone, now, "PERIOD")
        reference = format_time(first, zone, "month")
    else:
        reference, moment = period, parse_time(until, zone, now, "--until")
        end = now if moment is None else moment
    if end > now:
        raise typer.BadParameter(f"ends at {_moment(end, zone)}, which has not passed", param_hint="PERIOD")
    return reference, end


def _is_terminal() -> bool:
    """Return whether somebody can answer a question."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _print_closing(found: models.ClosedPeriod, zone: ZoneInfo) -> None:
    period = found.period
    end = _moment(period.until or 0, zone)
    say(f"Period {period.reference}: calls that began before {end} and were in no period.")
    _print_sums(
        [
            ("in the period", period.totals),
            ("of these late", found.late),
            ("held over", found.held_over),
        ]
    )
    if found.late.requests:
        warn("Late: they began before the end of an earlier period, and were recorded after it was closed.")
    if found.held_over.requests:
        warn(f"Held over: they began at {end} or later, and are for a later period.")
    if period.marked_at is None and found.unlabelled.requests:
        usd, calls = f"{found.unlabelled.total_cost_usd:f} USD", counted(found.unlabelled.requests, "request")
        warn(f"Without a label: {calls}, {usd}. A closed period keeps the labels of its close: name them first.")
        warn("List their addresses: hero-broker usage --by ip --where label=")
    if period.marked_at is None and found.open_calls:
        calls = counted(found.open_calls, "call")
        warn(f"Not recorded yet: {calls} of this broker. What is recorded after the close is in the next period.")
    if period.marked_at is None and not found.sees_all_journals:
        warn("Calls in the journals of other brokers of this PostgreSQL database are not counted: see their health.")


def _print_sums(lines: list[tuple[str, models.BilledTotals]]) -> None:
    is_for_people = out().is_terminal
    usd = amounts([totals.total_cost_usd for _, totals in lines], is_for_people=is_for_people)
    form = "," if is_for_people else ""
    rows = [[name, format(totals.requests, form), cost] for (name, totals), cost in zip(lines, usd, strict=True)]
    table([("", False), ("requests", True), ("USD", True)], rows)


def _moment(at: int, zone: ZoneInfo) -> str:
    return f"{format_time(at, zone)} {zone.key}"
