"""Computes hours, days, weeks, months and quarters of any time zone as windows of unix seconds."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import pairwise
from zoneinfo import ZoneInfo

from hero_broker.core.queries import Bucket

Window = tuple[int, int]  # unix seconds, half-open

HOUR_S = 3_600
LATEST = 253_370_764_800  # the beginning of the year 9999, the last year of `date`


def buckets(bucket: Bucket, zone: ZoneInfo, since: int, until: int) -> Iterator[Window]:
    """Yield the buckets that cover `since <= t < until`: whole, ascending, without gaps.

    A bucket begins at a full hour or at a midnight, in the zone's local time: a day has 23 or 25 hours when daylight
    saving time begins or ends. A week begins on Monday (ISO 8601), a quarter in January, April, July or October. If the
    clock skips midnight, the day begins at the skip; if midnight occurs twice, it begins at the first. A date that a
    zone skipped has no bucket.
    """
    if since >= until:
        return  # before `since` becomes a date: it may lie after the last one
    bounds = _hours(zone, since) if bucket == "hour" else _dates(bucket, zone, since)
    for first, following in pairwise(bounds):
        if first >= until:
            return
        if first < following and following > since:
            yield first, following


def _hours(zone: ZoneInfo, since: int) -> Iterator[int]:
    at = since - (since + _offset(zone, since)) % HOUR_S
    while True:
        yield at
        at += HOUR_S - (at + _offset(zone, at)) % HOUR_S


def _dates(bucket: Bucket, zone: ZoneInfo, since: int) -> Iterator[int]:
    # Begin a day earlier: if the clock goes back over midnight, the first midnight may be later than `since`.
    day = datetime.fromtimestamp(since, zone).date() - timedelta(days=1)
    first, following = _DATES[bucket]
    day = first(day)
    while True:
        yield int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())
        day = following(day)


def _days_later(day: date, days: int) -> date:
    return day + timedelta(days=days)


def _months_later(first: date, months: int) -> date:
    month = first.month - 1 + months
    return date(first.year + month // 12, month % 12 + 1, 1)


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _first_of_month(day: date) -> date:
    return day.replace(day=1)


def _first_of_quarter(day: date) -> date:
    return date(day.year, (day.month - 1) // 3 * 3 + 1, 1)


# For each bucket: the first day of the one that has a day, and the first day of the next.
_DATES: Mapping[Bucket, tuple[Callable[[date], date], Callable[[date], date]]] = {
    "day": (partial(_days_later, days=0), partial(_days_later, days=1)),
    "week": (_monday, partial(_days_later, days=7)),
    "month": (_first_of_month, partial(_months_later, months=1)),
    "quarter": (_first_of_quarter, partial(_months_later, months=3)),
}


def _offset(zone: ZoneInfo, at: int) -> int:
    offset = datetime.fromtimestamp(at, UTC).astimezone(zone).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())
