"""A request waits for its short body only if the application would not refuse it by its head."""

import asyncio
from collections.abc import Mapping
from ipaddress import ip_network

import pytest
from starlette.types import Message, Receive, Scope, Send

from hero_broker.core.calls import Caller
from hero_broker.core.errors import TooManyCalls, UnsupportedMedia
from hero_broker.edge.admin_auth import AdminGate
from hero_broker.edge.allowed_clients import AllowedClients
from hero_broker.edge.middleware import EdgeMiddleware
from hero_broker.edge.origins import Origins
from hero_broker.edge.short_requests import ShortRequests
from hero_broker.edge.source_ip import SourceIp

TARGET = b"/v1/chat/completions"
HOST = (b"host", b"localhost")
BUSY = "10.0.0.99"


def check(caller: Caller) -> None:
    """Refuse one address."""
    if caller.ip == BUSY:
        raise TooManyCalls("busy")


def check_head(headers: Mapping[bytes, bytes]) -> None:
    """Refuse what is not JSON."""
    if headers.get(b"content-type") == b"text/plain":
        raise UnsupportedMedia("json")


async def application(scope: Scope, _receive: Receive, send: Send) -> None:
    """Respond without reading the body."""
    check(scope["state"]["caller"])
    check_head(scope["state"]["headers"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def parts(tokens: tuple[str, ...]) -> tuple[ShortRequests, EdgeMiddleware]:
    """Return the rules and the application, made of the same objects."""
    gate = AdminGate(application, tokens)
    source_ip = SourceIp([ip_network("10.0.0.1/32")], False, "x-forwarded-for")
    allowed = AllowedClients([ip_network("10.0.0.0/8"), ip_network("127.0.0.0/8")])
    rules = ShortRequests([TARGET], source_ip, allowed, gate, [check], check_head)
    return rules, EdgeMiddleware(gate, source_ip, allowed, Origins(["https://page.example"]))


def status(edge: EdgeMiddleware, client: tuple[str, int] | None, headers: list[tuple[bytes, bytes]]) -> int:
    """Return the status that the application responds with to a head."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    path = TARGET.decode()
    scope: Scope = {"type": "http", "method": "POST", "path": path, "client": client, "headers": headers, "state": {}}
    asyncio.run(asyncio.wait_for(edge(scope, receive, send), 20))
    return int(sent[0]["status"])


@pytest.mark.parametrize("tokens", [(), ("secret",)], ids=["dev mode", "token"])
@pytest.mark.parametrize(
    ("client", "headers"),
    [
        (("10.0.0.7", 1), [HOST]),
        (("11.0.0.7", 1), [HOST]),
        ((BUSY, 1), [HOST]),
        (("10.0.0.1", 1), [HOST, (b"x-forwarded-for", b"10.0.0.8")]),
        (("10.0.0.1", 1), [HOST, (b"x-forwarded-for", b"11.0.0.8")]),
        (("10.0.0.1", 1), [HOST, (b"x-forwarded-for", BUSY.encode())]),
        (("10.0.0.7", 1), [HOST, (b"x-forwarded-for", b"11.0.0.8")]),
        (("10.0.0.7", 1), [HOST, (b"x-hero-context", b"a" * 129)]),
        (("10.0.0.7", 1), [HOST, (b"origin", b"https://other.example")]),
        (("10.0.0.7", 1), [HOST, (b"sec-fetch-site", b"cross-site")]),
        (("10.0.0.7", 1), [(b"host", b"name.example")]),
        (None, [(b"host", b"name.example")]),
        (("10.0.0.7", 1), [HOST, (b"content-type", b"text/plain")]),
    ],
)
def test_what_would_be_refused_does_not_wait(
    tokens: tuple[str, ...], client: tuple[str, int] | None, headers: list[tuple[bytes, bytes]]
) -> None:
    rules, edge = parts(tokens)
    assert rules.may_wait(client, TARGET, headers) == (status(edge, client, headers) == 200)


@pytest.mark.parametrize("header", [(b"origin", b"https://page.example"), (b"sec-fetch-site", b"same-origin")])
def test_request_of_a_page_begins_at_its_head(header: tuple[bytes, bytes]) -> None:
    rules, _ = parts(("secret",))
    assert not rules.may_wait(("10.0.0.7", 1), TARGET, [HOST, header])


def test_two_hosts_do_not_wait() -> None:
    rules, _ = parts(("secret",))
    assert not rules.may_wait(("10.0.0.7", 1), TARGET, [HOST, HOST])
