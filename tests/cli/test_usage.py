"""Bills as tables, JSON, CSV and drawings, from a broker or straight from its database."""

import csv
import io
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from hero_broker.cli import plots
from hero_broker.cli.notices import counted
from hero_broker.store.engine import make_engine
from hero_broker.store.schema import METADATA
from tests.cli.conftest import TOKEN, Place

BY_IP = """\
ip         requests  input  output         USD
127.0.0.3         3    120       9  0.00007791
127.0.0.2         2     80       6  0.00005194
127.0.0.1         1     40       3  0.00002597
total             6    240      18  0.00015582
"""


def stripped(text: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def test_bill_is_plain_columns_where_it_is_piped(place: Place) -> None:
    assert stripped(place.out("usage")) == BY_IP


def test_bill_is_framed_and_coloured_on_a_terminal(place: Place) -> None:
    written = place.on_terminal("usage")

    assert "┃" in written
    assert "\x1b[" in written
    assert re.search(r"127\.0\.0\.3\s+│\s+3 │\s+120 │\s+9 │ 0\.00007791", written)


def test_bill_of_a_window_has_a_title_on_a_terminal(place: Place) -> None:
    window = ["--since", "2001-01-01", "--until", "2001-07-01T08:30", "--tz", "Europe/Zurich"]
    whole, since, until = (
        re.sub(r"\x1b\[[0-9;]*m", "", place.on_terminal("usage", *some)).splitlines()[0]
        for some in ([], window[:2], window[2:])
    )

    assert whole.startswith("┏")
    assert since == "Calls from 2001-01-01 00:00:00 until now, UTC"
    assert until == "Calls until 2001-07-01 08:30:00, Europe/Zurich"
    assert place.out("usage", *window).splitlines()[0].split() == ["ip", "requests", "input", "output", "USD"]


def test_database_answers_the_same_without_a_broker(place: Place) -> None:
    for arguments in (["usage"], ["usage", "127.0.0.2"], ["usage", "--by", "ip,day"], ["usage", "--json"]):
        from_broker, from_database = (place.run(*arguments, *more) for more in ([], ["--database", place.database]))

        assert without_time(from_database.stdout) == without_time(from_broker.stdout)


def without_time(text: str) -> str:
    return re.sub(r'"as_of":\d+', "", text)


def test_one_address_is_billed_by_model(place: Place) -> None:
    expected = "model      requests  input  output         USD\nfake-chat         2     80       6  0.00005194\n"

    assert stripped(place.out("usage", "::ffff:127.0.0.2")).startswith(expected)


def test_buckets_are_those_of_the_zone(place: Place) -> None:
    by_month = place.out("usage", "--by", "model,month", "--tz", "Pacific/Kiritimati").splitlines()
    by_hour = place.out("usage", "--by", "hour").splitlines()

    assert re.match(r"20\d\d-\d\d  fake-chat +6 ", by_month[1])
    assert re.match(r"20\d\d-\d\d-\d\d \d\d:00 +6 ", by_hour[1])


@pytest.mark.parametrize(
    ("arguments", "requests"),
    [
        (["--where", "ip=127.0.0.2"], 2),
        (["--where", "prefix=127.0.0.2/31"], 5),
        (["--where", "model=fake-chat", "--where", "ip=127.0.0.1"], 1),
        (["127.0.0.3", "--where", "kind=embedding", "--since", "7d"], 0),
        (["--since", "1h"], 6),
        (["--until", "1h"], 0),
        (["--since", "2001-01-01", "--until", "2001-02-01"], 0),
    ],
)
def test_window_and_filter_choose_what_counts(place: Place, arguments: list[str], requests: int) -> None:
    total = place.out("usage", *arguments).splitlines()[-1]

    assert total.split()[:2] == ["total", str(requests)]


@pytest.fixture
def named(place: Place) -> Iterator[Place]:
    """The broker with labels of two departments; 127.0.0.1 is in none."""
    for target, label in (("127.0.0.2", "Design"), ("127.0.0.3", "Research")):
        place.out("labels", "set", target, label)
    yield place
    for target in ("127.0.0.2", "127.0.0.3"):
        place.out("labels", "remove", target)


def test_bill_by_label_has_a_line_for_addresses_without_one(named: Place) -> None:
    expected = """\
label       requests  input  output         USD
Research           3    120       9  0.00007791
Design             2     80       6  0.00005194
(no label)         1     40       3  0.00002597
total              6    240      18  0.00015582
"""

    assert stripped(named.out("usage", "--by", "label")) == expected
    assert stripped(named.out("usage", "--by", "label", "--database", named.database)) == expected
    by_day = named.out("usage", "--by", "label,model,day").splitlines()
    assert re.match(r"day +label +model +requests ", by_day[0])
    assert re.match(r"20\d\d-\d\d-\d\d  Research +fake-chat +3 ", by_day[1])


def test_csv_by_label_names_the_label_once(named: Place) -> None:
    text = named.out("usage", "--by", "label,model,day", "--csv")

    assert text.startswith("bucket,bucket_start,bucket_end,label,model,requests,")
    lines = list(csv.DictReader(io.StringIO(text)))
    assert [(line["label"], line["requests"]) for line in lines] == [("Research", "3"), ("Design", "2"), ("", "1")]


@pytest.mark.parametrize(
    ("value", "addresses"), [("Design", ["127.0.0.2"]), ("", ["127.0.0.1"]), ("nobody", [])], ids=repr
)
def test_filter_by_label_selects_addresses_and_calls(named: Place, value: str, addresses: list[str]) -> None:
    by_ip = named.out("usage", "--by", "ip", "--where", f"label={value}", "--csv")
    rows = named.out("requests", "--where", f"label={value}", "--json").splitlines()

    assert [line["ip"] for line in csv.DictReader(io.StringIO(by_ip))] == addresses
    assert sorted({json.loads(row)["ip"] for row in rows}) == addresses


def test_labels_are_drawn_as_bars_and_lines(named: Place) -> None:
    bars = named.out("usage", "--by", "label", "--plot").splitlines()
    lines = named.out("usage", "--by", "label,day", "--since", "7d", "--plot")

    assert [line.split("  ")[0] for line in bars] == ["Research", "Design", "(no label)"]
    assert all(re.search(rf"\b{name}$", lines, re.MULTILINE) for name in ("Research", "Design"))
    assert "(no label)" in lines


def test_limit_shows_the_largest_and_the_total_of_all(place: Place) -> None:
    ended = place.run("usage", "--limit", "1")

    assert [line.split()[0] for line in ended.stdout.splitlines()] == ["ip", "127.0.0.3", "total"]
    assert ended.stdout.splitlines()[-1].split()[1] == "6"
    assert "first 1" in ended.stderr


def test_json_is_the_answer_as_it_came(place: Place) -> None:
    printed = place.out("usage", "--json")

    assert '"total_cost_usd":0.00007791,' in printed
    assert json.loads(printed)["totals"]["requests"] == 6


def test_json_on_a_terminal_keeps_its_digits(place: Place) -> None:
    written = re.sub(r"\x1b\[[0-9;]*m", "", place.on_terminal("usage", "--json"))

    assert '  "total_cost_usd": 0.00007791,' in written
    assert json.loads(written)["totals"]["requests"] == 6


def test_csv_has_every_sum(place: Place) -> None:
    lines = list(csv.DictReader(io.StringIO(place.out("usage", "--by", "ip,day", "--csv"))))

    assert [(line["ip"], line["requests"], line["total_cost_usd"]) for line in lines] == [
        ("127.0.0.3", "3", "0.00007791"),
        ("127.0.0.2", "2", "0.00005194"),
        ("127.0.0.1", "1", "0.00002597"),
    ]
    assert int(lines[0]["bucket_end"]) - int(lines[0]["bucket_start"]) in range(1, 86_401)


@pytest.mark.parametrize(
    ("arguments", "path", "params"),
    [
        ([], "/billing/usage", {}),
        (["127.0.0.2"], "/billing/usage/127.0.0.2", {}),
        (["--by", "label"], "/billing/report", {"group_by": "label"}),
        (["--by", "model,ip"], "/billing/report", {"group_by": "model,ip"}),
        *(
            (
                ["--by", f"ip,{bucket}", "--tz", "Asia/Kathmandu"],
                "/billing/report",
                {"group_by": "ip", "bucket": bucket, "tz": "Asia/Kathmandu"},
            )
            for bucket in ("hour", "day", "week", "month", "quarter")
        ),
    ],
)
@pytest.mark.parametrize("bom", [False, True])
def test_csv_is_that_of_the_broker(
    named: Place, arguments: list[str], path: str, params: dict[str, str], bom: bool
) -> None:
    now = int(time.time())
    window = {"since": str(now - 86_400), "until": str(now + 86_400)}
    options = [part for name, value in window.items() for part in (f"--{name}", value)]
    headers = {"accept": "text/csv", "authorization": f"Bearer {TOKEN}"}

    printed = named.run("usage", *arguments, *options, "--csv", *(["--bom"] if bom else [])).stdout_bytes
    params = {**params, **window, **({"bom": "true"} if bom else {})}
    answer = httpx.get(f"{named.broker.url}{path}", params=params, headers=headers)

    assert printed == answer.raise_for_status().content
    assert printed.startswith(b"\xef\xbb\xbf") == bom
    assert printed.count(b"\r\n") > 1


def test_bars_are_as_long_as_what_was_spent(place: Place) -> None:
    bars = [line.split() for line in place.out("usage", "--plot").splitlines()]

    assert [(bar[0], len(bar[1]), bar[2]) for bar in bars] == [
        ("127.0.0.3", 57, "0.00007791"),
        ("127.0.0.2", 38, "0.00005194"),
        ("127.0.0.1", 19, "0.00002597"),
    ]


def test_plot_over_time_has_a_line_for_each_and_plain_numbers(place: Place) -> None:
    drawn = place.out("usage", "--by", "ip,day", "--since", "7d", "--plot")

    assert "USD" in drawn
    assert [line.split()[-1] for line in drawn.splitlines() if "127.0.0" in line] == [
        "127.0.0.3",
        "127.0.0.2",
        "127.0.0.1",
    ]
    assert re.search(r"^0\.0000\d+ \|", drawn, re.MULTILINE)
    assert "e-0" not in drawn


def test_chart_of_the_report_is_written_as_svg(named: Place, tmp_path: Path) -> None:
    bars, stacks = tmp_path / "bars.svg", tmp_path / "stacks.svg"
    bars.write_text("replaced")

    said = named.out("usage", "--svg", str(bars))
    named.out("usage", "--by", "label,day", "--since", "7d", "--svg", str(stacks))

    assert said == f"{bars}\n"
    drawn = [re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text()) for path in (bars, stacks)]
    assert drawn[0][0] == "USD by ip"
    assert re.fullmatch(r"Calls until 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d, UTC", drawn[0][1])
    assert drawn[0][2:4] == ["127.0.0.3 (Research)", "0.00007791"]
    assert drawn[1][0] == "USD by day and label"
    assert drawn[1][1].startswith("Calls from 20")
    assert drawn[1][-6:] == ["Research", "0.00007791", "Design", "0.00005194", "(no label)", "0.00002597"]
    assert sum(text.startswith("20") for text in drawn[1]) in (7, 8)  # also the days without calls


def test_chart_that_cannot_be_written_is_1(place: Place, tmp_path: Path) -> None:
    ended = place.run("usage", "--svg", str(tmp_path / "missing" / "bars.svg"))

    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr.endswith("bars.svg cannot be written: No such file or directory\n")


def test_nothing_spent_is_said(fresh: Place) -> None:
    assert fresh.out("usage", "--plot") == "Nothing was spent.\n"
    assert fresh.out("usage", "--by", "day", "--since", "1d", "--plot") == "Nothing was spent.\n"
    assert fresh.out("usage").splitlines()[-1].split() == ["total", "0", "0", "0", "0"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["usage", "--by", "colour"], "--by"),
        (["usage", "--by", "ip,ip"], "--by"),
        (["usage", "--by", "hour,day"], "--by"),
        (["usage", "--since", "soon"], "--since"),
        (["usage", "--until", "2026-13-01"], "--until"),
        (["usage", "--tz", "Mars/Olympus"], "--tz"),
        (["usage", "--where", "colour=red"], "--where"),
        (["usage", "--where", "ip"], "--where"),
        (["usage", "--where", "ip=1", "--where", "ip=2"], "--where"),
        (["usage", "192.0.2.1", "--where", "ip=192.0.2.2"], "--where"),
        (["usage", "--json", "--csv"], "exclude each other"),
        (["usage", "--bom"], "--bom"),
        (["usage", "--svg", "bars.svg", "--plot"], "exclude each other"),
        (["usage", "--focus", "--csv"], "exclude each other"),
        (["usage", "--focus", "--by", "model"], "--focus"),
        (["usage", "--focus", "--limit", "5"], "--focus"),
        (["usage", "127.0.0.1", "--focus"], "--focus"),
        (["usage", "--focus", "--where", "model=fake-chat"], "takes only --since, --until, --month, --tz and --where"),
        (["usage", "--focus", "--where", "period=a", "--since", "1h"], "--where period must not be given together"),
        (["usage", "--limit", "0"], "--limit"),
        (["usage", "nobody"], "IP must be an IPv4 or IPv6 address"),
        (["usage", "--by", "day", "--where", "prefix=192.0.2.1/24"], "--where prefix: must be a network"),
        (["requests", "--since", "1h", "--until", "2h"], "--since must not be later than --until"),
        (["labels", "set", "nobody", "label"], "TARGET must be an address"),
        (["labels", "set", "192.0.2.1", " label"], "LABEL must be printable"),
        (["rpc", "billing.usage", "group_by=ip", "since=2", "until=1"], "since must not be later than until"),
        (["usage", "--since", "1h", "--until", "2h"], "--since must not be later than --until"),
        (["demo", "--port", "99999"], "Invalid value for '--port'"),
        (["demo", "--port", "-1"], "Invalid value for '--port'"),
    ],
)
def test_wrong_use_is_named_with_2(place: Place, arguments: list[str], said: str) -> None:
    ended = place.run(*arguments)

    assert ended.exit_code == 2
    assert said in " ".join(ended.stderr.replace("│", " ").split())


@pytest.mark.parametrize("with_database", [False, True])
def test_focus_file_costs_what_the_bill_does(place: Place, with_database: bool) -> None:
    where = ["--database", place.database] if with_database else []
    text = place.out("usage", "--focus", *where)
    of_century = place.out("usage", "--focus", "--since", "2001-01-01", "--tz", "Europe/Zurich", *where)
    of_month = place.out("usage", "--focus", "--month", "2001-01", *where)

    lines = list(csv.DictReader(io.StringIO(text, newline="")))
    assert sum(Decimal(line["BilledCost"]) for line in lines) == Decimal("0.00015582")
    assert {line["ResourceId"]: int(line["x_Requests"]) for line in lines if line["x_Requests"] != "0"} == {
        "127.0.0.1": 1,
        "127.0.0.2": 2,
        "127.0.0.3": 3,
    }
    century = list(csv.DictReader(io.StringIO(of_century, newline="")))
    assert {line["BillingPeriodStart"] for line in century} == {"2000-12-31T23:00:00Z"}
    assert [line["BilledCost"] for line in century] == [line["BilledCost"] for line in lines]
    assert of_month.splitlines() == text.splitlines()[:1]


def test_focus_file_of_a_period_that_is_none_is_1(place: Place) -> None:
    ended = place.run("usage", "--focus", "--where", "period=none")

    assert (ended.exit_code, ended.stdout, ended.stderr) == (1, "", "No such period\n")


@pytest.mark.parametrize("url", ["nonsense", "ftp://host", "http://", "http://[::1", "http://host:99999", "unix:"])
@pytest.mark.parametrize("command", ["usage", "doctor"])
def test_url_that_no_broker_has_is_2(place: Place, command: str, url: str) -> None:
    ended = place.run(command, url=url)

    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr == "--url (or HERO_BROKER_URL) must be http://HOST:PORT, https://HOST:PORT or unix:PATH\n"


def test_broker_that_does_not_answer_is_1(place: Place) -> None:
    ended = place.run("usage", url="http://127.0.0.1:1")

    assert (ended.exit_code, ended.stdout) == (1, "")
    assert "no broker answers at http://127.0.0.1:1" in ended.stderr
    assert "Is the broker running?" in ended.stderr
    assert "`hero-broker serve`" in ended.stderr
    assert "--url" in ended.stderr


def test_program_that_is_no_broker_is_named(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        hanging_up = threading.Thread(target=lambda: other.accept()[0].close())
        hanging_up.start()
        ended = place.run("usage", url=f"http://127.0.0.1:{other.getsockname()[1]}")
        hanging_up.join(20)

    assert ended.exit_code == 1
    assert "Is it a broker that listens there? Name another address with --url" in ended.stderr


@pytest.mark.parametrize("with_database", [False, True])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--by", "outcome"], "a window of at most 31 days: set --since and --until"),
        (
            ["--by", "hour", "--since", "2000-01-01", "--plot"],
            "set a narrower window with --since and --until, or larger buckets",
        ),
    ],
)
def test_window_that_is_too_wide_is_named_by_its_options(
    place: Place, arguments: list[str], said: str, with_database: bool
) -> None:
    ended = place.run("usage", *arguments, *(["--database", place.database] if with_database else []))

    assert ended.exit_code == 1
    assert said in " ".join(ended.stderr.split())


def test_wrong_token_is_1_and_is_told_from_a_missing_one(place: Place) -> None:
    ended = place.run("usage", token="another")

    assert ended.exit_code == 1
    assert "The admin token is wrong" in ended.stderr


def test_missing_token_is_1_and_says_how_to_give_one(place: Place) -> None:
    ended = place.run("usage", token=None)

    assert ended.exit_code == 1
    assert "--token" in ended.stderr


@pytest.mark.parametrize("made", ["nothing", "no ledger", "another schema"])
def test_ledger_that_cannot_be_read_is_3_and_is_left_as_it_is(place: Place, tmp_path: Path, made: str) -> None:
    path = tmp_path / "ledger.db"
    if made == "no ledger":
        path.write_bytes(b"x" * 5000)
    if made == "another schema":
        engine = make_engine(f"sqlite:///{path}")
        METADATA.create_all(engine)
        engine.dispose()
    before = path.read_bytes() if path.exists() else None

    ended = place.run("usage", "--database", f"sqlite:///{path}")

    assert ended.exit_code == 3
    assert ended.stderr
    assert (path.read_bytes() if path.exists() else None) == before


@pytest.mark.parametrize(
    ("usd", "label"),
    [(0.00000001, "0.00000001"), (1.5, "1.50000000"), (123.25, "123.250000"), (12_345_678_901.0, "12345678901")],
)
def test_label_of_usd_is_never_cut_within_its_digits(usd: float, label: str) -> None:
    assert plots._usd_tick(usd) == label


@pytest.mark.parametrize(("number", "text"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows")])
def test_counts_have_their_plural(number: int, text: str) -> None:
    assert counted(number, "row") == text
