"""Formats unix seconds in a time zone, for people; `cli.times` parses what people write."""

from datetime import datetime
from zoneinfo import ZoneInfo

from hero_broker.core.queries import Bucket

_FORMS = {
    "hour": "%Y-%m-%d %H:00",
    "day": "%Y-%m-%d",
    "week": "%G-W%V",
    "month": "%Y-%m",
    "quarter": "%Y",
    None: "%Y-%m-%d %H:%M:%S",
}


def format_time(at: int, zone: ZoneInfo, bucket: Bucket | None = None) -> str:
    """Return a time in a zone: to the second, or as the hour, day, week, month or quarter that it is in.

    An hour that comes twice, because the clock is put back, is followed by its offset from UTC.
    """
    form = _FORMS[bucket]
    try:
        local = datetime.fromtimestamp(at, zone)
    except (ValueError, OverflowError):  # beyond the last date: of a clock that was wrong
        return str(at)
    offset, other = local.utcoffset(), local.replace(fold=1 - local.fold).utcoffset()
    if bucket == "quarter":
        return f"{local.year:04}-Q{(local.month + 2) // 3}"
    if offset == other or bucket not in (None, "hour"):
        return local.strftime(form)
    hours = local.strftime("%z")
    return f"{local.strftime(form)} {hours[:3]}:{hours[3:]}"


def utc_text(at: int) -> str:
    """Return a time as ISO 8601 in UTC, for messages: 2026-11-03T13:05:07Z."""
    return iso_time(at, ZoneInfo("UTC")).replace("+00:00", "Z")


def iso_time(at: int, zone: ZoneInfo) -> str:
    """Return a time in a zone as ISO 8601, with its offset from UTC: 2026-11-03T14:05:07+01:00."""
    try:
        return datetime.fromtimestamp(at, zone).isoformat()
    except (ValueError, OverflowError):  # beyond the last date: of a clock that was wrong
        return str(at)
