"""What answers each path."""

import asyncio
import logging
import re
from pathlib import Path

import httpx
import pytest
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from hero_broker.admin_plane.admin import Admin
from hero_broker.admin_plane.contract import load_document
from hero_broker.data_plane.path_spellings import CALL_SPELLINGS
from hero_broker.edge.admin_auth import AdminGate
from hero_broker.edge.allowed_clients import AllowedClients
from hero_broker.edge.middleware import EdgeMiddleware
from hero_broker.edge.origins import Origins
from hero_broker.edge.source_ip import SourceIp
from hero_broker.kinds.registry import CALL_PATHS, KINDS
from hero_broker.pricing.catalogue import Catalogue
from hero_broker.providers.routes import Routes
from hero_broker.server.router import Router, build_router
from hero_broker.settings.model import ServerSettings
from tests.admin_plane.fakes import NoBooks, NoLabels, NoReports, ServedFake, no_calls, other_prices


async def no_call(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise AssertionError("a call was made")


def no_health() -> dict[str, object]:
    raise RuntimeError("something internal")


def routes_of_the_program() -> Router:
    """Return the routing of a broker that has nothing behind it."""
    admin = Admin(
        NoReports(), NoBooks(), NoLabels(), ServedFake(), no_health, dict, no_calls, load_document(), other_prices
    )
    return build_router(no_call, no_call, Routes([], [], Catalogue()), admin, 60)


@pytest.mark.parametrize("path", ["/health/ready", "/admin/health"])
def test_fault_of_the_brokers_own_is_told_in_openais_shape_and_logged(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    edge = EdgeMiddleware(
        routes_of_the_program(),
        SourceIp((), False, "x-forwarded-for"),
        AllowedClients(ServerSettings().allowed_clients),
        Origins(()),
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


OPEN = ("/health/live", "/health/ready", "/")
STORED = {one.spec.path: one.spec.verb.upper() for kind in KINDS.values() for one in reversed(kind.stored_requests)}
READ = ("/v1/models", "/v1/models/{name:path}", "/v1/usage", "/v1/usage/{request_id}", *STORED)
UNASKED_METHODS = ("GET", "HEAD", "POST")  # that a browser sends for any page without a preflight, if the body is plain
PAGES = (
    {"origin": "https://evil.example", "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    {"origin": "null"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    {"sec-fetch-site": "same-site"},
)


def unasked_routes() -> list[tuple[str, str]]:
    """Return each method and path of the route table that a browser reaches without a preflight."""
    table = routes_of_the_program()
    found = [("POST", path) for path in table.hot]
    for route in table.others.routes:
        assert isinstance(route, Route)
        found += [(method, route.path) for method in sorted(route.methods or ()) if method in UNASKED_METHODS]
    found += [(method, path) for path, method in STORED.items()]
    found += [("HEAD", path) for path, method in STORED.items() if method == "GET"]
    return found


def test_page_of_the_security_model_names_every_route_that_a_page_reaches() -> None:
    text = (Path(__file__).parents[2] / "docs" / "explanation" / "security.md").read_text()
    section = text.partition("\n## A page in a browser\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(/[^`]*)`", section.partition("| Routes | Answer |")[2]))

    for _, path in unasked_routes():
        assert path in named or f"/{path.split('/')[1]}/…" in named, path


@pytest.mark.parametrize("page", PAGES, ids=str)
@pytest.mark.parametrize("tokens", [("token",), ()], ids=["with a token", "in dev mode"])
@pytest.mark.parametrize(("method", "path"), unasked_routes())
def test_route_that_a_page_reaches_without_a_preflight(
    method: str, path: str, tokens: tuple[str, ...], page: dict[str, str]
) -> None:
    gate = AdminGate(routes_of_the_program(), tokens)
    allowed = AllowedClients(ServerSettings().allowed_clients)
    edge = EdgeMiddleware(gate, SourceIp((), False, "x-forwarded-for"), allowed, Origins(("https://chat.example.org",)))

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        await edge({**scope, "state": {"connection": None}}, receive, send)

    async def ask(content_type: str) -> httpx.Response:
        transport = httpx.ASGITransport(served, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            name = path.replace("{response_id}", "resp_1")
            return await client.request(method, name, headers={"content-type": content_type, **page})

    for content_type in ("multipart/form-data; boundary=b", "text/plain", "application/x-www-form-urlencoded"):
        answer = asyncio.run(ask(content_type))
        if path in OPEN:
            assert answer.status_code in (200, 500)  # no call, and nothing that the page can read
        elif path in CALL_PATHS or path in READ:
            assert (answer.status_code, method == "HEAD" or "origin_not_allowed" in answer.text) == (403, True)
        else:
            assert answer.status_code == (401 if tokens else 403)
        assert not any(name.startswith("access-control") for name in answer.headers)


class Seen:
    """In place of the data plane: notes the canonical paths of the calls that reach it."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.deployments: list[str | None] = []

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])
        self.deployments.append(scope["state"].get("deployment"))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def ask_gate(calls: Seen, tokens: tuple[str, ...], method: str, path: str, client: str = "127.0.0.1") -> httpx.Response:
    """Make a request to the whole application."""
    admin = Admin(
        NoReports(), NoBooks(), NoLabels(), ServedFake(), no_health, dict, no_calls, load_document(), other_prices
    )
    gate = AdminGate(build_router(calls, calls, Routes([], [], Catalogue()), admin, 60), tokens)
    allowed = AllowedClients(ServerSettings().allowed_clients)
    edge = EdgeMiddleware(gate, SourceIp((), False, "x-forwarded-for"), allowed, Origins(()))

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        await edge({**scope, "state": {"connection": None}}, receive, send)

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(served, client=(client, 1))) as caller:
            return await caller.request(method, f"http://localhost{path}")

    return asyncio.run(ask())


@pytest.mark.parametrize(("spelling", "path"), CALL_SPELLINGS.items())
def test_call_comes_with_its_canonical_path_however_it_is_spelled(spelling: str, path: str) -> None:
    calls = Seen()

    answer = ask_gate(calls, ("token",), "POST", spelling)

    assert (answer.status_code, calls.paths) == (200, [path])


def test_call_of_a_deployment_comes_with_its_canonical_path_and_its_model() -> None:
    calls = Seen()

    answer = ask_gate(calls, ("token",), "POST", "/openai/deployments/p%2Fm/chat/completions?api-version=1")

    assert (answer.status_code, calls.paths, calls.deployments) == (200, ["/v1/chat/completions"], ["p/m"])


@pytest.mark.parametrize("path", ["/models", "/models/", "/v1/models/", "/v1/v1/models", "/openai/v1/models"])
def test_models_are_listed_however_their_path_is_spelled(path: str) -> None:
    assert ask_gate(Seen(), (), "GET", path).json() == {"object": "list", "data": []}


@pytest.mark.parametrize("path", ["/models/none", "/v1/v1/models/none", "/openai/v1/models/none"])
def test_model_is_looked_up_however_its_path_is_spelled(path: str) -> None:
    assert "'none' does not exist" in ask_gate(Seen(), (), "GET", path).json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "statuses"),
    [
        ("//rpc", {401, 404}),
        ("/rpc/", {401, 404}),
        ("/v1/rpc", {404}),
        ("/v1/v1/rpc", {404}),
        ("/openai/v1/rpc", {404}),
        ("/openai/deployments/m/rpc", {404}),
        ("/openai/deployments/m/billing/usage", {404}),
        ("/v1/billing/usage", {404}),
        ("/v1/v1/billing/usage", {404}),
        ("/v1/admin/models", {404}),
        ("/v1/openapi.json", {404}),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_other_spelling_reaches_the_admin_plane(method: str, path: str, statuses: set[int]) -> None:
    calls = Seen()

    answer = ask_gate(calls, ("token",), method, path)

    assert answer.status_code in statuses
    assert calls.paths == []


@pytest.mark.parametrize("path", ["/v1/assistants", "/api/chat", "/v1beta/models/gemini:generateContent", "/v1/files"])
def test_interface_that_is_not_served_is_a_404_that_says_what_works(path: str) -> None:
    answer = ask_gate(Seen(), ("token",), "POST", path)

    assert (answer.status_code, answer.headers["x-should-retry"]) == (404, "false")
    assert answer.json()["error"]["code"] == "not_found"
    assert "not served" in answer.json()["error"]["message"]


def test_front_page_needs_no_token_but_an_address_that_may_call() -> None:
    assert ask_gate(Seen(), ("token",), "GET", "/").status_code == 200
    assert ask_gate(Seen(), ("token",), "GET", "/", client="192.0.2.1").status_code == 403
