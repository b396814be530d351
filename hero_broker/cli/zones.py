"""Chooses the time zone of a command: of its option, of the environment, or of the billing period that it is about."""

from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from hero_broker.cli.backend import Backend, open_backend
from hero_broker.cli.times import parse_zone
from hero_broker.client import QueryFilter, methods, models

DEFAULT = "UTC"

TzOption = Annotated[
    str | None,
    typer.Option(
        "--tz",
        envvar="HERO_BROKER_TZ",
        help="IANA time zone of dates, in options and output; by default that of the billing period, else UTC.",
    ),
]


def choose_zone(
    tz: str | None, filters: QueryFilter, url: str | None, token: str | None, database: str | None
) -> ZoneInfo:
    """Return the zone of `tz`; without it, that in which the period of the filter was closed, else UTC.

    Raises:
        typer.BadParameter: `tz` is not an IANA time zone.
    """
    reference = filters.get("period")
    if tz is not None or not reference:
        return parse_zone(tz or DEFAULT)
    with open_backend(url, token, database) as backend:
        periods = backend.call(methods.periods()).data
    return next((period_zone(one) for one in periods if one.reference == reference), ZoneInfo(DEFAULT))


def latest_zone(backend: Backend) -> ZoneInfo | None:
    """Return the zone in which the last month was closed; None if none was."""
    closed = [period for period in backend.call(methods.periods()).data if period.tz is not None]
    return period_zone(closed[-1]) if closed else None


def period_zone(period: models.Period, default: ZoneInfo | None = None) -> ZoneInfo:
    """Return the zone in which a period was closed; `default`, or UTC, without one that this machine knows."""
    try:
        if period.tz is not None:
            return parse_zone(period.tz)
    except typer.BadParameter:
        pass  # of a machine with a newer list of zones
    return default or ZoneInfo(DEFAULT)
