"""What an event costs the broker on each wire, beside one of a chat. `python -m tests.benchmarks.wires`.

A provider streams the same words as a chat, as Anthropic's Messages and as OpenAI's Responses, each word an event:
paced, one event after the other, and in bursts of 100. Printed is the CPU time of the whole broker for an event, and
its ratio to a chat's in the same round; the chat is measured twice in each round, for the noise. The streams are long,
so that the rest of their calls hardly counts. Every stream must have its row, with the usage at its end.
"""

import argparse
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.processes import MEASURED_CORE, OTHER_CORE, cpu_s, pin, started
from tests.e2e_support import started_broker

EVENTS, BURST = 4_000, 100
PAUSE_S = 0.0002  # between two paced events, so that each comes in a piece of its own
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
MAX_RATIO = 1.2


@dataclass(frozen=True, slots=True)
class Wire:
    """The events of a stream."""

    path: str
    first: bytes
    word: bytes
    last: bytes


WIRES: Mapping[str, Wire] = {
    "chat": Wire(
        "/v1/chat/completions",
        b"",
        b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"m",'
        b'"choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\ndata: [DONE]\n\n',
    ),
    "messages": Wire(
        "/v1/messages",
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","model":"m",'
        b'"usage":{"input_tokens":3,"output_tokens":1}}}\n\n',
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"text_delta","text":"word "}}\n\n',
        b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
        b'"usage":{"output_tokens":2}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n',
    ),
    "responses": Wire(
        "/v1/responses",
        b'event: response.created\ndata: {"type":"response.created","sequence_number":0,'
        b'"response":{"id":"resp_1","model":"m","usage":null}}\n\n',
        b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":12,'
        b'"item_id":"msg_1","output_index":0,"content_index":0,"delta":"word ","logprobs":[]}\n\n',
        b'event: response.completed\ndata: {"type":"response.completed","sequence_number":13,"response":{"id":"resp_1",'
        b'"model":"m","error":null,"output":[],"usage":{"input_tokens":3,"output_tokens":2,"total_tokens":5}}}\n\n',
    ),
}
SETTINGS = """
[[providers]]
name = "p"
base_url = "http://127.0.0.1:{port}/v1"
wires = ["openai", "anthropic", "responses"]

[[models]]
name = "m"
provider = "p"
price = {{ input_per_million = 1, output_per_million = 1 }}
"""


def chunk(data: bytes) -> bytes:
    """Return a chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def provide() -> None:
    """Answer each request with a stream on its wire, in bursts if its text says so."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            connection = server.accept()[0]
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while request := connection.recv(65536):  # it comes in one piece
                path = request.split(b" ", 2)[1].decode()
                wire = next(one for one in WIRES.values() if one.path == path)
                size = BURST if b"burst" in request else 1
                connection.sendall(HEAD + (chunk(wire.first) if wire.first else b""))
                piece = chunk(wire.word * size)
                for _ in range(EVENTS // size):
                    connection.sendall(piece)
                    time.sleep(PAUSE_S)
                connection.sendall(chunk(wire.last) + b"0\r\n\r\n")


def read_stream(port: int, wire: Wire, pace: str) -> None:
    """Ask for a stream, and read it to its end."""
    body = b'{"model":"m","stream":true,"max_tokens":9,"input":"%b","messages":[{"role":"user","content":"%b"}]}' % (
        (pace.encode(),) * 2
    )
    last = b""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(
            b"POST %b HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\nconnection: close\r\n"
            b"content-length: %d\r\n\r\n%b" % (wire.path.encode(), len(body), body)
        )
        while piece := connection.recv(1 << 18):
            last = (last + piece)[-400:]
    if not last.endswith(b"0\r\n\r\n") or b'"error":{' in last:
        sys.exit(f"{wire.path}: {last!r}")


def turns() -> Iterator[tuple[str, str]]:
    """Yield the name under which each stream of a round counts, and its wire."""
    yield from ((name, name) for name in WIRES)
    yield "chat again", "chat"


def compare(rounds: int) -> None:
    """Print what the events cost."""
    os.sched_setaffinity(0, {OTHER_CORE})
    with tempfile.TemporaryDirectory() as text, started("tests.benchmarks.wires", "--provide") as (_, provider_port):
        config = Path(text) / "hero-broker.toml"
        config.write_text(SETTINGS.format(port=provider_port))
        with started_broker(Path(text) / "state", "--config", str(config)) as running:
            pid, port = running.process.pid, int(running.url.rpartition(":")[2])
            pin(pid, MEASURED_CORE)
            for pace in ("paced", "burst"):
                took_us: dict[str, list[float]] = {name: [] for name, _ in turns()}
                for number in range(rounds + 1):
                    for name, wire in turns():
                        before = cpu_s(pid)
                        read_stream(port, WIRES[wire], pace)
                        if number:  # the first round warms up
                            took_us[name].append((cpu_s(pid) - before) / EVENTS * 1e6)
                print(f"{pace}:")
                for name, took in took_us.items():
                    ratios = [one / chat for one, chat in zip(took, took_us["chat"], strict=True)]
                    print(f"  {name:10} {statistics.median(took):6.2f} µs an event, {statistics.median(ratios):.2f}")
            found = running.usage()["totals"]
    print(f"the aim is at most {MAX_RATIO}")
    calls = 2 * (rounds + 1) * len(list(turns()))
    if (found["requests"], found["input_tokens"], found["output_tokens"]) != (calls, 3 * calls, 2 * calls):
        sys.exit(f"rows of {calls} calls: {found}")


def main() -> None:
    """Run the benchmark, or its provider."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--provide", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.provide:
        provide()
    else:
        compare(options.rounds)


if __name__ == "__main__":
    main()
