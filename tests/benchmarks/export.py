"""What an export of every call takes of a broker's memory. `python -m tests.benchmarks.export`.

A broker with a ledger of a million rows streams all of them as NDJSON and as CSV, while calls go on and their rows
arrive. Each row of the ledger as it stood must come exactly once, and each call made meanwhile must have its row. The
memory is the most that was resident during the export, less what was resident before it.
"""

import argparse
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import httpx

from tests.benchmarks.processes import forget_peak, peak_rss_bytes, rss_bytes
from tests.benchmarks.reports.files import ADDRESSES, copied, folded, url
from tests.benchmarks.reports.rows import Plan
from tests.e2e_support import Broker, chat, started_broker

FOLDER = Path(__file__).parents[2] / "build" / "reports"
MIB = 1024 * 1024
FORMATS = {"application/x-ndjson": b'{"seq":', "text/csv": b""}


def calls_until(stop: threading.Event, running: Broker, answered: list[int]) -> None:
    """Make calls one after another; append each status."""
    with httpx.Client(base_url=running.url) as client:
        while not stop.is_set():
            answered.append(client.post("/v1/chat/completions", json=chat()).status_code)


def seqs(running: Broker, media_type: str) -> list[int]:
    """Export everything; return the `seq` of each row in the order in which they came."""
    begins = FORMATS[media_type]
    found: list[int] = []
    with (
        httpx.Client(base_url=running.url, timeout=600) as client,
        client.stream("GET", "/billing/requests", headers={"accept": media_type}) as answer,
    ):
        answer.raise_for_status()
        rest = b""
        for piece in answer.iter_raw():
            *lines, rest = (rest + piece).split(b"\n")
            found.extend(int(line.removeprefix(begins).partition(b",")[0]) for line in lines if line[:3] != b"seq")
    assert not rest
    return found


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where ledgers are kept")
    asked = parser.parse_args()
    with ExitStack() as stack:
        ledger = stack.enter_context(copied(folded(asked.folder.resolve(), Plan(asked.rows, ADDRESSES))))
        state = asked.folder.resolve() / "state"
        state.mkdir(exist_ok=True)
        running = stack.enter_context(started_broker(state, HERO_BROKER_DATABASE_URL=url(ledger)))
        pid = running.process.pid
        answered: list[int] = []
        stop = threading.Event()
        caller = threading.Thread(target=calls_until, args=(stop, running, answered))
        caller.start()
        try:
            for media_type in FORMATS:
                before, calls = rss_bytes(pid), len(answered)
                forget_peak(pid)
                began = time.perf_counter()
                found = seqs(running, media_type)
                took_s = time.perf_counter() - began
                more = (peak_rss_bytes(pid) - before) / MIB
                assert found == list(range(found[0], 0, -1)), "a row is missing, or came twice"
                during = len(answered) - calls
                print(f"{media_type}: {len(found):,} rows in {took_s:.0f} s, memory +{more:.1f} MiB, {during:,} calls")
        finally:
            stop.set()
            caller.join()
        total = running.usage()["totals"]["requests"]
    assert set(answered) == {200}
    assert total == asked.rows + len(answered), f"{total} rows"
    print(f"rows of the calls made meanwhile: {total - asked.rows:,} of {len(answered):,}")


if __name__ == "__main__":
    main()
