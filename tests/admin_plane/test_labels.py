"""Labels over RPC and REST, and beside every address that is reported, on each store."""

import csv
import io
import json
import threading
from collections.abc import Callable, Iterator

import pytest

from hero_broker.core.addresses import ip_key
from hero_broker.core.clock import SystemClock
from hero_broker.reports.labels import LabelBook
from hero_broker.store import labels as stored
from hero_broker.store.database import open_database
from tests.admin_plane.test_billing import Ledger
from tests.kept_ledger import KeptLedger
from tests.ledger.rows import row

ADDRESSES = ("192.0.2.1", "192.0.2.9", "2001:db8::1", "unknown")
EXPECTED = {"192.0.2.1": "printer", "192.0.2.9": "office", "2001:db8::1": None, "unknown": "sockets"}


@pytest.fixture(scope="module")
def kept(store_name: str, new_ledger: Callable[[str], str]) -> Iterator[KeptLedger]:
    """One ledger for all tests, with labels."""
    with open_database(new_ledger(store_name)) as database:
        database.append([row(ip=ip, ip_key=ip_key(ip)) for ip in ADDRESSES], [])
        asking = Ledger(database)
        for target, label in [("192.0.2.0/24", "office"), ("192.0.2.1", "printer"), ("unknown", "sockets")]:
            assert "result" in asking.call("labels.set", target=target, label=label)
        yield KeptLedger(database)


@pytest.fixture
def ledger(kept: KeptLedger) -> Iterator[Ledger]:
    with kept.lent() as database:
        yield Ledger(database)


def test_every_report_shows_labels(ledger: Ledger) -> None:
    by_ip = ledger.get("/billing/usage")["data"]
    report = ledger.get("/billing/report", group_by="ip,model")["data"]
    rows = ledger.get("/billing/requests")["data"]

    assert {line["ip"]: line["label"] for line in by_ip} == EXPECTED
    assert {line["group"]["ip"]: line["label"] for line in report} == EXPECTED
    assert {line["ip"]: line["label"] for line in rows} == EXPECTED
    for ip, label in EXPECTED.items():
        assert ledger.get(f"/billing/usage/{ip}")["data"]["label"] == label
    one = ledger.call("billing.request", request_id=rows[0]["request_id"])["result"]["data"]
    assert one["label"] == EXPECTED[one["ip"]]


def test_prefixes_have_the_label_of_the_network_around_them(ledger: Ledger) -> None:
    by_24 = ledger.get("/billing/report", group_by="prefix")["data"]
    by_28 = ledger.get("/billing/report", group_by="prefix", prefix_v4=28)["data"]
    by_16 = ledger.get("/billing/report", group_by="prefix", prefix_v4=16)["data"]
    both = ledger.get("/billing/report", group_by="prefix,ip", ip="192.0.2.1")["data"]
    by_model = ledger.get("/billing/report", group_by="model")["data"]

    assert {line["group"]["prefix"]: line["label"] for line in by_24} == {
        "192.0.2.0/24": "office",
        "2001:db8::/64": None,
        "unknown": "sockets",
    }
    assert next(line for line in by_28 if line["group"]["prefix"] == "192.0.2.0/28")["label"] == "office"
    assert next(line for line in by_16 if line["group"]["prefix"] == "192.0.0.0/16")["label"] is None
    assert [line["label"] for line in both] == ["printer"]
    assert [line["label"] for line in by_model] == [None]


def test_report_by_label_has_a_line_for_addresses_without_one(ledger: Ledger) -> None:
    by_label = ledger.get("/billing/report", group_by="label")
    by_model = ledger.call("billing.usage", group_by=["label", "model"])["result"]
    by_day = ledger.get("/billing/report", group_by="label", bucket="day", dense="true")
    with_ip = ledger.get("/billing/report", group_by="label,ip")["data"]
    with_prefix = ledger.get("/billing/report", group_by="prefix,label")["data"]

    expected = dict.fromkeys(EXPECTED.values(), 1)
    for report in (by_label, by_model, by_day):
        assert {line["group"]["label"]: line["requests"] for line in report["data"]} == expected
        assert all(line["label"] == line["group"]["label"] for line in report["data"])
        assert report["totals"]["requests"] == 4
    assert {line["group"]["ip"]: line["group"]["label"] for line in with_ip} == EXPECTED
    assert sorted((line["group"]["prefix"], line["label"]) for line in with_prefix if line["label"]) == [
        ("192.0.2.0/24", "office"),
        ("192.0.2.0/24", "printer"),
        ("unknown", "sockets"),
    ]


def test_report_uses_the_labels_of_now(ledger: Ledger) -> None:
    ledger.call("labels.set", target="2001:db8::/32", label="office")

    data = ledger.get("/billing/report", group_by="label")["data"]

    assert {line["group"]["label"]: line["requests"] for line in data} == {"office": 2, "printer": 1, "sockets": 1}


@pytest.mark.parametrize("label", [*EXPECTED.values(), "nobody"])
def test_filter_selects_the_addresses_of_a_label(ledger: Ledger, label: str | None) -> None:
    expected = [ip for ip, shown in EXPECTED.items() if shown == label]
    value = label or ""

    report = ledger.get("/billing/report", group_by="ip", label=value)
    by_rpc = ledger.call("billing.usage", group_by=[], filter={"label": value})["result"]["totals"]
    by_model = ledger.get("/billing/report", group_by="model,label", label=value)["data"]
    rows = ledger.get("/billing/requests", label=value)["data"]
    exported = ledger.send("GET", "/billing/requests", params={"label": value}, headers={"accept": "text/csv"}).text

    assert [line["group"]["ip"] for line in report["data"]] == expected
    assert report["totals"]["requests"] == by_rpc["requests"] == len(expected)
    assert [line["group"]["label"] for line in by_model] == [label] * len(expected)
    assert [row["ip"] for row in rows] == expected
    assert [line["ip"] for line in csv.DictReader(io.StringIO(exported))] == expected


def test_pages_of_a_report_by_label_add_up(ledger: Ledger) -> None:
    found = []
    answer = ledger.call("billing.usage", group_by=["label"], limit=1)["result"]
    while True:
        found.extend(answer["data"])
        assert answer["totals"]["requests"] == 4
        if answer["next_cursor"] is None:
            break
        answer = ledger.call("billing.usage", group_by=["label"], limit=1, cursor=answer["next_cursor"])["result"]

    assert [line["group"]["label"] for line in found] == [None, "office", "printer", "sockets"]


def test_period_is_reported_by_label(ledger: Ledger) -> None:
    ledger.call("billing.mark_billed", reference="2023-11", to_seq=2)

    data = ledger.get("/billing/report", group_by="label", period="2023-11")["data"]

    assert [line["group"]["label"] for line in data] == ["office", "printer"]


def test_exports_show_labels(ledger: Ledger) -> None:
    ledger.call("labels.set", target="2001:db8::/32", label="=cmd()")
    as_csv = ledger.send("GET", "/billing/requests", headers={"accept": "text/csv"}).text
    as_json = ledger.send("GET", "/billing/requests", headers={"accept": "application/x-ndjson"}).text

    labels = {line["ip"]: line["label"] for line in csv.DictReader(io.StringIO(as_csv))}
    assert labels == {**EXPECTED, "2001:db8::1": "'=cmd()"}
    lines = [json.loads(line) for line in as_json.splitlines()]
    assert {line["ip"]: line["label"] for line in lines} == {**EXPECTED, "2001:db8::1": "=cmd()"}


def test_label_is_replaced_listed_and_removed(ledger: Ledger) -> None:
    replaced = ledger.send("PUT", "/admin/labels?target=::ffff:192.0.2.1", json={"label": "plotter"})
    listed = ledger.get("/admin/labels")["data"]
    removed = ledger.send("DELETE", "/admin/labels?target=192.0.2.1/32")
    again = ledger.send("DELETE", "/admin/labels?target=192.0.2.1")

    assert replaced.json()["data"]["target"] == "192.0.2.1"
    assert [(line["target"], line["label"]) for line in listed] == [
        ("192.0.2.0/24", "office"),
        ("192.0.2.1", "plotter"),
        ("unknown", "sockets"),
    ]
    assert removed.json()["data"]["label"] == "plotter"
    assert (again.status_code, again.json()["error"]["code"]) == (404, "not_found")
    assert ledger.call("labels.remove", target="192.0.2.1")["error"]["code"] == -32004
    assert ledger.get("/billing/usage/192.0.2.1")["data"]["label"] == "office"
    assert len(ledger.call("labels.list")["result"]["data"]) == 2


@pytest.mark.parametrize(
    ("target", "named"),
    [
        ("192.0.2.1", ("192.0.2.1", "printer")),
        ("::ffff:192.0.2.9", ("192.0.2.0/24", "office")),
        ("192.0.2.0/25", ("192.0.2.0/24", "office")),
        ("192.0.2.0/24", ("192.0.2.0/24", "office")),
        ("unknown", ("unknown", "sockets")),
        ("192.0.0.0/16", None),
        ("2001:db8::1", None),
    ],
)
def test_label_of_a_target_is_the_one_that_reports_show(
    ledger: Ledger, target: str, named: tuple[str, str] | None
) -> None:
    by_rpc = ledger.call("labels.get", target=target)
    by_url = ledger.send("GET", f"/admin/labels/{target}")

    if named is None:
        assert (by_rpc["error"]["code"], by_url.status_code) == (-32004, 404)
    else:
        found = by_rpc["result"]["data"]
        assert (found["target"], found["label"]) == named
        assert by_url.json()["data"] == found


@pytest.mark.parametrize("target", ["nobody", "192.0.2.1/24", ""])
def test_target_of_a_label_that_is_none_is_named(ledger: Ledger, target: str) -> None:
    error = ledger.call("labels.get", target=target)["error"]

    assert (error["code"], error["data"]["param"]) == (-32602, "target")


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"target": "192.0.2.1/24", "label": "a"}, "target"),
        ({"target": "nobody", "label": "a"}, "target"),
        ({"target": "192.0.2.1", "label": ""}, "label"),
        ({"target": "192.0.2.1", "label": " a"}, "label"),
        ({"target": "192.0.2.1", "label": "a\nb"}, "label"),
        ({"target": "192.0.2.1", "label": "a" * 101}, "label"),
        ({"target": "192.0.2.1"}, "label"),
        ({"label": "a"}, "target"),
    ],
)
def test_bad_label_is_refused_and_nothing_changes(ledger: Ledger, params: dict[str, str], param: str) -> None:
    before = ledger.call("labels.list")["result"]["data"]
    error = ledger.call("labels.set", **params)["error"]

    assert (error["code"], error["data"]["param"]) == (-32602, param)
    assert ledger.call("labels.list")["result"]["data"] == before


def pairs(labels: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(label["target"], label["label"]) for label in labels]


def test_many_labels_are_set_at_once_and_again_without_a_change(ledger: Ledger) -> None:
    text = "target;label\n::ffff:192.0.2.1;plotter\n192.0.2.0/24;office\n2001:db8::/32;lab\n198.51.100.7;lab\n"

    first = ledger.send("POST", "/admin/labels", json={"csv": text}).json()["data"]
    again = ledger.call("labels.set_many", csv=text)["result"]["data"]

    assert pairs(first["added"]) == [("2001:db8::/32", "lab"), ("198.51.100.7", "lab")]
    assert pairs(first["changed"]) == [("192.0.2.1", "plotter")]
    assert first["changed"][0]["previous"] == "printer"
    assert pairs(first["unchanged"]) == [("192.0.2.0/24", "office")]
    assert (again["added"], again["changed"], len(again["unchanged"])) == ([], [], 4)
    assert pairs(ledger.call("labels.list")["result"]["data"]) == [
        ("192.0.2.0/24", "office"),
        ("192.0.2.1", "plotter"),
        ("198.51.100.7", "lab"),
        ("2001:db8::/32", "lab"),
        ("unknown", "sockets"),
    ]
    assert {line["ip"]: line["label"] for line in ledger.get("/billing/usage")["data"]}["2001:db8::1"] == "lab"


def test_labels_that_do_not_change_leave_the_revision(ledger: Ledger) -> None:
    with ledger.database.reading() as connection:
        before = stored.revision(connection)
    ledger.call("labels.set_many", csv="192.0.2.0/24,office\n")
    with ledger.database.reading() as connection:
        assert stored.revision(connection) == before


def test_file_with_a_fault_sets_no_label(ledger: Ledger) -> None:
    before = ledger.call("labels.list")["result"]["data"]
    text = "".join(f"192.0.2.{number}/24,a\n" for number in range(1, 13))

    error = ledger.call("labels.set_many", csv=f"198.51.100.7,lab\n{text}")["error"]

    assert (error["code"], error["data"]["param"]) == (-32602, "csv")
    assert [part.partition(":")[0] for part in error["data"]["reason"].split("; ")] == [
        *(f"line {number}" for number in range(2, 12)),
        "and 2 more lines",
    ]
    assert ledger.call("labels.list")["result"]["data"] == before


def test_file_with_too_many_labels_sets_none(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "MAX_LABELS", 4)

    error = ledger.call("labels.set_many", csv="198.51.100.7,a\n198.51.100.8,a\n192.0.2.1,a\n")["error"]

    assert error["data"] == {"param": "csv", "reason": "exceeds the limit of 4 labels: with it there would be 5"}
    assert len(ledger.call("labels.list")["result"]["data"]) == 3
    assert "result" in ledger.call("labels.set_many", csv="198.51.100.7,a\n192.0.2.1,a\n")


def test_labels_are_bounded(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "MAX_LABELS", 3)

    assert ledger.call("labels.set", target="192.0.2.2", label="a")["error"]["data"]["param"] == "target"
    assert "result" in ledger.call("labels.set", target="192.0.2.1", label="another")


def test_change_by_another_broker_is_seen_in_the_next_report(ledger: Ledger) -> None:
    assert ledger.get("/billing/usage/192.0.2.1")["data"]["label"] == "printer"
    with ledger.database.writing() as connection:
        stored.remove(connection, "192.0.2.1")
    assert ledger.get("/billing/usage/192.0.2.1")["data"]["label"] == "office"
    with ledger.database.writing() as connection:
        stored.remove(connection, "192.0.2.0/24")
    assert ledger.get("/billing/usage/192.0.2.1")["data"]["label"] is None


def test_labels_are_read_anew_only_after_a_change(ledger: Ledger) -> None:
    labels = LabelBook(ledger.database, SystemClock())
    with ledger.database.reading() as connection:
        first = labels.names(connection)
        assert labels.names(connection) is first
    ledger.call("labels.set", target="192.0.2.2", label="b")
    with ledger.database.reading() as connection:
        assert labels.names(connection).lookup("192.0.2.2") == "b"
    labels.close()


@pytest.mark.slow
def test_revision_grows_with_each_of_many_changes_at_once(ledger: Ledger) -> None:
    def change(number: int) -> None:
        for _ in range(5):
            ledger.call("labels.set", target=f"192.0.2.{100 + number}", label="a")
            ledger.call("labels.remove", target=f"192.0.2.{100 + number}")

    threads = [threading.Thread(target=change, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with ledger.database.reading() as connection:
        assert stored.revision(connection) == 3 + 4 * 5 * 2
    assert len(ledger.call("labels.list")["result"]["data"]) == 3
