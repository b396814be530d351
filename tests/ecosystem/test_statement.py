"""Statements on paper: Chromium prints them to PDF, and no row, table or text is cut."""

import json
import os
import re
import subprocess
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from hero_broker.core.money import NANO
from hero_broker.core.records import UsageTotals
from hero_broker.dashboard.statement import (
    Issuer,
    Recipient,
    Statement,
    StatementDay,
    StatementLine,
    StatementPeriod,
    statement_file,
)
from tests.ecosystem.place import CLIENTS, INSTALLED

DAYS = [date(2026, 9, 1) + timedelta(days=at) for at in range(91)]
LENGTHS = [60 + at * 37 % 130 for at in range(91)]  # of the names of models, which take several lines each
MODELS = [f"model-{at:02}-{'w' * length}" for at, length in enumerate(LENGTHS)]
ZURICH = ZoneInfo("Europe/Zurich")
ISSUER = Issuer("Example Ltd", "1 Example Street\n8000 Zürich", "Please pay within 30 days.")
ROW = re.compile(r"^ *(2026-\d\d-\d\d|Total) +([\d,]+) +([\d,]+) +([\d,]+) +([\d,]+\.\d+) *$")


def statement() -> bytes:
    """Return the file of a statement with tables of several pages."""
    period = StatementPeriod("2026-Q4", ZURICH, closed_at=1_796_115_600, until=1_796_079_600)
    sums = [
        UsageTotals(
            requests=1,
            input_tokens=1_000,
            output_tokens=at,
            cost_nano_usd=NANO + at,
            first_seen=1_790_000_000,
            last_seen=1_796_000_000,
        )
        for at in range(len(DAYS))
    ]
    lines = tuple(StatementLine(f"192.0.2.{at % 3}", "Research", MODELS[at], totals) for at, totals in enumerate(sums))
    days = tuple(StatementDay(day, MODELS[at], sums[at]) for at, day in enumerate(DAYS))
    return statement_file(Statement(ISSUER, Recipient("Research"), period, lines, days))


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """The lines of text on each page of the printed statement."""
    folder = tmp_path_factory.mktemp("statement")
    (folder / "statement.html").write_bytes(statement())
    chromium = [
        os.environ.get("CHROMIUM", "/usr/bin/chromium"),
        *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
        *("--disable-component-update", "--disable-sync", f"--user-data-dir={folder}/profile"),
        *("--no-pdf-header-footer", f"--print-to-pdf={folder}/statement.pdf", f"file://{folder}/statement.html"),
    ]
    subprocess.run(chromium, capture_output=True, timeout=120, check=True)
    reader = Path(os.environ[INSTALLED]) / "pypdf" / "bin" / "python"
    program = [str(reader), str(CLIENTS / "pypdf" / "pages.py"), str(folder / "statement.pdf")]
    printed: list[list[str]] = json.loads(subprocess.run(program, capture_output=True, timeout=60, check=True).stdout)
    return printed


def test_first_page_says_who_owes_how_much_and_each_page_has_its_number(pages: list[list[str]]) -> None:
    first = " ".join(" ".join(pages[0]).split())

    assert len(pages) > 3
    for text in (
        "Statement",
        "Example Ltd",
        "8000 Zürich",
        "Research",
        "91.000004095 USD",
        "Please pay within 30 days.",
    ):
        assert text in first
    assert [lines[-1].strip() for lines in pages] == [f"{at} / {len(pages)}" for at in range(1, len(pages) + 1)]


def test_every_day_is_one_whole_line_below_the_head_of_its_table(pages: list[list[str]]) -> None:
    days = []
    for lines in pages:
        rows = [(at, row) for at, line in enumerate(lines) if (row := ROW.match(line)) and row[1] != "Total"]
        if rows:
            above = [line.split() for line in lines[: rows[0][0]] if line.strip()]
            assert above[-1][:1] == ["Day"] or above[-2][:1] == ["Day"]
        days += [row[1] for _, row in rows]

    assert days == [f"{day}" for day in DAYS]


def test_total_of_each_table_stands_once_below_its_last_row(pages: list[list[str]]) -> None:
    totals = [row.groups() for row in map(ROW.match, pages[-1]) if row]

    assert sum(line.split()[:2] == ["Total", "91"] for lines in pages for line in lines) == 3
    assert totals[-2][0] == f"{DAYS[-1]}"
    assert totals[-1] == ("Total", "91", "91,000", "4,095", "91.000004095")


def test_row_of_several_lines_is_on_one_page(pages: list[list[str]]) -> None:
    found = []
    for lines in pages:
        names = [line for line in lines if "…" not in line]  # the chart cuts names
        rows = [int(number) for line in names for number in re.findall(r"^ *model-(\d\d)-", line)]
        found += rows

        assert sum(line.count("w") for line in names if re.match(r" *(model-\d\d-w*|w+)( |$)", line)) == sum(
            LENGTHS[row] for row in rows
        )

    assert sorted(found) == list(range(len(MODELS)))
