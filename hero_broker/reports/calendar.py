"""Computes hours, days and months of any time zone as windows of unix seconds."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hero_broker.core.queries import Bucket

Window = tuple[int, int]  # unix seconds, half-open

HOUR_S = 3_600
LATEST = 253_370_764_800  # the beginning of the year 9999, the last year of `date`


def buckets(bucket: Bucket, zone: ZoneInfo, since: int, until: int) -> Iterator[Window]:
    """Yield the buckets that cover `since <= t < until`: whole, ascending, without gaps.

    A bucket begins at a full hour, at midnight, or at midnight of the first of a month, in the zone's local time: a day
    has 23 or 25 hours when daylight saving time begins or ends. If the clock skips midnight, the day begins at the
    skip; if midnight occurs twice, it begins at the first. A date that a zone skipped has no bucket.
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
    following: Callable[[date], date] = _day_after
    if bucket == "month":
        day, following = day.replace(day=1), _month_after
    while True:
        yield int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())
        day = following(day)


def _day_after(day: date) -> date:
    return day + timedelta(days=1)


def _month_after(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def _offset(zone: ZoneInfo, at: int) -> int:
    offset = datetime.fromtimestamp(at, UTC).astimezone(zone).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())
