"""Reports, rows, periods and proofs over REST and RPC, from a real ledger on each store."""

import asyncio
import csv
import io
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from ipaddress import ip_network
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from jsonschema import Draft7Validator
from sqlalchemy import text
from starlette.applications import Starlette
from starlette.routing import Route

from hero_broker.admin_plane import billing, exports
from hero_broker.admin_plane.admin import Admin
from hero_broker.admin_plane.contract import load_document
from hero_broker.admin_plane.rest import http_routes
from hero_broker.admin_plane.rpc import RpcEndpoint
from hero_broker.core.addresses import ip_key
from hero_broker.core.calls import Outcome
from hero_broker.core.clock import Clock, SystemClock
from hero_broker.core.money import NANO
from hero_broker.core.queries import RowsQuery
from hero_broker.core.records import Rows
from hero_broker.limits.limit import Limit, LimitMatch, server_limits
from hero_broker.reports.billing_periods import Books
from hero_broker.reports.labels import LabelBook
from hero_broker.reports.limit_book import LimitBook
from hero_broker.reports.usage import Reports
from hero_broker.server.router import EXCEPTION_HANDLERS
from hero_broker.settings.limits import read_definition
from hero_broker.store.database import Database, open_database
from tests.admin_plane.fakes import ServedFake, explained, no_calls, other_prices
from tests.admin_plane.test_methods import cursor_of
from tests.admin_plane.test_rpc import HEALTHY, INFO, LEDGERS, with_request_id
from tests.kept_ledger import KeptLedger
from tests.ledger.rows import row

AT = 1_700_000_000
FIXED_LIMITS = [
    *server_limits(1000, 100),
    Limit(
        "machine-month",
        "usd",
        20 * NANO,
        LimitMatch(network=ip_network("10.77.0.0/24")),
        ("ip",),
        window="month",
        zone=ZoneInfo("Europe/Brussels"),
    ),
]
WINDOW = {"since": AT, "until": AT + 30_000}
DOCUMENT = load_document()
JSON = {"content-type": "application/json"}
ROWS = [
    row(
        started_at=AT + number * 1800,
        ip=ip,
        ip_key=ip_key(ip),
        model=f"model-{number % 3}",
        kind="tts" if number % 4 == 0 else "chat",
        outcome=Outcome.PROVIDER_ERROR if number % 5 == 0 else Outcome.OK,
        context="=1+1" if number == 7 else None,
        cost_nano_usd=None if number == 3 else 1000 + number,
    )
    for number, ip in enumerate(["192.0.2.1", "192.0.2.9", "2001:db8::1", "unknown"] * 5)
]


class Ledger:
    """A ledger, and a way to ask it as clients do."""

    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        self.database = database
        clock = clock or SystemClock()
        labels = LabelBook(database, clock)
        reports, books = Reports(database, labels, clock), Books(database, clock)
        read = partial(read_definition, providers=("groq",), may_share_ledger=not database.has_one_broker)
        admin = Admin(
            reports,
            books,
            labels,
            ServedFake(),
            lambda: HEALTHY,
            lambda: INFO,
            no_calls,
            DOCUMENT,
            other_prices,
            limit_book=LimitBook(database, clock, FIXED_LIMITS, read),
            explain=explained,
        )
        self._app = with_request_id(
            Starlette(
                routes=[Route("/rpc", RpcEndpoint(admin)), *http_routes(admin)], exception_handlers=EXCEPTION_HANDLERS
            )
        )

    def send(self, method: str, url: str, **options: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.request(method, url, **options)

        return asyncio.run(run())

    def get(self, url: str, **params: Any) -> Any:
        return self.send("GET", url, params=params).json()

    def call(self, method: str, **params: Any) -> Any:
        return self.ask(method, params)

    def ask(self, method: str, params: dict[str, Any] | list[Any]) -> Any:
        request = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        return self.send("POST", "/rpc", content=request, headers=JSON).json()

    def run(self, statement: str) -> None:
        with self.database.writing() as connection:
            connection.execute(text(statement))


def fill(database: Database) -> None:
    """Append all rows, of which some are in no sum yet."""
    database.append(ROWS[:12], [])
    database.fold(7)
    database.append(ROWS[12:], [])


@pytest.fixture(scope="module")
def shared(store_name: str, new_ledger: Callable[[str], str]) -> Iterator[Database]:
    """One ledger with all rows."""
    with open_database(new_ledger(store_name)) as database:
        fill(database)
        yield database


@pytest.fixture(scope="module")
def kept(shared: Database) -> KeptLedger:
    """The same, to be changed and put back."""
    return KeptLedger(shared)


@pytest.fixture
def ledger(kept: KeptLedger) -> Iterator[Ledger]:
    """A ledger that the test may change."""
    with kept.lent() as database:
        yield Ledger(database)


@pytest.fixture
def read_only(shared: Database) -> Ledger:
    """The ledger, for a test that changes nothing."""
    return Ledger(shared)


@pytest.fixture(scope="module")
def without_rows(store_name: str, new_ledger: Callable[[str], str]) -> Iterator[KeptLedger]:
    """A ledger for rows of the tests' own, to be put back."""
    with open_database(new_ledger(store_name)) as database:
        yield KeptLedger(database)


@pytest.fixture
def empty(without_rows: KeptLedger) -> Iterator[Database]:
    """A ledger without rows."""
    with without_rows.lent() as database:
        yield database


def without_time(answer: Any) -> Any:
    return {**answer, "as_of": None}


@pytest.mark.parametrize(
    ("url", "method", "query", "params"),
    [
        ("/billing/usage", "billing.usage_by_ip", {"since": AT + 5000}, {"since": AT + 5000}),
        (
            "/billing/report",
            "billing.usage",
            {
                "group_by": "ip,model",
                "prefix": "192.0.2.0/24",
                "kind": "chat",
                "bucket": "day",
                **WINDOW,
            },
            {
                "group_by": ["ip", "model"],
                "filter": {"prefix": "192.0.2.0/24", "kind": "chat"},
                "bucket": "day",
                **WINDOW,
            },
        ),
        (
            "/billing/report",
            "billing.usage",
            {"group_by": "", "bucket": "hour", "tz": "Asia/Kolkata", "dense": "true", **WINDOW},
            {"group_by": [], "bucket": "hour", "tz": "Asia/Kolkata", "dense": True, **WINDOW},
        ),
        (
            "/billing/report",
            "billing.usage",
            {"group_by": "prefix", "prefix_v4": "29", "prefix_v6": "32"},
            {"group_by": ["prefix"], "prefix_v4": 29, "prefix_v6": 32},
        ),
        (
            "/billing/requests",
            "billing.requests",
            {"model": "model-1", "limit": "3"},
            {"filter": {"model": "model-1"}, "limit": 3},
        ),
        ("/billing/requests", "billing.requests", {"cost": "unpriced"}, {"filter": {"cost": "unpriced"}}),
        (
            "/billing/report",
            "billing.usage",
            {"group_by": "model", "cost": "priced", **WINDOW},
            {"group_by": ["model"], "filter": {"cost": "priced"}, **WINDOW},
        ),
        ("/billing/focus", "billing.focus", {**WINDOW}, {**WINDOW, "version": "1.2"}),
        ("/billing/unbilled", "billing.unbilled", {}, {}),
        ("/billing/periods", "billing.periods", {}, {}),
        ("/billing/verify", "billing.verify", {"since": AT}, {"since": AT}),
    ],
)
def test_rest_and_rpc_give_the_same_answer_in_the_documented_form(
    read_only: Ledger, url: str, method: str, query: dict[str, Any], params: dict[str, Any]
) -> None:
    answer = read_only.get(url, **query)
    result = read_only.call(method, **params)["result"]

    assert without_time(answer) == without_time(result)
    documented = next(one for one in DOCUMENT["methods"] if one["name"] == method)["result"]["schema"]
    Draft7Validator({**documented, "components": DOCUMENT["components"]}).validate(answer)


def test_calls_are_chosen_by_whether_their_price_is_known(read_only: Ledger) -> None:
    rows = {cost: read_only.get("/billing/requests", cost=cost)["data"] for cost in ("priced", "unpriced")}
    totals = {
        cost: read_only.get("/billing/report", group_by="model", bucket="day", cost=cost, **WINDOW)["totals"]
        for cost in rows
    }
    every = read_only.get("/billing/report", group_by="model", **WINDOW)["totals"]

    assert [row["cost_nano_usd"] for row in rows["unpriced"]] == [None]
    assert len(rows["priced"]) == len(ROWS) - 1
    assert (totals["unpriced"]["requests"], totals["unpriced"]["unpriced_requests"]) == (1, 1)
    assert (totals["priced"]["requests"], totals["priced"]["unpriced_requests"]) == (every["requests"] - 1, 0)
    assert totals["priced"]["total_cost_nano_usd"] == every["total_cost_nano_usd"]


def test_report_by_price_reads_single_calls_and_so_needs_a_window(read_only: Ledger) -> None:
    answer = read_only.call("billing.usage", group_by=["model"], filter={"cost": "unpriced"})
    wrong = read_only.call("billing.requests", filter={"cost": "free"})

    assert answer["error"]["code"] == -32003
    assert wrong["error"]["data"] == {"param": "filter", "reason": "cost: must be one of priced, unpriced"}


def test_prefixes_are_networks(read_only: Ledger) -> None:
    answer = read_only.get("/billing/report", group_by="prefix", prefix_v4=29, prefix_v6=32)

    assert {group["group"]["prefix"]: group["requests"] for group in answer["data"]} == {
        "192.0.2.0/29": 5,
        "192.0.2.8/29": 5,
        "2001:db8::/32": 5,
        "unknown": 5,
    }


def test_bucket_bounds_are_windows_that_give_the_same_sums(read_only: Ledger) -> None:
    since, until = AT + 100, AT + 34_000
    answer = read_only.get("/billing/report", group_by="", bucket="hour", since=since, until=until, dense="true")

    bounds = [(one["bucket_start"], one["bucket_end"]) for one in answer["data"]]
    assert (bounds[0][0], bounds[-1][1]) == (since, until)
    assert [end for _, end in bounds[:-1]] == [start for start, _ in bounds[1:]]
    for one in answer["data"]:
        alone = read_only.get("/billing/usage", since=one["bucket_start"], until=one["bucket_end"])["totals"]
        assert {name: one[name] for name in alone} == alone


@pytest.mark.parametrize("limit", [1, 3, 7, 20])
def test_pages_of_rows_hold_each_row_once_as_the_listing_began(ledger: Ledger, limit: int) -> None:
    seen = []
    answer = ledger.get("/billing/requests", limit=limit)
    while True:
        seen += answer["data"]
        ledger.database.append([row()], [])
        if answer["next_cursor"] is None:
            break
        answer = ledger.get("/billing/requests", cursor=answer["next_cursor"])

    assert [one["request_id"] for one in seen] == [one.request_id for one in reversed(ROWS)]
    assert [one["seq"] for one in seen] == sorted((one["seq"] for one in seen), reverse=True)


@pytest.mark.parametrize(
    "filters",
    [
        {"ip": "192.0.2.9"},
        {"ip": "192.0.2.77"},
        {"prefix": "192.0.2.0/29"},
        {"model": "model-2", "outcome": "ok"},
        {"since": AT + 3600, "until": AT + 9000},
        {"since": AT + 3600, "until": AT + 9000, "kind": "chat"},
        {"since": AT - 10, "until": AT - 5},
    ],
)
def test_rows_are_filtered(read_only: Ledger, filters: dict[str, Any]) -> None:
    def matches(one: Any) -> bool:
        inside = filters.get("since", 0) <= one.started_at < filters.get("until", 2**53)
        prefix = "prefix" not in filters or one.ip == "192.0.2.1"
        values = {name: value for name, value in filters.items() if name not in ("since", "until", "prefix")}
        return inside and prefix and all(str(getattr(one, name)) == value for name, value in values.items())

    found = [one["request_id"] for one in read_only.get("/billing/requests", **filters)["data"]]

    assert found == [one.request_id for one in reversed(ROWS) if matches(one)]


def test_ndjson_streams_every_row_as_pages_show_it(read_only: Ledger) -> None:
    answer = read_only.send("GET", "/billing/requests", headers={"accept": "application/x-ndjson"})

    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert [json.loads(line) for line in answer.text.splitlines()] == read_only.get("/billing/requests")["data"]


def test_csv_streams_every_row_and_no_formula(read_only: Ledger) -> None:
    answer = read_only.send("GET", "/billing/requests", headers={"accept": "text/csv, */*;q=0.1"})

    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert answer.headers["content-type"].startswith("text/csv")
    assert [one["request_id"] for one in rows] == [one.request_id for one in reversed(ROWS)]
    assert {one["context"] for one in rows} == {"", "'=1+1"}
    assert [one["cost_usd"] for one in rows[:2]] == ["0.000001019", "0.000001018"]


@pytest.mark.parametrize("path", ["/billing/requests", "/billing/report", "/billing/usage"])
@pytest.mark.parametrize("given", [{"limit": "3"}, {"cursor": "x"}])
def test_export_is_all_lines(read_only: Ledger, path: str, given: dict[str, str]) -> None:
    params = {**given, **({"group_by": "ip"} if path == "/billing/report" else {})}

    answer = read_only.send("GET", path, params=params, headers={"accept": "text/csv"})

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == next(iter(given))


EXPORT_WINDOW = {name: str(at) for name, at in WINDOW.items()}
EXPORTED = [
    pytest.param("/billing/usage", {}, id="addresses"),
    pytest.param("/billing/usage", {"since": str(AT + 5_000), "until": str(AT + 20_000)}, id="addresses of a window"),
    pytest.param("/billing/usage/192.0.2.1", {}, id="models"),
    pytest.param("/billing/usage/198.51.100.1", {}, id="no models"),
    pytest.param("/billing/report", {"group_by": ""}, id="one group"),
    pytest.param("/billing/report", {"group_by": "ip,model"}, id="groups"),
    pytest.param("/billing/report", {"group_by": "label"}, id="labels"),
    pytest.param(
        "/billing/report", {"group_by": "ip", "bucket": "hour", "tz": "Asia/Kathmandu", **EXPORT_WINDOW}, id="hours"
    ),
    pytest.param("/billing/report", {"group_by": "model", "bucket": "day", "dense": "true"}, id="all days"),
    pytest.param("/billing/requests", {}, id="rows"),
    pytest.param("/billing/requests", {"kind": "tts"}, id="filtered rows"),
]


@pytest.mark.parametrize(("path", "params"), EXPORTED)
def test_json_ndjson_and_csv_have_the_same_lines(
    ledger: Ledger, path: str, params: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    label = {"label": "=the cellar"}
    ledger.send("PUT", "/admin/labels", params={"target": "192.0.2.1"}, json=label).raise_for_status()
    answer = json.loads(ledger.send("GET", path, params=params).text, parse_float=str)
    lines = answer["data"] if isinstance(answer["data"], list) else answer["data"]["models"]
    monkeypatch.setattr(billing, "MAX_ADDRESSES", 3)  # so that there are several pages
    monkeypatch.setattr(exports, "LINES_PER_PIECE", 2)
    as_ndjson, as_csv = (
        ledger.send("GET", path, params=params, headers={"accept": kind}).text
        for kind in ("application/x-ndjson", "text/csv")
    )
    rows = list(csv.DictReader(io.StringIO(as_csv, newline="")))

    assert [json.loads(line, parse_float=str) for line in as_ndjson.splitlines()] == lines
    assert len(rows) == len(lines)
    for cells, line in zip(rows, lines, strict=True):
        members = {"label": None, **line, **line.get("group", {})}
        besides = {"bucket", "time"} & cells.keys()
        assert {name: cells[name] for name in cells.keys() - besides} == {
            name: cell_of(members[name]) for name in cells.keys() - besides
        }
        assert besides == ({"bucket"} if "bucket" in params else {"time"} if "started_at" in members else set())
        empty = {"group"} if "bucket" in params else {"group", "bucket_start", "bucket_end"}
        assert members.keys() - cells.keys() <= empty


def cell_of(value: object) -> str:
    """Return what CSV has for a value of JSON whose fractions are strings."""
    if isinstance(value, bool):
        return str(int(value))
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith("=") else text


SUMS = (
    "requests,failed_requests,estimated_requests,unpriced_requests,input_tokens,output_tokens,total_tokens,"
    "cached_input_tokens,characters,audio_ms,search_units,images,web_searches,"
    "total_cost_usd,total_cost_nano_usd,first_seen,last_seen"
)


@pytest.mark.parametrize(
    ("path", "params", "columns"),
    [
        ("/billing/usage", {}, "ip,label"),
        ("/billing/usage/192.0.2.1", {}, "model,label"),
        ("/billing/report", {"group_by": ""}, "label"),
        ("/billing/report", {"group_by": "ip,model"}, "ip,model,label"),
        ("/billing/report", {"group_by": "label"}, "label"),
        ("/billing/report", {"group_by": "ip", "bucket": "day"}, "bucket,bucket_start,bucket_end,ip,label"),
    ],
)
def test_csv_of_a_report_has_columns_for_its_groups_and_every_sum(
    read_only: Ledger, path: str, params: dict[str, str], columns: str
) -> None:
    nobody = {"since": str(AT - 20), "until": str(AT - 10)}

    full, empty = (
        read_only.send("GET", path, params=params | window, headers={"accept": "text/csv"}).text
        for window in ({}, nobody)
    )

    assert full.splitlines()[0] == f"{columns},{SUMS}"
    assert empty == f"{columns},{SUMS}\r\n" or not params.get("group_by", "-")


def test_pages_of_all_buckets_end_with_the_last_one_that_has_calls(read_only: Ledger) -> None:
    report = {"group_by": "model", "bucket": "hour", "dense": "true"}
    whole = read_only.get("/billing/report", **report)["data"]

    page = read_only.get("/billing/report", **report, limit=7)
    paged = page["data"]
    while page["next_cursor"] is not None and len(paged) < len(whole):
        page = read_only.get("/billing/report", cursor=page["next_cursor"], group_by="model")
        paged += page["data"]

    assert (paged, page["next_cursor"]) == (whole, None)


@pytest.mark.parametrize(
    ("bucket", "names"),
    [
        ("hour", ["2023-11-15 03:00", "2023-11-15 04:00"]),
        ("day", ["2023-11-15"]),
        ("week", ["2023-W46"]),
        ("month", ["2023-11"]),
        ("quarter", ["2023-Q4"]),
    ],
)
def test_csv_names_the_bucket_in_the_zone(read_only: Ledger, bucket: str, names: list[str]) -> None:
    params = {"group_by": "", "bucket": bucket, "tz": "Asia/Kathmandu", "since": str(AT), "until": str(AT + 3_600)}

    text = read_only.send("GET", "/billing/report", params=params, headers={"accept": "text/csv"}).text

    assert [line["bucket"] for line in csv.DictReader(io.StringIO(text))] == names


@pytest.mark.parametrize(
    ("tz", "time"), [(None, "2023-11-14T22:13:20+00:00"), ("America/New_York", "2023-11-14T17:13:20-05:00")]
)
def test_csv_of_rows_ends_with_their_time_in_the_zone(read_only: Ledger, tz: str | None, time: str) -> None:
    params = {"until": str(AT + 1)} | ({} if tz is None else {"tz": tz})

    text = read_only.send("GET", "/billing/requests", params=params, headers={"accept": "text/csv"}).text

    assert [line.rpartition(",")[2] for line in text.splitlines()] == ["time", time]


@pytest.mark.parametrize(
    "path", ["/billing/usage", "/billing/usage/192.0.2.1", "/billing/report?group_by=ip", "/billing/requests"]
)
def test_csv_begins_with_a_byte_order_mark_if_the_url_says_so(read_only: Ledger, path: str) -> None:
    def export(kind: str, bom: str) -> bytes:
        url = f"{path}{'&' if '?' in path else '?'}bom={bom}"
        return read_only.send("GET", url, headers={"accept": kind}).content

    plain = export("text/csv", "false")

    assert plain.isascii()
    assert export("text/csv", "true") == b"\xef\xbb\xbf" + plain
    assert export("application/x-ndjson", "true").startswith(b"{")


@pytest.mark.parametrize("accept", ["text/csv", "application/x-ndjson", "application/json"])
@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"bom": "yes"}, "must be true or false"),
        ({"bom": "True"}, "must be true or false"),
        ({"tz": "Berlin"}, "must be an IANA time zone, such as Europe/Berlin"),
        ({"tz": ""}, "must be an IANA time zone, such as Europe/Berlin"),
    ],
)
def test_parameter_of_an_export_is_checked_whatever_is_accepted(
    read_only: Ledger, params: dict[str, str], reason: str, accept: str
) -> None:
    answer = read_only.send("GET", "/billing/requests", params=params, headers={"accept": accept})

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == next(iter(params))
    assert reason in answer.json()["error"]["message"]


def test_parameters_of_an_export_are_none_of_the_method(read_only: Ledger) -> None:
    assert read_only.send("GET", "/billing/requests", params={"bom": "true", "tz": "UTC"}).status_code == 200
    for param in ({"bom": True}, {"tz": "UTC"}):
        assert read_only.call("billing.requests", **param)["error"]["data"]["param"] == next(iter(param))


def test_periods_follow_each_other_and_are_idempotent(ledger: Ledger) -> None:
    def mark(reference: str, to_seq: int) -> httpx.Response:
        return ledger.send("POST", "/billing/periods", json={"reference": reference, "to_seq": to_seq})

    first = mark("2023-11", 5)
    again = mark("2023-11", 5)
    second = mark("2023-12", 20)

    assert first.json()["data"] == again.json()["data"]
    assert [one["from_seq"] for one in (first.json()["data"], second.json()["data"])] == [1, 6]
    assert [mark("2023-11", 6).status_code, mark("other", 20).status_code] == [409, 409]
    assert mark("next", 21).json()["error"]["param"] == "to_seq"
    assert mark(" next", 20).json()["error"]["param"] == "reference"
    assert ledger.call("billing.mark_billed", reference="2023-11", to_seq=6)["error"]["code"] == -32005
    periods = ledger.get("/billing/periods")["data"]
    assert [one["totals"]["requests"] for one in periods] == [5, 15]
    unbilled = ledger.get("/billing/unbilled")["data"]
    assert (unbilled["from_seq"], unbilled["to_seq"], unbilled["totals"]["requests"]) == (21, 20, 0)
    by_ip = ledger.get("/billing/report", group_by="ip", period="2023-12")
    assert by_ip["totals"]["total_cost_nano_usd"] == periods[1]["totals"]["total_cost_nano_usd"]
    assert len(ledger.get("/billing/requests", period="2023-11")["data"]) == 5
    assert ledger.call("billing.usage", group_by=[], filter={"period": "none"})["error"]["code"] == -32004


@pytest.mark.slow
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM request_logs WHERE seq = 3",
        "UPDATE request_logs SET cost_nano_usd = 1 WHERE seq = 3",
        "UPDATE request_logs SET ip = '192.0.2.77' WHERE seq = 3",
        f"UPDATE request_logs SET started_at = {AT - 10**6} WHERE seq = 3",
        "UPDATE request_logs SET outcome = 'internal_error' WHERE seq = 3",
        "INSERT INTO request_logs (seq, request_id, started_at, ip, kind, model, provider, upstream_model, stream,"
        " outcome, usage_source, attempts, duration_ms)"
        f" VALUES (0, 'x', {AT}, 'unknown', 'chat', 'm', 'p', 'm', 0, 'ok', 'none', 1, 1)",
        "UPDATE usage_by_ip SET requests = requests + 1 WHERE span_s = 432000 AND ip = 'unknown'",
        "DELETE FROM usage_by_ip_model WHERE span_s = 86400 AND ip = '192.0.2.1'",
        "UPDATE usage_by_model SET last_seen = last_seen + 1 WHERE span_s = 0",
    ],
)
def test_verify_finds_what_was_done_by_hand_and_rebuild_mends_the_rollups(ledger: Ledger, statement: str) -> None:
    while ledger.database.fold(100):
        continue
    assert ledger.get("/billing/verify")["data"] == {
        "ok": True,
        "rows": 20,
        "differences": 0,
        "behind": 0,
        "listed": [],
    }

    ledger.run(statement)
    found = ledger.get("/billing/verify")["data"]
    ledger.send("POST", "/billing/rebuild")
    while ledger.database.fold(7):
        ledger.get("/billing/usage")

    assert not found["ok"]
    assert found["differences"] == len(found["listed"]) > 0
    assert ledger.get("/billing/verify")["data"]["ok"]


@pytest.mark.slow
def test_verify_counts_rows_that_are_newer_than_the_sums_and_does_not_call_the_books_wrong(ledger: Ledger) -> None:
    hour = 3600
    all_of_it = ledger.get("/billing/verify")["data"]
    first = ledger.get("/billing/verify", until=AT + 1)["data"]
    last = ledger.get("/billing/verify", since=AT + 19 * 1800 - hour)["data"]
    ledger.database.append([row(started_at=int(time.time()))], [])
    while ledger.database.fold(100):
        continue
    ledger.database.append([row(started_at=int(time.time()))], [])  # the writer may still come to this one

    assert (all_of_it["ok"], all_of_it["differences"], all_of_it["behind"]) == (True, 0, 13)
    assert first["behind"] == 0
    assert (last["ok"], last["behind"]) == (True, 3)
    assert ledger.get("/billing/verify")["data"]["ok"]


@pytest.mark.slow
def test_verify_finds_a_billed_row_that_was_changed(ledger: Ledger) -> None:
    ledger.call("billing.mark_billed", reference="a", to_seq=10)

    ledger.run("UPDATE request_logs SET cost_nano_usd = 5 WHERE seq = 9")

    listed = ledger.get("/billing/verify")["data"]["listed"]
    assert [one["key"] for one in listed if one["table"] == "billing_periods"] == [{"reference": "a"}]


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"group_by": "ip"}, "group_by"),
        ({"group_by": ["day"]}, "group_by"),
        ({"group_by": ["ip", "ip"]}, "group_by"),
        ({}, "group_by"),
        ({"group_by": [], "bucket": "fortnight"}, "bucket"),
        ({"group_by": [], "bucket": "day", "tz": "Mars/Base"}, "tz"),
        ({"group_by": [], "bucket": "day", "tz": "../etc/passwd"}, "tz"),
        ({"group_by": [], "bucket": "day", "tz": "Europe"}, "tz"),
        ({"group_by": [], "filter": {"ip": "nobody"}}, "filter"),
        ({"group_by": [], "filter": {"prefix": "192.0.2.1/24"}}, "filter"),
        ({"group_by": [], "filter": {"colour": "red"}}, "filter"),
        ({"group_by": [], "filter": []}, "filter"),
        ({"group_by": ["prefix"], "prefix_v4": 33}, "prefix_v4"),
        ({"group_by": ["prefix"], "prefix_v6": True}, "prefix_v6"),
        ({"group_by": [], "dense": True}, "dense"),
        ({"group_by": [], "dense": 1}, "dense"),
        ({"group_by": [], "limit": 10_001}, "limit"),
        ({"group_by": [], "since": 2, "until": 1}, "since"),
        ({"group_by": [], "cursor": "x"}, "cursor"),
    ],
)
def test_bad_parameters_of_a_report_are_named(read_only: Ledger, params: dict[str, Any], param: str) -> None:
    failure = read_only.call("billing.usage", **params)["error"]

    assert (failure["code"], failure["data"]["param"]) == (-32602, param)
    assert "SELECT" not in failure["data"]["reason"]


@pytest.mark.parametrize("name", ["since", "until"])
@pytest.mark.parametrize("at", [1_700_000_000_000, 2**53 - 1], ids=["milliseconds", "largest"])
@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("billing.usage_by_ip", {}),
        ("billing.usage_for_ip", {"ip": "192.0.2.1"}),
        ("billing.usage", {"group_by": [], "bucket": "day"}),
        ("billing.requests", {}),
        ("billing.focus", {}),
        ("billing.verify", {}),
    ],
)
def test_time_that_is_not_in_seconds_is_refused(
    read_only: Ledger, method: str, params: dict[str, Any], name: str, at: int
) -> None:
    failure = read_only.call(method, **params, **{name: at})["error"]

    assert (failure["code"], failure["data"]["param"]) == (-32602, name)
    assert "in seconds, not in milliseconds" in failure["data"]["reason"]


class FrozenClock(SystemClock):
    """A clock that was put back: rows are later than it."""

    def now(self) -> int:
        return AT


def pages_of(ledger: Ledger, method: str, params: dict[str, Any]) -> Iterator[dict[str, Any]]:
    page = ledger.call(method, **params)["result"]
    yield page
    while page["next_cursor"]:
        page = ledger.call(method, **params, cursor=page["next_cursor"])["result"]
        yield page


BY_IP: dict[str, Any] = {"group_by": ["ip"]}
LAST = 2**53 - 1 - AT  # as late as a row can be, 8,000 years: each page by month takes a second


@pytest.mark.parametrize(
    ("method", "params", "later", "folded"),
    [
        *(
            (method, params, later, folded)
            for method, params, latest in (
                ("billing.usage_by_ip", {"since": AT - 10}, LAST),
                ("billing.usage", {"group_by": ["ip", "model"]}, LAST),
                ("billing.usage", {**BY_IP, "bucket": "month"}, 40 * 86_400),
                ("billing.usage", {**BY_IP, "bucket": "month", "tz": "America/New_York"}, 40 * 86_400),
                ("billing.usage", {"group_by": ["context"], "since": AT - 10}, LAST),
            )
            for later in (10, 40 * 86_400, LAST)
            for folded in (0, 100)
            if later <= latest
        ),
        ("billing.usage", {**BY_IP, "bucket": "month", "tz": "America/New_York"}, LAST, 100),
    ],
)
@pytest.mark.slow
def test_pages_have_the_rows_of_the_first_ones_window_later_ones_too(
    empty: Database, method: str, params: dict[str, Any], later: int, folded: int
) -> None:
    rows = [
        row(started_at=AT - 5 + late, ip=f"192.0.2.{number}", context=str(number), cost_nano_usd=number)
        for number in range(3)
        for late in (0, later)
    ]
    empty.append(rows, [])
    empty.fold(folded or 1)
    pages = list(pages_of(Ledger(empty, FrozenClock()), method, {**params, "limit": 1}))

    assert len(pages) >= 3
    assert {page["totals"]["requests"] for page in pages} == {6}
    assert sum(line["requests"] for page in pages for line in page["data"]) == 6
    assert sum(int(line["total_cost_nano_usd"]) for page in pages for line in page["data"]) == 6


@pytest.mark.slow
@pytest.mark.parametrize(("last", "folded"), [(253_370_764_800, 100), (253_402_300_800, 0), (2**53 - 1, 100)])
def test_rows_after_the_last_date_are_counted_and_verified_at_once(empty: Database, last: int, folded: int) -> None:
    empty.append([row(started_at=AT), row(started_at=last)], [])
    empty.fold(folded or 1)
    ledger = Ledger(empty)
    began = time.process_time()
    by_model = ledger.call("billing.usage", group_by=["ip", "model"])["result"]
    since = ledger.call("billing.usage_by_ip", since=AT - 1)["result"]
    months = ledger.call("billing.usage", group_by=[], bucket="month")["result"]["data"]
    hours = ledger.call("billing.usage", group_by=[], bucket="hour")["error"]
    verified = ledger.call("billing.verify")["result"]["data"]
    took_s = time.process_time() - began

    assert [answer["totals"]["requests"] for answer in (by_model, since)] == [2, 2]
    assert [line["requests"] for line in months] == [1, 1]
    assert months[1]["bucket_start"] == 253_370_764_800
    assert months[1]["bucket_start"] <= last < months[1]["bucket_end"]
    assert hours["code"] == -32003
    assert (verified["ok"], verified["rows"]) == (True, 2)
    assert took_s < 10


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800"])
@pytest.mark.parametrize(
    ("method", "params", "param"),
    [
        ("billing.request", {"request_id": "TEXT"}, "request_id"),
        ("billing.requests", {"filter": {"period": "TEXT"}}, "filter"),
        ("billing.focus", {"period": "TEXT"}, "period"),
        ("billing.requests", {"filter": {"context": "TEXT"}}, "filter"),
        ("billing.usage", {"group_by": [], "filter": {"model": "TEXT"}}, "filter"),
        ("billing.usage_for_ip", {"ip": "TEXT"}, "ip"),
        ("billing.mark_billed", {"reference": "TEXT", "to_seq": 1}, "reference"),
        ("labels.remove", {"target": "TEXT"}, "target"),
    ],
)
def test_text_that_no_store_can_hold_is_refused(
    read_only: Ledger, method: str, params: dict[str, Any], param: str, text: str
) -> None:
    asked = json.loads(json.dumps(params).replace('"TEXT"', json.dumps(text)))

    failure = read_only.call(method, **asked)["error"]

    assert (failure["code"], failure["data"]["param"]) == (-32602, param)


@pytest.mark.parametrize(
    ("method", "params", "position"),
    [
        ("billing.usage_by_ip", {}, [5, "\0"]),
        ("billing.usage", {"group_by": ["model"]}, [0, 5, ["\0"], False]),
        ("billing.usage", {"group_by": ["ip", "model"]}, [0, 5, ["unknown", "\0"], False]),
        ("billing.usage", {"group_by": ["prefix"]}, [0, 5, ["\0"], False]),
    ],
)
def test_position_that_no_store_can_hold_is_refused(
    read_only: Ledger, method: str, params: dict[str, Any], position: list[Any]
) -> None:
    failure = read_only.call(method, **params, cursor=cursor_of(position, method, **params))["error"]

    assert (failure["code"], failure["data"]["param"]) == (-32602, "cursor")


@pytest.mark.parametrize(
    "params",
    [
        {"group_by": ["context"]},
        {"group_by": ["ip"], "bucket": "hour", "tz": "Asia/Kolkata"},
        {"group_by": ["outcome"], "since": AT, "until": AT + 32 * 86_400},
        {"group_by": [], "bucket": "hour", "since": 0, "until": 2**37, "dense": True},
    ],
)
def test_what_would_read_too_much_is_refused(read_only: Ledger, params: dict[str, Any]) -> None:
    assert read_only.call("billing.usage", **params)["error"]["code"] == -32003


@pytest.mark.parametrize("bucket", ["day", "week", "month", "quarter"])
def test_any_zone_has_buckets_in_any_window(read_only: Ledger, bucket: str) -> None:
    whole = read_only.call("billing.usage", group_by=["label", "model"], since=0, until=2**33)["result"]
    cut = read_only.call(
        "billing.usage", group_by=["label", "model"], bucket=bucket, tz="Asia/Kolkata", since=0, until=2**33
    )["result"]

    assert cut["totals"] == whole["totals"]
    assert sum(one["requests"] for one in cut["data"]) == whole["totals"]["requests"] > 0


@pytest.mark.slow
def test_report_pages_resume_where_they_stopped(ledger: Ledger) -> None:
    whole = ledger.call("billing.usage", group_by=["ip"], bucket="day")["result"]
    seen = []
    answer = ledger.call("billing.usage", group_by=["ip"], bucket="day", limit=2)["result"]
    while True:
        seen += answer["data"]
        if answer["next_cursor"] is None:
            break
        answer = ledger.call("billing.usage", group_by=["ip"], cursor=answer["next_cursor"])["result"]

    assert seen == whole["data"]
    first = ledger.call("billing.usage", group_by=["ip"], limit=1)["result"]
    other = ledger.call("billing.usage", group_by=["model"], cursor=first["next_cursor"])
    assert other["error"]["data"] == {"param": "cursor", "reason": "belongs to another query"}


@pytest.mark.parametrize(
    ("method", "example"),
    [
        pytest.param(method, example, id=f"{method['name']} {example['name']}")
        for method in DOCUMENT["methods"]
        for example in method.get("examples", ())
        if method["name"] in LEDGERS
    ],
)
@pytest.mark.slow
def test_documented_examples_are_answered_in_the_documented_shape(ledger: Ledger, method: Any, example: Any) -> None:
    params = {param["name"]: param["value"] for param in example["params"]}
    if method["name"] in ("labels.get", "labels.remove"):
        ledger.call("labels.set", **params, label="a")
    if method["name"] in ("limits.get", "limits.remove"):
        ledger.call("limits.set", **params, definition={"unit": "concurrent", "amount": 4, "shared": False})
    for _ in range(params["grant_id"] if method["name"] == "limits.revoke" else 0):
        ledger.call("limits.grant", name="machine-month", amount=5, reason="a", subject={"ip": "10.77.0.5"})

    result = ledger.call(method["name"], **params)["result"]

    schema = Draft7Validator({**method["result"]["schema"], "components": DOCUMENT["components"]})
    schema.validate(result)
    schema.validate(example["result"]["value"])
    assert result.keys() == example["result"]["value"].keys()


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"content": b'{"reference": "a", "to_seq": 1}', "headers": {"content-type": "text/plain"}}, 415, None),
        ({"content": b'{"reference": "a", "to_seq": 1}'}, 415, None),
        ({"data": {"reference": "a"}}, 415, None),
        ({"json": {}, "headers": {"content-encoding": "gzip"}}, 415, "unsupported_media_type"),
        ({"json": {"reference": "a" * 1_100_000, "to_seq": 1}}, 413, "request_too_large"),
        ({"json": [1]}, 400, "invalid_parameter"),
        ({"content": b"{", "headers": JSON}, 400, "invalid_parameter"),
        ({"content": b"[" * 60_000, "headers": JSON}, 400, "invalid_parameter"),
        (
            {"content": b'{"reference": ' + b"[" * 20_000 + b"]" * 20_000 + b"}", "headers": JSON},
            400,
            "invalid_parameter",
        ),
        ({"params": {"to_seq": 1}, "json": {"reference": "a", "to_seq": 1}}, 400, "invalid_parameter"),
    ],
)
def test_body_that_is_no_json_object_closes_no_period(
    ledger: Ledger, options: dict[str, Any], status: int, code: str | None
) -> None:
    closed = ledger.send("POST", "/billing/periods", **options)

    assert closed.status_code == status
    assert code is None or closed.json()["error"]["code"] == code
    assert ledger.get("/billing/periods")["data"] == []


def test_head_of_an_export_reads_one_page(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    every_row, pages = Reports.every_row, []

    async def counted(reports: Reports, question: RowsQuery) -> AsyncIterator[Rows]:
        async for page in every_row(reports, question):
            pages.append(page)
            yield page

    monkeypatch.setattr(Reports, "every_row", counted)
    monkeypatch.setattr(exports, "LINES_PER_PIECE", 5)
    head = ledger.send("HEAD", "/billing/requests", headers={"accept": "text/csv"})
    count = len(pages)
    whole = ledger.send("GET", "/billing/requests", headers={"accept": "text/csv"})

    assert (head.status_code, head.content, count) == (200, b"", 1)
    assert head.headers["content-type"] == whole.headers["content-type"]
    assert len(pages) - count == len(ROWS) // 5


@pytest.mark.parametrize("method", ["billing.usage", "billing.usage_by_ip"])
def test_later_page_needs_its_cursor_alone(read_only: Ledger, method: str) -> None:
    needed = {"group_by": ["ip"], "bucket": "day"} if method == "billing.usage" else {}
    first = read_only.call(method, **needed, limit=2)["result"]

    alone = read_only.call(method, cursor=first["next_cursor"])["result"]
    asked_again = read_only.call(method, **needed, limit=2, cursor=first["next_cursor"])["result"]

    assert alone["data"]
    assert {**alone, "as_of": None} == {**asked_again, "as_of": None}  # a second may have passed
    assert read_only.call("billing.usage", cursor="none")["error"]["data"]["param"] == "cursor"
    assert read_only.call("billing.usage")["error"]["data"] == {"param": "group_by", "reason": "is required"}


def test_bucket_that_is_not_over_has_one_end_on_all_pages(ledger: Ledger) -> None:
    now = int(time.time())
    ledger.database.append([row(ip=f"192.0.2.{number}", started_at=now) for number in range(5)], [])
    ends: set[int] = set()
    cursor: dict[str, str] = {}
    while True:
        answer = ledger.call("billing.usage", group_by=["ip"], bucket="month", since=now, limit=2, **cursor)["result"]
        ends |= {one["bucket_end"] for one in answer["data"]}
        if answer["next_cursor"] is None:
            break
        cursor = {"cursor": answer["next_cursor"]}

    assert len(ends) == 1
    assert ends.pop() > now + 1


def test_call_tells_its_billing_period_and_what_is_in_none_is_a_filter(ledger: Ledger) -> None:
    ledger.call("billing.mark_billed", reference="first", to_seq=5)
    rows = ledger.get("/billing/requests", limit=20)["data"]
    billed, unbilled = rows[-1], rows[0]

    assert ledger.get(f"/billing/requests/{billed['request_id']}")["data"]["period"] == "first"
    assert ledger.get(f"/billing/requests/{unbilled['request_id']}")["data"]["period"] is None
    assert ledger.get("/billing/report", group_by="ip", period="")["totals"]["requests"] == 15
    assert len(ledger.get("/billing/requests", period="", limit=100)["data"]) == 15
    assert ledger.get("/billing/report", group_by="usage_source", period="first")["totals"]["requests"] == 5


@pytest.mark.parametrize(
    ("until", "tz", "wanted"),
    [
        pytest.param(1_701_388_800, None, None, id="its end in UTC"),
        pytest.param(1_701_385_200, "Europe/Zurich", None, id="its end in the zone"),
        pytest.param(1_701_385_200, None, "1701388800, the end of 2023-11 in UTC", id="that of another zone"),
        pytest.param(1_701_000_000, None, "1701388800, the end of 2023-11 in UTC", id="amid the month"),
    ],
)
def test_name_of_a_month_is_for_that_month(ledger: Ledger, until: int, tz: str | None, wanted: str | None) -> None:
    zone = {} if tz is None else {"tz": tz}
    answer = ledger.call("billing.close", reference="2023-11", until=until, **zone)

    if wanted is None:
        assert answer["result"]["data"]["period"]["until"] == until
        return
    assert answer["error"]["data"]["param"] == "until"
    assert f"must be {wanted};" in answer["error"]["data"]["reason"]
    assert ledger.call("billing.close", reference="half of it", until=until)["result"]
