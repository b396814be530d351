"""Clients that leave: at any byte of request and answer, by an end or by a reset, and a thousand at once."""

import socket
import struct
import threading
from dataclasses import dataclass
from itertools import product

from tests.faults.client_faults.scenes import PATHS, Scene
from tests.raw_clients import connected

RESET = struct.pack("ii", 1, 0)


def leave(scene: Scene, sent: bytes, take: int, *, reset: bool) -> None:
    """Send bytes, take at least so many of the answer, and go."""
    with connected(scene.running.url) as connection:
        connection.sendall(sent)
        while take > 0:
            piece = connection.recv(take)
            if not piece:
                break
            take -= len(piece)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def leave_anywhere(scene: Scene, points: int, *, reset: bool) -> int:
    """Leave at so many points of requests of each wire, and of whole and streamed answers; return how often."""
    name = "reset" if reset else "end"
    left = 0
    for point, wire, (kind, size) in product(range(points), PATHS, (("whole", 3), ("stream", 20))):
        call = scene.call(f"{name}-{wire}-{kind}-a{point}", kind, size, wire=wire)
        leave(scene, call[: len(call) * point // points], 0, reset=reset)
        answer_bytes = 20_000 if kind == "stream" else 250
        call = scene.call(f"{name}-{wire}-{kind}-b{point}", kind, size, wire=wire)
        leave(scene, call, answer_bytes * point // points, reset=reset)
        left += 2
    return left


@dataclass(frozen=True, slots=True)
class HangUps:
    """What came after many quick hang-ups."""

    count: int
    slowest_next_s: float  # of the ten calls that came next


def hang_up(scene: Scene, count: int, at_once: int = 20) -> HangUps:
    """Call and hang up at once so often; then make ten calls."""
    numbers = iter(range(count))
    lock = threading.Lock()

    def run() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            kind, size = ("whole", 3) if number % 2 else ("stream", 20)
            wire = list(PATHS)[number // 2 % len(PATHS)]
            leave(scene, scene.call(f"hang-{number}", kind, size, wire=wire), 0, reset=number % 5 == 0)

    threads = [threading.Thread(target=run) for _ in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return HangUps(count, max(scene.timed_calls(10, "after-hang-ups")))
