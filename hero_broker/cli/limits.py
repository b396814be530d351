"""`hero-broker limits`: prints limits, and who has used how much of one; sets, removes, grants and explains them."""

import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, cast
from zoneinfo import ZoneInfo

import typer

from hero_broker.admin_plane.errors import CODES
from hero_broker.cli.backend import OPTIONS, Backend, TokenOption, UrlOption, open_backend
from hero_broker.cli.limit_values import DIMENSION_FORM, parse_amount, parse_definition, parse_subject
from hero_broker.cli.me import amount_text
from hero_broker.cli.printing import NOTHING, noted_table, say, table, write_json
from hero_broker.cli.times import END_FORMS, UTC, parse_end, parse_zone, zone_or_utc
from hero_broker.client import RpcError, methods, models
from hero_broker.core.errors import InvalidParams, NotRecorded
from hero_broker.core.local_time import format_time
from hero_broker.limits.limit import BILLING_PERIOD
from hero_broker.limits.thresholds import percent

EXAMPLES = """Examples:

hero-broker limits list

hero-broker limits status machine-month

hero-broker limits status machine-month --limit 10 --tz UTC

hero-broker limits status machine-month ip=10.77.0.5

hero-broker limits set lab-month unit=usd amount=20 window=month per=ip match.network=10.77.0.0/24

hero-broker limits set large-model unit=concurrent amount=4 match.model=my-large-model

hero-broker limits get lab-month

hero-broker limits remove lab-month

hero-broker limits grant lab-month 5 ip=10.77.0.5 --until month --reason "evaluation of the thesis"

hero-broker limits revoke 7

hero-broker limits explain 10.77.0.5 my-large-model --bytes 20000 --max-output-tokens 4000"""

limits = typer.Typer(
    no_args_is_help=True, help="Print, set, remove and explain limits, and grant more of budgets.", epilog=EXAMPLES
)

NAMES = {**OPTIONS, "name": "LIMIT"}  # of the contract's parameters, in messages

NameArgument = Annotated[str, typer.Argument(metavar="LIMIT", help="The name of a limit.")]
SubjectArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar=f"[{DIMENSION_FORM}]...",
        help="A subject, such as ip=10.77.0.5 or label=research; label= is that of addresses without a label.",
    ),
]
ZoneOption = Annotated[
    str | None,
    typer.Option("--tz", help="Time zone of the times; by default that of the limit, else UTC.", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the broker's response unchanged.")]

LIST_COLUMNS = (("limit", False), ("source", False), ("subjects", True), ("refused", True))
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
    rows = [[one.name, one.source, f"{one.subjects:,}", f"{one.refused:,}"] for one in found]
    for column, counts in (
        (WOULD_REFUSE, [one.would_refuse for one in found]),
        (OVERSHOOTS, [one.overshoots for one in found]),
        (WARNED, [one.warned for one in found]),
    ):
        if any(counts):
            columns.append(column)
            for row, count in zip(rows, counts, strict=True):
                row.append(f"{count:,}")
    noted_table(columns, rows, "bound", [one.description for one in found])


@limits.command("status")
def status(
    name: NameArgument,
    subject: SubjectArgument = None,
    limit: Annotated[int, typer.Option(min=1, help="Number of the subjects that have used most.")] = 100,
    tz: ZoneOption = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Print who has used most of a limit: what is used in the present window, held for calls in flight, and left."""
    zone = None if tz is None else parse_zone(tz)
    query = methods.status_limit(name, limit, parse_subject(subject))
    with open_backend(url, token, options={**NAMES, "subject": DIMENSION_FORM}) as backend:
        if as_json:
            write_json(backend.call_raw(query.method, query.params))
            return
        found = backend.call(query)
        latest = _latest_period(backend) if found.limit.window == BILLING_PERIOD else None
    zone = zone or zone_or_utc(found.limit.tz if latest is None else latest.tz or found.limit.tz)
    say(f"{found.limit.name}: {found.limit.description}")
    if found.limit.window == BILLING_PERIOD:
        say(_since(latest, zone))
    if not found.data:
        chosen = ", ".join(subject or ())
        say(f"Nothing is counted for {chosen}." if chosen else "Nobody has used any of it.")
        return
    window = found.data[0]
    if window.window_start is not None and window.window_end is not None:
        say(f"From {format_time(window.window_start, zone)} to {format_time(window.window_end, zone)} {zone.key}")
    unit = _unit(found.limit.unit)
    names = ["used", "held", "remaining", *(["granted"] if any(one.granted for one in found.data) else [])]
    columns = [("subject", False), *((f"{column}, {unit}", True) for column in names)]
    rows = [[_subject(one.subject), *(amount_text(getattr(one, name)) for name in names)] for one in found.data]
    if any(one.warnings for one in found.data):
        columns.append(("warned at", False))
        for row, one in zip(rows, found.data, strict=True):
            row.append(", ".join(percent(Decimal(str(part))) for part in one.warnings))
    table(columns, rows)


def _latest_period(backend: Backend) -> models.Period | None:
    periods = backend.call(methods.periods()).data
    return periods[-1] if periods else None


def _since(latest: models.Period | None, zone: ZoneInfo) -> str:
    """Return since when a budget by billing periods counts: since the latest of them, or the first call."""
    if latest is None:
        return "Since the first call, because no billing period is closed yet"
    if latest.until is not None:
        closed_at = "" if latest.marked_at is None else f" at {format_time(latest.marked_at, zone)}"
        until = format_time(latest.until, zone)
        return f"Since the close of {latest.reference}{closed_at}, which has calls until {until} {zone.key}"
    marked_at = "" if latest.marked_at is None else f" at {format_time(latest.marked_at, zone)} {zone.key}"
    return f"Since {latest.reference} was marked as billed{marked_at}"


def _subject(values: Mapping[str, str | None]) -> str:
    return ", ".join(value or NOTHING for value in values.values()) or "all together"


@limits.command("get")
def get_one(
    name: NameArgument,
    tz: ZoneOption = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Print how a limit is defined, and what is granted of it."""
    zone, query = None if tz is None else parse_zone(tz), methods.get_limit(name)
    with open_backend(url, token, options=NAMES) as backend:
        if as_json:
            write_json(backend.call_raw(query.method, query.params))
            return
        found = backend.call(query).data
        zone = zone or _zone_of(backend, name)
    say(_sentence(found))
    if found.set_at is not None:
        say(f"Set at {format_time(found.set_at, zone)} {zone.key}")
    if found.grants:
        columns = [("grant", True), ("granted to", False), ("amount", True)]
        columns += [("made at", False), ("until", False), ("reason", False)]
        table(columns, [_grant_row(one, zone) for one in found.grants])


@limits.command("set")
def set_one(
    name: Annotated[str, typer.Argument(metavar="LIMIT", help="Its name.")],
    keys: Annotated[
        list[str],
        typer.Argument(
            metavar="KEY=VALUE",
            help="The keys of a limit in the settings file; lists with commas, match as match.KEY=VALUE.",
        ),
    ],
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Set a limit while the broker runs, in place of one that was set under the same name, which is printed too."""
    query = methods.set_limit(name, parse_definition(keys))
    with open_backend(url, token, options={**NAMES, "definition": "KEY=VALUE:"}) as backend:
        before = _replaced(backend, name)
        limit = backend.call(query).data
    if before is not None:
        say(f"before: {_sentence(before)}")
    say(_sentence(limit))


def _replaced(backend: Backend, name: str) -> models.DefinedLimit | None:
    """Return the limit that another one of its name takes the place of; None if none does, or the name has a fault."""
    try:
        return backend.call(methods.get_limit(name)).data
    except RpcError as error:
        if error.code in (CODES[NotRecorded].rpc, CODES[InvalidParams].rpc):
            return None
        raise


@limits.command("remove")
def remove_one(name: NameArgument, url: UrlOption = None, token: TokenOption = None) -> None:
    """Remove a limit that was set, and end its grants."""
    with open_backend(url, token, options=NAMES) as backend:
        removed = backend.call(methods.remove_limit(name)).data
    ended = len(removed.grants)
    say(f"{removed.name} is removed" + (f", and {ended:,} of its grants ended" if ended else ""))


@limits.command("grant")
def grant(
    name: Annotated[str, typer.Argument(metavar="LIMIT", help="The name of a budget.")],
    amount: Annotated[str, typer.Argument(help="How much more, in the unit of the limit.")],
    reason: Annotated[str, typer.Option(help="Why, in at most 200 characters.")],
    subject: SubjectArgument = None,
    until: Annotated[str | None, typer.Option(help=f"When it ends: {END_FORMS}; for ever by default.")] = None,
    tz: Annotated[
        str | None,
        typer.Option("--tz", help="Time zone of --until; by default that of the limit, else UTC.", show_default=False),
    ] = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Let a subject of a budget use more than its amount."""
    zone, now = None if tz is None else parse_zone(tz), int(time.time())
    parse_end(until, zone or UTC, now, "--until")  # so that a fault is reported before the broker is asked
    more, values = parse_amount(amount), parse_subject(subject)
    options = {**NAMES, "amount": "AMOUNT", "reason": "--reason", "subject": DIMENSION_FORM}
    with open_backend(url, token, options=options) as backend:
        zone = zone or _zone_of(backend, name)
        ends = parse_end(until, zone, now, "--until")
        made = backend.call(methods.grant_limit(name, more, reason, values, ends)).data
    who = _subject(made.subject)
    say(f"Grant {made.grant_id}: {who} may use {_granted(made)} more of {made.name}, {_end(made, zone)}")


@limits.command("revoke")
def revoke(
    grant_id: Annotated[int, typer.Argument(min=1, metavar="GRANT", help="The number of the grant; `get` prints it.")],
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """End a grant now. What was spent of it stays spent."""
    with open_backend(url, token, options={**NAMES, "grant_id": "GRANT"}) as backend:
        ended = backend.call(methods.revoke_limit(grant_id)).data
    who = _subject(ended.subject)
    say(f"Grant {ended.grant_id} has ended: {who} may no longer use {_granted(ended)} more of {ended.name}")


@limits.command("explain")
def explain(
    ip: Annotated[str, typer.Argument(help='An address, or "unknown".')],
    model: Annotated[str, typer.Argument(help="A model, as clients name it.")],
    kind: Annotated[str | None, typer.Option(help="Kind of the call; by default that of the model.")] = None,
    context: Annotated[str | None, typer.Option(help="X-Hero-Context of the call.")] = None,
    size: Annotated[int | None, typer.Option("--bytes", min=0, help="Bytes of what the model reads.")] = None,
    max_output_tokens: Annotated[
        int | None, typer.Option(min=1, help="The bound on its output that the request has.")
    ] = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Print which limits match a call, the refusing one first, what it would hold, and the error that it would get."""
    query = methods.explain_limit(ip, model, cast(methods.KindOfCall | None, kind), context, size, max_output_tokens)
    options = {**OPTIONS, "model": "MODEL:", "kind": "--kind", "body_bytes": "--bytes"}
    with open_backend(url, token, options=options) as backend:
        if as_json:
            write_json(backend.call_raw(query.method, query.params))
            return
        found = backend.call(query).data
    call = f"A call of kind {found.kind} from {ip} to {found.model} at {found.provider}"
    if found.error is None:
        say(f"{call} is admitted now.")
    else:
        say(f"{call} is refused now by {found.refused_by}, with {found.error.status} {found.error.code}:")
        say(found.error.message)
    decisions = sorted(found.limits, key=lambda one: one.name != found.refused_by)
    columns = [("limit", False), ("room", False)]
    columns += [(name, True) for name in ("needed", "used", "held", "remaining")]
    rows = [_decision_row(one, is_refusing=one.name == found.refused_by) for one in decisions]
    subjects = [NOTHING if one.state is None else _subject(one.state.subject) for one in decisions]
    noted_table([*columns, ("unit", False)], rows, "subject", subjects)


def _decision_row(one: models.LimitDecision, *, is_refusing: bool) -> list[str]:
    room = "yes" if one.has_room else "no" if one.mode == "enforce" else f"no ({one.mode})"
    state = one.state
    amounts = (None, None, None) if state is None else (state.used, state.held, state.remaining)
    numbers = [amount_text(amount) for amount in (one.needed, *amounts)]
    return [one.name, "REFUSES" if is_refusing else room, *numbers, _unit(one.unit)]


def _zone_of(backend: Backend, name: str) -> ZoneInfo:
    """Return the zone of a limit; UTC for one without windows of the calendar, and for one that is not in force."""
    return zone_or_utc(next((one.tz for one in backend.call(methods.list_limits()).data if one.name == name), None))


def _sentence(one: models.DefinedLimit) -> str:
    return f"{one.name}: {one.description or 'this broker cannot use its definition, and does not apply it'}"


def _grant_row(one: models.LimitGrant, zone: ZoneInfo) -> list[str]:
    made_at = format_time(one.granted_at, zone)
    return [str(one.grant_id), _subject(one.subject), _granted(one), made_at, _end(one, zone), one.reason]


def _granted(one: models.LimitGrant) -> str:
    return f"{amount_text(one.amount)} {_unit(one.unit)}"


def _end(one: models.LimitGrant, zone: ZoneInfo) -> str:
    return "for ever" if one.until is None else f"until {format_time(one.until, zone)} {zone.key}"


def _unit(unit: str) -> str:
    return "USD" if unit == "usd" else unit.replace("_", " ")
