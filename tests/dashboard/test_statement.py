"""A statement has tables that add up, is the same for the same data, and takes every text from outside as a text."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hero_broker.core.money import NANO
from hero_broker.core.records import UsageTotals
from hero_broker.dashboard.statement import (
    MAX_CHART_DAYS,
    Issuer,
    Recipient,
    Statement,
    StatementDay,
    StatementLine,
    StatementPeriod,
    statement_file,
)
from tests.dashboard.html_page import HtmlPage

ZURICH = ZoneInfo("Europe/Zurich")
NOVEMBER, DECEMBER = 1_793_487_600, 1_796_079_600  # their first seconds, in Zurich
CLOSED = StatementPeriod("2026-11", ZURICH, closed_at=DECEMBER + 36_000)
DRAFT = StatementPeriod("2026-11", ZURICH, since=NOVEMBER, until=DECEMBER)
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></title><b>",
    "\u05e9\u05dc\u05d5\u05dd (123)",
    "\U0001f4a1\U0001f1e8\U0001f1ed B\u00fcro",
    "W" * 100,
]


class Cell(NamedTuple):
    """The calls of one address to one model on one day: a line of a statement, and a day of it."""

    line: StatementLine
    day: StatementDay


def cell(day: int, *, ip: str = "192.0.2.7", label: str | None = "Research", model: str = "m", **sums: int) -> Cell:
    at = NOVEMBER + (day - 1) * 86_400
    totals = UsageTotals(**{"requests": 1, "first_seen": at, "last_seen": at + 60, **sums})
    return Cell(StatementLine(ip, label, model, totals), StatementDay(date(2026, 11, day), model, totals))


def statement(*cells: Cell, period: StatementPeriod = CLOSED, **parts: object) -> Statement:
    lines, days = tuple(one.line for one in cells), tuple(one.day for one in cells)
    whole = Statement(Issuer(), Recipient(), period, lines, days)
    return replace(whole, **parts)  # type: ignore[arg-type]


def page(*cells: Cell, period: StatementPeriod = CLOSED, **parts: object) -> HtmlPage:
    return HtmlPage(statement_file(statement(*cells, period=period, **parts)))


def numbers(row: Sequence[str], names: int) -> list[Decimal]:
    return [Decimal(text.replace(",", "") or "0") for text in row[names:]]


SUMMED = ("requests", "input_tokens", "output_tokens", "characters", "images", "cost_nano_usd")
counts = st.integers(0, 10**12)
cells_of_any_usage = st.lists(
    st.builds(
        lambda day, ip, model, sums: cell(day, ip=ip, model=model, **sums),
        st.integers(1, 30),
        st.sampled_from(["192.0.2.7", "2001:db8::7", "unknown"]),
        st.sampled_from(["a", "b", "c", "d", "e", "f", "g", "h"]),
        st.fixed_dictionaries(dict.fromkeys(SUMMED, counts)),
    ),
    max_size=12,
)


@settings(deadline=None)
@given(cells_of_any_usage)
def test_each_table_adds_up_to_the_total(cells: list[Cell]) -> None:
    total = sum(one.line.totals.cost_nano_usd for one in cells)

    shown = page(*cells)

    assert list(shown.tables) == ["Models", "Addresses", "Days"]
    for caption, names in (("Models", 1), ("Addresses", 2), ("Days", 1)):
        _, *lines, last = shown.tables[caption]
        sums = [sum(column, Decimal(0)) for column in zip(*(numbers(line, names) for line in lines), strict=True)]
        assert numbers(last, 1) == (sums or [Decimal(0)] * len(last[1:]))
        assert numbers(last, 1)[-1] * NANO == total


@settings(deadline=None)
@given(cells_of_any_usage, st.randoms(use_true_random=False))
def test_same_usage_in_any_order_gives_the_same_bytes(cells: list[Cell], order: random.Random) -> None:
    shuffled = list(cells)
    order.shuffle(shuffled)

    assert statement_file(statement(*shuffled)) == statement_file(statement(*cells))


def test_tables_have_the_largest_first_and_days_in_order() -> None:
    shown = page(
        cell(3, ip="192.0.2.8", model="small", cost_nano_usd=25_970, input_tokens=40, output_tokens=3),
        cell(2, model="large", cost_nano_usd=1_500_000_000_000, input_tokens=1_234_567),
        cell(3, model="large", cost_nano_usd=NANO),
    )

    assert shown.tables["Models"] == [
        ["Model", "Requests", "Input tokens", "Output tokens", "USD"],
        ["large", "2", "1,234,567", "0", "1,501.00000000"],
        ["small", "1", "40", "3", "0.00002597"],
        ["Total", "3", "1,234,607", "3", "1,501.00002597"],
    ]
    assert [row[:2] for row in shown.tables["Addresses"]] == [
        ["Address", "Label"],
        ["192.0.2.7", "Research"],
        ["192.0.2.8", "Research"],
        ["Total", "3"],
    ]
    assert [row[0] for row in shown.tables["Days"]] == ["Day", "2026-11-02", "2026-11-03", "Total"]
    assert "Total 1,501.00002597 USD" in shown.text


def test_units_that_occur_have_a_column() -> None:
    shown = page(
        cell(1, model="ears", audio_ms=754_000),
        cell(1, model="voice", characters=1_200),
        cell(1, model="all", audio_ms=61_250, search_units=2, images=3, web_searches=4),
    )

    head, *_, last = shown.tables["Models"]
    assert head[4:] == ["Characters", "Audio (min:s)", "Searches", "Images", "Web searches", "USD"]
    assert last[4:-1] == ["1,200", "13:35.250", "2", "3", "4"]
    assert {row[0]: row[5] for row in shown.tables["Models"][1:-1]} == {
        "ears": "12:34.000",
        "voice": "",
        "all": "1:01.250",
    }


def test_audio_of_whole_seconds_has_no_milliseconds() -> None:
    shown = page(cell(1, audio_ms=3_599_000), cell(2, audio_ms=1_000))

    assert [row[4] for row in shown.tables["Days"]] == ["Audio (min:s)", "59:59", "0:01", "60:00"]


def test_closed_period_says_when_it_was_closed() -> None:
    shown = page(cell(1))

    assert shown.title == "Statement 2026-11, all addresses"
    assert "Statement Period November 2026 , closed on 1 December 2026 10:00" in shown.text
    assert "Draft" not in shown.text
    assert "Time zone Europe/Zurich" in shown.text
    assert "First and last call 1 November 2026 00:00 and 1 November 2026 00:01" in shown.text


def test_calls_of_a_period_are_told_by_its_end() -> None:
    by_time = page(cell(1), period=replace(CLOSED, until=DECEMBER))
    by_position = page(cell(1))

    assert "Calls that began before 1 December 2026 00:00 and were in no earlier statement First" in by_time.text
    assert "Calls that were recorded before the close and were in no earlier statement First" in by_position.text


def test_end_within_a_minute_has_seconds() -> None:
    shown = page(cell(1), period=replace(CLOSED, until=DECEMBER + 61))

    assert "Calls that began before 1 December 2026 00:01:01 and were in no earlier statement" in shown.text


def test_late_calls_are_counted_if_the_statement_is_for_all() -> None:
    late = replace(CLOSED, late_requests=1)

    for_all, for_label, none_late = (
        page(cell(1), period=late),
        page(cell(1), period=late, recipient=Recipient("a")),
        page(),
    )

    said = "Late: 1 request began in an earlier period, and came after its close."
    assert [said in shown.text for shown in (for_all, for_label, none_late)] == [True, False, False]


def test_statement_says_whose_labels_it_has() -> None:
    of_close, of_now, without = (
        page(cell(1, label=label), period=replace(CLOSED, has_labels_of_close=is_of_close))
        for label, is_of_close in (("a", True), ("a", False), (None, False))
    )

    assert "Labels are those of the close." in of_close.text
    assert "Labels are those of the day on which this statement was written." in of_now.text
    assert "Labels are those" not in without.text


def test_month_that_is_not_closed_is_a_draft() -> None:
    shown = page(cell(1), period=DRAFT)

    assert shown.title == "Draft statement 2026-11, all addresses"
    assert "Draft: this month is not closed. The amounts may change." in shown.text
    assert "Calls that began at or after 1 November 2026 00:00, and before 1 December 2026 00:00" in shown.text


@pytest.mark.parametrize(
    ("recipient", "shown_as", "tables"),
    [
        (Recipient(), "For All addresses", ["Models", "Addresses", "Days"]),
        (Recipient("Research"), "For Research", ["Models", "Addresses", "Days"]),
        (Recipient(""), "For Addresses without a label", ["Models", "Addresses", "Days"]),
        (Recipient("Research", "192.0.2.7"), "For Address 192.0.2.7 ( Research )", ["Models", "Days"]),
        (Recipient(None, "2001:db8::7"), "For Address 2001:db8::7 Calls", ["Models", "Days"]),
        (Recipient(None, "unknown"), "For callers on a Unix socket", ["Models", "Days"]),
    ],
)
def test_statement_is_for_all_or_a_label_or_an_address(recipient: Recipient, shown_as: str, tables: list[str]) -> None:
    shown = page(cell(1), recipient=recipient)

    assert shown_as in shown.text
    assert list(shown.tables) == tables


def test_label_stands_beside_addresses_of_a_statement_for_all() -> None:
    cells = [cell(1, cost_nano_usd=1), cell(1, ip="192.0.2.9", label=None)]

    for_all, for_label = page(*cells), page(*cells, recipient=Recipient("Research"))

    assert [row[:2] for row in for_all.tables["Addresses"][1:3]] == [
        ["192.0.2.7", "Research"],
        ["192.0.2.9", "(no label)"],
    ]
    assert for_label.tables["Addresses"][0][:2] == ["Address", "Requests"]


def test_issuer_and_note_are_shown_with_their_lines() -> None:
    issuer = Issuer("Example Ltd", "Street 1\n8000 Example", "Within 30 days.\nThank you.")

    shown, bare = page(cell(1), issuer=issuer), page(cell(1))

    assert "Example Ltd Street 1 8000 Example" in shown.text
    assert "Street 1\n8000 Example" in shown.texts
    assert "Within 30 days.\nThank you." in shown.texts
    assert {"issuer", "note lines"} <= {attributes.get("class") for _, attributes in shown.elements}
    assert not {"issuer", "note lines"} & {attributes.get("class") for _, attributes in bare.elements}


def test_estimated_and_unpriced_calls_are_counted_and_their_models_named() -> None:
    cells = [
        cell(1, model="a", requests=1_200, estimated_requests=3, unpriced_requests=1),
        cell(1, model="b", requests=2, unpriced_requests=2),
        cell(2, model="c", requests=1),
    ]

    shown, plain = page(*cells), page(cell(1))

    assert "Estimated: 3 of 1,203 requests. The provider did not report what they used." in shown.text
    assert "Without a known price, counted as 0 USD: 3 requests, of b (2), a (1)." in shown.text
    assert "Estimated: 0 of 1 request." in plain.text
    assert "Without a known price" not in plain.text


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile_text_is_text(text: str) -> None:
    issuer = Issuer(text, text, text)
    plain = page(cell(1, cost_nano_usd=1), recipient=Recipient("Research"), issuer=Issuer("a", "b", "c"))

    shown = page(
        cell(1, ip=text, label=text, model=text, unpriced_requests=1, cost_nano_usd=1),
        recipient=Recipient(text),
        issuer=issuer,
    )
    for_all = page(cell(1, label=text))

    assert {name for name, _ in shown.elements} == {name for name, _ in plain.elements}
    assert all(not name.startswith("on") for _, attributes in shown.elements for name in attributes)
    assert shown.title == f"Statement 2026-11, {text}"
    assert shown.texts.count(text) == 7 + (len(text) < 50)  # the chart cuts a long one
    assert for_all.tables["Addresses"][1][1] == text


def test_characters_that_reverse_or_hide_others_are_replaced() -> None:
    shown = page(cell(1, model="a\u202eb\u200bc\x00"))

    assert shown.tables["Models"][1][0] == "a\ufffdb\ufffdc\ufffd"


def test_file_has_no_script_and_loads_nothing() -> None:
    content = statement_file(statement(cell(1, cost_nano_usd=1), recipient=Recipient("a")))
    shown = HtmlPage(content)

    names = {name for name, _ in shown.elements}
    attributes = {name for _, some in shown.elements for name in some}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "a", "form", "base"}
    assert not attributes & {"src", "href", "style", "srcset", "action"}
    assert content.count(b"<style>") == 1
    assert b"@import" not in content
    assert content.replace(b"url(#stripes", b"").count(b"url(") == 0
    policy = next(some for _, some in shown.elements if some.get("http-equiv") == "Content-Security-Policy")
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"


def test_tables_and_chart_can_be_read_aloud() -> None:
    shown = page(cell(1, cost_nano_usd=NANO))

    assert ("html", {"lang": "en"}) in shown.elements
    cells = [attributes for name, attributes in shown.elements if name == "th"]
    assert {attributes.get("scope") for attributes in cells} == {"col", "row"}
    assert [attributes["role"] for name, attributes in shown.elements if name == "svg"] == ["img"]
    assert [name for name, _ in shown.elements].count("desc") == 1


def test_chart_has_the_days_without_calls_too() -> None:
    shown = page(cell(2, cost_nano_usd=NANO), cell(5, cost_nano_usd=NANO))

    assert [text for text in shown.texts if text.endswith(" Nov")] == ["2 Nov", "3 Nov", "4 Nov", "5 Nov"]


def test_chart_is_left_out_if_a_late_call_began_long_before() -> None:
    line, day = cell(1)
    first = date(2026, 11, 30) - timedelta(days=MAX_CHART_DAYS)
    late, later = (Cell(line, replace(day, day=first + timedelta(days=after))) for after in (0, 1))

    with_chart, without = page(later, cell(30)), page(late, cell(30))

    assert "svg" in {name for name, _ in with_chart.elements}
    assert "svg" not in {name for name, _ in without.elements}
    assert len(without.tables["Days"]) == 4


def test_statement_whose_days_could_not_be_read_says_so() -> None:
    cells = [cell(1, cost_nano_usd=NANO), cell(2, ip="192.0.2.8", cost_nano_usd=NANO)]

    without, with_days = page(*cells, days=None), page(*cells)

    said = "Without a table and a chart of days: the calls were too many to add up by day."
    assert [said in shown.text for shown in (without, with_days)] == [True, False]
    assert "svg" not in {name for name, _ in without.elements}
    assert without.tables == {name: rows for name, rows in with_days.tables.items() if name != "Days"}
    assert "Total 2.00 USD" in without.text


def test_each_of_very_many_addresses_has_a_row() -> None:
    ips = [f"10.0.{at // 250}.{at % 250}" for at in range(5_000)]

    shown = page(*(cell(1, ip=ip, cost_nano_usd=NANO) for ip in ips))

    _, *rows, last = shown.tables["Addresses"]
    assert [row[0] for row in rows] == sorted(ips)
    assert last[-1] == "5,000.00"


def test_statement_without_calls_is_zero() -> None:
    shown = page()

    assert "Total 0.00 USD" in shown.text
    assert [rows[1:] for rows in shown.tables.values()] == [[["Total", "0", "0", "0", "0.00"]]] * 3
