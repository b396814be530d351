"""A month is closed on the command line: what falls on either side is shown, and only a yes closes it."""

import json
import sys
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from hero_broker.store.database import open_database
from tests.cli.conftest import Place
from tests.ledger.rows import row
from tests.terminal import on_terminal

ZURICH = ZoneInfo("Europe/Zurich")


def zurich(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=ZURICH).timestamp())  # type: ignore[arg-type,misc]


DECEMBER = zurich(2023, 12, 1)


@pytest.fixture
def month(fresh: Place) -> Place:
    """Three calls of November, the last in its last second, and two of December."""
    times = [zurich(2023, 11, 1), zurich(2023, 11, 20), DECEMBER - 1, DECEMBER, zurich(2023, 12, 1, 12)]
    add(fresh, times)
    return fresh


def add(place: Place, times: list[int]) -> None:
    with open_database(place.database) as database:
        database.append([row(started_at=at, cost_nano_usd=1_000) for at in times], [])


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_dry_run_shows_either_side_and_closes_nothing(month: Place) -> None:
    ended = month.run("close", "2023-11", "--tz", "Europe/Zurich", "--dry-run")

    assert ended.exit_code == 0
    assert ended.stdout.splitlines()[0] == (
        "Period 2023-11: calls that began before 2023-12-01 00:00:00 Europe/Zurich and were in no period."
    )
    assert lines(ended.stdout)[2:] == [
        ["in", "the", "period", "3", "0.000003"],
        ["of", "these", "late", "0", "0.000000"],
        ["held", "over", "2", "0.000002"],
        ["Nothing", "was", "closed."],
    ]
    assert "for a later period" in ended.stderr
    assert month.out("periods") == "No period was closed yet.\n"


def test_without_a_terminal_nothing_is_closed_unless_it_is_told_to(month: Place) -> None:
    refused = month.run("close", "2023-11", "--tz", "Europe/Zurich")
    periods = month.out("periods")
    closed = month.run("close", "2023-11", "--tz", "Europe/Zurich", "--yes")
    again = month.run("close", "2023-11", "--tz", "Europe/Zurich", "--yes")

    assert (refused.exit_code, periods) == (2, "No period was closed yet.\n")
    assert "--yes" in refused.stderr
    assert (closed.exit_code, again.exit_code) == (0, 0)
    assert closed.stdout.splitlines()[-1] == "Closed: 2023-11, 3 requests, 0.000003 USD."
    assert again.stdout.splitlines()[-1].endswith("Nothing was changed.")
    assert lines(month.out("periods", "--tz", "Europe/Zurich"))[1][:4] == [
        "2023-11",
        "2023-12-01",
        "00:00:00",
        "Europe/Zurich",
    ]


@pytest.mark.parametrize(("answer", "count"), [("y", 1), ("n", 0)])
def test_terminal_asks(month: Place, answer: str, count: int) -> None:
    environ = {"HERO_BROKER_URL": month.broker.url}
    command = [sys.executable, "-m", "hero_broker", "close", "2023-11", "--tz", "Europe/Zurich"]

    written = on_terminal(command, environ, typed=f"{answer}\n")

    assert "Close 2023-11? [y/N]" in written
    assert len(json.loads(month.out("periods", "--json"))["data"]) == count


def test_late_calls_are_in_the_next_period_and_counted_there(month: Place) -> None:
    month.out("close", "2023-11", "--tz", "Europe/Zurich", "--yes")
    add(month, [zurich(2023, 11, 30), zurich(2024, 1, 3)])
    before = lines(month.out("unbilled", "--month", "2023-12", "--tz", "Europe/Zurich"))
    closed = month.run("close", "2023-12", "--tz", "Europe/Zurich", "--yes")
    rest = lines(month.out("unbilled"))
    offline = lines(month.out("unbilled", "--database", month.database))

    assert before[-1] == ["unbilled", "3", "0.000003"]
    assert lines(closed.stdout)[2:5] == [
        ["in", "the", "period", "3", "0.000003"],
        ["of", "these", "late", "1", "0.000001"],
        ["held", "over", "1", "0.000001"],
    ]
    assert "recorded after it was closed" in closed.stderr
    assert rest[-1] == offline[-1] == ["unbilled", "1", "0.000001"]
    assert [one[-4:-1] for one in lines(month.out("periods"))[1:]] == [["3", "0", "2"], ["3", "1", "1"]]


def test_period_of_another_length_has_a_name_and_an_end(month: Place) -> None:
    said = month.out("close", "week 46", "--until", "2023-11-20", "--tz", "Europe/Zurich", "--yes")

    assert said.splitlines()[-1] == "Closed: week 46, 1 request, 0.000001 USD."
    assert month.run("close", "2023-10", "--tz", "Europe/Zurich", "--yes").stderr == (
        "PERIOD's end must be later than 2023-11-19T23:00:00Z, that of the period 'week 46'\n"
    )


def test_marked_period_is_listed_by_its_position(month: Place) -> None:
    month.out("rpc", "billing.mark_billed", "reference=first", "to_seq=2")

    assert lines(month.out("periods"))[1][:3] == ["first", "seq", "3"]
    assert lines(month.out("periods"))[1][-4:] == ["2", "-", "-", "0.000002"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        pytest.param(["close", "2023-13"], "PERIOD", id="no month"),
        pytest.param(["close", "this"], "ends at", id="a month that goes on"),
        pytest.param(["close", "a", "--until", "soon"], "--until", id="no time"),
        pytest.param(["close", "2023-11", "--tz", "Mars"], "--tz", id="no zone"),
        pytest.param(["close", "2023-11", "--json"], "--dry-run", id="JSON of a question"),
        pytest.param(["close", " ", "--until", "2023-12-01", "--yes"], "PERIOD", id="no reference"),
        pytest.param(["unbilled", "--month", "last", "--until", "now"], "--month", id="two ends"),
    ],
)
def test_what_cannot_be_meant_is_refused(month: Place, arguments: list[str], named: str) -> None:
    ended = month.run(*arguments)

    assert ended.exit_code == 2
    assert named in ended.stderr
    assert month.out("periods") == "No period was closed yet.\n"


def test_json_is_the_answer_as_it_came(month: Place) -> None:
    options = ["close", "2023-11", "--tz", "Europe/Zurich", "--json"]
    preview, done = (json.loads(month.out(*options, one))["data"] for one in ("--dry-run", "--yes"))
    unbilled = json.loads(month.out("unbilled", "--json"))["data"]

    assert (preview["dry_run"], done["dry_run"]) == (True, False)
    assert preview["period"]["totals"] == done["period"]["totals"]
    assert (done["period"]["until"], done["period"]["tz"]) == (DECEMBER, "Europe/Zurich")
    assert (done["held_over"]["requests"], done["sees_all_journals"]) == (2, True)
    assert unbilled["totals"]["requests"] == 2
