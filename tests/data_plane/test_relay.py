"""An answer on its way: clients that leave, that take nothing, whose connection fails."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest

from hero_broker.data_plane.relay import ABORT, MAX_JOINED_BYTES, Item, Relay, ResponseHead
from hero_broker.edge.response_channel import Headers, ResponseChannel

HEAD = ResponseHead(200, ((b"content-type", b"application/json"),))
ID = (b"x-request-id", b"1")
Message = MutableMapping[str, Any]


class Connection:
    """A client's end: it takes messages, blocks, or fails; the test makes it leave."""

    def __init__(
        self, take: Callable[[Message], Awaitable[None]] | None = None, *, is_slow: bool = True, has_left: bool = False
    ) -> None:
        self.taken: list[Message] = []
        self.whole: list[tuple[int, Headers, bytes]] = []
        self.is_cut_off = False
        self._take = take
        self._is_slow = is_slow
        self._has_left = has_left
        self.leave: Callable[[], None] = lambda: None
        self.left: list[str] = []

    def relay(self, within_s: float = 5) -> Relay:
        return Relay(ResponseChannel(self, self._send, "1"), within_s, lambda: self.left.append("left"))

    async def _send(self, message: Message) -> None:
        if self._take is not None:
            await self._take(message)
        self.taken.append(message)

    def on_disconnect(self, call: Callable[[], None]) -> None:
        self.leave = call
        if self._has_left:
            call()

    def take_body(self) -> bytes | None:
        return None

    def send_response(self, status: int, headers: Headers, body: bytes) -> bool:
        if not self._is_slow:
            self.whole.append((status, headers, body))
        return not self._is_slow

    def send_chunk(self, _piece: bytes) -> bool:
        return False

    def abort_response(self) -> None:
        self.is_cut_off = True


async def blocking(message: Message) -> None:
    if message["type"] == "http.response.body":
        await asyncio.Event().wait()


async def failing(_message: Message) -> None:
    raise ConnectionResetError


async def wrong(_message: Message) -> None:
    raise RuntimeError("a fault of the server")


def test_whole_answer_leaves_at_once() -> None:
    connection = Connection(is_slow=False)
    relay = connection.relay()
    asyncio.run(relay.finish([HEAD, b"one"]))
    assert connection.whole == [(200, [*HEAD.headers, ID], b"one")]
    assert relay.has_begun
    assert (connection.taken, connection.is_cut_off) == ([], False)


@pytest.mark.parametrize("is_slow", [False, True])
def test_other_answers_leave_in_messages(is_slow: bool) -> None:
    async def run() -> Connection:
        connection = Connection(is_slow=is_slow)
        await connection.relay().finish([HEAD, b"one", b"two"])
        return connection

    connection = asyncio.run(run())
    start, body = connection.taken
    assert (start["status"], start["headers"]) == (200, [*HEAD.headers, ID])
    assert (body["body"], body["more_body"]) == (b"onetwo", False)
    assert (connection.whole, connection.is_cut_off) == ([], False)


def test_whole_answer_that_has_to_wait_leaves_in_messages() -> None:
    async def run() -> Connection:
        connection = Connection(is_slow=True)
        await connection.relay().finish([HEAD, b"one"])
        return connection

    assert [message["type"] for message in asyncio.run(run()).taken] == ["http.response.start", "http.response.body"]


@pytest.mark.parametrize("take", [blocking, failing])
@pytest.mark.parametrize("is_last", [False, True])
def test_client_that_takes_nothing_is_gone_and_cut_off(
    take: Callable[[Message], Awaitable[None]], is_last: bool
) -> None:
    async def run() -> tuple[bool, Connection]:
        connection = Connection(take)
        relay = connection.relay(0.01)
        tail: list[Item] = [HEAD, b"one"]
        if is_last:
            await relay.finish(tail)
        else:
            await relay.send(HEAD)
            await relay.send(b"one")
        return relay.is_gone, connection

    is_gone, connection = asyncio.run(run())
    assert (is_gone, connection.left, connection.is_cut_off) == (True, ["left"], True)


def test_client_that_leaves_is_told_once_and_sent_nothing_more() -> None:
    async def run() -> tuple[bool, Connection]:
        connection = Connection()
        relay = connection.relay()
        await relay.send(HEAD)
        connection.leave()
        connection.leave()
        await relay.send(b"one")
        await relay.finish([b"two"])
        return relay.is_gone, connection

    is_gone, connection = asyncio.run(run())
    assert (is_gone, connection.left, len(connection.taken)) == (True, ["left"], 1)


def test_client_that_has_left_before_is_gone() -> None:
    connection = Connection(has_left=True)
    assert (connection.relay().is_gone, connection.left) == (True, ["left"])


def test_client_that_leaves_after_the_end_has_its_answer() -> None:
    async def run() -> tuple[bool, Connection]:
        connection = Connection()
        relay = connection.relay()
        await relay.finish([HEAD, b"one"])
        connection.leave()
        return relay.is_gone, connection

    is_gone, connection = asyncio.run(run())
    assert (is_gone, connection.left, connection.is_cut_off) == (False, [], False)


def test_answer_that_is_aborted_is_cut_off() -> None:
    async def run() -> Connection:
        connection = Connection()
        relay = connection.relay()
        await relay.send(HEAD)
        await relay.finish([ABORT])
        return connection

    connection = asyncio.run(run())
    assert [message["type"] for message in connection.taken] == ["http.response.start"]
    assert connection.is_cut_off


def test_fault_while_sending_cuts_off() -> None:
    async def run() -> Connection:
        connection = Connection(wrong)
        with pytest.raises(RuntimeError):
            await connection.relay().finish([HEAD, b"one"])
        return connection

    assert asyncio.run(run()).is_cut_off


def test_long_tail_leaves_in_its_pieces_each_in_time() -> None:
    pieces = [b"a" * MAX_JOINED_BYTES, b"b" * MAX_JOINED_BYTES, b"c", b"d"]

    async def main() -> list[Message]:
        connection = Connection()
        relay = connection.relay()
        await relay.send(HEAD)
        await relay.finish(pieces)
        return connection.taken[1:]

    taken = asyncio.run(main())

    assert [message["body"] for message in taken] == [*pieces[:2], b"cd"]
    assert [message["more_body"] for message in taken] == [True, True, False]
