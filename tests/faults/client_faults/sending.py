"""Clients that send half of something, too much of it, or what is no request."""

import select
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from tests.benchmarks.processes import forget_peak
from tests.faults.client_faults.scenes import Scene
from tests.raw_clients import LIMIT_S, chat_request, connected, read_answer, request, rest_of
from tests.smuggling import SHAPES

PATHS = (
    ("POST", "/v1/chat/completions"),
    ("POST", "/rpc"),
    ("POST", "/billing/periods"),
    ("PUT", "/admin/labels?target=unknown"),
    ("GET", "/billing/usage"),
    ("GET", "/v1/models"),
    ("POST", "/nowhere"),
)
PIECE = b" " * 65_536


@dataclass(frozen=True, slots=True)
class Closed:
    """How many connections there were, and when the last was closed by the broker."""

    count: int
    last_s: float
    growth: int  # bytes of memory, at most


def half_sent(scene: Scene, sent: bytes, count: int, drip: bytes = b"") -> Closed:
    """Open connections, send the same bytes on each, and then send `drip` ten times a second if it is not empty."""
    forget_peak(scene.running.process.pid)
    before, begun, last = scene.rss, time.monotonic(), 0.0
    with ExitStack() as stack:
        left = {stack.enter_context(connected(scene.running.url)) for _ in range(count)}
        for one in left:
            one.sendall(sent)
        while left and time.monotonic() < begun + 3 * LIMIT_S:
            for one in select.select(left, [], [], 0.1)[0]:
                if not _is_open(one):
                    left.discard(one)
                    last = time.monotonic() - begun
            for one in left if drip else ():
                try:
                    one.sendall(drip)
                except OSError:  # closed since; read next time
                    continue
    return Closed(count - len(left), last, scene.peak - before)


def _is_open(connection: socket.socket) -> bool:
    try:
        return connection.recv(65_536) != b""
    except ConnectionResetError:
        return False


@dataclass(frozen=True, slots=True)
class Flood:
    """What became of a client that sends and sends."""

    statuses: Counter[int]  # 0 for a connection that was closed without an answer
    most_sent: int  # bytes that one of them could send
    slowest_s: float  # until its connection was closed, or it had sent all
    growth: int


def flood(scene: Scene, heads: list[bytes], pieces: Callable[[], Iterator[bytes]]) -> Flood:
    """After each of the heads, send pieces until there are no more, or the connection is closed."""
    forget_peak(scene.running.process.pid)
    before = scene.rss
    statuses: Counter[int] = Counter()
    most_sent, slowest = 0, 0.0
    for head in heads:
        begun, sent = time.monotonic(), 0
        with connected(scene.running.url) as connection, connection.makefile("rb") as received:
            try:
                connection.sendall(head)
                for piece in pieces():
                    connection.sendall(piece)
                    sent += len(piece)
            except OSError:  # closed by the broker
                pass
            try:
                statuses[read_answer(received)[0]] += 1
            except (OSError, IndexError):
                statuses[0] += 1
        most_sent, slowest = max(most_sent, sent), max(slowest, time.monotonic() - begun)
    return Flood(statuses, most_sent, slowest, scene.peak - before)


def long_bodies(scene: Scene, size: int, *, has_length: bool) -> Flood:
    """Send a long body to every kind of path."""
    count = size // len(PIECE)
    if has_length:
        heads = [request(path, b"", verb, {"content-length": str(count * len(PIECE))}) for verb, path in PATHS]
        return flood(scene, heads, lambda: iter([PIECE] * count))
    chunk = b"%x\r\n%s\r\n" % (len(PIECE), PIECE)
    heads = [
        request(path, b"", verb).replace(b"content-length: 0", b"transfer-encoding: chunked") for verb, path in PATHS
    ]
    return flood(scene, heads, lambda: iter([*[chunk] * count, b"0\r\n\r\n"]))


def long_heads(scene: Scene, size: int) -> Flood:
    """Send headers, a name, a value, and trailers without end."""
    start = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n"
    chunked = (
        chat_request().partition(b"\r\n\r\n")[0].rpartition(b"\r\n")[0] + b"\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    statuses: Counter[int] = Counter()
    most_sent, slowest, growth = 0, 0.0, 0
    for head, piece in (
        (start, b"a: b\r\n" * 10_000),
        (start, b"a" * 65_536),
        (start + b"a: ", b"b" * 65_536),
        (b"GET /", b"a" * 65_536),
        (chunked + b"2\r\n{}\r\n0\r\na: ", b"b" * 65_536),
        (chunked + b"2\r\n{}\r\n0\r\n", b"a: b\r\n" * 10_000),
        (chunked + b"2;a", b"b" * 65_536),
    ):
        count = size // len(piece)
        found = flood(scene, [head], lambda piece=piece, count=count: iter([piece] * count))  # type: ignore[misc]
        statuses += found.statuses
        most_sent, slowest = max(most_sent, found.most_sent), max(slowest, found.slowest_s)
        growth = max(growth, found.growth)
    return Flood(statuses, most_sent, slowest, growth)


def smuggle(scene: Scene) -> Counter[str]:
    """Send every shape, and a request after it; return how they were answered."""
    found: Counter[str] = Counter()
    for sent in SHAPES.values():
        with connected(scene.running.url) as connection:
            connection.sendall(sent + b"GET /smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n")
            received = rest_of(connection)
        found[f"{received.count(b'x-request-id')} answer: {received[9:12].decode()}"] += 1
    return found


def ahead(scene: Scene, count: int) -> tuple[int, int]:
    """Send calls ahead of their answers, each with another address; return answers, and those in order."""
    calls = [scene.call(f"ahead-{number}", words=number + 1) for number in range(count)]
    with connected(scene.running.url) as connection, connection.makefile("rb") as received:
        connection.sendall(b"".join(calls))
        answers = [read_answer(received) for _ in calls]
    in_order = sum(
        b'"prompt_tokens": %d,' % (number + 1) in body and status == 200
        for number, (status, body) in enumerate(answers)
    )
    return len(answers), in_order
