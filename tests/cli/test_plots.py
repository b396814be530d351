"""Plots on terminals of any width: lines over several buckets, bars for one or none."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from hero_broker.store.database import open_database
from tests import forked
from tests.ledger.rows import row
from tests.terminal import on_terminal

NOVEMBER = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp())
DAY, HOUR = 86_400, 3_600
WIDTHS = [40, 80, 200]
LABELS = 13  # characters to the left of the lines


@pytest.fixture(scope="module")
def ledgers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Ledgers with calls at the times by which they are named, from the same two addresses; "ten" from ten."""
    ledgers: dict[str, str] = {}
    for name, times, addresses in (
        ("month", [NOVEMBER + day * DAY for day in range(30)], 2),
        ("days", [NOVEMBER + day * DAY for day in range(3)], 2),
        ("hours", [NOVEMBER + hour * HOUR + 60 for hour in range(24)], 2),
        ("months", [NOVEMBER + month * 31 * DAY for month in range(14)], 2),
        ("ten", [NOVEMBER + day * DAY for day in range(3)], 10),
    ):
        ledgers[name] = url = f"sqlite:///{tmp_path_factory.mktemp(name)}/ledger.db"
        rows = [
            row(ip=f"2001:db8:aaaa:bbbb:cccc:dddd:eeee:ff0{number}", ip_key=None, started_at=at, cost_nano_usd=10**9)
            for at in times
            for number in range(addresses)
            for _ in range(addresses - number)
        ]
        with open_database(url) as database:
            database.append(rows, [])
    return ledgers


def plot(ledger: str, columns: int, *arguments: str) -> list[str]:
    """Return the lines of a plot on a terminal, without colours."""
    command = ["hero-broker", "usage", "--plot", *arguments, "--database", ledger]
    written = re.sub(r"\x1b\[[0-9;]*m", "", on_terminal(command, {}, columns))
    return [line.rstrip() for line in written.splitlines()[1:]]  # the first names the file


def axis(lines: Sequence[str]) -> tuple[str, str]:
    """Return the axis below the lines of a plot, and the names below it."""
    at = next(number for number, line in enumerate(lines) if line.startswith("-----------+-"))
    return lines[at][LABELS:], lines[at + 1][LABELS:]


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize(
    ("ledger", "arguments"),
    [
        ("days", ["--by", "ip,day"]),
        ("hours", ["--by", "hour", "--since", "2026-11-01", "--until", "2026-11-02"]),
        ("months", ["--by", "ip,month"]),
        ("ten", ["--by", "ip,day"]),
    ],
)
def test_lines_take_the_width_of_the_terminal(
    ledgers: dict[str, str], ledger: str, arguments: list[str], columns: int
) -> None:
    lines = plot(ledgers[ledger], columns, *arguments)
    rule, names = axis(lines)

    assert len(rule) + LABELS == columns
    assert max(len(line) for line in lines if not line.startswith("Only")) <= max(columns, len("A ") + 38)
    assert len(names) + LABELS <= columns
    assert "…" not in "".join(lines)


@pytest.mark.parametrize(
    ("ledger", "arguments", "names"),
    [
        ("days", ["--by", "ip,day"], ["11-01", "11-02", "11-03"]),
        ("months", ["--by", "month"], ["2026-11", *(f"2027-{month:02}" for month in range(1, 12, 2))]),
        ("months", ["--by", "quarter"], ["2026-Q4", "2027-Q1", "2027-Q2", "2027-Q3", "2027-Q4"]),
        ("month", ["--by", "week"], ["W44", "W45", "W46", "W47", "W48", "W49"]),
        (
            "hours",
            ["--by", "hour", "--since", "2026-11-01", "--until", "2026-11-02"],
            ["00:00", "03:00", "06:00", "09:00", "12:00", "15:00", "18:00", "21:00"],
        ),
        (
            "days",
            ["--by", "hour", "--since", "2026-11-01", "--until", "2026-11-03"],
            ["01 00:00", "01 08:00", "01 16:00", "02 00:00", "02 08:00", "02 16:00"],
        ),
    ],
)
def test_axis_names_whole_buckets_below_their_points(
    ledgers: dict[str, str], ledger: str, arguments: list[str], names: list[str]
) -> None:
    rule, line = axis(plot(ledgers[ledger], 80, *arguments))
    found = re.findall(r"\S+(?: \S+)?", line)

    assert found == names
    ticks = [at for at, character in enumerate(rule) if character == "+"]
    starts = [line.index(name) for name in found]
    assert len(ticks) == len(names)
    assert all(start <= tick < start + len(name) for start, tick, name in zip(starts, ticks, names, strict=True))
    assert starts[:-1] == ticks[:-1]


@pytest.mark.parametrize("columns", WIDTHS)
def test_each_line_has_a_letter_that_the_legend_names(ledgers: dict[str, str], columns: int) -> None:
    lines = plot(ledgers["days"], columns, "--by", "ip,day")
    rule = next(number for number, line in enumerate(lines) if line.startswith("-----------+-"))
    letters = [{letter for letter in line[LABELS:] if letter.isupper()} for line in lines[1:rule]]

    assert [line for line in lines[rule + 2 :] if line] == [
        "A 2001:db8:aaaa:bbbb:cccc:dddd:eeee:ff00",
        "B 2001:db8:aaaa:bbbb:cccc:dddd:eeee:ff01",
    ]
    assert [found for found in letters if found] == [{"A"}, {"B"}]
    highest = next(line for line in lines if "A" in line[LABELS:])
    width = columns - LABELS
    assert [at for at, letter in enumerate(highest[LABELS:]) if letter == "A"] == [0, (width - 1) // 2, width - 1]


def test_only_the_largest_of_many_lines_are_drawn(ledgers: dict[str, str]) -> None:
    lines = plot(ledgers["ten"], 80, "--by", "ip,day")

    assert [line[0] for line in lines if "2001:db8" in line] == list("ABCDEF")
    assert lines[-1] == "Only the 6 with the largest spend are drawn, of 10."


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_single_bucket_is_drawn_as_bars(ledgers: dict[str, str], columns: int) -> None:
    (whole,) = plot(ledgers["month"], columns, "--by", "month")
    by_ip = plot(ledgers["month"], columns, "--by", "ip,month")

    assert re.fullmatch(r"2026-11  █+  90", whole)
    assert len(whole) == columns
    assert all(f"2026-11 2001:db8:aaaa:bbbb:cccc:dddd:eeee:ff0{number}" in "\n".join(by_ip) for number in (0, 1))
    bars = [line.count("█") for line in by_ip if "█" in line]
    assert bars == [pytest.approx(2 * bars[1], abs=1), bars[1]]


def test_bar_is_below_its_name_if_it_does_not_fit_beside_it(ledgers: dict[str, str]) -> None:
    lines = plot(ledgers["month"], 40, "--by", "ip")

    assert lines == [
        "60  2001:db8:aaaa:bbbb:cccc:dddd:eeee:ff00",
        "█" * 40,
        "30  2001:db8:aaaa:bbbb:cccc:dddd:eeee:ff01",
        "█" * 20,
    ]


def test_plot_in_a_pipe_is_as_wide_as_80_columns(ledgers: dict[str, str]) -> None:
    def piped(*arguments: str) -> list[str]:
        ended = forked.run(["usage", "--plot", *arguments, "--database", ledgers["days"]], {"COLUMNS": "200"})
        return [line.rstrip() for line in ended.stdout.splitlines()]

    assert len(axis(piped("--by", "ip,day"))[0]) + LABELS == 80
    assert len(piped("--by", "ip")[0]) == 80
