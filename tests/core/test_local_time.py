"""Times in a zone: buckets by name, and ISO 8601."""

from datetime import datetime
from zoneinfo import ZoneInfo

from hero_broker.core.local_time import format_time, iso_time

BERLIN = ZoneInfo("Europe/Berlin")


def test_times_are_shown_as_the_bucket_that_they_are_in() -> None:
    at = int(datetime(2026, 10, 1, 0, 20, tzinfo=BERLIN).timestamp())

    assert [format_time(at, BERLIN, bucket) for bucket in ("hour", "day", "week", "month", "quarter", None)] == [
        "2026-10-01 00:00",
        "2026-10-01",
        "2026-W40",
        "2026-10",
        "2026-Q4",
        "2026-10-01 00:20:00",
    ]


def test_hours_that_come_twice_are_told_apart_by_their_offset() -> None:
    first = int(datetime(2026, 10, 25, 1, tzinfo=BERLIN).timestamp())

    assert [format_time(first + hour * 3600, BERLIN, "hour") for hour in range(4)] == [
        "2026-10-25 01:00",
        "2026-10-25 02:00 +02:00",
        "2026-10-25 02:00 +01:00",
        "2026-10-25 03:00",
    ]
    assert format_time(first + 2 * 3600 + 5, BERLIN) == "2026-10-25 02:00:05 +01:00"
    assert format_time(first - 3600, BERLIN, "day") == "2026-10-25"


def test_time_beyond_the_last_date_is_shown_as_a_number() -> None:
    assert format_time(2**53 - 1, BERLIN) == str(2**53 - 1)
    assert iso_time(2**53 - 1, BERLIN) == str(2**53 - 1)


def test_iso_time_has_the_offset_of_its_zone() -> None:
    first = int(datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN).timestamp())

    assert [iso_time(first + hour * 3600, BERLIN) for hour in range(2)] == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:30:00+01:00",
    ]
    assert iso_time(0, ZoneInfo("UTC")) == "1970-01-01T00:00:00+00:00"
