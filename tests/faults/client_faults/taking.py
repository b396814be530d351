"""Clients that read their responses slowly, or not at all."""

import json
import select
import time
from contextlib import ExitStack
from dataclasses import dataclass

from tests.benchmarks.processes import forget_peak
from tests.faults.client_faults.scenes import Scene
from tests.raw_clients import connected, request

BATCH = json.dumps([{"jsonrpc": "2.0", "id": number, "method": "rpc.discover"} for number in range(100)]).encode()
ROOM = 4096  # bytes that the client's machine holds for it


def questions(scene: Scene, mark: str) -> dict[str, bytes]:
    """Return a request for each kind of long answer."""
    return {
        "stream": scene.call(f"{mark}-stream", "stream", 20_000),
        "plain answer": scene.call(f"{mark}-whole", "whole", 20_000_000),
        "CSV": request("/billing/requests", method="GET", headers={"accept": "text/csv"}),
        "NDJSON": request("/billing/requests", method="GET", headers={"accept": "application/x-ndjson"}),
        "batch": request("/rpc", BATCH),
        "answers to 100 requests": request("/openrpc.json", method="GET") * 100,
    }


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a client."""

    seconds: float  # until the broker gave up; the time of the watch where it did not
    was_cut: bool
    bytes_taken: int
    growth: int


def take(scene: Scene, sent: bytes, bytes_per_s: int, watch_s: float) -> Taken:
    """Ask, and take the answer at a rate, 0 for nothing, until the broker gives up or the watch ends."""
    forget_peak(scene.running.process.pid)
    before, begun = scene.rss, time.monotonic()
    taken, was_cut = 0, False
    with ExitStack() as stack:
        connection = stack.enter_context(connected(scene.running.url, received_bytes=ROOM))
        connection.sendall(sent)
        watcher = select.poll()
        watcher.register(connection, select.POLLHUP | select.POLLERR)
        while (now := time.monotonic()) < begun + watch_s and not was_cut:
            due = int((now - begun) * bytes_per_s) - taken
            if due > 0 and select.select([connection], [], [], 0)[0]:
                try:
                    piece = connection.recv(due)
                except ConnectionResetError:
                    piece = b""
                taken += len(piece)
                was_cut = not piece
            was_cut = was_cut or bool(watcher.poll(50))
    return Taken(time.monotonic() - begun, was_cut, taken, scene.peak - before)
