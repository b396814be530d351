"""Times as people give them."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
import typer

from hero_broker.cli.times import parse_end, parse_month, parse_time, parse_zone

BERLIN = ZoneInfo("Europe/Berlin")
NOW = int(datetime(2026, 10, 26, 12, 30, 15, tzinfo=BERLIN).timestamp())  # the clocks went back the day before


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", NOW - 90),
        ("30m", NOW - 1_800),
        ("2h", NOW - 7_200),
        ("7d", NOW - 7 * 86_400),
        ("2w", NOW - 14 * 86_400),
        ("1700000000", 1_700_000_000),
        ("now", NOW),
        ("today", datetime(2026, 10, 26, tzinfo=BERLIN).timestamp()),
        ("yesterday", datetime(2026, 10, 25, tzinfo=BERLIN).timestamp()),
        ("month", datetime(2026, 10, 1, tzinfo=BERLIN).timestamp()),
        ("2026-10-25", datetime(2026, 10, 25, tzinfo=BERLIN).timestamp()),
        ("2026-10-25T08:30", datetime(2026, 10, 25, 8, 30, tzinfo=BERLIN).timestamp()),
        ("2026-10-25T08:30:00Z", 1_792_917_000),
        ("2026-10-25T08:30:00+02:00", 1_792_909_800),
    ],
)
def test_moment_is_what_it_says_in_the_zone(text: str, expected: float) -> None:
    assert parse_time(text, BERLIN, NOW, "--since") == expected


def test_no_moment_is_none() -> None:
    assert parse_time(None, BERLIN, NOW, "--since") is None


@pytest.mark.parametrize("text", ["", "soon", "7", "7y", "-7d", "2026-13-01", "26-01-01", "1700000000.5", "٧d"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="must be 7d"):
        parse_time(text, BERLIN, NOW, "--since")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7d", NOW + 7 * 86_400),
        ("2h", NOW + 7_200),
        ("month", datetime(2026, 11, 1, tzinfo=BERLIN).timestamp()),
        ("2026-12-01", datetime(2026, 12, 1, tzinfo=BERLIN).timestamp()),
        ("1900000000", 1_900_000_000),
        (None, None),
    ],
)
def test_end_is_in_the_future(text: str | None, expected: float | None) -> None:
    assert parse_end(text, BERLIN, NOW, "--until") == expected


def test_end_of_the_year_is_that_of_december() -> None:
    december = int(datetime(2026, 12, 31, 23, 59, tzinfo=BERLIN).timestamp())

    assert parse_end("month", BERLIN, december, "--until") == datetime(2027, 1, 1, tzinfo=BERLIN).timestamp()


def test_what_is_no_end_is_refused() -> None:
    with pytest.raises(typer.BadParameter, match="or month for the end of this month"):
        parse_end("soon", BERLIN, NOW, "--until")


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "Europe", "../etc/passwd"])
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(typer.BadParameter, match="IANA"):
        parse_zone(name)


def berlin(year: int, month: int) -> int:
    return int(datetime(year, month, 1, tzinfo=BERLIN).timestamp())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11", (berlin(2026, 11), berlin(2026, 12))),
        ("2026-12", (berlin(2026, 12), berlin(2027, 1))),
        ("this", (berlin(2026, 10), berlin(2026, 11))),
        ("last", (berlin(2026, 9), berlin(2026, 10))),
    ],
)
def test_month_is_that_of_the_zone(text: str, expected: tuple[int, int]) -> None:
    assert parse_month(text, BERLIN, NOW) == expected


def test_last_month_of_january_is_december() -> None:
    january = berlin(2027, 1) + 60
    assert parse_month("last", BERLIN, january) == (berlin(2026, 12), berlin(2027, 1))


@pytest.mark.parametrize("text", ["", "2026", "2026-13", "2026-1", "11", "0000-01", "9999-12", "next"])
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="2026-11"):
        parse_month(text, BERLIN, NOW)
