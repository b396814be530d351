"""How long one event of many megabytes holds up another stream. `python -m tests.benchmarks.long_event`.

A provider streams a response whose last event has 40 MiB, most of it an image, through the broker to a client.
Meanwhile another provider sends an event every 2 ms to another client. Printed are the longest times between two of
these events, beside those without the long event, and the memory that the long event adds to the broker at its peak.
Each response must have its row, with the usage at its end. All but the broker share the other core; the long event's
provider and client stand back there, so that they hold up nobody themselves.
"""

import argparse
import os
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.benchmarks.processes import (
    MEASURED_CORE,
    OTHER_CORE,
    forget_peak,
    peak_rss_bytes,
    pin,
    rss_bytes,
    started,
)
from tests.e2e_support import started_broker

MIB = 1 << 20
EVENT_EVERY_S = 0.002
STEADY_S = 3.0
BEGIN_AFTER_S = 0.5  # the long event, after the steady stream
GAP_MAX_MS, MEMORY_MAX_RATIO = 20, 2.5
USAGE = b'"usage":{"input_tokens":11,"output_tokens":7,"total_tokens":18}'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
STEADY_EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'
STEADY_END = (
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\ndata: [DONE]\n\n'
)
SETTINGS = """
[[providers]]
name = "long"
base_url = "http://127.0.0.1:{long}/v1"
wires = ["responses"]

[[providers]]
name = "steady"
base_url = "http://127.0.0.1:{steady}/v1"

[[models]]
name = "long-1"
provider = "long"
price = {{ input_per_million = 1, output_per_million = 1 }}

[[models]]
name = "steady-1"
provider = "steady"
price = {{ input_per_million = 1, output_per_million = 1 }}
"""


def chunk(data: bytes) -> bytes:
    """Return a chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def long_answer(size: int) -> bytes:
    """Return a response whose last event has about `size` bytes."""
    delta = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"a"}\n\n'
    item = b'{"type":"image_generation_call","status":"completed","result":"%b"}' % (b"iVBORw0K" * (size // 8))
    last = (
        b'event: response.completed\ndata: {"type":"response.completed","response":{"id":"resp_1","model":"long-1",'
        b'"error":null,"output":[%b],%b}}\n\n' % (item, USAGE)
    )
    return HEAD + chunk(delta) + chunk(last) + b"0\r\n\r\n"


def provide(size: int) -> None:
    """Answer each request: with a long event if `size` is not 0, else with a steady stream."""
    answer = long_answer(size) if size else b""
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            connection = server.accept()[0]
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while connection.recv(65536):  # a request, which comes in one piece
                if answer:
                    connection.sendall(answer)
                else:
                    connection.sendall(HEAD)
                    for _ in range(int(STEADY_S / EVENT_EVERY_S)):
                        connection.sendall(chunk(STEADY_EVENT))
                        time.sleep(EVENT_EVERY_S)
                    connection.sendall(chunk(STEADY_END) + b"0\r\n\r\n")


def asked(port: int, path: str, model: str) -> socket.socket:
    """Return a connection on which a stream was requested."""
    body = b'{"model":"%b","stream":true,"input":"a","messages":[]}' % model.encode()
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(
        b"POST %b HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\nconnection: close\r\n"
        b"content-length: %d\r\n\r\n%b" % (path.encode(), len(body), body)
    )
    return connection


def read_long(port: int) -> None:
    """Ask for the long event after a while, and print how many bytes came."""
    time.sleep(BEGIN_AFTER_S)
    size, last = 0, b""
    with asked(port, "/v1/responses", "long-1") as connection:
        while piece := connection.recv(MIB):
            size += len(piece)
            last = (last + piece)[-len(USAGE) - 100 :]
    if USAGE not in last:
        sys.exit("The long event did not come to its end.")
    print(size)


@contextmanager
def long_call(port: int) -> Iterator["subprocess.Popen[str]"]:
    """Begin a call for the long event in a process that stands back."""
    command = ["nice", "-n", "10", sys.executable, "-m", "tests.benchmarks.long_event", "--read", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process


def steady_gap_ms(port: int) -> float:
    """Read a steady stream to its end; return the longest time between two reads."""
    longest, before = 0.0, None
    with asked(port, "/v1/chat/completions", "steady-1") as connection:
        while connection.recv(65536):
            now = time.perf_counter()
            longest, before = max(longest, 0.0 if before is None else now - before), now
    return longest * 1000


def compare(rounds: int, mib: int) -> None:
    """Print what a long event of some MiB does in some rounds."""
    size = mib * MIB
    alone: list[float] = []
    meanwhile: list[float] = []
    memory: list[float] = []
    this = "tests.benchmarks.long_event"
    os.sched_setaffinity(0, {OTHER_CORE})
    with (
        tempfile.TemporaryDirectory() as text,
        started(this, "--provide", str(size)) as (long_pid, long_port),
        started(this, "--provide", "0") as (_, steady_port),
    ):
        os.setpriority(os.PRIO_PROCESS, long_pid, 10)
        config = Path(text) / "hero-broker.toml"
        config.write_text(SETTINGS.format(long=long_port, steady=steady_port))
        with started_broker(Path(text) / "state", "--config", str(config)) as running:
            pid, port = running.process.pid, int(running.url.rpartition(":")[2])
            pin(pid, MEASURED_CORE)
            for _ in range(rounds):
                alone.append(steady_gap_ms(port))
                before = rss_bytes(pid)
                forget_peak(pid)
                with long_call(port) as process:
                    meanwhile.append(steady_gap_ms(port))
                    came = process.communicate(timeout=60)[0]
                if process.returncode or int(came) < size:
                    sys.exit(f"The long event came with {came!r} bytes.")
                memory.append((peak_rss_bytes(pid) - before) / size)
            rows = running.usage()["totals"]["requests"]
        with closing(sqlite3.connect(Path(text) / "state" / "hero-broker.db")) as ledger:
            question = (
                "SELECT outcome, input_tokens, output_tokens, count(*) FROM request_logs "
                "WHERE kind = 'responses' GROUP BY 1, 2, 3"
            )
            found = ledger.execute(question).fetchall()
    if rows != 3 * rounds or found != [("ok", 11, 7, rounds)]:
        sys.exit(f"rows {rows} of {3 * rounds}: {found}")
    for name, gaps in (("alone", alone), ("beside the long event", meanwhile)):
        print(f"longest gap {name}: median {statistics.median(gaps):.1f} ms, at most {max(gaps):.1f} ms")
    print(f"the aim is at most {GAP_MAX_MS} ms; an event every {EVENT_EVERY_S * 1000:.0f} ms")
    most, median = max(memory), statistics.median(memory)
    print(f"memory added at the peak: {median:.2f} of the event, at most {most:.2f}; the aim is {MEMORY_MAX_RATIO}")


def main() -> None:
    """Print what the long event does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--mib", type=int, default=40, help="the size of the long event (default 40)")
    parser.add_argument("--provide", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--read", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.provide is not None:
        provide(options.provide)
    elif options.read is not None:
        read_long(options.read)
    else:
        compare(options.rounds, options.mib)


if __name__ == "__main__":
    main()
