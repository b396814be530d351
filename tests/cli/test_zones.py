"""The time zone of a command is that of its option, of the environment, or of the period that it is about."""

import csv
import io
from collections.abc import Sequence

import pytest
from typer.testing import CliRunner

from hero_broker.cli import cli
from hero_broker.core.addresses import ip_key
from hero_broker.core.usage import UsageSource
from hero_broker.store.database import open_database
from tests.cli.conftest import Place
from tests.cli.test_closing import zurich
from tests.ledger.rows import row

NIGHT = zurich(2023, 11, 1)  # still October in UTC


@pytest.fixture
def month(fresh: Place) -> Place:
    """Two calls in the first second of November in Zürich, one of them estimated, and one amid November."""
    call = {"ip": "192.0.2.1", "ip_key": ip_key("192.0.2.1"), "cost_nano_usd": 1_000}
    rows = [
        row(started_at=NIGHT, **call),
        row(started_at=NIGHT, usage_source=UsageSource.ESTIMATED, **call),
        row(started_at=zurich(2023, 11, 15), **call),
    ]
    with open_database(fresh.database) as database:
        database.append(rows, [])
    return fresh


def days(place: Place, *options: str, **environ: str) -> list[str]:
    arguments = ["usage", "--by", "day", "--csv", "--url", place.broker.url, *options]
    ended = CliRunner().invoke(cli, arguments, env=environ)
    assert ended.exit_code == 0, ended.output
    return [line["bucket"] for line in csv.DictReader(io.StringIO(ended.stdout))]


@pytest.mark.parametrize(
    ("options", "environ", "first"),
    [
        pytest.param([], {}, "2023-10-31", id="none"),
        pytest.param([], {"HERO_BROKER_TZ": "Europe/Zurich"}, "2023-11-01", id="environment"),
        pytest.param(["--tz", "UTC"], {"HERO_BROKER_TZ": "Europe/Zurich"}, "2023-10-31", id="option"),
        pytest.param(["--where", "period=2023-11"], {}, "2023-11-01", id="period"),
        pytest.param(["--where", "period=2023-11", "--tz", "UTC"], {}, "2023-10-31", id="option beside period"),
        pytest.param(["--where", "period=first"], {}, "2023-10-31", id="period without a zone"),
    ],
)
def test_zone_of_a_report(month: Place, options: Sequence[str], environ: dict[str, str], first: str) -> None:
    if "period=first" in options:
        month.out("rpc", "billing.mark_billed", "reference=first", "to_seq=3")
    else:
        month.out("close", "2023-11", "--tz", "Europe/Zurich", "--yes")

    assert days(month, *options, **environ) == [first, "2023-11-15" if first == "2023-11-01" else "2023-11-14"]


def test_close_says_that_its_zone_is_utc_and_takes_that_of_the_close_before(month: Place) -> None:
    unasked = month.run("close", "2023-10", "--dry-run")
    month.out("close", "2023-10", "--tz", "Europe/Zurich", "--yes")
    after = month.run("close", "2023-11", "--yes")
    unbilled = month.run("unbilled", "--month", "2023-11")

    assert "The time zone is UTC: --tz or HERO_BROKER_TZ names another." in unasked.stderr
    assert "calls that began before 2023-12-01 00:00:00 Europe/Zurich" in after.stdout
    assert after.stdout.splitlines()[-1].startswith("Closed: 2023-11, 3 requests")
    assert "The time zone" not in after.stderr + unbilled.stderr
    assert "Calls before 2023-12-01 00:00:00 Europe/Zurich" in unbilled.stdout


def test_close_warns_of_calls_without_a_label(month: Place) -> None:
    without = month.run("close", "2023-11", "--tz", "Europe/Zurich", "--dry-run")
    month.out("labels", "set", "192.0.2.0/24", "Research")
    with_label = month.run("close", "2023-11", "--tz", "Europe/Zurich", "--dry-run")

    assert "Without a label: 3 requests, 0.000003 USD." in without.stderr
    assert "Without a label" not in with_label.stderr


def test_bill_tells_what_is_estimated_and_the_command_that_lists_it(month: Place) -> None:
    told = month.run("usage", "--month", "2023-11", "--tz", "Europe/Zurich").stderr.splitlines()
    command = told[1].removeprefix("List them: hero-broker ").split()
    listed = month.out(*command, "--json").splitlines()

    assert told[0] == ("Estimated, because the provider did not report the usage: 1 request, 0.000001 USD.")
    assert command[-4:] == ["--month", "2023-11", "--tz", "Europe/Zurich"]
    assert len(listed) == 1
    assert '"usage_source":"estimated"' in listed[0]


def test_focus_may_begin_with_a_byte_order_mark(month: Place) -> None:
    plain = month.out("usage", "--focus", "--month", "2023-11")

    assert month.out("usage", "--focus", "--month", "2023-11", "--bom") == "\ufeff" + plain


def test_csv_that_a_limit_cuts_says_so(month: Place) -> None:
    ended = month.run("usage", "--by", "day", "--csv", "--limit", "1")

    assert ended.stderr == "Only the first 1 line, because of --limit.\n"
    assert month.run("usage", "--by", "day", "--csv", "--limit", "2").stderr == ""


def test_name_that_is_no_dimension_is_named(month: Place) -> None:
    ended = month.run("usage", "--by", "department")

    assert ended.exit_code == 2
    assert "'department'" in ended.stderr
