"""Statements are written for a label, an address or all, from a billing period or as a draft of a month."""

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from hero_broker.cli.statement import file_name
from hero_broker.cli.times import parse_zone
from hero_broker.client import Client
from hero_broker.core.addresses import UNKNOWN, ip_key
from hero_broker.core.calendar import LATEST
from hero_broker.dashboard.statement import Issuer, Recipient, Statement, StatementPeriod
from hero_broker.store.database import open_database
from hero_broker.store.engine import make_engine
from tests.cli.conftest import TOKEN, Place, call_from_three_addresses
from tests.dashboard.html_page import HtmlPage
from tests.e2e_support import broker
from tests.ledger.rows import row
from tests.waits import wait_until

LABELS = (("127.0.0.2", "Design"), ("127.0.0.3", "Research"))

NO_ISSUER = "No issuer: `from` of [statements], in the settings file of this command, names one.\n"


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The calls of three addresses, two of which have labels; nothing is closed."""
    state = tmp_path_factory.mktemp("statements") / "state"
    with broker(state, ADMIN_TOKEN=TOKEN) as running:
        call_from_three_addresses(running)
        place = Place(running, f"sqlite:///{state}/hero-broker.db")
        for target, label in LABELS:
            place.out("labels", "set", target, label)
        yield place


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The same, after their month is closed; one more call came later."""
    state = tmp_path_factory.mktemp("closed") / "state"
    with broker(state, ADMIN_TOKEN=TOKEN) as running:
        call_from_three_addresses(running)
        place = Place(running, f"sqlite:///{state}/hero-broker.db")
        for target, label in LABELS:
            place.out("labels", "set", target, label)
        with Client(running.url, TOKEN) as client:
            client.billing.mark_billed(month_of(place), client.billing.unbilled().data.to_seq)
        call_from_three_addresses(running)
        yield place


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test is in a working directory of its own."""
    monkeypatch.chdir(tmp_path)


def month_of(place: Place) -> str:
    """Return the month of the first call, in UTC."""
    first: int = json.loads(place.out("usage", "--json"))["totals"]["first_seen"]
    return datetime.fromtimestamp(first, UTC).strftime("%Y-%m")


def change_sums_by_address_and_model(database: str) -> bool:
    """Add to the sums by address and model, so that they differ from those by model; return whether there are any."""
    engine = make_engine(database)
    with engine.execution_options(writes=True).begin() as connection:
        changed = connection.execute(text("UPDATE usage_by_ip_model SET cost_nano_usd = cost_nano_usd + 1")).rowcount
    engine.dispose()
    return changed > 0


def read(path: str | Path) -> HtmlPage:
    return HtmlPage(Path(path).read_bytes())


def test_statement_of_a_closed_month_has_the_calls_of_the_period(closed: Place) -> None:
    month = month_of(closed)

    ended = closed.run("statement", "--month", month, "--label", "Research")

    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, f"statement-{month}-Research.html\n", NO_ISSUER)
    shown = read(f"statement-{month}-Research.html")
    assert re.search(r"^Statement Period \w+ 20\d\d , closed on \d+ \w+ 20\d\d \d\d:\d\d ", shown.text)
    assert shown.tables["Models"][1:] == [
        ["fake-chat", "3", "120", "9", "0.00007791"],
        ["Total", "3", "120", "9", "0.00007791"],
    ]
    assert [row[:2] for row in shown.tables["Addresses"]] == [
        ["Address", "Requests"],
        ["127.0.0.3", "3"],
        ["Total", "3"],
    ]


def test_closed_statement_stays_the_same_when_labels_change(fresh: Place) -> None:
    for target, label in LABELS:
        fresh.out("labels", "set", target, label)
    call_from_three_addresses(fresh.broker)
    last: int = json.loads(fresh.out("usage", "--json"))["totals"]["last_seen"]
    wait_until(lambda: time.time() > last + 1)
    with Client(fresh.broker.url) as client:
        client.billing.close("week-48", last + 1, "Europe/Zurich")

    fresh.out("statement", "--period", "week-48", "--all", "--to", "first")
    call_from_three_addresses(fresh.broker)
    fresh.out("labels", "set", "127.0.0.3", "Design")
    fresh.out("statement", "--period", "week-48", "--all", "--to", "again", "--database", fresh.database)

    first, again = (sorted(Path(folder).iterdir()) for folder in ("first", "again"))
    assert [path.name for path in first] == [path.name for path in again]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    research = read("again/statement-week-48-Research.html")
    end = datetime.fromtimestamp(last + 1, parse_zone("Europe/Zurich"))
    assert re.search(
        rf"Calls that began before {end.day} \w+ {end:%Y %H:%M}(:\d\d)? and were in no earlier", research.text
    )
    assert "Time zone Europe/Zurich" in research.text
    assert "Labels are those of the close." in research.text
    assert research.tables["Models"][-1][1] == "3"


def test_statement_of_a_month_that_is_not_closed_is_a_draft(named: Place) -> None:
    month = month_of(named)

    ended = named.run("statement", "--month", month)

    assert (ended.exit_code, ended.stdout) == (0, f"statement-draft-{month}.html\n")
    assert ended.stderr == f"Draft: {month} is not closed; the amounts may change.\n{NO_ISSUER}"
    shown = read(f"statement-draft-{month}.html")
    assert "Draft: this month is not closed." in shown.text
    assert [row[:3] for row in shown.tables["Addresses"][1:]] == [
        ["127.0.0.3", "Research", "3"],
        ["127.0.0.2", "Design", "2"],
        ["127.0.0.1", "(no label)", "1"],
        ["Total", "6", "240"],
    ]


@pytest.mark.parametrize("fixture", ["named", "closed"])
@pytest.mark.parametrize(
    ("options", "requests"),
    [([], "6"), (["--label", "Design"], "2"), (["--label", ""], "1"), (["--ip", "::ffff:127.0.0.3"], "3")],
)
def test_database_gives_the_same_file_without_a_broker(
    request: pytest.FixtureRequest, fixture: str, options: list[str], requests: str
) -> None:
    place: Place = request.getfixturevalue(fixture)
    arguments = ["statement", "--month", month_of(place), "--tz", "Europe/Zurich", *options]

    place.out(*arguments, "--to", "broker.html")
    place.out(*arguments, "--to", "ledger.html", "--database", place.database)

    assert Path("broker.html").read_bytes() == Path("ledger.html").read_bytes()
    assert read("broker.html").tables["Models"][-1][1] == requests
    assert "Time zone Europe/Zurich" in read("broker.html").text


def test_address_is_named_with_its_label(closed: Place) -> None:
    closed.out("statement", "--period", month_of(closed), "--ip", "127.0.0.2", "--to", "bill.html")

    shown = read("bill.html")
    assert "For Address 127.0.0.2 ( Design )" in shown.text
    assert list(shown.tables) == ["Models", "Days"]


def test_all_writes_a_statement_for_each_label_and_nothing_else(closed: Place) -> None:
    month = month_of(closed)
    names = [f"statement-{month}-{name}.html" for name in ("no-label", "Design", "Research")]

    said = closed.out("statement", "--month", month, "--all", "--to", "new/folder")

    assert said.splitlines() == [f"new/folder/{name}" for name in names]
    assert sorted(path.name for path in Path("new/folder").iterdir()) == sorted(names)
    totals = [read(f"new/folder/{name}").tables["Models"][-1][1] for name in names]
    assert totals == ["1", "2", "3"]


def test_file_goes_into_a_folder_that_exists(closed: Place) -> None:
    Path("folder").mkdir()

    closed.out("statement", "--month", month_of(closed), "--to", "folder")

    assert [path.name for path in Path("folder").iterdir()] == [f"statement-{month_of(closed)}.html"]


def test_other_file_is_left_as_it_is_unless_forced(closed: Place) -> None:
    arguments = ["statement", "--month", month_of(closed), "--label", "Design", "--to", "bill.html"]
    closed.out(*arguments)
    first = Path("bill.html").stat()

    again = closed.run(*arguments)
    unchanged = Path("bill.html").stat()
    Path("bill.html").write_text("another")
    refused = closed.run(*arguments)
    kept = Path("bill.html").read_text()
    forced = closed.run(*arguments, "--force")

    assert (again.exit_code, again.stdout) == (0, "bill.html\n")
    assert (unchanged.st_ino, unchanged.st_mtime_ns) == (first.st_ino, first.st_mtime_ns)
    assert (refused.exit_code, refused.stdout, kept) == (1, "", "another")
    assert refused.stderr == "bill.html exists with another content, and is left as it is; --force replaces it.\n"
    assert (forced.exit_code, read("bill.html").tables["Models"][-1][1]) == (0, "2")


def test_all_writes_nothing_if_one_file_is_another(closed: Place) -> None:
    month = month_of(closed)
    Path(f"statement-{month}-Research.html").write_text("another")

    ended = closed.run("statement", "--month", month, "--all")

    assert ended.exit_code == 1
    assert [path.name for path in Path().iterdir()] == [f"statement-{month}-Research.html"]


def test_place_that_cannot_be_written_is_1(closed: Place) -> None:
    Path("taken").write_text("a file")

    below, all_below, long = (
        closed.run("statement", "--month", month_of(closed), *options)
        for options in (["--to", "taken/bill.html"], ["--all", "--to", "taken"], ["--to", "a" * 256])
    )

    assert (below.exit_code, all_below.exit_code, long.exit_code) == (1, 1, 1)
    assert below.stderr == "taken cannot be created: File exists\n"
    assert all_below.stderr == "taken cannot be created: File exists\n"
    assert long.stderr == f"{'a' * 256} cannot be read: File name too long\n"
    assert [path.name for path in Path().iterdir()] == ["taken"]


def test_settings_name_the_issuer_and_need_no_providers_key(closed: Place) -> None:
    Path("hero-broker.toml").write_text(
        '[[providers]]\nname = "p"\nbase_url = "http://127.0.0.1/v1"\napi_keys = ["env:NOT_SET"]\n'
        '[statements]\nfrom = "Example Ltd"\ncontact = "Street 1\\n8000 Example"\nnote = "Within 30 days."\n'
    )

    closed.out("statement", "--month", month_of(closed), "--to", "bill.html")

    shown = read("bill.html")
    assert {"Example Ltd", "Street 1\n8000 Example", "Within 30 days."} <= set(shown.texts)


def test_wrong_settings_are_2_with_all_faults(closed: Place) -> None:
    Path("hero-broker.toml").write_text('[statements]\nfrom = " a"\nnot = "b"\n')

    ended = closed.run("statement", "--month", "this")

    assert ended.exit_code == 2
    assert [line.partition(":")[0] for line in ended.stderr.splitlines()] == ["statements.from", "statements.not"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--label", "Reserch"],
            "There are no calls of Reserch in {month}: no statement was written; did you mean Research?",
        ),
        (["--label", "Sales"], "There are no calls of Sales in {month}: no statement was written."),
        (["--ip", "192.0.2.7"], "There are no calls of 192.0.2.7 in {month}: no statement was written."),
    ],
)
def test_recipient_without_calls_is_1_and_writes_nothing(closed: Place, options: list[str], said: str) -> None:
    month = month_of(closed)

    ended = closed.run("statement", "--month", month, *options)

    assert (ended.exit_code, ended.stdout, ended.stderr) == (1, "", said.format(month=month) + "\n")
    assert list(Path().iterdir()) == []


def test_month_without_calls_is_1(named: Place) -> None:
    everybody, unlabelled = (
        named.run("statement", "--month", "2001-01", *options) for options in (["--all"], ["--label", ""])
    )

    assert (everybody.exit_code, unlabelled.exit_code) == (1, 1)
    assert everybody.stderr == "There are no calls in 2001-01: no statement was written.\n"
    assert unlabelled.stderr.startswith("There are no calls of addresses without a label in 2001-01")


def test_unknown_period_is_1_and_names_those_that_there_are(named: Place, closed: Place) -> None:
    without, with_one = (place.run("statement", "--period", "2001-01") for place in (named, closed))

    assert (without.exit_code, with_one.exit_code) == (1, 1)
    assert without.stderr == "No billing period has the reference 2001-01.\n"
    assert with_one.stderr == f"No billing period has the reference 2001-01; there are: {month_of(closed)}.\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "give either --month or --period"),
        (["--month", "this", "--period", "a"], "give either --month or --period"),
        (["--month", "2026-13"], "must be a month such as 2026-11"),
        (["--month", "this", "--label", "a", "--ip", "192.0.2.7"], "exclude each other"),
        (["--month", "this", "--all", "--label", ""], "exclude each other"),
        (["--month", "this", "--ip", "nobody"], "must be an IPv4 or IPv6 address"),
        (["--month", "this", "--tz", "Mars/Olympus"], "must be an IANA time zone"),
    ],
)
def test_wrong_use_of_options_is_2(place: Place, options: list[str], said: str) -> None:
    ended = place.run("statement", *options)

    assert ended.exit_code == 2
    assert said in " ".join(ended.stderr.replace("│", " ").split())


def test_period_that_does_not_add_up_gives_no_statement(fresh: Place) -> None:
    with Client(fresh.broker.url) as client:
        call_from_three_addresses(fresh.broker)
        client.billing.mark_billed("2026-11", client.billing.unbilled().data.to_seq)
    engine = make_engine(fresh.database)
    with engine.execution_options(writes=True).begin() as connection:
        connection.execute(text("UPDATE request_logs SET cost_nano_usd = cost_nano_usd + 1 WHERE seq = 1"))
    engine.dispose()

    ended = fresh.run("statement", "--period", "2026-11")

    assert ended.exit_code == 1
    assert ended.stderr == (
        "The calls of 2026-11 do not add up to the period: `hero-broker verify` shows the differences.\n"
    )
    assert list(Path().iterdir()) == [Path("state")]


def test_draft_whose_tables_never_add_up_is_not_written(fresh: Place) -> None:
    call_from_three_addresses(fresh.broker)
    wait_until(lambda: change_sums_by_address_and_model(fresh.database))

    ended = fresh.run("statement", "--month", month_of(fresh))

    assert ended.exit_code == 1
    assert ended.stderr == (
        f"The tables of {month_of(fresh)} do not add up: no statement was written. Calls were probably recorded "
        "meanwhile: run the command again; if it fails again, `hero-broker verify` shows the differences.\n"
    )
    assert list(Path().iterdir()) == [Path("state")]


@pytest.mark.parametrize("options", [["--to", "bill.html"], ["--all", "--to", "."]])
def test_calls_of_too_many_days_have_a_statement_without_days(fresh: Place, options: list[str]) -> None:
    call_from_three_addresses(fresh.broker)
    with open_database(fresh.database) as database:
        database.append([row(started_at=LATEST, ip="192.0.2.7", ip_key=ip_key("192.0.2.7"), cost_nano_usd=0)], [])
    with Client(fresh.broker.url) as client:
        client.billing.mark_billed("2026-11", client.billing.unbilled().data.to_seq)

    ended = fresh.run("statement", "--period", "2026-11", *options)

    assert (ended.exit_code, len(ended.stdout.splitlines())) == (0, 1)
    assert ended.stderr == (
        f"2026-11 has too many calls to add up by day: no statement has a table or a chart of days.\n{NO_ISSUER}"
    )
    shown = read(ended.stdout.strip())
    assert list(shown.tables) == ["Models", "Addresses"]
    assert [rows[-1][-1] for rows in shown.tables.values()] == ["0.00015582"] * 2
    assert "Without a table and a chart of days" in shown.text


LABEL_NAMES = [
    *(
        "Research",
        "research",
        "Research ",
        "R&D",
        "R/D",
        "R-D",
        "../../etc/passwd",
        "a.b",
        "Büro",
        "Bu\u0308ro",
        "no-label",
    ),
    *("unknown", "192.0.2.7", "2001:db8::7", "\U0001f4a1", "W" * 100, "W" * 99 + "V", "\u05e9" * 100, "-rf", ".hidden"),
]


def test_names_of_files_are_safe_and_differ() -> None:
    period = StatementPeriod("2026-11", parse_zone("UTC"), closed_at=1)
    recipients = [
        *(Recipient(label) for label in (None, "", *LABEL_NAMES)),
        *(Recipient(None, ip) for ip in ("192.0.2.7", "2001:db8::7", UNKNOWN)),
    ]

    names = [file_name(Statement(Issuer(), one, period, (), ())) for one in recipients]

    assert len(set(names)) == len(recipients)
    assert all(re.fullmatch(r"statement-2026-11(-[\w.-]+)?\.html", name) for name in names)
    assert max(len(name.encode()) for name in names) < 200
    assert names[0] == "statement-2026-11.html"
    assert {
        "statement-2026-11-Research.html",
        "statement-2026-11-Büro.html",
        "statement-2026-11-192.0.2.7.html",
    } <= set(names)


def test_reference_is_safe_in_the_name_of_a_file() -> None:
    period = StatementPeriod("../2026 Q4", parse_zone("UTC"), closed_at=1)

    name = file_name(Statement(Issuer(), Recipient(), period, (), ()))

    assert re.fullmatch(r"statement--2026-Q4-[0-9a-f]{8}\.html", name)


def test_draft_leaves_out_what_is_in_a_billing_period_already(fresh: Place) -> None:
    call_from_three_addresses(fresh.broker)
    fresh.out("rpc", "billing.mark_billed", "reference=batch", "to_seq=2")

    fresh.out("statement", "--month", "this", "--to", "draft.html")

    shown = read("draft.html")
    unbilled = json.loads(fresh.out("unbilled", "--json"))["data"]["totals"]
    assert shown.tables["Models"][-1][:2] == ["Total", f"{unbilled['requests']}"]
    assert "Calls that are in a billing period already are left out." in shown.text


def test_statement_tells_a_rounded_amount(fresh: Place) -> None:
    with open_database(fresh.database) as database:
        database.append([row(started_at=int(time.time()), cost_nano_usd=1_234_565_000_000)], [])

    fresh.out("statement", "--month", "this", "--to", "draft.html")

    assert "Rounded 1,234.56 USD" in read("draft.html").text
