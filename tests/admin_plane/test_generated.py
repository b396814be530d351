"""The response to every query matches the document, on each store."""

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from hero_broker.admin_plane import errors, registry
from hero_broker.core.clock import SystemClock
from hero_broker.store.database import open_database
from tests.admin_plane.generated import AT, DOCUMENT, METHODS, params_by_url, params_of
from tests.admin_plane.test_billing import Ledger, fill
from tests.kept_ledger import KeptLedger

CHECKED_LINES = 20  # of a list in an answer; thousands are alike
asked_often = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
CODES = {name: {error["code"] for error in method["errors"]} for name, method in METHODS.items()}
RESULTS = {
    name: Draft7Validator({**method["result"]["schema"], "components": DOCUMENT["components"]})
    for name, method in METHODS.items()
}

PATHS = {name: method.rest.path for name, method in registry.METHODS.items() if method.rest.verb == "GET"}
IN_PATH = {method: re.findall(r"{(\w+)(?::path)?}", path) for method, path in PATHS.items()}
# Of a code's errors, that which a question can have.
REFUSALS = {one.rpc: (one.status, one.code) for one in errors.CODES.values()}


class StoppedClock(SystemClock):
    """A clock whose time of day stands still, so that the same question has the same answer."""

    def now(self) -> int:
        return AT + 50_000


@pytest.fixture(scope="module")
def kept(store_name: str, new_ledger: Callable[[str], str]) -> Iterator[KeptLedger]:
    """One ledger for all tests, with a billing period and a label."""
    with open_database(new_ledger(store_name)) as database:
        fill(database)
        asking = Ledger(database, StoppedClock())
        asking.call("billing.mark_billed", reference="2023-11", to_seq=5)
        asking.call("labels.set", target="192.0.2.0/24", label="office")
        yield KeptLedger(database)


@pytest.fixture
def ledger(kept: KeptLedger) -> Iterator[Ledger]:
    with kept.lent() as database:
        yield Ledger(database, StoppedClock())


def shortened(result: Any) -> Any:
    lines = result.get("data")
    return {**result, "data": lines[:CHECKED_LINES]} if isinstance(lines, list) else result


def check(method: str, answer: Any) -> None:
    """Check that an answer is what JSON-RPC and the document say."""
    assert (answer["jsonrpc"], answer["id"]) == ("2.0", 1)
    if "result" in answer:
        assert answer.keys() == {"jsonrpc", "result", "id"}
        RESULTS[method].validate(shortened(answer["result"]))
        return
    assert answer.keys() == {"jsonrpc", "error", "id"}
    failure = answer["error"]
    assert failure["code"] in CODES[method] - {-32603}, failure
    assert isinstance(failure["message"], str)
    members = {-32602: {"param", "reason"}, -32005: {"reason"}}
    assert failure.get("data", {}).keys() == members.get(failure["code"], set())


# What is removed, added or closed is not a second time.
CHANGE_ONCE = ("labels.remove", "labels.set_many", "limits.remove", "limits.grant", "billing.close")


@pytest.mark.parametrize("method", METHODS)
@asked_often
@given(data=st.data())
def test_generated_parameters_are_answered_as_documented_and_alike_by_position(
    ledger: Ledger, method: str, data: st.DataObject
) -> None:
    params = data.draw(params_of(method))
    answer = ledger.ask(method, params)
    check(method, answer)

    documented = METHODS[method]["params"]
    required = {param["name"] for param in documented if param["required"]}
    can_be_listed = required <= params.keys() <= {param["name"] for param in documented}
    if can_be_listed and method not in CHANGE_ONCE:
        assert ledger.ask(method, [params.get(param["name"]) for param in documented]) == answer


@pytest.mark.parametrize("method", PATHS)
@asked_often
@given(data=st.data())
def test_generated_questions_have_the_same_answer_under_their_url(
    ledger: Ledger, method: str, data: st.DataObject
) -> None:
    params = data.draw(params_by_url(method))
    # The edge refuses a path with a control character before any route sees it.
    assume(all(str(params[name]).isprintable() for name in IN_PATH[method]))
    in_path = {name: quote(str(params[name]), safe="") for name in IN_PATH[method]}
    query = {
        name: text_of(value) for name, value in params.items() if name not in in_path and not isinstance(value, dict)
    }
    for members in params.values():
        query |= members if isinstance(members, dict) else {}

    answer = ledger.ask(method, params)
    response = ledger.send("GET", PATHS[method].replace(":path", "").format(**in_path), params=query)

    if "result" in answer:
        assert (response.status_code, response.json()) == (200, answer["result"])
        return
    failure, refusal = answer["error"], response.json()["error"]
    assert (response.status_code, refusal["code"]) == REFUSALS[failure["code"]]
    reasons = failure.get("data", {"param": None})
    assert refusal["param"] == reasons["param"]
    assert refusal["message"] == (
        f"{reasons['param']}: {reasons['reason']}" if "data" in failure else failure["message"]
    )


def text_of(value: Any) -> str:
    """Return a value as a query string says it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(value) if isinstance(value, list) else str(value)
