"""`POST /rpc` over HTTP, and the same answers under URLs."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from jsonschema import Draft7Validator
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hero_broker.admin_plane.admin import Admin
from hero_broker.admin_plane.contract import load_document
from hero_broker.admin_plane.rest import http_routes
from hero_broker.admin_plane.rpc import MAX_BODY_BYTES, RpcEndpoint
from hero_broker.core.calls import Caller
from hero_broker.core.duties import Duty
from hero_broker.core.errors import NotRecorded, StoreUnavailable
from hero_broker.core.records import (
    CostLine,
    ExplainedRequest,
    IpUsage,
    ModelUsage,
    OwnUsage,
    PriceRecord,
    UsageByIp,
    UsageForIp,
    UsageTotals,
    WindowUsage,
)
from hero_broker.server.router import EXCEPTION_HANDLERS
from tests.admin_plane.fakes import (
    LimitsFake,
    NoBooks,
    NoLabels,
    NoReports,
    ServedFake,
    explained,
    no_calls,
    other_prices,
)
from tests.ledger.rows import row

HEALTHY: dict[str, object] = {
    "status": "ok",
    "store": "ok",
    "journal_pending": 0,
    "journal_oldest_pending_s": None,
    "journal_open_calls": 0,
    "journal_bytes": 8_388_608,
    "rejected_rows": 0,
    "disk_free_bytes": 1_000_000_000,
    "rollups": {"generation": 1, "folded_seq": 1, "rebuilt_seq": None},
    "duties": [Duty("rollups", "sums are made").report()],
}
INFO: dict[str, object] = {"name": "hero-broker", "version": "1", "models": 2}

FOUNDING = UsageTotals(
    requests=1, input_tokens=40, output_tokens=3, cost_nano_usd=25970, first_seen=1767225600, last_seen=1767225600
)
IP = "203.0.113.7"
HEALTH = '{"jsonrpc": "2.0", "method": "system.health", "id": 1}'


class OneCall(NoReports):
    """A ledger with the founding example in it."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.running = 0
        self.most_running = 0

    async def usage_by_ip(
        self,
        since: int | None,
        until: int | None,
        limit: int,
        after: tuple[int, str] | None,
    ) -> UsageByIp:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await asyncio.sleep(0.001)
        self.running -= 1
        if self.failure is not None:
            raise self.failure
        if until is not None and until <= 1767225600:
            return UsageByIp((), UsageTotals(), 1767225700, False)
        return UsageByIp((IpUsage(IP, FOUNDING),), FOUNDING, 1767225700, False)

    async def usage_for_ip(self, ip: str, since: int | None, until: int | None) -> UsageForIp:
        if ip != IP or (until is not None and until <= 1767225600):
            return UsageForIp((), UsageTotals(), 1767225700)
        return UsageForIp((ModelUsage("fake-chat", FOUNDING),), FOUNDING, 1767225700)

    async def own_usage(self, ip: str, _zone: ZoneInfo) -> OwnUsage:
        models = (ModelUsage("fake-chat", FOUNDING),) if ip == IP else ()
        window = WindowUsage(1767225600, 1767312000, FOUNDING if models else UsageTotals(), models)
        return OwnUsage(window, window, 1767225700)

    async def own_request(self, ip: str, request_id: str) -> ExplainedRequest:
        if ip != IP:
            raise NotRecorded("No such request")
        return await self.request(request_id)

    async def request(self, request_id: str) -> ExplainedRequest:
        line = CostLine("input_tokens", "40", "input_per_million", "0.59", 1_000_000, "0.0000236")
        price = PriceRecord("p", "{}", "settings", "")
        return ExplainedRequest(1, row(request_id=request_id), price, (line,), "0.0000236", 1767225700)


def with_request_id(app: ASGIApp) -> ASGIApp:
    async def edge(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["request_id"] = "req_1"
        scope["state"].setdefault("caller", Caller(IP, None))
        await app(scope, receive, send)

    return edge


def admin_of(reports: NoReports, health: Callable[[], Any] | None = None) -> Admin:
    return Admin(
        reports=reports,
        books=NoBooks(),
        labels=NoLabels(),
        served=ServedFake(),
        health=health or (lambda: HEALTHY),
        info=lambda: INFO,
        unrecorded=no_calls,
        document=load_document(),
        refresh_prices=other_prices,
        limits=LimitsFake(),
        explain=explained,
    )


def send(
    method: str, url: str, reports: OneCall | None = None, health: Callable[[], Any] | None = None, **options: Any
) -> httpx.Response:
    async def run() -> httpx.Response:
        admin = admin_of(reports or OneCall(), health)
        app = Starlette(
            routes=[Route("/rpc", RpcEndpoint(admin)), *http_routes(admin)], exception_handlers=EXCEPTION_HANDLERS
        )
        transport = httpx.ASGITransport(with_request_id(app), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, url, **options)

    return asyncio.run(run())


def post(body: str | bytes, reports: OneCall | None = None, health: Callable[[], Any] | None = None) -> httpx.Response:
    return send("POST", "/rpc", reports, health, content=body, headers={"content-type": "application/json"})


def call(method: str, params: object = None, reports: OneCall | None = None) -> Any:
    request = {"jsonrpc": "2.0", "method": method, "id": 1} | ({} if params is None else {"params": params})
    return post(json.dumps(request), reports).json()


def error(code: int, message: str) -> dict[str, object]:
    return {"jsonrpc": "2.0", "error": {"code": code, "message": message}, "id": None}


def unread(reason: str) -> dict[str, object]:
    refused = {"code": -32600, "message": "Invalid Request", "data": {"reason": reason}}
    return {"jsonrpc": "2.0", "error": refused, "id": None}


TOO_LONG = "The body must be at most 1048576 bytes long."


def test_failures_tell_nothing_internal() -> None:
    assert call("billing.usage_by_ip", reports=OneCall(RuntimeError("secret")))["error"] == {
        "code": -32603,
        "message": "Internal error",
        "data": {"request_id": "req_1"},
    }
    assert call("billing.usage_by_ip", reports=OneCall(StoreUnavailable("No answer.")))["error"]["code"] == -32002


def test_result_that_json_cannot_say_is_an_internal_error() -> None:
    answer = post(HEALTH, health=lambda: {"status": object()}).json()

    assert answer["error"] == {"code": -32603, "message": "Internal error", "data": {"request_id": "req_1"}}


@pytest.mark.parametrize("url", ["/billing/usage", f"/billing/usage/{IP}", f"/billing/usage/::ffff:{IP}"])
def test_founding_example_costs_what_it_says_on_the_wire(url: str) -> None:
    assert b'"total_cost_usd":0.00002597,"total_cost_nano_usd":"25970"' in send("GET", url).content


def test_founding_example_costs_the_same_over_rpc() -> None:
    answer = post('{"jsonrpc": "2.0", "method": "billing.usage_by_ip", "id": 1}')

    assert b'"total_cost_usd":0.00002597,' in answer.content
    assert answer.json()["result"] == send("GET", "/billing/usage").json()


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"])
def test_other_http_method_is_405(method: str) -> None:
    answer = send(method, "/rpc", content=HEALTH, headers={"content-type": "application/json"})

    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    if method != "HEAD":
        assert answer.json() == unread("Requests must use POST.")


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/json"},
        {"content-type": "application/json; charset=utf-8"},
        {"content-type": "Application/JSON ;charset=UTF-8"},
        {"content-type": "application/json-rpc"},
        {"content-type": "application/json", "content-encoding": "identity"},
        {"content-type": "application/json", "content-encoding": "Identity"},
    ],
)
def test_json_is_answered_as_json(headers: dict[str, str]) -> None:
    answer = send("POST", "/rpc", content=HEALTH, headers=headers)

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.json()["result"] == HEALTHY


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": ""},
        {"content-type": "text/plain"},
        {"content-type": "text/json"},
        {"content-type": "text/plain; application/json"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "multipart/form-data; boundary=application/json"},
        {"content-type": "application/jsonrequest"},
        {"content-type": "application/json, text/plain"},
        {"content-type": "application/json", "content-encoding": "gzip"},
        {"content-type": "application/json", "content-encoding": "br"},
        {"content-type": "application/json", "content-encoding": "identity, gzip"},
    ],
)
def test_other_content_is_415(headers: dict[str, str]) -> None:
    answer = send("POST", "/rpc", content=HEALTH, headers=headers)

    reason = "The content type must be application/json, without an encoding."
    assert (answer.status_code, answer.json()) == (415, unread(reason))


@pytest.mark.parametrize("has_length", [True, False])
@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 413)])
def test_body_has_a_limit(more: int, status: int, has_length: bool) -> None:
    body = HEALTH.encode().ljust(MAX_BODY_BYTES + more)

    async def pieces() -> AsyncIterator[bytes]:
        yield body[:1000]
        yield body[1000:]

    answer = send(
        "POST", "/rpc", content=body if has_length else pieces(), headers={"content-type": "application/json"}
    )

    assert answer.status_code == status
    assert ("content-length" in answer.request.headers) is has_length
    assert answer.json() == ({"jsonrpc": "2.0", "result": HEALTHY, "id": 1} if status == 200 else unread(TOO_LONG))


def test_long_body_is_413_while_it_is_read() -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b" " * 65536

    answer = send("POST", "/rpc", content=body(), headers={"content-type": "application/json"})

    assert answer.status_code == 413
    assert sent == 17


class Client:
    """The other end of an ASGI request: `left` is set when it leaves, sending fails after so many messages."""

    def __init__(self, *pieces: bytes, is_whole: bool = True, takes: int = 1000) -> None:
        self.sent: list[Message] = []
        self.left = asyncio.Event()
        self._pieces = [*pieces]
        self._is_whole = is_whole
        self._takes = takes

    async def receive(self) -> Message:
        if self._pieces:
            piece = self._pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(self._pieces) or not self._is_whole}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if len(self.sent) >= self._takes:
            raise OSError("nobody is there")
        self.sent.append(message)

    def ask(self, reports: NoReports) -> None:
        scope: Scope = {
            "type": "http",
            "method": "POST",
            "path": "/rpc",
            "headers": [(b"content-type", b"application/json")],
        }
        app = with_request_id(RpcEndpoint(admin_of(reports)))

        async def run() -> None:
            await app(scope, self.receive, self.send)

        asyncio.run(run())


class Noting(OneCall):
    """Calls a function at each query."""

    def __init__(self, note: Callable[[], object]) -> None:
        super().__init__()
        self.asked = 0
        self._note = note

    async def usage_by_ip(
        self, since: int | None, until: int | None, limit: int, after: tuple[int, str] | None
    ) -> UsageByIp:
        self.asked += 1
        self._note()
        return await super().usage_by_ip(since, until, limit, after)


BY_IP = '{"jsonrpc": "2.0", "method": "billing.usage_by_ip", "id": 1}'
NOTIFIED = '{"jsonrpc": "2.0", "method": "billing.usage_by_ip"}'


def answers_in(messages: list[Message]) -> int:
    return sum(b"jsonrpc" in message.get("body", b"") for message in messages)


def test_each_answer_of_a_batch_is_sent_before_the_next_member_is_begun() -> None:
    client = Client(f"[{BY_IP}, {NOTIFIED}, 1, {BY_IP}, {BY_IP}]".encode())
    sent: list[int] = []

    client.ask(Noting(lambda: sent.append(answers_in(client.sent))))

    assert sent == [0, 1, 2, 3]
    assert client.sent[0] == {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-type", b"application/json")],
    }
    assert [message["more_body"] for message in client.sent[1:-1]] == [True] * (len(client.sent) - 2)
    assert not client.sent[-1].get("more_body", False)
    assert len(json.loads(b"".join(message["body"] for message in client.sent[1:]))) == 4


@pytest.mark.parametrize("batch", [[BY_IP] * 5, [NOTIFIED] * 5, [BY_IP, NOTIFIED, BY_IP]])
def test_client_that_leaves_in_the_middle_of_a_batch_ends_it(batch: list[str]) -> None:
    client = Client(f"[{','.join(batch)}]".encode())
    reports = Noting(client.left.set)

    client.ask(reports)

    assert reports.asked == 1
    assert answers_in(client.sent) <= 1


@pytest.mark.parametrize("takes", [0, 1, 2, 3, 4])
def test_answer_that_cannot_be_sent_ends_a_batch(takes: int) -> None:
    client = Client(f"[{','.join([BY_IP] * 5)}]".encode(), takes=takes)
    reports = Noting(lambda: None)

    client.ask(reports)

    assert len(client.sent) == takes
    assert reports.asked == takes // 2  # a bracket or a comma and an answer for each


@pytest.mark.parametrize("body", [BY_IP, f"[{BY_IP}]", NOTIFIED])
def test_body_that_was_cut_off_is_not_looked_at_though_it_looks_whole(body: str) -> None:
    client = Client(body.encode(), is_whole=False)
    client.left.set()
    reports = Noting(lambda: None)

    client.ask(reports)

    assert (reports.asked, client.sent) == (0, [])


@pytest.mark.parametrize(
    ("query", "param"),
    [
        pytest.param("since=%2B5", "since", id="sign"),
        pytest.param("since=1_000", "since", id="underscore"),
        pytest.param("since=%D9%A3", "since", id="other-digits"),
        pytest.param("since=", "since", id="empty"),
        pytest.param("since=1&since=2", "since", id="twice"),
        pytest.param("page=2", "page", id="unknown"),
        pytest.param("since=2&until=1", "since", id="reversed"),
    ],
)
def test_bad_query_is_400(query: str, param: str) -> None:
    answer = send("GET", f"/billing/usage?{query}")

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_rest_failures_have_their_status() -> None:
    down = send("GET", "/billing/usage", OneCall(StoreUnavailable("No answer.")))

    assert (down.status_code, down.headers["retry-after"]) == (503, "5")
    assert "secret" not in send("GET", "/billing/usage", OneCall(RuntimeError("secret"))).text
    assert send("GET", "/billing/usage/nobody").status_code == 400


def test_document_is_the_same_by_both_doors() -> None:
    assert send("GET", "/openrpc.json").json() == call("rpc.discover")["result"] == load_document()


# Methods whose examples are asked of a real ledger, in test_billing.
LEDGERS = {
    "billing.usage",
    "billing.requests",
    "billing.focus",
    "billing.unbilled",
    "billing.close",
    "billing.mark_billed",
    "billing.periods",
    "billing.verify",
    "billing.rebuild",
    "labels.set",
    "labels.set_many",
    "labels.get",
    "labels.list",
    "labels.remove",
    "limits.get",
    "limits.set",
    "limits.remove",
    "limits.grant",
    "limits.revoke",
}


def examples() -> list[Any]:
    return [
        pytest.param(method["name"], example, id=f"{method['name']} {example['name']}")
        for method in load_document()["methods"]
        for example in method.get("examples", ())
        if method["name"] not in LEDGERS
    ]


@pytest.mark.parametrize(("method", "example"), examples())
def test_documented_examples_are_answered_in_the_documented_shape(method: str, example: Any) -> None:
    document = load_document()
    described = next(found for found in document["methods"] if found["name"] == method)
    params = {param["name"]: param["value"] for param in example["params"]}

    result = call(method, params)["result"]

    Draft7Validator({**described["result"]["schema"], "components": document["components"]}).validate(result)
    assert result.keys() == example["result"]["value"].keys()
