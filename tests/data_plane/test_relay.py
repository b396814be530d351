"""An answer on its way: clients that leave, that take nothing, whose connection fails."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest

from hero_broker.data_plane.relay import ABORT, Head, Item, Relay

HEAD = Head(200, ((b"content-type", b"application/json"),))
Message = MutableMapping[str, Any]


class Connection:
    """A client's end: it takes messages, or blocks, or fails; it leaves when told."""

    def __init__(self, take: Callable[[Message], Awaitable[None]] | None = None) -> None:
        self.taken: list[Message] = []
        self.is_closed = asyncio.Event()
        self._take = take

    async def send(self, message: Message) -> None:
        if self._take is not None:
            await self._take(message)
        self.taken.append(message)
        if message["type"] == "http.response.body" and not message["more_body"]:
            self.is_closed.set()  # as a server does, when the answer is complete

    async def receive(self) -> Message:
        await self.is_closed.wait()
        return {"type": "http.disconnect"}


async def blocking(message: Message) -> None:
    if message["type"] == "http.response.body":
        await asyncio.Event().wait()


async def failing(_message: Message) -> None:
    raise ConnectionResetError


async def wrong(_message: Message) -> None:
    raise RuntimeError("a fault of the server")


def test_whole_answer_leaves_in_two_messages() -> None:
    async def run() -> list[Message]:
        connection = Connection()
        relay = Relay(connection.send, 5)
        waiting = asyncio.create_task(relay.client(connection.receive))
        await relay.finish([HEAD, b"one", b"two"])
        await waiting
        assert not relay.is_gone
        return connection.taken

    start, body = asyncio.run(run())
    assert (start["status"], body["body"], body["more_body"]) == (200, b"onetwo", False)


@pytest.mark.parametrize("take", [blocking, failing])
@pytest.mark.parametrize("is_last", [False, True])
def test_client_that_takes_nothing_is_gone_and_cut_off(
    take: Callable[[Message], Awaitable[None]], is_last: bool
) -> None:
    async def run() -> tuple[bool, list[str]]:
        connection = Connection(take)
        relay = Relay(connection.send, 0.01)
        left: list[str] = []
        relay.when_left(lambda: left.append("left"))
        waiting = asyncio.create_task(relay.client(connection.receive))
        await asyncio.sleep(0)
        tail: list[Item] = [HEAD, b"one"]
        if is_last:
            await relay.finish(tail)
        else:
            await relay.put(HEAD)
            await relay.put(b"one")
        await waiting  # returns although the client is still there
        return relay.is_gone, left

    assert asyncio.run(run()) == (True, ["left"])


def test_answer_that_is_aborted_is_left_incomplete() -> None:
    async def run() -> list[Message]:
        connection = Connection()
        relay = Relay(connection.send, 5)
        waiting = asyncio.create_task(relay.client(connection.receive))
        await relay.put(HEAD)
        await relay.finish([ABORT])
        await waiting
        return connection.taken

    assert [message["type"] for message in asyncio.run(run())] == ["http.response.start"]


def test_fault_while_sending_does_not_leave_the_request_waiting() -> None:
    async def run() -> None:
        connection = Connection(wrong)
        relay = Relay(connection.send, 5)
        waiting = asyncio.create_task(relay.client(connection.receive))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError):
            await relay.finish([HEAD, b"one"])
        await waiting

    asyncio.run(run())


def test_cancelled_request_is_cancelled_and_its_client_gone() -> None:
    async def run() -> bool:
        connection = Connection()
        relay = Relay(connection.send, 5)
        waiting = asyncio.create_task(relay.client(connection.receive))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return relay.is_gone

    assert asyncio.run(run())


def test_request_that_waits_after_the_end_returns_at_once() -> None:
    async def run() -> None:
        connection = Connection()
        relay = Relay(connection.send, 5)
        await relay.put(HEAD)
        await relay.finish([ABORT])
        await relay.client(connection.receive)

    asyncio.run(run())
