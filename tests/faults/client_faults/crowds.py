"""Connections by the thousand that send nothing."""

import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.faults.client_faults.leaving import RESET
from tests.faults.client_faults.scenes import Scene

FROM_ONE_ADDRESS = 2_000
SPARE = 500  # descriptors that this process needs for itself


def most_of_this_process() -> int:
    """Raise this process's limit of open files; return how many connections it can open."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard - SPARE


@contextmanager
def silent(scene: Scene, count: int) -> Iterator[list[socket.socket]]:
    """Yield so many connections to the broker that send nothing.

    They come from several addresses and end by a reset: else it takes the system longer and longer to find a free port.
    """
    port = int(scene.running.url.rpartition(":")[2])
    opened: list[socket.socket] = []
    try:
        for number in range(count):
            own = (f"127.0.1.{1 + number // FROM_ONE_ADDRESS}", 0)
            opened.append(socket.create_connection(("127.0.0.1", port), source_address=own))
        yield opened
    finally:
        for one in opened:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            one.close()


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descriptors(pid: int) -> int:
    """Return how many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - the names are all that is wanted


@dataclass(frozen=True, slots=True)
class Crowd:
    """What connections cost."""

    asked: int
    held: int  # by the broker
    bytes_each: float
    call_without_s: float  # medians
    call_beside_s: float
    idle_cpu: float  # of a core, while nothing happens


def crowd(scene: Scene, count: int, calls: int = 200, rest_s: float = 5) -> Crowd:
    """Open connections; compare calls beside them with calls without them, before and after."""
    pid = scene.running.process.pid
    scene.timed_calls(50, f"warm-{count}")
    without = scene.timed_calls(calls // 2, f"before-{count}")
    rss, open_before = scene.rss, descriptors(pid)
    with silent(scene, count):
        scene.timed_calls(1, f"last-{count}")  # comes after all others
        held, grown = descriptors(pid) - open_before, scene.rss - rss
        spent, begun = cpu_s(pid), time.monotonic()
        time.sleep(rest_s)
        idle = (cpu_s(pid) - spent) / (time.monotonic() - begun)
        beside = scene.timed_calls(calls, f"beside-{count}")
    without += scene.timed_calls(calls // 2, f"after-{count}")
    return Crowd(count, held, grown / max(held, 1), median(without), median(beside), idle)
