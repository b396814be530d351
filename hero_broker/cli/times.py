"""Parses times from the command line into unix seconds; `core.local_time` formats them."""

import re
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import typer

MONTH_FORMS = "a month such as 2026-11, this or last"
END_FORMS = "7d (also s, m, h, w), 2026-12-01, 2026-12-01T08:30, unix seconds, or month for the end of this month"
FORMS = "7d (also s, m, h, w), 2026-11-01, 2026-11-01T08:30, unix seconds, now, today, yesterday or month"

UTC = ZoneInfo("UTC")

_AGO = re.compile(r"([0-9]{1,6})([smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400}
_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")
_UNIX = re.compile(r"[0-9]{9,16}")


def parse_zone(name: str) -> ZoneInfo:
    """Return an IANA time zone.

    Raises:
        typer.BadParameter: `name` is not an IANA time zone.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # OSError: the name of a directory
        raise typer.BadParameter("must be an IANA time zone, such as Europe/Berlin", param_hint="--tz") from error


def zone_or_utc(name: str | None) -> ZoneInfo:
    """Return the time zone that a broker names; UTC without a name, or if this machine does not know the zone."""
    try:
        return UTC if name is None else parse_zone(name)
    except typer.BadParameter:
        return UTC  # the broker has a newer list of zones


def parse_time(text: str | None, zone: ZoneInfo, now: int, option: str) -> int | None:
    """Return unix seconds; dates, today, yesterday and month are in `zone`, as seen at `now`.

    Raises:
        typer.BadParameter: `text` has none of the forms in `FORMS`.
    """
    if text is None:
        return None
    if ago := _AGO.fullmatch(text):
        return now - int(ago[1]) * _UNITS[ago[2]]
    if _UNIX.fullmatch(text):
        return int(text)
    midnight = datetime.fromtimestamp(now, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    named = {
        "now": datetime.fromtimestamp(now, UTC),
        "today": midnight,
        "yesterday": midnight - timedelta(days=1),
        "month": midnight.replace(day=1),
    }
    try:
        parsed = named.get(text) or datetime.fromisoformat(text)
        moment = parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=zone)
        return int(moment.timestamp())
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(f"must be {FORMS}", param_hint=option) from error


def parse_end(text: str | None, zone: ZoneInfo, now: int, option: str) -> int | None:
    """Return when something ends, in unix seconds: after a duration such as 7d, with the month, or at a time.

    Raises:
        typer.BadParameter: `text` has none of the forms in `END_FORMS`.
    """
    if text is None:
        return None
    if duration := _AGO.fullmatch(text):
        return now + int(duration[1]) * _UNITS[duration[2]]
    if text == "month":
        first = datetime.fromtimestamp(now, zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return int((first + timedelta(days=32)).replace(day=1).timestamp())
    try:
        return parse_time(text, zone, now, option)
    except typer.BadParameter as error:
        raise typer.BadParameter(f"must be {END_FORMS}", param_hint=option) from error


def parse_window(
    since: str | None, until: str | None, month: str | None, zone: ZoneInfo, now: int
) -> tuple[int | None, int | None]:
    """Return the bounds of a window in unix seconds: those of the month, if there is one.

    Raises:
        typer.BadParameter: a value has none of its forms, or there is a month beside a bound.
    """
    if month is None:
        return parse_time(since, zone, now, "--since"), parse_time(until, zone, now, "--until")
    if since is not None or until is not None:
        raise typer.BadParameter("excludes --since and --until", param_hint="--month")
    return parse_month(month, zone, now)


def parse_month(text: str, zone: ZoneInfo, now: int, option: str = "--month") -> tuple[int, int]:
    """Return the first second of a month in a zone, and that of the month after it.

    Raises:
        typer.BadParameter: `text` has none of the forms in `MONTH_FORMS`.
    """
    today = datetime.fromtimestamp(now, zone)
    first = date(today.year, today.month, 1)
    if text == "last":
        first = (first - timedelta(days=1)).replace(day=1)
    elif text != "this":
        named = _MONTH.fullmatch(text)
        if named is None or not 1970 < int(named[1]) < 9999:
            raise typer.BadParameter(f"must be {MONTH_FORMS}", param_hint=option)
        first = date(int(named[1]), int(named[2]), 1)
    following = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    begin, end = (int(datetime(day.year, day.month, 1, tzinfo=zone).timestamp()) for day in (first, following))
    return begin, end
