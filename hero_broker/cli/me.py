"""`hero-broker me`: prints what the broker bills to this machine's address, without an admin token."""

from decimal import Decimal
from typing import Annotated
from zoneinfo import ZoneInfo

import httpx
import msgspec
import typer

from hero_broker.cli.backend import UrlOption, broker_url, open_backend
from hero_broker.cli.printing import NOTHING, amounts, noted_table, say, table, write_json
from hero_broker.cli.times import parse_zone
from hero_broker.client import ClientError, UnexpectedResponse, models
from hero_broker.client.jsonrpc import base_url, broker_unreachable
from hero_broker.core.local_time import format_time

PATH = "/v1/usage"
TIMEOUT_S = 30.0
UTC = "UTC"
ALL_MODELS = "all models"
EVER = "ever"  # the window of a limit without an end

EXAMPLES = """Examples:

hero-broker me

hero-broker me --url http://10.77.0.1:33850 --tz Europe/Brussels

hero-broker me --json | jq .data.month.totals.total_cost_usd"""

USAGE_COLUMNS = (
    ("window", False),
    ("model", False),
    ("requests", True),
    ("input tokens", True),
    ("output tokens", True),
    ("USD", True),
)
LIMIT_COLUMNS = (
    ("limit", False),
    ("used", True),
    ("held", True),
    ("remaining", True),
    ("amount", True),
    ("unit", False),
)
SHARED_COLUMNS = (("shared with others", False), ("unit", False))


class _Refused(msgspec.Struct):
    message: str


class ErrorBody(msgspec.Struct):
    """The body of an error of the data plane, in any shape."""

    error: _Refused


def me(
    tz: Annotated[str, typer.Option(help="Time zone of today, of this month, and of the times.")] = UTC,
    as_json: Annotated[bool, typer.Option("--json", help="Print the broker's response unchanged.")] = False,
    url: UrlOption = None,
) -> None:
    """Print what this machine's address used today and this month, and what is left of its limits.

    It needs no admin token. Amounts that others share are not shown.
    """
    zone, broker = parse_zone(tz), broker_url(url)
    with open_backend(broker):
        body = _fetch(broker, zone)
        if not as_json:
            found = _decode(body)
    if as_json:
        write_json(body)
        return
    say(f"Usage of {found.ip}, by days and months of {zone.key}")
    _print_usage(found)
    _print_limits(found.limits, zone)


def _fetch(broker: str, zone: ZoneInfo) -> bytes:
    """Return the broker's response; UTC is not sent, because earlier brokers know no zone.

    Raises:
        ClientError: no broker answers, or it refuses.
    """
    base, socket = base_url(broker)
    transport = httpx.HTTPTransport(uds=socket) if socket else None
    try:
        with httpx.Client(base_url=base, transport=transport, timeout=TIMEOUT_S, trust_env=False) as client:
            answer = client.get(PATH, params={} if zone.key == UTC else {"tz": zone.key})
    except httpx.HTTPError as error:
        raise broker_unreachable(broker, error) from error
    if answer.status_code == httpx.codes.OK:
        return answer.content
    try:
        message = msgspec.json.decode(answer.content, type=ErrorBody).error.message
    except msgspec.DecodeError:
        message = "no broker's response"
    raise ClientError(f"{answer.url} answered {answer.status_code}: {message}")


def _decode(body: bytes) -> models.OwnUsage:
    try:
        return msgspec.json.decode(body, type=models.OwnUsageAnswer).data
    except msgspec.DecodeError as error:
        raise UnexpectedResponse(f"{PATH} returned a result of unknown shape: {error}") from error


def _print_usage(found: models.OwnUsage) -> None:
    lines = [
        (name, model, totals)
        for name, window in (("today", found.today), ("this month", found.month))
        for model, totals in ((ALL_MODELS, window.totals), *((one.model, one) for one in window.models))
    ]
    usd = amounts([totals.total_cost_usd for _, _, totals in lines], is_for_people=True)
    table(
        USAGE_COLUMNS,
        [
            [name, model, f"{totals.requests:,}", f"{totals.input_tokens:,}", f"{totals.output_tokens:,}", cost]
            for (name, model, totals), cost in zip(lines, usd, strict=True)
        ],
    )


def _print_limits(limits: tuple[models.OwnLimit, ...], zone: ZoneInfo) -> None:
    """Print the limits whose amounts are the caller's own as a table, and then the others."""
    own = [one for one in limits if one.amount is not None]
    rows = [
        [one.name, *(amount_text(amount) for amount in (one.used, one.held, one.remaining, one.amount)), one.unit]
        for one in own
    ]
    if own:
        noted_table(LIMIT_COLUMNS, rows, "counts", [_counts(one, zone) for one in own])
    shared = [one for one in limits if one.amount is None]
    if shared:
        rows = [[one.name, one.unit] for one in shared]
        noted_table(SHARED_COLUMNS, rows, "counts", [_counts(one, zone) for one in shared])


def _counts(one: models.OwnLimit, zone: ZoneInfo) -> str:
    """Return which of the caller's calls a limit counts, and its window, whose end is a time in a zone."""
    parts = [", ".join(f"{name} {value}" for name, value in one.calls.items()) or "all calls"]
    if one.window is not None:
        parts.append("for ever" if one.window == EVER else f"each {one.window.replace('_', ' ')}")
    if one.window_end is not None:
        parts.append(f"until {format_time(one.window_end, zone)} {zone.key}")
    return ", ".join(parts)


def amount_text(amount: Decimal | None) -> str:
    """Return an amount of a limit for people; one that is not known is `NOTHING`."""
    return NOTHING if amount is None else f"{amount:,f}"
