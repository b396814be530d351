"""The FOCUS file over RPC and REST, on each store; its lines obey what the specification demands of each column."""

import csv
import io
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from hero_broker.admin_plane import focus
from hero_broker.core.addresses import ip_key
from hero_broker.core.calls import Outcome
from hero_broker.core.focus import FocusDay, FocusQuery, FocusReport
from hero_broker.core.records import PriceRecord
from hero_broker.core.usage import Usage
from hero_broker.reports.usage import Reports
from hero_broker.store.database import open_database
from tests.admin_plane.test_billing import Ledger
from tests.kept_ledger import KeptLedger
from tests.ledger.rows import row
from tests.reports.test_focus_lines import (
    AUDIO,
    CACHED,
    FOUNDING,
    MACHINE,
    PRICES,
    REQUEST,
    SEARCHES,
    TOOLS,
    chat,
    priced,
)

CSV = {"accept": "text/csv"}
AT, DAY = 1_700_006_400, 86_400  # a midnight in UTC
# What FOCUS 1.2 wants of every file.
MANDATORY = {
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
}
NULL = {*focus.ALWAYS_NULL, "ResourceName", "Tags", "x_BillingPeriod", "x_Label", "x_PriceId"}
ROWS = [
    chat(started_at=AT, ip="192.0.2.1", ip_key=ip_key("192.0.2.1")),
    chat(started_at=AT + DAY, ip="192.0.2.9", ip_key=ip_key("192.0.2.9")),
    priced(CACHED, Usage(input_tokens=900, output_tokens=7, cached_input_tokens=400), started_at=AT, model="gpt"),
    priced(AUDIO, Usage(audio_ms=61_234), started_at=AT, model="whisper", kind="stt"),
    priced(MACHINE, Usage(40, 3), 1234, started_at=AT, model="own"),
    priced(SEARCHES, Usage(search_units=3), started_at=AT, model="rerank", kind="rerank"),
    priced(REQUEST, Usage(input_tokens=5, output_tokens=0), started_at=AT, model="search"),
    priced(
        TOOLS,
        Usage(input_tokens=9, output_tokens=0, cache_write_tokens=5, cache_write_1h_tokens=5, images=2, web_searches=3),
        started_at=AT,
        model="tools",
    ),
    row(started_at=AT, cost_source="provider", price_id=None, cost_nano_usd=1_234_567, model="router"),
    row(started_at=AT, cost_source=None, price_id=None, cost_nano_usd=None, model="new"),
    row(started_at=AT, outcome=Outcome.PROVIDER_ERROR, cost_nano_usd=0, price_id=None, cost_source=None),
]


@pytest.fixture(scope="module")
def kept(store_name: str, new_ledger: Callable[[str], str]) -> Iterator[KeptLedger]:
    with open_database(new_ledger(store_name)) as database:
        database.append(ROWS, [PriceRecord(price.price_id, price.rates, "", "") for price in PRICES])
        ledger = Ledger(database)
        for target, label in (("192.0.2.0/24", "=1+1"), ("192.0.2.1", 'Größe "A", B')):
            ledger.call("labels.set", target=target, label=label)
        yield KeptLedger(database)


@pytest.fixture
def ledger(kept: KeptLedger) -> Iterator[Ledger]:
    with kept.lent() as database:
        yield Ledger(database)


def lines_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_file_costs_what_the_report_does(ledger: Ledger) -> None:
    answer = ledger.call("billing.focus")["result"]
    totals = ledger.get("/billing/usage")["totals"]

    lines = lines_of(answer["data"]["csv"])
    assert answer["data"]["version"] == "1.2"
    assert answer["data"]["rows"] == len(lines) == 20
    assert sum(Decimal(line["BilledCost"]) for line in lines) * 10**9 == int(totals["total_cost_nano_usd"])
    for column, name in (
        ("x_Requests", "requests"),
        ("x_FailedRequests", "failed_requests"),
        ("x_EstimatedRequests", "estimated_requests"),
        ("x_UnpricedRequests", "unpriced_requests"),
    ):
        assert sum(int(line[column]) for line in lines) == totals[name], column


def test_lines_obey_the_specification(ledger: Ledger) -> None:
    lines = lines_of(ledger.call("billing.focus")["result"]["data"]["csv"])

    columns = list(lines[0])
    assert len(MANDATORY) == 21
    assert set(columns) >= MANDATORY
    assert columns == sorted(columns, key=lambda name: (name.startswith("x_"), name)), "columns of one's own are last"
    for line in lines:
        assert {name for name, value in line.items() if not value} <= NULL
        quantity, unit_price = Decimal(line["PricingQuantity"]), Decimal(line["ListUnitPrice"])
        assert quantity * unit_price == Decimal(line["ListCost"]) == Decimal(line["ContractedCost"])
        assert line["ContractedUnitPrice"] == line["ListUnitPrice"]
        assert line["BilledCost"] == line["EffectiveCost"]
        assert abs(Decimal(line["BilledCost"]) - Decimal(line["ListCost"])) < Decimal("0.000000001")
        assert Decimal(line["ConsumedQuantity"]) > 0
        assert line["SkuId"].startswith(f"{line['ProviderName']}/{line['ServiceName']}/")
        times = [line[name] for name in ("BillingPeriodStart", "ChargePeriodStart", "ChargePeriodEnd")]
        assert times == sorted(times)
        assert line["ChargePeriodEnd"] <= line["BillingPeriodEnd"]
        for name, value in line.items():
            if name.endswith(("Cost", "Price", "Quantity")):
                assert re.fullmatch(r"(0|[1-9][0-9]*)\.([0-9]*[1-9]|0)", value), (name, value)
            if name.endswith(("Start", "End")):
                assert re.fullmatch(r"2023-11-\d\dT00:00:00Z", value), (name, value)


@pytest.mark.parametrize(
    ("sku", "expected"),
    [
        pytest.param(
            "groq/llama-3.3-70b/input_tokens",
            ("Input Tokens", "40.0", "Tokens", "0.00004", "1000000 Tokens", "0.59", "0.0000236"),
            id="tokens",
        ),
        pytest.param(
            "groq/gpt/cached_input_tokens",
            ("Cached Input Tokens", "400.0", "Tokens", "0.0004", "1000000 Tokens", "1.25", "0.0005"),
            id="cached",
        ),
        pytest.param(
            "groq/whisper/audio_ms",
            ("Audio", "61.234", "Seconds", "1.020566666667", "Minutes", "0.00185", "0.001888048"),
            id="audio",
        ),
        pytest.param(
            "groq/own/duration_ms",
            ("Duration", "1.234", "Seconds", "1.234", "Seconds", "0.0001", "0.0001234"),
            id="seconds",
        ),
        pytest.param(
            "groq/own/gpu_ms",
            ("GPU Time", "9.872", "GPU Seconds", "9.872", "GPU Seconds", "0.0008", "0.0078976"),
            id="seconds of GPUs",
        ),
        pytest.param(
            "groq/rerank/search_units",
            ("Search Units", "3.0", "Searches", "0.003", "1000 Searches", "2.0", "0.006"),
            id="searches",
        ),
        pytest.param(
            "groq/tools/cache_write_1h_tokens",
            ("Cache Write 1h Tokens", "5.0", "Tokens", "0.000005", "1000000 Tokens", "6.0", "0.00003"),
            id="one-hour cache writes",
        ),
        pytest.param(
            "groq/tools/web_searches",
            ("Web Searches", "3.0", "Searches", "0.003", "1000 Searches", "10.0", "0.03"),
            id="web searches",
        ),
        pytest.param("groq/tools/images", ("Images", "2.0", "Images", "2.0", "Images", "0.04", "0.08"), id="images"),
        pytest.param(
            "groq/search/request", ("Request", "1.0", "Requests", "1.0", "Requests", "0.01", "0.01"), id="request"
        ),
        pytest.param(
            "groq/router/calls",
            ("Calls", "1.0", "Requests", "0.001234567", "USD", "1.0", "0.001234567"),
            id="cost without rates",
        ),
        pytest.param("groq/new/calls", ("Calls", "1.0", "Requests", "0.0", "USD", "1.0", "0.0"), id="unpriced"),
    ],
)
def test_units_are_those_of_the_price(ledger: Ledger, sku: str, expected: tuple[str, ...]) -> None:
    lines = lines_of(ledger.call("billing.focus")["result"]["data"]["csv"])
    line = next(one for one in lines if one["SkuId"] == sku)

    names = (
        "SkuMeter",
        "ConsumedQuantity",
        "ConsumedUnit",
        "PricingQuantity",
        "PricingUnit",
        "ListUnitPrice",
        "BilledCost",
    )
    assert tuple(line[name] for name in names) == expected


def test_labels_and_models_are_no_formulas(ledger: Ledger) -> None:
    ledger.database.append([chat(started_at=AT, model="=2+2 llama")], [])
    lines = lines_of(ledger.call("billing.focus")["result"]["data"]["csv"])

    labels = {line["ResourceId"]: line["ResourceName"] for line in lines}
    assert labels == {"192.0.2.1": 'Größe "A", B', "192.0.2.9": "'=1+1", "127.0.0.1": ""}
    assert {json.loads(line["Tags"])["label"] for line in lines if line["Tags"]} == {'Größe "A", B', "=1+1"}
    assert "'=2+2 llama" in {line["ServiceName"] for line in lines} & {line["x_Model"] for line in lines}
    for line in lines:
        assert (line["x_Label"], line["x_Address"]) == (line["ResourceName"], line["ResourceId"])
        assert not any(value.startswith(("=", "+", "-", "@")) for value in line.values())


def test_window_and_period_are_the_billing_period(ledger: Ledger) -> None:
    assert "result" in ledger.call("billing.mark_billed", reference="2023-11", to_seq=2)
    by_window = lines_of(ledger.call("billing.focus", since=AT, until=AT + 3_600)["result"]["data"]["csv"])
    by_period = lines_of(ledger.call("billing.focus", period="2023-11")["result"]["data"]["csv"])

    names = ("BillingPeriodStart", "BillingPeriodEnd", "x_BillingPeriod", "ChargePeriodStart", "ChargePeriodEnd")
    assert {tuple(line[name] for name in names) for line in by_window} == {
        ("2023-11-15T00:00:00Z", "2023-11-15T01:00:00Z", "", "2023-11-15T00:00:00Z", "2023-11-15T01:00:00Z")
    }
    assert {tuple(line[name] for name in names) for line in by_period} == {
        ("2023-11-15T00:00:00Z", "2023-11-17T00:00:00Z", "2023-11", "2023-11-15T00:00:00Z", "2023-11-16T00:00:00Z"),
        ("2023-11-15T00:00:00Z", "2023-11-17T00:00:00Z", "2023-11", "2023-11-16T00:00:00Z", "2023-11-17T00:00:00Z"),
    }
    assert sum(int(line["x_Requests"]) for line in by_period) == 2


@pytest.mark.parametrize("lines_per_piece", [1, 2_000])
def test_stream_is_the_file(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, lines_per_piece: int) -> None:
    whole = ledger.get("/billing/focus", since=AT)["data"]["csv"]
    monkeypatch.setattr(focus, "LINES_PER_PIECE", lines_per_piece)
    answer = ledger.send("GET", "/billing/focus", params={"since": AT, "version": "1.2"}, headers=CSV)

    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.content.decode() == whole


def test_stream_of_no_calls_is_the_header(ledger: Ledger) -> None:
    answer = ledger.send("GET", "/billing/focus", params={"until": 1}, headers=CSV)

    assert answer.text.rstrip("\r\n").split(",") == list(focus.COLUMNS)
    assert ledger.get("/billing/focus", until=1)["data"] == {"version": "1.2", "rows": 0, "csv": answer.text}


def test_json_has_a_limit_of_lines_that_a_stream_has_not(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(focus, "MAX_LINES", 13)
    answer = ledger.send("GET", "/billing/focus")
    streamed = ledger.send("GET", "/billing/focus", headers=CSV)

    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == (
        "The export has more than 13 lines: set a narrower window with since and until, "
        "or stream it from GET /billing/focus with Accept: text/csv"
    )
    assert ledger.call("billing.focus")["error"]["code"] == -32003
    assert len(lines_of(streamed.text)) == 20


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/csv, */*;q=0.1", "text/csv"),
        ("application/json, text/csv", "application/json"),
        ("application/x-ndjson", "application/json"),
    ],
)
def test_json_is_sent_unless_csv_is_asked_for(ledger: Ledger, accept: str, kind: str) -> None:
    answer = ledger.send("GET", "/billing/focus", headers={"accept": accept})

    assert answer.headers["content-type"].startswith(kind)


@pytest.mark.parametrize(
    ("query", "param", "status"),
    [
        ({"period": "none"}, None, 404),
        ({"period": "2023-11", "since": "1"}, "period", 400),
        ({"period": "2023-11", "until": "1"}, "period", 400),
        ({"since": "2", "until": "1"}, "since", 400),
        ({"since": "1700000000000"}, "since", 400),
        ({"version": "1.0"}, "version", 400),
        ({"limit": "5"}, "limit", 400),
    ],
)
@pytest.mark.parametrize("accept", ["application/json", "text/csv"])
def test_wrong_query_has_an_error_and_no_file(
    ledger: Ledger, query: dict[str, str], param: str | None, status: int, accept: str
) -> None:
    answer = ledger.send("GET", "/billing/focus", params=query, headers={"accept": accept})

    assert answer.status_code == status
    assert answer.json()["error"]["param"] == param


def test_head_of_a_stream_reads_one_day(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    of_ledger, days = Reports.focus, []

    async def counted(report: FocusReport) -> AsyncIterator[FocusDay]:
        async for day in report.days:
            days.append(day)
            yield day

    async def reported(reports: Reports, query: FocusQuery) -> FocusReport:
        report = await of_ledger(reports, query)
        return replace(report, days=counted(report))

    monkeypatch.setattr(Reports, "focus", reported)
    head = ledger.send("HEAD", "/billing/focus", headers=CSV)

    assert (head.status_code, head.content, len(days)) == (200, b"", 1)
    assert head.headers["content-type"].startswith("text/csv")


def test_page_of_the_columns_has_each_of_them_once() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "focus.md").read_text()
    listed = [
        name for cells in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE) for name in re.findall(r"`(\w+)`", cells)
    ]

    assert sorted(listed) == sorted(focus.COLUMNS)


def test_founding_example_is_two_lines(ledger: Ledger) -> None:
    lines = lines_of(ledger.call("billing.focus", since=AT + DAY)["result"]["data"]["csv"])

    assert [line["BilledCost"] for line in lines] == ["0.0000236", "0.00000237"]
    assert sum(map(Decimal, ("0.0000236", "0.00000237"))) == Decimal("0.00002597")
    assert {line["x_PriceId"] for line in lines} == {FOUNDING.price_id}
    assert Fraction(lines[0]["ListUnitPrice"]) == Fraction("0.59")
