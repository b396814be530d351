"""What answers each path."""

import asyncio
import logging

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from hero_broker.admin_plane.contract import load_document
from hero_broker.admin_plane.methods import Admin
from hero_broker.dispatch import Routing, routing
from hero_broker.edge.admission import Admission
from hero_broker.edge.client_ip import SourceIp
from hero_broker.edge.requests import Edge
from hero_broker.pricing.catalogue import Catalogue
from hero_broker.providers.routing import Routes
from hero_broker.settings.model import ServerSettings
from tests.admin_plane.fakes import NoBooks, NoLabels, NoReports, ServedFake


async def no_call(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise AssertionError("a call was made")


def no_health() -> dict[str, object]:
    raise RuntimeError("something internal")


def routes_of_the_program() -> Routing:
    """Return the routing of a broker that has nothing behind it."""
    admin = Admin(NoReports(), NoBooks(), NoLabels(), ServedFake(), no_health, dict, load_document())
    return routing(no_call, Routes([], [], Catalogue()), admin, 60)


@pytest.mark.parametrize("path", ["/health/ready", "/admin/health"])
def test_fault_of_the_brokers_own_is_told_in_openais_shape_and_logged(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    edge = Edge(
        routes_of_the_program(),
        SourceIp((), False, "x-forwarded-for"),
        Admission(ServerSettings().allowed_clients, 1, 1),
    )

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        await edge({**scope, "state": {"connection": None}}, receive, send)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(served, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get(path)

    with caplog.at_level(logging.ERROR):
        answer = asyncio.run(ask())

    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal_error"
    assert "internal" not in answer.text.replace("internal_error", "")
    assert [record.__dict__.get("request_id") for record in caplog.records] == [answer.headers["x-request-id"]]
    assert "something internal" in caplog.text
