"""The methods `limits.*`: money as exact numbers, over RPC and REST alike."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from hero_broker.admin_plane.contract import load_document
from hero_broker.core.errors import InvalidParams
from hero_broker.core.limits import PlannedCall
from hero_broker.limits.limit import CHOICES, ENDS, HOLDS, MODES, UNITS, WINDOWS
from hero_broker.settings.limits import read_definition
from hero_broker.store.database import open_database
from tests.admin_plane.test_billing import JSON, Ledger
from tests.admin_plane.test_rpc import call, send

BUDGET = {"unit": "usd", "amount": 20.5, "window": "month", "per": ["ip"], "shared": False}
CALLS = {"unit": "concurrent", "amount": 4, "shared": False}


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """An empty ledger on each store."""
    with open_database(database_url) as database:
        yield Ledger(database)


def reason(answer: Any) -> tuple[int, str, str]:
    error = answer["error"]
    return error["code"], error["data"]["param"], error["data"]["reason"]


def test_amounts_are_exact_numbers_of_the_unit() -> None:
    status = send("GET", "/admin/limits/machine-month/status").text
    listed = send("GET", "/admin/limits").text

    assert '"used":0.00002597,"held":0.25,"remaining":24.74997403,' in status
    assert '"granted":5,' in status
    assert '"amount":20,' in status
    assert '"amount":20,' in listed


def test_rpc_and_rest_answer_alike() -> None:
    rest = send("GET", "/admin/limits/machine-month/status", params={"limit": "1"}).json()

    assert rest == call("limits.status", {"name": "machine-month", "limit": 1})["result"]
    assert send("GET", "/admin/limits").json() == call("limits.list")["result"]


def test_subjects_are_selected_by_their_values() -> None:
    found = send("GET", "/admin/limits/machine-month/status", params={"ip": "10.77.0.5"}).json()
    other = send("GET", "/admin/limits/machine-month/status", params={"limit": "1", "ip": "10.77.0.6"}).json()
    twice = send("GET", "/admin/limits/machine-month/status?ip=10.77.0.5&ip=10.77.0.6")

    assert found == call("limits.status", {"name": "machine-month", "subject": {"ip": "10.77.0.5"}})["result"]
    assert (len(found["data"]), other["data"]) == (1, [])
    assert (twice.status_code, twice.json()["error"]["message"]) == (400, "ip: is given twice")


def test_limit_is_set_shown_and_removed_under_its_url(ledger: Ledger) -> None:
    put = ledger.send("PUT", "/admin/limits/lab-month", json={"definition": {**BUDGET, "hold": None}})

    assert put.status_code == 200
    assert put.json()["data"] == {
        "name": "lab-month",
        "source": "rpc",
        "description": "at most 20.5 USD a month (UTC), for each address; it counts all calls",
        "definition": BUDGET,
        "set_at": put.json()["as_of"],
        "grants": [],
    }
    assert ledger.call("limits.get", name="lab-month")["result"]["data"] == put.json()["data"]
    assert ledger.get("/admin/limits/lab-month")["data"] == put.json()["data"]
    assert ledger.send("DELETE", "/admin/limits/lab-month").json()["data"] == put.json()["data"]
    gone = ledger.send("DELETE", "/admin/limits/lab-month")
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "not_found")


def test_definition_is_stored_as_it_was_set_and_replaced_as_a_whole(ledger: Ledger) -> None:
    ledger.call("limits.set", name="a", definition=BUDGET)
    ledger.call("limits.set", name="a", definition=CALLS)

    with ledger.database.reading() as connection:
        stored = connection.execute(text("SELECT name, definition, revision FROM limit_definitions")).all()

    assert [tuple(one) for one in stored] == [("a", '{"amount":4,"shared":false,"unit":"concurrent"}', 2)]
    assert ledger.call("limits.get", name="a")["result"]["data"]["definition"] == CALLS


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ({}, "unit: is missing; it must be one of"),
        ({"unit": "usd", "amount": 1}, 'window: is missing; it must be "hour"'),
        ({**CALLS, "unit": "usds"}, "unit: must be one of usd, tokens"),
        ({**CALLS, "amount": 4.5}, "amount: must be an integer from 1 to 1000000"),
        ({**CALLS, "amount": "4"}, "amount: must be a number from 0 to 1000000000000000"),
        ({**CALLS, "window": "day"}, 'window: must be left out with the unit "concurrent"'),
        ({**CALLS, "match": {"network": "10.0.0.1/8"}}, "match.network: must be an address or a network"),
        ({**CALLS, "match": {"provider": "none"}}, 'match.provider: must be the name of a provider, not "none"'),
        ({**CALLS, "match": {"ips": "1"}}, "match: must be an object with members among ip, network"),
        ({**CALLS, "name": "b"}, "must be an object with members among unit, amount"),
        ({**CALLS, "per": ["context"]}, 'per: must have "ip" beside "context"'),
    ],
)
def test_faults_of_a_definition_name_its_members(ledger: Ledger, definition: dict[str, object], expected: str) -> None:
    code, param, said = reason(ledger.call("limits.set", name="a", definition=definition))

    assert (code, param, said[: len(expected)]) == (-32602, "definition", expected)
    assert ledger.send("PUT", "/admin/limits/a", json={"definition": definition}).status_code == 400
    assert ledger.call("limits.get", name="a")["error"]["code"] == -32004


def test_budget_of_brokers_that_may_share_a_ledger_must_say_that_it_is_not_shared(ledger: Ledger) -> None:
    answer = ledger.call("limits.set", name="a", definition={**BUDGET, "shared": None})

    if ledger.database.has_one_broker:
        assert "error" not in answer
    else:
        assert reason(answer)[2].startswith("shared: must be false with a PostgreSQL database")


@pytest.mark.parametrize(("verb", "body"), [("PUT", {"definition": CALLS}), ("DELETE", None)])
@pytest.mark.parametrize("name", ["machine-month", "server.max_calls"])
def test_limits_of_the_settings_are_read_only(ledger: Ledger, verb: str, body: Any, name: str) -> None:
    answer = ledger.send(verb, f"/admin/limits/{name}", json=body)

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    assert ledger.get(f"/admin/limits/{name}")["data"]["source"] == ("server" if "." in name else "file")


def test_grant_is_shown_with_its_limit_in_the_unit_of_the_limit(ledger: Ledger) -> None:
    body = {"subject": {"ip": "::ffff:10.77.0.5"}, "amount": 0.1, "until": 4_000_000_000, "reason": "thesis"}

    made = ledger.send("POST", "/admin/limits/machine-month/grants", json=body)

    assert made.json()["data"] == {
        "grant_id": 1,
        "name": "machine-month",
        "subject": {"ip": "10.77.0.5"},
        "unit": "usd",
        "amount": 0.1,
        "granted_at": made.json()["as_of"],
        "until": 4_000_000_000,
        "reason": "thesis",
    }
    assert '"amount":0.1,' in made.text
    assert ledger.call("limits.get", name="machine-month")["result"]["data"]["grants"] == [made.json()["data"]]


def test_grant_is_revoked_by_its_number_and_only_once(ledger: Ledger) -> None:
    ledger.call("limits.grant", name="machine-month", amount=5, reason="thesis", subject={"ip": "10.77.0.5"})
    kept = ledger.call("limits.grant", name="machine-month", amount=1, reason="r", subject={"ip": "10.77.0.5"})

    ended = ledger.send("DELETE", "/admin/limits/grants/1").json()
    again = ledger.send("DELETE", "/admin/limits/grants/1")

    assert (ended["data"]["grant_id"], ended["data"]["amount"], ended["data"]["until"]) == (1, 5, ended["as_of"])
    assert ledger.call("limits.get", name="machine-month")["result"]["data"]["grants"] == [kept["result"]["data"]]
    assert (again.status_code, again.json()["error"]["code"]) == (404, "not_found")
    assert ledger.call("limits.revoke", grant_id=3)["error"]["code"] == -32004


@pytest.mark.parametrize("number", ["one", "0", "-1", "1.5"])
def test_grant_whose_number_is_none_is_refused(ledger: Ledger, number: str) -> None:
    answer = ledger.send("DELETE", f"/admin/limits/grants/{number}")

    assert (answer.status_code, answer.json()["error"]["message"]) == (
        400,
        "grant_id: must be an integer from 1 to 9007199254740991",
    )


def test_limit_may_be_named_as_the_path_of_grants(ledger: Ledger) -> None:
    ledger.send("PUT", "/admin/limits/grants", json={"definition": {**BUDGET, "per": []}})

    made = ledger.send("POST", "/admin/limits/grants/grants", json={"amount": 1, "reason": "r"})

    assert made.json()["data"]["name"] == "grants"
    assert ledger.get("/admin/limits/grants")["data"]["grants"] == [made.json()["data"]]


def test_subject_may_be_left_out_if_all_calls_have_one_counter(ledger: Ledger) -> None:
    ledger.call("limits.set", name="pool", definition={**BUDGET, "per": [], "unit": "tokens", "amount": 1})

    made = ledger.call("limits.grant", name="pool", amount=5.0, reason="r")["result"]["data"]

    assert (made["subject"], made["unit"], made["amount"], made["until"]) == ({}, "tokens", 5, None)


@pytest.mark.parametrize(
    ("changes", "param", "expected"),
    [
        ({"amount": 0}, "amount", "must be a number above 0 with at most 9 decimal places, at most 1000000000"),
        ({"amount": 0.0000000001}, "amount", "must be a number above 0 with at most 9 decimal places"),
        ({"amount": 0.12345678912345678}, "amount", "must be a number of at most 15 digits"),
        ({"amount": -1}, "amount", "must be a number from 0 to 1000000000000000"),
        ({"reason": " r"}, "reason", "must be printable, without spaces at its ends"),
        ({"reason": ""}, "reason", "must be a string of 1 to 200 characters"),
        ({"until": 1_700_000_000}, "until", "must be in the future"),
        ({"until": 4_000_000_000_000}, "until", "must be unix time in seconds, not in milliseconds"),
        ({"subject": {}}, "subject", "must have exactly the members ip"),
        ({"subject": {"ip": None}}, "subject", "ip: must be a string"),
        ({"subject": {"key": "a"}}, "subject", "must be an object with members among ip, prefix"),
        ({"name": "server.max_calls", "subject": {}}, "name", "must be of a budget"),
    ],
)
def test_fault_of_a_grant_is_named(ledger: Ledger, changes: dict[str, object], param: str, expected: str) -> None:
    params = {"name": "machine-month", "amount": 1, "reason": "r", "subject": {"ip": "10.77.0.5"}, **changes}

    found = reason(ledger.call("limits.grant", **params))

    assert (found[0], found[1], found[2][: len(expected)]) == (-32602, param, expected)
    assert ledger.get("/admin/limits/machine-month")["data"]["grants"] == []


def test_amount_keeps_its_places_whatever_json_calls_it(ledger: Ledger) -> None:
    definition = json.dumps({**BUDGET, "amount": 0.000000001}).replace("1e-09", "0.000000001")
    body = f'{{"jsonrpc":"2.0","id":1,"method":"limits.set","params":["a",{definition}]}}'

    answer = ledger.send("POST", "/rpc", content=body, headers=JSON).json()

    assert answer["result"]["data"]["description"].startswith("at most 0.000000001 USD a month")


def test_explanation_has_exact_amounts_and_the_error_of_the_caller() -> None:
    params = {"ip": "::ffff:10.77.0.5", "model": "m", "kind": "tts", "context": "", "body_bytes": "7"}

    refused = send("GET", "/admin/limits/explain", params=params)
    admitted = call("limits.explain", {"ip": "10.77.0.6", "model": "m", "max_output_tokens": 9})["result"]["data"]

    found = refused.json()["data"]
    assert (found["admitted"], found["refused_by"], found["kind"]) == (False, "machine-month", "tts")
    assert found["error"] == {
        "status": 402,
        "code": "budget_exceeded",
        "message": str(PlannedCall("10.77.0.5", "m", "tts", "", 7)),
        "retry_after_s": 86_400,
    }
    assert '"needed":0.48059,"amount":20,"state":{"subject":{"ip":"10.77.0.5"},"used":19.9,' in refused.text
    assert (found["limits"][1]["needed"], found["limits"][1]["state"]) == (None, None)
    assert (admitted["admitted"], admitted["error"], admitted["limits"][0]["has_room"]) == (True, None, True)


def test_definition_may_have_every_key_of_the_settings_file() -> None:
    schemas = load_document()["components"]["schemas"]
    for place, schema in (("", "LimitDefinition"), ("match.", "LimitMatch")):
        faulty = {"unknown_key": 1} if not place else {"match": {"unknown_key": 1}}
        with pytest.raises(InvalidParams) as caught:
            read_definition("a", json.dumps(faulty), (), may_share_ledger=False)
        (known,) = re.findall(rf"{place}unknown_key: is not a known key; known keys: ([^;]+)", caught.value.reason)

        assert set(known.split(", ")) - {"name"} == set(schemas[schema]["properties"])


def test_words_of_a_definition_are_those_of_the_settings_file() -> None:
    properties = load_document()["components"]["schemas"]["LimitDefinition"]["properties"]
    words = {
        "unit": UNITS,
        "window": WINDOWS,
        "hold": HOLDS,
        "mode": MODES,
        "on_exceed": ENDS,
        "unpriced": CHOICES,
        "on_limits_unavailable": CHOICES,
    }

    assert {key: tuple(properties[key]["oneOf"][0]["enum"]) for key in words} == words


def test_lists_of_a_definition_are_stored(ledger: Ledger) -> None:
    definition = {**BUDGET, "warn_at": [0.5, 1], "match": {"exclude": ["10.0.0.1", "2001:db8::/32"]}}

    answer = ledger.call("limits.set", name="a", definition=definition)

    assert answer["result"]["data"]["definition"] == definition
    assert reason(ledger.call("limits.set", name="a", definition={**BUDGET, "warn_at": [1, 0.5]}))[2].startswith(
        "warn_at: must be an array of 1 to 10 rising numbers above 0"
    )
    assert reason(ledger.call("limits.set", name="a", definition={**BUDGET, "warn_at": ["1"]}))[2].startswith(
        "warn_at: "
    )
