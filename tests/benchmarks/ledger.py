"""What journal and ledger cost, and how many rows they carry. `python -m tests.benchmarks.ledger`.

For each store and number of calls at once: rows per second from the first `begin` to the last commit, and the CPU time
that `begin` and `offer` take of the thread that calls them (the event loop's, in a broker). Beside it: the calls that
one broker process can make per second of its own CPU, billing on, each row checked. Candidates run in turn, round by
round; medians and ratios are printed, because on a shared machine an absolute time means little.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from hero_broker.metering.journal import DueRow, Journal
from hero_broker.metering.ledger import Ledger
from hero_broker.store.database import open_database
from tests.e2e_support import broker
from tests.metering.rows import row
from tests.stores import postgres, query

AT_ONCE = (1, 16, 256)
RATES = '{"input_per_million":"0.59","output_per_million":"0.79"}'
ANSWER = b'{"choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":40,"completion_tokens":3}}'


def carry(url: str, folder: Path, calls: int, at_once: int) -> tuple[float, float]:
    """Return (rows per second, CPU microseconds a call) for `calls` calls, `at_once` of them open at any time."""
    notes = [DueRow(row(), RATES) for _ in range(calls)]
    with open_database(url) as database:
        before = query(url, "SELECT count(*) FROM request_logs")[0][0]
        with tempfile.TemporaryDirectory(dir=folder) as journal_dir:
            journal = Journal(Path(journal_dir), max_bytes=2_000_000_000, max_calls=1000)
            open_calls: deque[DueRow] = deque()
            with Ledger.running(journal, database) as ledger:
                began, cpu_began = time.perf_counter(), time.thread_time()
                for note in notes:
                    ledger.begin(note)
                    open_calls.append(note)
                    if len(open_calls) == at_once:
                        ledger.offer(open_calls.popleft())
                while open_calls:
                    ledger.offer(open_calls.popleft())
                cpu_s = time.thread_time() - cpu_began
                while ledger.pending:
                    time.sleep(0.001)
                took_s = time.perf_counter() - began
            journal.close()
    assert query(url, "SELECT count(*) FROM request_logs")[0][0] == before + calls
    return calls / took_s, cpu_s / calls * 1e6


async def _provider(port_is: Callable[[int], None]) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(ANSWER)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await _read_message(reader):
            del request
            writer.write(head + ANSWER)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port_is(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def _read_message(reader: asyncio.StreamReader) -> bytes:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
    return head + await reader.readexactly(length)


async def _load(port: int, calls: int, at_once: int) -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
    request = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%s" % (len(body), body)
    )
    left = calls

    async def client() -> None:
        nonlocal left
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while left > 0:
            left -= 1
            writer.write(request)
            answer = await _read_message(reader)
            assert answer.startswith(b"HTTP/1.1 200"), answer
        writer.close()

    await asyncio.gather(*(client() for _ in range(at_once)))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def broker_calls_per_cpu_s(folder: Path, calls: int) -> float:
    """Return how many calls one broker process makes per second of its CPU, on SQLite, each with its row."""
    command = [sys.executable, "-m", "tests.benchmarks.ledger", "--provider"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as provider:
        try:
            assert provider.stdout is not None
            port = int(provider.stdout.readline())
            config = folder / "hero-broker.toml"
            config.write_text(
                f'[[providers]]\nname = "p"\nbase_url = "http://127.0.0.1:{port}/v1"\n'
                '[[models]]\nname = "m"\nprovider = "p"\n'
                "[models.price]\ninput_per_million = 0.59\noutput_per_million = 0.79\n"
            )
            with (
                tempfile.TemporaryDirectory(dir=folder) as state,
                broker(Path(state) / "state", "--config", str(config)) as running,
            ):
                where = int(running.url.rpartition(":")[2])
                asyncio.run(_load(where, 200, 16))
                before = _cpu_s(running.process.pid)
                asyncio.run(_load(where, calls, 16))
                spent_s = _cpu_s(running.process.pid) - before
                assert running.usage()["totals"]["requests"] == calls + 200
        finally:
            provider.terminate()
    return calls / spent_s


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--provider", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.provider:
        asyncio.run(_provider(lambda port: print(port, flush=True)))
        return
    figures: dict[tuple[str, int], list[tuple[float, float]]] = {}
    broker_rates = []
    with tempfile.TemporaryDirectory(prefix="hb-") as text, postgres() as server:
        folder = Path(text)
        urls = {"sqlite": f"sqlite:///{folder}/ledger.db", "postgresql": server.new_database()}
        for _ in range(asked.rounds):
            for store, url in urls.items():
                for at_once in AT_ONCE:
                    figures.setdefault((store, at_once), []).append(carry(url, folder, asked.calls, at_once))
            broker_rates.append(broker_calls_per_cpu_s(folder, asked.calls // 2))
    one_broker = statistics.median(broker_rates)
    print(f"one broker process: {one_broker:,.0f} calls per second of its CPU (c=16, SQLite, every row checked)")
    print("store       at once   rows/s   x one broker   CPU us/call on the loop's thread")
    for (store, at_once), found in figures.items():
        rate = statistics.median(one[0] for one in found)
        ratio = statistics.median(one[0] / broker_rate for one, broker_rate in zip(found, broker_rates, strict=True))
        cpu_us = statistics.median(one[1] for one in found)
        print(f"{store:<12}{at_once:>7}{rate:>9,.0f}{ratio:>15.1f}{cpu_us:>12.1f}")


if __name__ == "__main__":
    main()
