"""JSON-RPC 2.0 as the specification says it, over HTTP, and the same answers under URLs."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from jsonschema import Draft7Validator
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from hero_broker.admin_plane.contract import load_document
from hero_broker.admin_plane.methods import Admin
from hero_broker.admin_plane.rest import routes
from hero_broker.admin_plane.rpc import Rpc
from hero_broker.core.errors import StoreUnavailable
from hero_broker.core.records import (
    CostLine,
    ExplainedRequest,
    IpUsage,
    ModelUsage,
    PriceRecord,
    UsageByIp,
    UsageForIp,
    UsageTotals,
)
from tests.admin_plane.fakes import NoBooks, NoLabels, NoReports, ServedFake
from tests.metering.rows import row

HEALTHY: dict[str, object] = {
    "status": "ok",
    "store": "ok",
    "journal_pending": 0,
    "journal_oldest_pending_s": None,
    "journal_open_calls": 0,
    "journal_bytes": 8_388_608,
    "disk_free_bytes": 1_000_000_000,
    "rollups": {"generation": 1, "folded_seq": 1, "rebuilt_seq": None},
}

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
        since: int | None,  # noqa: ARG002
        until: int | None,
        limit: int,  # noqa: ARG002
        after: tuple[int, str] | None,  # noqa: ARG002
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

    async def usage_for_ip(self, ip: str, since: int | None, until: int | None) -> UsageForIp:  # noqa: ARG002
        if ip != IP or (until is not None and until <= 1767225600):
            return UsageForIp((), UsageTotals(), 1767225700)
        return UsageForIp((ModelUsage("fake-chat", FOUNDING),), FOUNDING, 1767225700)

    async def request(self, request_id: str) -> ExplainedRequest:
        line = CostLine("input_tokens", "40", "input_per_million", "0.59", 1_000_000, "0.0000236")
        price = PriceRecord("p", "{}", "settings", "")
        return ExplainedRequest(1, row(request_id=request_id), price, (line,), "0.0000236", 1767225700)


def with_request_id(app: ASGIApp) -> ASGIApp:
    async def edge(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["request_id"] = "req_1"
        await app(scope, receive, send)

    return edge


def send(
    method: str, url: str, reports: OneCall | None = None, health: Callable[[], Any] | None = None, **options: Any
) -> httpx.Response:
    async def run() -> httpx.Response:
        admin = Admin(
            reports=reports or OneCall(),
            books=NoBooks(),
            labels=NoLabels(),
            served=ServedFake(),
            health=health or (lambda: HEALTHY),
            info=lambda: {"name": "hero-broker", "version": "1", "models": 2},
            document=load_document(),
        )
        app = Starlette(routes=[Route("/rpc", Rpc(admin)), *routes(admin)])
        transport = httpx.ASGITransport(with_request_id(app), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, url, **options)

    return asyncio.run(run())


def post(body: str | bytes, reports: OneCall | None = None, health: Callable[[], Any] | None = None) -> httpx.Response:
    return send("POST", "/rpc", reports, health, content=body, headers={"content-type": "application/json"})


def call(method: str, params: object = None, reports: OneCall | None = None) -> Any:
    asked = {"jsonrpc": "2.0", "method": method, "id": 1} | ({} if params is None else {"params": params})
    return post(json.dumps(asked), reports).json()


def error(code: int, message: str) -> dict[str, object]:
    return {"jsonrpc": "2.0", "error": {"code": code, "message": message}, "id": None}


INVALID = error(-32600, "Invalid Request")


@pytest.mark.parametrize("params", [[IP, None, 1767225601], {"until": 1767225601, "ip": IP}])
def test_parameters_count_by_position_and_by_name(params: object) -> None:
    assert call("billing.usage_for_ip", params)["result"]["data"]["totals"]["requests"] == 1


@pytest.mark.parametrize("method", ["system.health", "no.such"])
def test_notification_is_not_answered(method: str) -> None:
    answer = post(json.dumps({"jsonrpc": "2.0", "method": method}))

    assert (answer.status_code, answer.content) == (204, b"")


def test_unknown_method_is_named_so_and_not_repeated() -> None:
    assert call("foobar") == error(-32601, "Method not found") | {"id": 1}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param('{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]', id="broken"),
        pytest.param('[{"jsonrpc": "2.0", "method": "sum", "id": "1"}, {"jsonrpc": "2.0", "method"]', id="batch"),
        pytest.param("", id="empty"),
        pytest.param(b"\xff", id="no-utf8"),
        pytest.param(HEALTH.encode("utf-16"), id="utf16"),
        pytest.param(HEALTH.replace("1}", "NaN}"), id="nan"),
        pytest.param(HEALTH.replace("1}", "1e400}"), id="infinite"),
        pytest.param(HEALTH.replace("1}", '1, "id": 2}'), id="duplicate"),
        pytest.param("[" * 100_000, id="deep"),
        pytest.param(HEALTH.replace("1}", "1" * 5000 + "}"), id="long-integer"),
    ],
)
def test_what_is_not_json_is_one_parse_error(body: str | bytes) -> None:
    answer = post(body)

    assert (answer.status_code, answer.json()) == (200, error(-32700, "Parse error"))


@pytest.mark.parametrize(
    "body",
    [
        '{"jsonrpc": "2.0", "method": 1, "params": "bar"}',
        '{"jsonrpc": "2.0", "method": "system.health", "params": null, "id": 1}',
        '{"jsonrpc": "1.0", "method": "system.health", "id": 1}',
        '{"method": "system.health", "id": 1}',
        '{"jsonrpc": "2.0", "method": "system.health", "id": true}',
        "[]",
        "1",
    ],
)
def test_what_is_no_request_is_one_error(body: str) -> None:
    assert post(body).json() == INVALID


@pytest.mark.parametrize(("body", "count"), [("[1]", 1), ("[1,2,3]", 3)])
def test_each_invalid_member_has_its_own_error(body: str, count: int) -> None:
    assert post(body).json() == [INVALID] * count


def test_members_of_a_batch_are_judged_alone() -> None:
    notification = '{"jsonrpc": "2.0", "method": "system.health"}'
    unknown = '{"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"}'

    answers = post(f'[{HEALTH}, {notification}, {{"foo": "boo"}}, {unknown}]').json()

    assert answers == [
        {"jsonrpc": "2.0", "result": HEALTHY, "id": 1},
        INVALID,
        error(-32601, "Method not found") | {"id": "5"},
    ]


def test_batch_of_notifications_is_not_answered() -> None:
    assert post('[{"jsonrpc": "2.0", "method": "system.health"}]').status_code == 204


def test_batch_runs_few_at_a_time_and_has_a_limit() -> None:
    member = '{"jsonrpc": "2.0", "method": "billing.usage_by_ip", "id": 1}'
    reports = OneCall()

    answers = post(f"[{','.join([member] * 100)}]", reports).json()

    assert len(answers) == 100
    assert reports.most_running <= 4
    assert post(f"[{','.join([member] * 101)}]").json()["error"]["code"] == -32600


@pytest.mark.parametrize("shown_id", ["null", "1.5", '"a"', str(10**30), '"\\ud800"'])
def test_id_is_repeated_as_it_was(shown_id: str) -> None:
    answer = post(HEALTH.replace("1}", shown_id + "}"))

    assert answer.json()["id"] == json.loads(shown_id)
    assert "result" in answer.json()


@pytest.mark.parametrize(
    ("params", "param"),
    [
        pytest.param({"since": True}, "since", id="bool"),
        pytest.param({"since": "1"}, "since", id="text"),
        pytest.param({"since": -1}, "since", id="negative"),
        pytest.param({"until": 2**53}, "until", id="large"),
        pytest.param({"since": 1.5}, "since", id="fraction"),
        pytest.param({"since": 2, "until": 1}, "since", id="reversed"),
        pytest.param({"limit": 0}, "limit", id="zero-limit"),
        pytest.param({"cursor": "!"}, "cursor", id="cursor"),
        pytest.param({"self": 1}, "self", id="unknown"),
        pytest.param({"\ud800": 1}, "?", id="surrogate"),
        pytest.param([1, 2, 3, None, 5], "params", id="too-many"),
    ],
)
def test_bad_parameter_is_named_with_a_reason(params: object, param: str) -> None:
    failure = call("billing.usage_by_ip", params)["error"]

    assert failure["code"] == -32602
    assert failure["data"]["param"] == param
    assert failure["data"]["reason"]


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


def test_integral_float_is_an_integer_and_null_is_absent() -> None:
    assert call("billing.usage_by_ip", {"since": 1.0, "until": None, "limit": 1e3})["result"]["totals"]["requests"] == 1


@pytest.mark.parametrize("url", ["/billing/usage", f"/billing/usage/{IP}", f"/billing/usage/::ffff:{IP}"])
def test_founding_example_costs_what_it_says_on_the_wire(url: str) -> None:
    assert b'"total_cost_usd":0.00002597,"total_cost_nano_usd":"25970"' in send("GET", url).content


def test_founding_example_costs_the_same_over_rpc() -> None:
    answer = post('{"jsonrpc": "2.0", "method": "billing.usage_by_ip", "id": 1}')

    assert b'"total_cost_usd":0.00002597,' in answer.content
    assert answer.json()["result"] == send("GET", "/billing/usage").json()


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_other_http_method_is_405(method: str) -> None:
    answer = send(method, "/rpc")

    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "headers",
    [{"content-type": "text/plain"}, {}, {"content-type": "application/json", "content-encoding": "gzip"}],
)
def test_other_content_is_415(headers: dict[str, str]) -> None:
    assert send("POST", "/rpc", content=HEALTH, headers=headers).status_code == 415


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
    "billing.unbilled",
    "billing.mark_billed",
    "billing.periods",
    "billing.verify",
    "billing.rebuild",
    "labels.set",
    "labels.list",
    "labels.remove",
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
