"""Tables on terminals of any width: an address, a name and a sum are never cut."""

import json
import re

import pytest

from hero_broker.cli.requests import RowLayout, _lines
from hero_broker.core.labels import Label
from hero_broker.store import labels
from hero_broker.store.database import open_database
from tests import forked
from tests.ledger.rows import row
from tests.terminal import on_terminal

ADDRESSES = [f"2001:db8:aaaa:bbbb:cccc:dddd:eeee:ff0{number}" for number in (1, 2, 3)]
MODEL = "a-model-with-a-long-name-70b-versatile"
LABEL = "the build server in the cellar"
COST, TOTAL = "123,456.789012345", "370,370.367037035"  # of 15 digits
WIDTHS = [40, 80, 120, 250]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A ledger with a call from each of some long addresses, each at a large cost."""
    url = f"sqlite:///{tmp_path_factory.mktemp('tables')}/ledger.db"
    with open_database(url) as database:
        cost = int(COST.replace(".", "").replace(",", ""))
        database.append([row(ip=ip, ip_key=None, model=MODEL, cost_nano_usd=cost) for ip in ADDRESSES], [])
        with database.writing() as connection:
            labels.put(connection, Label(ADDRESSES[0], LABEL, 1))
    return url


def lines_of(ledger: str, columns: int, *arguments: str) -> list[str]:
    command = ["hero-broker", *arguments, "--database", ledger]
    return re.sub(r"\x1b\[[0-9;]*m", "", on_terminal(command, {}, columns)).splitlines()[1:]  # the first names the file


@pytest.mark.parametrize("columns", WIDTHS)
def test_bill_shows_addresses_names_and_sums_whole(ledger: str, columns: int) -> None:
    lines = lines_of(ledger, columns, "usage", "--by", "ip,model,day")
    written = "\n".join(lines)

    assert all(address in written for address in ADDRESSES)
    assert written.count(MODEL) == len(ADDRESSES)
    assert LABEL in written
    assert (written.count(COST), written.count(TOTAL)) == (len(ADDRESSES), 1)
    assert "…" not in written
    assert ("┃" in written) == (columns == 250)


def test_numbers_stand_below_each_other_where_a_row_takes_two_lines(ledger: str) -> None:
    head, heads, *lines = lines_of(ledger, 80, "usage", "--by", "ip,model,day")
    numbers = [heads, *(line for line in lines if line.startswith("  "))]

    assert len(numbers) == len(ADDRESSES) + 2
    assert head == "day  ip  model  label"
    assert lines[-2:] == ["total", f"         3    120       9  {TOTAL}"]
    assert len({len(line) for line in numbers}) == 1


ALL_UNITS = {"characters": 1_200, "audio_ms": 90_300, "search_units": 7, "web_searches": 8, "images": 9}
UNITS_HEAD = ["characters", "minutes", "searches", "web searches", "images"]


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A ledger with calls that were billed by every unit; 192.0.2.1 has tokens and audio only."""
    url = f"sqlite:///{tmp_path_factory.mktemp('units')}/ledger.db"
    with open_database(url) as database:
        only_audio = row(ip="192.0.2.1", ip_key=None, audio_ms=29_700)
        database.append([only_audio, *(row(ip=ip, ip_key=None, **ALL_UNITS) for ip in ADDRESSES)], [])
    return url


def test_bill_has_a_column_for_each_unit_that_was_billed(units: str) -> None:
    piped = forked.run(["usage", "--database", units]).stdout.splitlines()
    of_one = forked.run(["usage", "192.0.2.1", "--database", units]).stdout.splitlines()
    head, line, *_, total = (re.split(r" {2,}", one.strip()) for one in piped)

    assert head == ["ip", "requests", "input", "output", *UNITS_HEAD, "USD"]
    assert line == ["192.0.2.1", "1", "40", "3", "0", "0.50", "0", "0", "0", "0.00002597"]
    assert total == ["total", "4", "160", "12", "3600", "5.01", "21", "24", "27", "0.00010388"]
    assert of_one[0].split() == ["model", "requests", "input", "output", "minutes", "USD"]


@pytest.mark.parametrize("columns", [40, 80, 120, 160, 250])
def test_bill_with_every_unit_cuts_and_wraps_nothing(units: str, columns: int) -> None:
    lines = lines_of(units, columns, "usage")
    written = "\n".join(lines)

    assert all(address in written for address in ADDRESSES)
    assert all(name in written for name in UNITS_HEAD)
    assert written.count("0.00002597") == len(ADDRESSES) + 1
    assert max(len(line) for line in lines) <= columns
    assert ("┃" in written) == (columns >= 160)


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A ledger with costs of different lengths."""
    url = f"sqlite:///{tmp_path_factory.mktemp('uneven')}/ledger.db"
    with open_database(url) as database:
        costs = {"192.0.2.1": 1_234_500_000_000, "192.0.2.2": 7, "192.0.2.3": 2_000_000_000, "192.0.2.4": 0}
        rows = [row(ip=ip, ip_key=None, cost_nano_usd=cost, input_tokens=4_000) for ip, cost in costs.items()]
        database.append(rows, [])
    return url


def test_amounts_of_a_bill_are_aligned_at_their_points(uneven: str) -> None:
    lines = lines_of(uneven, 80, "usage")
    amounts = [found for line in lines for found in re.findall(r"[\d,]+\.\d+ │$", line)]
    piped = forked.run(["usage", "--database", uneven]).stdout.splitlines()[1:]

    assert [amount.removesuffix(" │") for amount in amounts] == [
        "1,234.500000000",
        "2.000000000",
        "0.000000007",
        "0.000000000",
        "1,236.500000007",
    ]
    assert "16,000" in lines[-2]
    assert [line.split()[-1] for line in piped] == [amount.removesuffix(" │").replace(",", "") for amount in amounts]
    assert len({line.index(".", 15) for line in piped}) == 1


def test_amounts_of_calls_are_aligned_at_their_points(uneven: str) -> None:
    head, *lines = forked.run(["requests", "--database", uneven]).stdout.splitlines()
    begin, end = head.index("OUTPUT") + len("OUTPUT"), head.index("MS") - 6
    amounts = [line[begin:end].rstrip() for line in lines]

    assert [amount.split() for amount in amounts] == [["1234.5"], ["0.000000007"], ["2"], ["0"]]
    assert len({len(amount.partition(".")[0]) for amount in amounts[1:]}) == 1  # the first is longer than its column


def test_bill_loses_its_frame_before_it_takes_two_lines(ledger: str) -> None:
    lines = lines_of(ledger, 100, "usage", "--by", "model,day")

    framed, plain = (lines_of(ledger, columns, "usage", "--by", "model") for columns in (100, 82))

    assert "┃" in "".join(framed)
    assert "┃" not in "".join(plain)
    assert plain[0].split() == ["model", "requests", "input", "output", "USD"]
    assert "…" not in "".join(lines)


@pytest.mark.parametrize("columns", WIDTHS)
def test_calls_and_labels_are_shown_whole(ledger: str, columns: int) -> None:
    calls = "\n".join(lines_of(ledger, columns, "requests"))
    named = "\n".join(lines_of(ledger, columns, "labels", "list"))

    assert all(address in calls for address in ADDRESSES)
    assert calls.count(COST.replace(",", "")) == len(ADDRESSES)
    assert ADDRESSES[0] in named
    assert LABEL in named


@pytest.mark.parametrize("columns", [40, 80, 120, 200])
def test_long_address_wraps_no_other_cell_of_its_call(ledger: str, columns: int) -> None:
    head, *lines = lines_of(ledger, columns, "requests")
    whole = [line for line in lines if COST.replace(",", "") in line]

    assert max(len(line) for line in [head, *lines] if LABEL not in line) <= columns
    assert len(whole) == len(ADDRESSES)
    assert sum(MODEL in line for line in lines) == (0 if columns == 40 else len(ADDRESSES))


def test_cells_after_a_long_one_stay_in_their_columns() -> None:
    layout = RowLayout((("TIME", "IP", "OUTCOME", "USD"), ("MODEL", "MS")), 80)

    def lines(**cells: str) -> list[str]:
        return list(_lines({"TIME": "now", "IP": "192.0.2.1", "MODEL": "m", "MS": "5", **cells}, layout))

    short = lines(OUTCOME="ok", USD="0.5       ")
    long = lines(OUTCOME="ok", USD="0.5       ", IP=ADDRESSES[0], MODEL="m" * 35)
    longer = lines(OUTCOME="invalid_request_error", USD="0.5       ", IP=ADDRESSES[0])

    assert short == [f"{'now':21}{'192.0.2.1':26}{'ok':21}  0.5", f"  {'m':30}{'5':>8}"]
    assert long == [f"{'now':21}{ADDRESSES[0]}  ok{' ' * 7}0.5", f"  {'m' * 35}  5"]
    assert longer == [f"{'now':21}{ADDRESSES[0]}", f"{'':47}invalid_request_error  0.5", f"  {'m':30}{'5':>8}"]


ALL = ["TIME", "IP", "KIND", "MODEL", "OUTCOME", "ERROR", "INPUT", "OUTPUT", "USD", "MS", "REQUEST"]


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A ledger with a call that succeeded and one that failed."""
    url = f"sqlite:///{tmp_path_factory.mktemp('failed')}/ledger.db"
    with open_database(url) as database:
        failure = row(ip="192.0.2.7", ip_key=None, outcome="provider_error", error_code="provider_429")
        database.append([row(ip="192.0.2.7", ip_key=None), failure], [])
    return url


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        (40, [["TIME", "OUTCOME"], ["IP", "USD"]]),
        (80, [["TIME", "IP", "OUTCOME", "USD"], ["MODEL", "REQUEST", "KIND"]]),
        (100, [["TIME", "IP", "OUTCOME", "USD", "KIND"], ["MODEL", "REQUEST", "ERROR", "MS"]]),
        (120, [["TIME", "IP", "OUTCOME", "USD", "MODEL", "MS"], ["REQUEST", "KIND", "ERROR", "INPUT", "OUTPUT"]]),
        (250, [ALL]),
    ],
)
def test_call_takes_two_lines_on_a_narrow_terminal(failed: str, columns: int, names: list[list[str]]) -> None:
    lines = lines_of(failed, columns, "requests")

    assert [line.split() for line in lines[: len(names)]] == names
    assert all(len(line) <= columns for line in lines)
    assert "provider_error" in "".join(lines)
    assert sum("provider_429" in line for line in lines) == 1


def test_terminal_of_80_columns_shows_who_what_how_and_which_call(failed: str) -> None:
    lines = lines_of(failed, 80, "requests")[2:]
    requests = [str(one["request_id"]) for one in calls_of(failed)]

    assert [line.split()[2:4] for line in lines[::2][:2]] == [["192.0.2.7", "ok"], ["192.0.2.7", "provider_error"]]
    assert [line.split()[1] for line in lines[1:4:2]] == requests
    assert lines[4:] == ["  error: provider_429"]


def calls_of(ledger: str) -> list[dict[str, object]]:
    ended = forked.run(["requests", "--json", "--database", ledger])
    return [json.loads(line) for line in ended.stdout.splitlines()]


@pytest.mark.parametrize("columns", [40, 80])
def test_wide_puts_every_column_on_one_line(failed: str, columns: int) -> None:
    head, *lines = lines_of(failed, columns, "requests", "--wide")

    assert head.split() == ALL
    assert [("provider_429" in line, line.split()[2]) for line in lines] == [
        (False, "192.0.2.7"),
        (True, "192.0.2.7"),
    ]
