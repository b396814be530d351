"""A body that pauses is given up; a client that only waits for its answer is not."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from hero_broker.edge import middleware
from hero_broker.edge.middleware import EdgeMiddleware
from hero_broker.edge.origins import Origins

PIECE: Message = {"type": "http.request", "body": b"{", "more_body": True}
LAST: Message = {"type": "http.request", "body": b"}", "more_body": False}
LEFT: Message = {"type": "http.disconnect"}


class Anybody:
    """Lets everybody in, as the same caller."""

    def resolve(self, _client: object, _headers: object, _path: object) -> str:
        return "192.0.2.1"

    def check(self, _caller: object, _path: str) -> None:
        return


def messages_sent(reads: Callable[[Receive], Coroutine[Any, Any, None]], receive: Receive) -> list[Message]:
    """Return what is sent when an application `reads` a request that comes as `receive` says."""
    sent: list[Message] = []

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await reads(receive)
        except TimeoutError:
            await send({"type": "http.response.start", "status": 408, "headers": []})

    async def send(message: Message) -> None:
        sent.append(message)

    edge = EdgeMiddleware(app, Anybody(), Anybody(), Origins(()))  # type: ignore[arg-type]  # of whom nothing else is asked
    scope: Scope = {"type": "http", "client": None, "path": "/", "headers": [], "state": {"connection": None}}
    asyncio.run(edge(scope, receive, send))
    return sent


def coming(*messages: Message, then: asyncio.Event | None = None) -> Receive:
    """Return what receives messages, and afterwards waits for `then`, for ever if there is none."""
    left = list(messages)

    async def receive() -> Message:
        if left:
            return left.pop(0)
        await (then or asyncio.Event()).wait()
        return LEFT

    return receive


async def whole_body(receive: Receive) -> None:
    while (await receive()).get("more_body"):
        continue


def test_body_that_pauses_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "BODY_PAUSE_S", 0.01)

    (start,) = messages_sent(whole_body, coming(PIECE, PIECE))

    assert start["status"] == 408


def test_client_that_waits_for_its_answer_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "BODY_PAUSE_S", 0.01)
    seen: list[Message] = []

    async def body_and_then_the_end(receive: Receive) -> None:
        await whole_body(receive)
        leaving = asyncio.ensure_future(receive())
        passed = asyncio.get_running_loop().time() + 0.05  # five times as long as a body may pause
        asyncio.get_running_loop().call_at(passed, gone.set)
        seen.append(await leaving)

    gone = asyncio.Event()

    assert messages_sent(body_and_then_the_end, coming(PIECE, LAST, then=gone)) == []
    assert seen == [LEFT]


class Served:
    """A request as a server has it: what sends its answer has its scope."""

    def __init__(self) -> None:
        self.scope: Scope = {"type": "http", "client": None, "path": "/", "headers": [], "state": {"connection": None}}

    async def send(self, _message: Message) -> None:
        return


def test_request_that_is_over_is_not_left_to_the_garbage_collector() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    edge = EdgeMiddleware(app, Anybody(), Anybody(), Origins(()))  # type: ignore[arg-type]  # of whom nothing else is asked

    async def serve() -> int:
        gc.collect()
        for _ in range(10):
            request = Served()
            await edge(request.scope, coming(), request.send)
        del request
        return gc.collect()

    gc.disable()
    try:
        assert asyncio.run(serve()) == 0
    finally:
        gc.enable()
