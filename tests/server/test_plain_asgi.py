"""The whole application under other ASGI servers than our own: httpx's transport, and uvicorn's two protocols."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from hero_broker.edge.plain_connection import ResponseAborted
from hero_broker.kinds.registry import KINDS
from hero_broker.ledger.state_dir import own_state_dir
from hero_broker.server import run, wiring
from hero_broker.server.wiring import Broker
from hero_broker.settings import Settings, load
from tests.e2e.provider import DONE, HEAD, USAGE, Exchange, Provider, event

WITHIN_S = 20
CHAT = {"model": "fake-chat", "messages": [{"role": "user", "content": "one two three"}]}
AUDIO = b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ntransfer-encoding: chunked\r\n\r\n"
Client = httpx.AsyncClient
Scenario = Callable[[Client], Awaitable[None]]


def settings_in(tmp_path: Path, config: str = "") -> Settings:
    path = tmp_path / "hero-broker.toml"
    path.write_text(config)
    return load(config=path, environ={"HERO_BROKER_STATE_DIR": str(tmp_path / "state")}, fake=not config)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Broker]:
    """Open a broker, with the fake provider if the settings say so."""
    with own_state_dir(settings.state_dir):
        if not settings.fake:
            async with wiring.running(settings) as broker:
                yield broker
            return
        async with run._fake() as fake_url, wiring.running(settings, fake_url=fake_url) as broker:
            yield broker


@asynccontextmanager
async def under_httpx(broker: Broker) -> AsyncIterator[Client]:
    transport = httpx.ASGITransport(broker.application, client=("127.0.0.2", 1))
    async with Client(transport=transport, base_url="http://localhost") as client:
        yield client


@asynccontextmanager
async def under_uvicorn(broker: Broker, protocol: str) -> AsyncIterator[Client]:
    config = uvicorn.Config(
        broker.application, http=protocol, proxy_headers=False, log_level="critical", lifespan="off", ws="none"
    )
    server = run._QuietServer(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve([listener]))
        async with Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
            yield client
        server.should_exit = True
        await serving


@pytest.fixture(params=["httpx", "h11", "httptools"])
def server(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def run_under(server: str, settings: Settings, scenario: Scenario) -> None:
    async def scene() -> None:
        async with opened(settings) as broker:
            place = under_httpx(broker) if server == "httpx" else under_uvicorn(broker, server)
            async with place as client:
                await asyncio.wait_for(scenario(client), WITHIN_S)

    asyncio.run(scene())


async def stored(client: Client, count: int) -> list[dict[str, Any]]:
    """Return the rows of `count` calls, the latest first, once they are in the ledger."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            rows: list[dict[str, Any]] = (await client.get("/billing/requests")).json()["data"]
            if len(rows) >= count:
                return rows


def test_every_kind_is_answered_and_billed(tmp_path: Path, server: str) -> None:
    async def scenario(client: Client) -> None:
        answers = {}
        for kind in KINDS.values():
            content_type, body = kind.example_body(f"fake-{kind.of_models}")
            path = next(iter(kind.paths))
            answers[kind.name] = await client.post(path, content=body, headers={"content-type": content_type})
        rows = {row["kind"]: row for row in await stored(client, len(KINDS))}

        assert {answer.status_code for answer in answers.values()} == {200}
        assert rows.keys() == KINDS.keys()
        for name, row in rows.items():
            assert (row["outcome"], row["request_id"]) == ("ok", answers[name].headers["x-request-id"])
            assert row["ip"] == ("127.0.0.2" if server == "httpx" else "127.0.0.1")

    run_under(server, settings_in(tmp_path), scenario)


def test_streams_refusals_and_the_admin_plane_are_answered(tmp_path: Path, server: str) -> None:
    async def scenario(client: Client) -> None:
        streamed = await client.post("/v1/chat/completions", json={**CHAT, "stream": True})
        refused = await client.post("/v1/chat/completions", json={"model": "none", "messages": []})
        too_long = await client.post("/v1/chat/completions", content=b"{")
        rpc = await client.post("/rpc", json={"jsonrpc": "2.0", "id": 1, "method": "system.info"})
        (row,) = await stored(client, 1)

        assert streamed.text.endswith("data: [DONE]\n\n")
        assert streamed.text.count("data:") == 5
        assert (refused.status_code, too_long.status_code) == (404, 415)
        assert refused.headers["x-request-id"]
        assert rpc.json()["result"]["name"] == "hero-broker"
        assert (row["stream"], row["input_tokens"], row["output_tokens"]) == (True, 3, 3)

    run_under(server, settings_in(tmp_path), scenario)


@pytest.mark.parametrize("server", ["h11", "httptools"])
def test_client_that_leaves_a_stream_is_billed_in_full(tmp_path: Path, server: str) -> None:
    with Provider() as provider:

        async def first_event() -> Exchange:
            exchange = await asyncio.to_thread(provider.accept)
            exchange.send(HEAD + event("one"))
            return exchange

        async def scenario(client: Client) -> None:
            answering = asyncio.create_task(first_event())
            asked = {**CHAT, "model": "m", "stream": True}
            async with client.stream("POST", "/v1/chat/completions", json=asked) as reply:
                await anext(reply.aiter_raw())
            exchange = await answering
            exchange.send(USAGE + DONE)
            exchange.end()
            (row,) = await stored(client, 1)

            assert (row["outcome"], row["input_tokens"], row["output_tokens"]) == ("client_disconnected", 40, 3)

        run_under(server, settings_in(tmp_path, provider.config()), scenario)


def test_speech_that_breaks_off_does_not_pass_for_a_whole_one(tmp_path: Path, server: str) -> None:
    failures = (ResponseAborted, httpx.RemoteProtocolError)
    with Provider() as provider:

        async def scenario(client: Client) -> None:
            asked = asyncio.create_task(client.post("/v1/audio/speech", json={"model": "m", "input": "hello"}))
            exchange = await asyncio.to_thread(provider.accept)
            exchange.send(AUDIO + b"4\r\nabcd\r\n")
            exchange.end()

            with pytest.raises(failures):
                await asked
            (row,) = await stored(client, 1)
            assert row["outcome"] == "provider_error"

        config = provider.config().replace('kind = "chat"', 'kind = "tts"')
        run_under(server, settings_in(tmp_path, config), scenario)
