"""Both clients against a running broker."""

import asyncio
import json
import re
import socket
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from hero_broker.client import (
    AsyncClient,
    BrokerUnreachable,
    Client,
    Filter,
    Question,
    RpcError,
    UnexpectedResponse,
    UnknownAnswer,
    answers,
    methods,
    models,
    questions,
)
from hero_broker.client.methods import Query
from tests.client.stub import answering
from tests.e2e_support import Broker, broker, chat
from tests.waits import wait_until

TOKEN = "admin-tokén"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker with an admin token, called from three addresses, one of which called twice."""
    state = tmp_path_factory.mktemp("client") / "state"
    with broker(state, ADMIN_TOKEN=TOKEN) as one:
        for address in ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.3"):
            transport = httpx.HTTPTransport(local_address=address)
            with httpx.Client(transport=transport) as caller:
                caller.post(f"{one.url}/v1/chat/completions", json=chat()).raise_for_status()
        with Client(one.url, TOKEN) as client:
            wait_until(lambda: not client.system.health().journal_pending)
        yield one


Asker = Callable[[Query[Any]], Any]


@pytest.fixture(params=["blocking", "waiting"])
def ask(request: pytest.FixtureRequest, running: Broker) -> Asker:
    """Each client in turn, with the same queries."""

    def blocking(question: Query[Any]) -> Any:
        with Client(running.url, TOKEN) as client:
            return client.call(question)

    def waiting(question: Query[Any]) -> Any:
        async def run() -> Any:
            async with AsyncClient(running.url, TOKEN) as client:
                return await client.call(question)

        return asyncio.run(run())

    return blocking if request.param == "blocking" else waiting


def test_money_is_exact(ask: Asker) -> None:
    found = ask(methods.usage_by_ip())

    assert [(line.ip, line.total_cost_usd) for line in found.data] == [
        ("127.0.0.3", Decimal("0.00005194")),
        ("127.0.0.1", Decimal("0.00002597")),
        ("127.0.0.2", Decimal("0.00002597")),
    ]
    assert found.totals.total_cost_usd == Decimal("0.00010388")
    assert found.totals.total_cost_nano_usd == "103880"


def test_report_row_and_label_are_typed(ask: Asker) -> None:
    label = ask(methods.set_label("127.0.0.0/8", "this machine"))
    report = ask(methods.usage(["model"], bucket="day", tz="Europe/Berlin", filter={"ip": "127.0.0.3"}))
    newest = ask(methods.requests(limit=1)).data[0]
    explained = ask(methods.request(newest.request_id))
    removed = ask(methods.remove_label("127.0.0.0/8"))

    assert isinstance(label, models.LabelAnswer)
    assert report.data[0].group == {"model": "fake-chat"}
    assert report.totals.requests == 2
    assert (newest.ip, newest.label) == ("127.0.0.3", "this machine")
    assert explained.data.cost.exact_usd == "0.00002597"
    assert removed.data.label == "this machine"


def test_bad_parameter_is_named(ask: Asker) -> None:
    with pytest.raises(RpcError, match=r"Invalid params: limit must be an integer from 1 to 10000") as caught:
        ask(methods.usage_by_ip(limit=0))

    assert (caught.value.code, caught.value.param) == (-32602, "limit")


def test_each_method_is_answered_by_its_own_name(running: Broker) -> None:
    with Client(running.url, TOKEN) as client:
        assert client.rpc.discover()["openrpc"] == "1.3.2"
        assert client.billing.usage_for_ip("::ffff:127.0.0.3").data.models[0].requests == 2
        assert client.billing.verify().data.ok
        unbilled = client.billing.unbilled().data
        period = client.billing.mark_billed("one", unbilled.to_seq).data
        assert client.billing.periods().data == (period,)
        assert client.billing.rebuild().data.rebuilding
        assert "fake-chat" in {model.model for model in client.models.list().data}
        assert [provider.provider for provider in client.providers.list().data] == ["fake"]
        assert client.labels.list().data == ()
        assert client.system.info().name == "hero-broker"


def test_each_method_can_be_awaited(running: Broker) -> None:
    async def run() -> tuple[models.Info, models.UsageForIp]:
        async with AsyncClient(running.url, TOKEN) as client:
            return await client.system.info(), await client.billing.usage_for_ip("127.0.0.3")

    info, used = asyncio.run(run())

    assert info.name == "hero-broker"
    assert used.data.totals.requests == 2


def test_pages_hold_every_line_once(running: Broker) -> None:
    async def waiting() -> list[str]:
        async with AsyncClient(running.url, TOKEN) as client:
            pages = client.pages(methods.usage(["ip"], limit=1))
            return [str(line.group["ip"]) async for page in pages for line in page.data]

    with Client(running.url, TOKEN) as client:
        lines = [line.ip for page in client.pages(methods.usage_by_ip(limit=1)) for line in page.data]
        rows = [row.seq for page in client.pages(methods.requests(limit=2)) for row in page.data]

    assert lines == asyncio.run(waiting()) == ["127.0.0.3", "127.0.0.1", "127.0.0.2"]
    assert rows == [4, 3, 2, 1]


def test_batch_is_answered_in_order_with_errors_in_their_places(running: Broker) -> None:
    queries: list[Query[Any]] = [
        methods.info(),
        methods.usage_by_ip(since=2, until=1),
        methods.usage_for_ip("127.0.0.2"),
    ]

    async def waiting() -> list[Any]:
        async with AsyncClient(running.url, TOKEN) as client:
            return [*await client.batch(queries), *await client.batch([]), *await client.batch(queries[:1])]

    with Client(running.url, TOKEN) as client:
        info, error, used = client.batch(queries)
        assert client.batch([]) == []
        with pytest.raises(RpcError, match="Invalid Request"):
            client.batch([methods.info()] * 101)

    assert info.name == "hero-broker"
    assert (error.code, error.param) == (-32602, "since")
    assert used.data.totals.requests == 1
    assert [type(answer) for answer in asyncio.run(waiting())] == [type(info), RpcError, type(used), type(info)]


def test_names_of_the_release_before_still_work(running: Broker) -> None:
    async def awaited() -> list[Any]:
        async with AsyncClient(running.url, TOKEN) as client:
            return [await client.ask(questions.info()), *await client.ask_all([questions.info()])]

    with Client(running.url, TOKEN) as client:
        info = client.ask(questions.info())
        batch = client.ask_all([questions.info()])
        raw = client.raw("system.info")

    assert isinstance(info, answers.Info)
    assert [info, *batch, *asyncio.run(awaited())] == [info] * 4
    assert json.loads(raw)["name"] == info.name
    assert (Filter, Question, UnknownAnswer) == (methods.QueryFilter, Query, UnexpectedResponse)


@pytest.mark.parametrize("token", [None, "wrong"])
def test_wrong_token_is_an_error_with_its_code(running: Broker, token: str | None) -> None:
    with Client(running.url, token) as client, pytest.raises(RpcError, match="Unauthorized") as caught:
        client.system.info()

    assert caught.value.code == -32001
    assert TOKEN not in str(caught.value)


def test_unix_socket_is_asked_too(tmp_path: Path) -> None:
    path = f"unix:{tmp_path}/broker.sock"
    with broker(tmp_path / "state", "--listen", path), Client(path) as client:
        assert client.system.info().name == "hero-broker"


def test_what_does_not_answer_is_said_with_its_url() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"

    async def waiting() -> None:
        async with AsyncClient(url) as client:
            await client.system.info()

    with Client(url) as client, pytest.raises(BrokerUnreachable, match=re.escape(url)):
        client.system.info()
    with pytest.raises(BrokerUnreachable, match=re.escape(url)):
        asyncio.run(waiting())


@pytest.mark.parametrize(
    ("body", "error", "said"),
    [
        (b"<html>", BrokerUnreachable, "answered 200, and no JSON-RPC"),
        (b"[]", BrokerUnreachable, "no JSON-RPC"),
        (b'{"jsonrpc":"2.0","id":0}', BrokerUnreachable, "no JSON-RPC"),
        (b'{"error":{"message":"The address may not call.","code":"x"}}', BrokerUnreachable, "may not call"),
        (b'{"jsonrpc":"2.0","id":0,"result":{"name":1}}', UnexpectedResponse, r"system\.info"),
        (b'{"jsonrpc":"2.0","id":0,"error":{"code":-32603,"message":"Internal error","data":{"request_id":"r1"}}}',
         RpcError, r"Internal error \(request r1\)"),
    ],
)  # fmt: skip
def test_strange_answers_are_told_apart(body: bytes, error: type[Exception], said: str) -> None:
    with answering(body) as url, Client(url) as client, pytest.raises(error, match=said):
        client.system.info()


@pytest.mark.parametrize("body", [b'[{"id":1,"result":1}]', b'{"id":0,"result":1}', b"[1]", b"{"])
def test_answer_to_another_batch_is_no_answer(body: bytes) -> None:
    with answering(body) as url, Client(url) as client, pytest.raises(BrokerUnreachable, match="no JSON-RPC"):
        client.batch([methods.info(), methods.info()])


def test_members_that_are_not_known_are_ignored() -> None:
    result = {"name": "hero-broker", "version": "9", "models": 1, "more": [1]}
    body = json.dumps({"jsonrpc": "2.0", "id": 0, "result": result, "also": 1}).encode()

    with answering(body) as url, Client(url) as client:
        assert client.system.info() == models.Info(name="hero-broker", version="9", models=1)


def test_result_can_be_had_as_it_came(running: Broker) -> None:
    async def waiting() -> bytes:
        async with AsyncClient(running.url, TOKEN) as client:
            return await client.call_raw("system.info", [])

    with Client(running.url, TOKEN) as client:
        by_ip = client.call_raw("billing.usage_by_ip", {"limit": 1})
        assert client.call_raw("system.info") == asyncio.run(waiting())

    assert b'"total_cost_usd":0.00005194,' in by_ip
