"""Calls on loopback as fast as they are answered: each connection sends its next when it has its answer."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

import httptools

WARM_UP_S = 0.5
JSON_HEAD = (
    "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\naccept: */*\r\n"
    "user-agent: bench/1\r\nauthorization: Bearer sk-0123456789\r\ncontent-length: {length}\r\n\r\n"
)
END_WITHIN_S = 30


@dataclass(frozen=True, slots=True)
class Load:
    """What was seen of one load; but for `answered`, within its window."""

    answered: int  # in all, also before and after the window
    window_s: float
    cpu_s: float  # that the measured process used
    took_ms: Sequence[float]  # each answer's time, sorted
    first_event_ms: Sequence[float]  # to the first event of each stream, sorted
    events: int


@dataclass(slots=True)
class _Run:
    packets: tuple[bytes, ...]  # of a request
    events_each: int  # of an answer; 0 for one that is no stream
    every_s: float = 0  # a connection sends its next call so long after its last one, if that is answered
    is_ending: bool = False
    took_ms: list[float] = field(default_factory=list)
    first_event_ms: list[float] = field(default_factory=list)
    events: int = 0


class _Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._began = 0.0
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if self.closed.done():
            return
        if self._run.is_ending and error is None:
            self.closed.set_result(None)
        else:
            self.closed.set_exception(error or ConnectionError("the connection was closed before its time"))

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        if self._run.events_each:
            events = body.count(b"data: ")
            if events and not self._body:
                self._run.first_event_ms.append((time.perf_counter() - self._began) * 1000)
            self._run.events += events
        self._body.append(body)

    def on_message_complete(self) -> None:
        run = self._run
        run.took_ms.append((time.perf_counter() - self._began) * 1000)
        body = b"".join(self._body)
        if self._parser.get_status_code() != 200 or body.count(b"data: ") != run.events_each:
            self.closed.set_exception(AssertionError(body))
        if run.is_ending or self.closed.done():
            self._transport.close()
        elif (wait_s := self._began + run.every_s - time.perf_counter()) > 0:
            asyncio.get_running_loop().call_later(wait_s, self._send)
        else:
            self._send()

    def _send(self) -> None:
        if self._run.is_ending:  # while it waited
            self._transport.close()
            return
        self._body.clear()
        self._began = time.perf_counter()
        first, *others = self._run.packets
        self._transport.write(first)
        for packet in others:  # in the next turn of the event loop, since what is written in one turn is sent as one
            asyncio.get_running_loop().call_soon(self._transport.write, packet)


async def load(
    port: int,
    body: bytes,
    *,
    at_once: int,
    seconds: float,
    events_each: int,
    cpu_s: Callable[[], float],
    warm_up_s: float = WARM_UP_S,
    in_two_packets: bool = False,
    calls_per_s: float | None = None,
) -> Load:
    """Keep `at_once` chats in flight, whose answers must have `events_each` events; measure for `seconds`.

    With `calls_per_s` there are no more calls a second than that, if each is answered in time.
    The body is sent in the same packet as the head, or, as clients on httpx do, in one of its own.
    Every call that was begun is waited for. A response that is no answer ends the load with an exception.
    """
    head = JSON_HEAD.format(port=port, length=len(body)).encode()
    every_s = 0.0 if calls_per_s is None else at_once / calls_per_s
    run = _Run((head, body) if in_two_packets else (head + body,), events_each, every_s)
    closed = []
    for _ in range(at_once):  # one after another, lest streams run in step
        _, client = await asyncio.get_running_loop().create_connection(lambda: _Client(run), "127.0.0.1", port)
        closed.append(client.closed)
        await asyncio.sleep(warm_up_s / at_once)
    answers, streams, events = len(run.took_ms), len(run.first_event_ms), run.events
    began, cpu_began = time.perf_counter(), cpu_s()
    await asyncio.wait(closed, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    window_s, used_s = time.perf_counter() - began, cpu_s() - cpu_began
    took_ms, first_event_ms, events = run.took_ms[answers:], run.first_event_ms[streams:], run.events - events
    run.is_ending = True
    async with asyncio.timeout(END_WITHIN_S):
        await asyncio.gather(*closed)
    return Load(len(run.took_ms), window_s, used_s, sorted(took_ms), sorted(first_event_ms), events)


def percentile(values: Sequence[float], part: float) -> float:
    """Return the value below which a share of the sorted values lies; 0 without values."""
    return values[int(part * (len(values) - 1))] if values else 0.0
