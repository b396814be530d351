"""Every error that a method documents can be had, and no method has another."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from hero_broker.admin_plane.admin import Admin
from hero_broker.admin_plane.rpc import RpcEndpoint
from hero_broker.core.errors import StoreUnavailable, TooWide
from hero_broker.edge.admin_auth import AdminGate
from hero_broker.store.database import open_database
from tests.admin_plane.fakes import ServedFake
from tests.admin_plane.generated import DOCUMENT, METHODS
from tests.admin_plane.test_billing import ROWS, Ledger
from tests.admin_plane.test_rpc import HEALTHY, INFO, with_request_id

# Parameters that a method takes, where it needs some.
NEEDED: dict[str, dict[str, Any]] = {
    "billing.usage_for_ip": {"ip": "unknown"},
    "billing.usage": {"group_by": []},
    "billing.request": {"request_id": "none"},
    "billing.mark_billed": {"reference": "2023-11", "to_seq": 5},
    "labels.set": {"target": "unknown", "label": "a"},
    "labels.remove": {"target": "unknown"},
}
# What provokes the errors that only some methods have.
ASKED: dict[tuple[str, int], dict[str, Any]] = {
    ("billing.usage", -32003): {"group_by": ["outcome"]},
    ("billing.usage", -32004): {"group_by": [], "filter": {"period": "none"}},
    ("billing.requests", -32004): {"filter": {"period": "none"}},
    ("billing.request", -32004): {"request_id": "none"},
    ("labels.remove", -32004): {"target": "192.0.2.77"},
    ("billing.mark_billed", -32005): {"reference": "2023-11", "to_seq": 6},
}
DOCUMENTED = [(name, error["code"]) for name, method in METHODS.items() for error in method["errors"]]


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
    return Admin(every, every, every, every, every.fail, every.fail, {**DOCUMENT, "x-made": object()})


def ask(app: ASGIApp, method: str, params: dict[str, Any]) -> Any:
    async def run() -> Any:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            return (await client.post("/rpc", json=request)).json()

    return asyncio.run(run())


def with_headers(gate: AdminGate) -> ASGIApp:
    async def edge(scope: Scope, receive: Receive, send: Send) -> None:
        await gate({**scope, "state": {"headers": dict(scope["headers"])}}, receive, send)

    return edge


def refusal(tmp_path: Path, method: str, code: int) -> Any:
    """Return the answer to what should have this error."""
    needed = NEEDED.get(method, {})
    if code == -32602:
        return ask(with_request_id(RpcEndpoint(failing(RuntimeError()))), method, {**needed, "page": 2})
    if code == -32603:
        return ask(with_request_id(RpcEndpoint(failing(RuntimeError("secret")))), method, needed)
    if code == -32001:
        return ask(
            with_headers(AdminGate(with_request_id(RpcEndpoint(failing(RuntimeError()))), ("token",))), method, needed
        )
    if code == -32003 and (method, code) not in ASKED:  # past the deadline, which takes a minute
        return ask(with_request_id(RpcEndpoint(failing(TooWide("It took too long.")))), method, needed)
    path = tmp_path / "ledger.db"
    with open_database(f"sqlite:///{path}") as database:
        database.append(ROWS, [])
        ledger = Ledger(database)
        ledger.call("billing.mark_billed", reference="2023-11", to_seq=5)
        if code == -32002:
            path.rename(tmp_path / "gone.db")
        return ledger.ask(method, ASKED.get((method, code), needed))


@pytest.mark.parametrize(("method", "code"), DOCUMENTED)
def test_documented_error_can_be_had(tmp_path: Path, method: str, code: int) -> None:
    answer = refusal(tmp_path, method, code)

    assert answer["error"]["code"] == code
    assert answer["id"] == (None if code == -32001 else 1)
    assert "secret" not in str(answer)


@pytest.mark.parametrize("method", METHODS)
def test_store_that_does_not_answer_is_an_error_only_where_it_is_documented(method: str) -> None:
    admin = failing(StoreUnavailable("No answer."))
    answering = Admin(
        admin.reports, admin.books, admin.labels, ServedFake(), lambda: HEALTHY, lambda: INFO, document=DOCUMENT
    )
    answer = ask(with_request_id(RpcEndpoint(answering)), method, NEEDED.get(method, {}))

    assert ("error" in answer) is ((method, -32002) in DOCUMENTED)
