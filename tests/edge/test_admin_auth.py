"""The admin plane is closed to whoever has no token, and to other hosts' names in dev mode."""

import asyncio
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from hero_broker.edge import admin_auth
from hero_broker.edge.admin_auth import AdminGate

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
) -> tuple[Any, Any]:
    sent: list[Any] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "path": path, "headers": headers, "client": client, "method": "GET"}
    asyncio.run(AdminGate(inside, tokens)(scope, unread, send))
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
    before = admin_auth._guarded.cache_info().currsize

    start, _ = ask(path, [])

    assert start["status"] == 401
    assert admin_auth._guarded.cache_info().currsize == before


def test_long_host_is_no_loopback_and_not_remembered() -> None:
    before = admin_auth._names_loopback.cache_info().currsize

    assert status("/v1/models", [(b"host", b"localhost:" + b"1" * 1000)], tokens=()) == 403
    assert admin_auth._names_loopback.cache_info().currsize == before


def test_refusal_has_the_shape_of_its_path() -> None:
    assert b'"code":-32001' in ask("/rpc", [])[1]
    assert b'"id":null' in ask("/rpc", [])[1]
    assert b'"code":"unauthorized"' in ask("/billing/usage", [])[1]


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

    asyncio.run(AdminGate(app, TOKENS)({"type": "lifespan"}, unread, send))

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


def test_page_of_another_site_that_has_the_token_may_ask() -> None:
    assert status("/rpc", [*bearer("other"), (b"origin", b"https://example.com")]) == 200


def test_calls_are_not_asked_for_their_origin() -> None:
    assert status("/v1/models", [LOOPBACK, (b"origin", b"https://example.com")], ()) == 200
