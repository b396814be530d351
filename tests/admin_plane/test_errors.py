"""Every error that a method documents can be had, and no method has another."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from hero_broker.admin_plane.admin import Admin
from hero_broker.admin_plane.errors import CODES, INTERNAL_ERROR, UNAUTHORIZED
from hero_broker.admin_plane.rpc import RpcEndpoint
from hero_broker.core.calls import Caller
from hero_broker.core.clock import SystemClock
from hero_broker.core.errors import StoreUnavailable
from hero_broker.edge.admin_auth import AdminGate
from hero_broker.store import statement_timeout
from hero_broker.store.database import open_database
from tests.admin_plane.fakes import LimitsFake, ServedFake, explained, no_calls
from tests.admin_plane.generated import DOCUMENT, METHODS
from tests.admin_plane.test_billing import ROWS, Ledger
from tests.admin_plane.test_rpc import HEALTHY, INFO, with_request_id

# Parameters that a method takes, where it needs some.
NEEDED: dict[str, dict[str, Any]] = {
    "billing.usage_for_ip": {"ip": "unknown"},
    "billing.usage": {"group_by": []},
    "billing.request": {"request_id": "none"},
    "billing.my_request": {"request_id": "none"},
    "billing.close": {"reference": "a", "until": 1_701_388_800},
    "billing.mark_billed": {"reference": "2023-11", "to_seq": 5},
    "labels.set": {"target": "unknown", "label": "a"},
    "labels.set_many": {"csv": "unknown,a"},
    "labels.get": {"target": "unknown"},
    "labels.remove": {"target": "unknown"},
    "limits.status": {"name": "none"},
    "limits.get": {"name": "none"},
    "limits.explain": {"ip": "unknown", "model": "llama"},
    "limits.set": {"name": "a", "definition": {"unit": "concurrent", "amount": 4}},
    "limits.remove": {"name": "none"},
    "limits.grant": {"name": "none", "amount": 1, "reason": "a"},
    "limits.revoke": {"grant_id": 1},
}
DOCUMENTED = [(name, error["code"]) for name, method in METHODS.items() for error in method["errors"]]
EXAMPLES = [
    pytest.param(name, example, id=f"{name}: {example['name']}")
    for name, method in METHODS.items()
    for example in method["x-error-examples"]
]
OF_EVERY_METHOD = DOCUMENT["components"]["x-error-examples"]
# Errors that are no fault of a request, so that no example can have them.
NOT_PROVOKED = {CODES[StoreUnavailable].rpc, INTERNAL_ERROR.rpc}


class Raising:
    """Fails at every query."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, _name: str) -> Any:
        return self.fail

    def fail(self, *_args: object) -> Any:
        raise self._error


def failing(error: Exception) -> Admin:
    every: Any = Raising(error)
    document = {**DOCUMENT, "x-made": object()}
    return Admin(
        every,
        every,
        every,
        every,
        every.fail,
        every.fail,
        every.fail,
        document,
        every.fail,
        every,
        limit_book=every,
        explain=every.fail,
    )


def ask(app: ASGIApp, method: str, params: dict[str, Any]) -> Any:
    async def run() -> Any:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            return (await client.post("/rpc", json=request)).json()

    return asyncio.run(run())


def with_headers(gate: AdminGate) -> ASGIApp:
    async def edge(scope: Scope, receive: Receive, send: Send) -> None:
        state = {"headers": dict(scope["headers"]), "caller": Caller("192.0.2.7", None)}
        await gate({**scope, "state": state}, receive, send)

    return edge


class NoonOfTheFirst(SystemClock):
    """The 1st of December 2023, 12:00 in Zürich."""

    def now(self) -> int:
        return 1_701_428_400


@contextmanager
def books(path: Path, *, closed: bool = False) -> Iterator[Ledger]:
    """Open a ledger whose first five calls are billed, or with all calls in a closed month."""
    with open_database(f"sqlite:///{path}") as database:
        database.append(ROWS, [])
        ledger = Ledger(database, NoonOfTheFirst())
        if closed:
            ledger.call("billing.close", reference="2023-11", until=1_701_385_200, tz="Europe/Zurich")
        else:
            ledger.call("billing.mark_billed", reference="2023-11", to_seq=5)
        yield ledger


def guarded(admin: Admin) -> ASGIApp:
    return with_headers(AdminGate(with_request_id(RpcEndpoint(admin)), ("TOKEN",)))


def failure(tmp_path: Path, method: str, code: int) -> Any:
    """Return the answer to what should have this error."""
    needed = NEEDED.get(method, {})
    if code == INTERNAL_ERROR.rpc:
        return ask(with_request_id(RpcEndpoint(failing(RuntimeError("secret")))), method, needed)
    if code == UNAUTHORIZED:
        return ask(guarded(failing(RuntimeError())), method, needed)
    if method == "prices.refresh":  # it writes a file, not the ledger
        return ask(with_request_id(RpcEndpoint(failing(StoreUnavailable("The disk is full.")))), method, needed)
    with books(tmp_path / "ledger.db") as ledger:
        (tmp_path / "ledger.db").rename(tmp_path / "gone.db")
        return ledger.ask(method, needed)


@pytest.mark.parametrize(
    ("method", "code"), [one for one in DOCUMENTED if one[1] in NOT_PROVOKED or one[1] == UNAUTHORIZED]
)
def test_documented_error_that_no_parameter_provokes_can_be_had(tmp_path: Path, method: str, code: int) -> None:
    answer = failure(tmp_path, method, code)

    assert answer["error"]["code"] == code
    assert answer["id"] == (None if code == UNAUTHORIZED else 1)
    assert "secret" not in str(answer)


def test_error_that_a_request_provokes_has_an_example() -> None:
    examples = {(name, one["error"]["code"]) for name, method in METHODS.items() for one in method["x-error-examples"]}
    of_every_method = {one["response"]["error"]["code"] for one in OF_EVERY_METHOD}

    assert [
        (name, code)
        for name, code in DOCUMENTED
        if code not in NOT_PROVOKED | of_every_method | {example for method, example in examples if method == name}
    ] == []
    assert examples <= set(DOCUMENTED)


@pytest.mark.parametrize(("method", "example"), EXAMPLES)
def test_example_of_an_error_is_answered_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, example: dict[str, Any]
) -> None:
    params = {param["name"]: param["value"] for param in example["params"]}

    with books(tmp_path / "ledger.db", closed=method == "billing.close") as ledger:
        if "took longer" in example["error"]["message"]:
            make_every_statement_take_a_minute(monkeypatch)
        answer = ledger.ask(method, params)

    assert answer == {"jsonrpc": "2.0", "id": 1, "error": example["error"]}


def make_every_statement_take_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clock of statements advance by a minute at each step of SQLite's virtual machine."""
    clock = SimpleNamespace(monotonic=count(step=61).__next__)
    monkeypatch.setattr(statement_timeout, "time", clock)
    monkeypatch.setattr(statement_timeout, "_STEPS", 1)


@pytest.mark.parametrize("example", OF_EVERY_METHOD, ids=lambda example: example["name"])
def test_example_of_an_error_of_every_method_is_answered_so(example: dict[str, Any]) -> None:
    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(guarded(failing(RuntimeError())))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.post(
                "/rpc", headers={"Content-Type": "application/json", **example["headers"]}, content=example["body"]
            )

    answer = asyncio.run(run())

    assert (answer.status_code, answer.json()) == (example["status"], example["response"])


@pytest.mark.parametrize("method", METHODS)
def test_store_that_does_not_answer_is_an_error_only_where_it_is_documented(method: str) -> None:
    admin = failing(StoreUnavailable("No answer."))
    answering = Admin(
        admin.reports,
        admin.books,
        admin.labels,
        ServedFake(),
        lambda: HEALTHY,
        lambda: INFO,
        no_calls,
        DOCUMENT,
        admin.refresh_prices,
        LimitsFake(),
        limit_book=admin.limit_book,
        explain=explained,
    )
    answer = ask(with_request_id(RpcEndpoint(answering)), method, NEEDED.get(method, {}))

    assert ("error" in answer) is ((method, -32002) in DOCUMENTED)
