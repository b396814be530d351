"""Hours, days and months of any time zone as windows of unix seconds."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hero_broker.core.queries import Bucket

Window = tuple[int, int]  # unix seconds, half-open

HOUR_S = 3_600
LATEST = 253_370_764_800  # the beginning of the year 9999: dates end there


def buckets(bucket: Bucket, zone: ZoneInfo, since: int, until: int) -> Iterator[Window]:
    """Yield the buckets that hold `since <= t < until`, whole ones, ascending; each ends where the next begins.

    They begin where the zone's clock shows a full hour, midnight, or midnight of a first: a day has 23 or 25 hours if
    the clock is put on or back. A midnight that a clock skips is the moment at which it does; of two, the first counts;
    a day that a zone left out altogether is no bucket.
    """
    if since >= until:
        return  # before a date is made of what may lie beyond the last one
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
    # The day before: where a clock is put back over midnight, the first midnight may still lie ahead.
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
