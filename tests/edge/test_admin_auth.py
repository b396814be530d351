"""The admin plane needs a token, or in dev mode a loopback `Host`."""

import asyncio
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from hero_broker.core.calls import Caller
from hero_broker.core.errors import BrokerError
from hero_broker.edge import admin_auth, paths
from hero_broker.edge.admin_auth import AdminGate
from hero_broker.edge.errors import send_error

TOKENS = ("secrét", "other")
Headers = list[tuple[bytes, bytes]]


async def inside(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def unread() -> Message:
    raise AssertionError("the body was read")


def ask(
    path: str,
    headers: Headers,
    tokens: tuple[str, ...] = TOKENS,
    client: tuple[str, int] | None = ("127.0.0.1", 1),
    method: str = "GET",
    gate: AdminGate | None = None,
) -> tuple[Any, Any]:
    sent: list[Any] = []

    async def send(message: Message) -> None:
        sent.append(message)

    state = {"headers": dict(headers), "caller": Caller("192.0.2.7", None)}
    scope = {"type": "http", "path": path, "headers": headers, "client": client, "method": method, "state": state}

    async def answered() -> None:
        try:
            await (gate or AdminGate(inside, tokens))(scope, unread, send)
        except BrokerError as error:  # the edge around the gate answers it
            await send_error(error, send)

    asyncio.run(answered())
    return sent[0], sent[1]["body"]


def status(*args: Any, **options: Any) -> Any:
    return ask(*args, **options)[0]["status"]


def bearer(token: str, scheme: str = "Bearer") -> Headers:
    return [(b"authorization", f"{scheme} {token}".encode())]


PATHS = [
    "/rpc",
    "/rpc/",
    "//rpc",
    "/billing/usage",
    "/billing//usage",
    "/admin/x",
    "/metrics",
    "/openrpc.json",
    "/openapi.json",
]


def test_refused_token_is_logged_once_a_minute_with_its_address_and_not_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate = AdminGate(inside, TOKENS)

    for headers in (bearer("wrong"), bearer("wrong"), []):
        ask("/rpc", headers, gate=gate)

    assert caplog.messages == ["admin: a request of 192.0.2.7 to /rpc is refused: The admin token is wrong."]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("headers", [[], bearer("wrong"), bearer(""), bearer("other", "Basic")])
def test_guarded_path_needs_one_right_token(path: str, headers: Headers) -> None:
    start, _ = ask(path, headers)

    assert start["status"] == 401
    assert (b"www-authenticate", b"Bearer") in start["headers"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("headers", [bearer("secrét"), bearer("other"), bearer("other", "bearer")])
def test_either_token_opens(path: str, headers: Headers) -> None:
    assert status(path, headers) == 200


@pytest.mark.parametrize("path", ["/", "/v1/chat/completions", "/rpcs", "/RPC", "/health/live", "/billing.html"])
def test_other_paths_are_open(path: str) -> None:
    assert status(path, []) == 200


@pytest.mark.parametrize("path", ["/" * 1000 + "rpc", "/billing/" + "a" * 1000])
def test_long_path_is_guarded_and_not_remembered(path: str) -> None:
    before = paths._cached.cache_info().currsize

    start, _ = ask(path, [])

    assert start["status"] == 401
    assert paths._cached.cache_info().currsize == before


def test_long_host_is_no_loopback_and_not_remembered() -> None:
    before = admin_auth._is_loopback_name.cache_info().currsize

    assert status("/v1/models", [(b"host", b"localhost:" + b"1" * 1000)], tokens=()) == 403
    assert admin_auth._is_loopback_name.cache_info().currsize == before


def test_refusal_has_the_shape_of_its_path() -> None:
    assert b'"code":-32001' in ask("/rpc", [])[1]
    assert b'"id":null' in ask("/rpc", [])[1]
    assert b'"code":"unauthorized"' in ask("/billing/usage", [])[1]


@pytest.mark.parametrize("path", ["/rpc", "/billing/usage"])
def test_wrong_token_and_none_are_told_apart(path: str) -> None:
    needed = b"An admin token is required: Authorization: Bearer TOKEN."

    assert needed in ask(path, [])[1]
    for other in (bearer(""), bearer("other", "Basic"), [(b"authorization", b"other")]):
        assert b"has no admin token in the form: Bearer TOKEN." in ask(path, other)[1]
    assert b"The admin token is wrong." in ask(path, bearer("wrong"))[1]


@pytest.mark.parametrize("path", ["/openapi.json\n", "/v1/models\n", "/rpc\x00", "/\x85", "/a\u2028b", "/\x7f" * 300])
@pytest.mark.parametrize("tokens", [TOKENS, ()])
def test_path_with_a_control_character_gets_no_further(path: str, tokens: tuple[str, ...]) -> None:
    assert status(path, bearer("other"), tokens) == 400


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:8080", "127.8.8.8", "[::1]:8080", "[::1]"])
@pytest.mark.parametrize("path", ["/rpc", "/v1/chat/completions"])
def test_dev_mode_answers_loopback_names(host: str, path: str) -> None:
    assert status(path, [(b"host", host.encode())], tokens=()) == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "192.0.2.1", "", "::1", "\xff"])
@pytest.mark.parametrize("path", ["/rpc", "/v1/chat/completions"])
def test_dev_mode_refuses_other_names(host: str, path: str) -> None:
    assert status(path, [(b"host", host.encode("latin-1"))], tokens=()) == 403


def test_dev_mode_needs_a_host() -> None:
    assert status("/rpc", [], tokens=()) == 403


def test_dev_mode_leaves_unix_sockets_alone() -> None:
    assert status("/rpc", [(b"host", b"broker")], tokens=(), client=None) == 200


def test_lifespan_passes() -> None:
    seen = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    async def send(_message: Message) -> None: ...

    async def run() -> None:
        await AdminGate(app, TOKENS)({"type": "lifespan"}, unread, send)

    asyncio.run(run())

    assert seen == ["lifespan"]


LOOPBACK = (b"host", b"127.0.0.1:33850")


@pytest.mark.parametrize(
    "origin", [b"https://example.com", b"http://192.0.2.1", b"null", b"", b"http://localhost.evil"]
)
@pytest.mark.parametrize("path", PATHS)
def test_page_of_another_site_may_not_ask_in_dev_mode(path: str, origin: bytes) -> None:
    start, body = ask(path, [LOOPBACK, (b"origin", origin)], ())

    assert (start["status"], b"origin_not_allowed" in body) == (403, True)


@pytest.mark.parametrize("origin", [b"http://localhost:33850", b"http://127.0.0.1:3000", b"http://[::1]:33850"])
def test_page_of_this_machine_may_ask_in_dev_mode(origin: bytes) -> None:
    assert status("/rpc", [LOOPBACK, (b"origin", origin)], ()) == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("site", [b"cross-site", b"same-site"])
@pytest.mark.parametrize("path", PATHS)
def test_page_of_another_port_may_not_ask_in_dev_mode(path: str, site: bytes, method: str) -> None:
    page = [(b"origin", b"http://localhost:3000")] if method == "POST" else []
    headers = [LOOPBACK, *page, (b"sec-fetch-site", site), (b"sec-fetch-mode", b"no-cors")]

    assert ask(path, headers, (), method=method)[0]["status"] == 403


def test_page_behind_a_proxy_of_the_developers_own_may_ask_in_dev_mode() -> None:
    headers = [LOOPBACK, (b"origin", b"http://localhost:3000"), (b"sec-fetch-site", b"same-origin")]

    assert ask("/rpc", headers, (), method="POST")[0]["status"] == 200


@pytest.mark.parametrize(("method", "expected"), [("GET", 200), ("POST", 403)])
def test_link_on_another_page_may_be_followed_and_a_form_may_not_be_sent(method: str, expected: int) -> None:
    headers = [LOOPBACK, (b"sec-fetch-site", b"cross-site"), (b"sec-fetch-mode", b"navigate")]

    assert ask("/billing/usage", headers, (), method=method)[0]["status"] == expected


def test_page_of_another_site_that_has_the_token_may_ask() -> None:
    assert status("/rpc", [*bearer("other"), (b"origin", b"https://example.com")]) == 200
