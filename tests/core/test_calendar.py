"""Buckets begin where clocks say so, and leave no second out."""

from datetime import UTC, datetime
from itertools import islice, pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_broker.core.calendar import buckets
from hero_broker.core.queries import Bucket


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2023-03-26T12:00+02:00", 23),
        ("Europe/Berlin", "2023-10-29T12:00+01:00", 25),
        ("Europe/Berlin", "2023-06-01T12:00+02:00", 24),
        ("Australia/Lord_Howe", "2023-10-01T12:00+11:00", 23.5),
        ("America/Sao_Paulo", "2018-11-04T12:00-02:00", 23),  # midnight was skipped
        ("Cuba", "2023-11-05T12:00-05:00", 25),  # midnight came twice
    ],
)
def test_days_are_as_long_as_the_clock_says(zone: str, day: str, hours: float) -> None:
    (found,) = buckets("day", ZoneInfo(zone), at(day), at(day) + 1)

    assert found[1] - found[0] == hours * 3600


def test_day_that_a_zone_left_out_is_no_bucket() -> None:
    found = list(buckets("day", ZoneInfo("Pacific/Apia"), at("2011-12-29T12:00-10:00"), at("2011-12-31T12:00+14:00")))

    assert [end - start for start, end in found] == [86_400, 86_400]


def test_months_begin_on_their_first() -> None:
    found = list(buckets("month", ZoneInfo("UTC"), at("2023-11-15T00:00+00:00"), at("2024-03-01T00:00+00:00")))

    starts = [datetime.fromtimestamp(start, UTC).date().isoformat() for start, _ in found]
    assert starts == ["2023-11-01", "2023-12-01", "2024-01-01", "2024-02-01"]


@pytest.mark.parametrize(
    ("bucket", "starts"),
    [
        ("week", ["2023-12-25", "2024-01-01", "2024-01-08"]),
        ("quarter", ["2023-10-01", "2024-01-01"]),
    ],
)
def test_weeks_begin_on_mondays_and_quarters_with_a_year(bucket: Bucket, starts: list[str]) -> None:
    found = list(buckets(bucket, ZoneInfo("UTC"), at("2023-12-31T23:00+00:00"), at("2024-01-08T01:00+00:00")))

    assert [datetime.fromtimestamp(start, UTC).date().isoformat() for start, _ in found] == starts


@given(
    zone=st.sampled_from(sorted(available_timezones() - {"localtime"})),
    since=st.integers(0, 2_000_000_000),
    bucket=st.sampled_from(["hour", "day", "week", "month", "quarter"]),
)
def test_buckets_follow_each_other_in_every_zone(zone: str, since: int, bucket: Bucket) -> None:
    found = list(islice(buckets(bucket, ZoneInfo(zone), since, since + 90 * 86_400), 100))

    assert found[0][0] <= since < found[0][1]
    assert all(one[1] == following[0] for one, following in pairwise(found))
    assert all(start < end for start, end in found)
