"""Gateways that only pass on, to compare with: Starlette, and a client. Prints its port.

`python -m tests.benchmarks.candidates aiohttp|httpx URL`: one worker; URL is the provider's, up to and with `/v1`.
"""

import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

MAX_CALLS = 1000
JSON_TYPE = {"content-type": "application/json"}
Endpoint = Callable[[Request], Awaitable[Response]]


def with_aiohttp(url: str) -> Starlette:
    """Return a pass-through with the client that the broker has."""
    sessions: list[aiohttp.ClientSession] = []

    async def endpoint(request: Request) -> Response:
        answer = await sessions[0].post(url + "/chat/completions", data=await request.body(), headers=JSON_TYPE)
        if answer.content_type == "text/event-stream":
            return StreamingResponse(events(answer), answer.status, media_type="text/event-stream")
        async with answer:
            return Response(await answer.read(), answer.status, media_type="application/json")

    async def events(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        async with answer:
            async for chunk in answer.content.iter_any():
                yield chunk

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=MAX_CALLS)) as session:
            sessions.append(session)
            yield

    return _app(endpoint, lifespan)


def with_httpx(url: str) -> Starlette:
    """Return a pass-through with httpx and its own transport, its bounds on connections raised."""
    clients: list[httpx.AsyncClient] = []

    async def endpoint(request: Request) -> Response:
        sent = clients[0].build_request(
            "POST", url + "/chat/completions", content=await request.body(), headers=JSON_TYPE
        )
        answer = await clients[0].send(sent, stream=True)
        if answer.headers["content-type"] == "text/event-stream":
            return StreamingResponse(events(answer), answer.status_code, media_type="text/event-stream")
        return Response(await answer.aread(), answer.status_code, media_type="application/json")

    async def events(answer: httpx.Response) -> AsyncIterator[bytes]:
        try:
            async for chunk in answer.aiter_raw():
                yield chunk
        finally:
            await answer.aclose()

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        limits = httpx.Limits(max_connections=MAX_CALLS, max_keepalive_connections=MAX_CALLS)
        async with httpx.AsyncClient(limits=limits, timeout=60) as client:
            clients.append(client)
            yield

    return _app(endpoint, lifespan)


def _app(endpoint: Endpoint, lifespan: Callable[[Starlette], object]) -> Starlette:
    return Starlette(routes=[Route("/v1/chat/completions", endpoint, methods=["POST"])], lifespan=lifespan)  # type: ignore[arg-type]


CANDIDATES: dict[str, Callable[[str], Starlette]] = {"aiohttp": with_aiohttp, "httpx": with_httpx}


def _main(client: str, url: str) -> None:
    config = uvicorn.Config(
        CANDIDATES[client](url), loop="uvloop", http="httptools", access_log=False, log_level="warning", lifespan="on"
    )
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        print(listener.getsockname()[1], flush=True)
        uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    _main(*sys.argv[1:])
