"""What the parts of a call cost that read, bill and answer it. `python -m tests.benchmarks.parts`.

Microseconds of CPU time per call, each part in a loop; medians of the rounds. The parts of another source tree
(`--against PATH`) are measured in turn with those of this one, round by round, each in a process of its own; the last
column is the median of the differences within a round. A loop keeps the caches warm: in a running broker a part costs
two to seven times of what is printed. The writer's thread is measured under a steady load, not in a loop.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path

from hero_broker.core.calls import Caller, Outcome
from hero_broker.core.clock import SystemClock
from hero_broker.core.ids import RequestIds
from hero_broker.data_plane.client_call import ClientCall, RequestContext
from hero_broker.data_plane.responses import response_head
from hero_broker.kinds.chat import CHAT
from hero_broker.kinds.json_body import read_json
from hero_broker.ledger.journal import Journal
from hero_broker.ledger.ledger import Ledger
from hero_broker.ledger.rows import PendingRow
from hero_broker.metering.billing_row import interrupted_row
from hero_broker.metering.meter import Meter
from hero_broker.pricing.price import Price
from hero_broker.pricing.tariff import Tariff
from hero_broker.providers.provider import Provider
from hero_broker.providers.routes import Route
from hero_broker.store.database import open_database
from tests.ledger.rows import row

HERE = Path(__file__).resolve().parents[2]
CALLS = 2_000  # of a part in a round; a segment of the journal has room for as many
RATE, BURST = 3_000, 16  # rows for the writer in a second, and those that come at once
PATH = "/v1/chat/completions"
TEXT = "Say in two sentences what a gateway that bills each request to the address that made it needs to know."
ASKED = {"model": "small-1", "messages": [{"role": "user", "content": TEXT}], "temperature": 0.7}
BODY = json.dumps({**ASKED, "user": "whole", "stream": False}, separators=(",", ":")).encode()
STREAM = json.dumps(
    {**ASKED, "stream": True, "stream_options": {"include_usage": True}}, separators=(",", ":")
).encode()
ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "small-1",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 30,
            "completion_tokens": 22,
            "total_tokens": 52,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    },
    separators=(",", ":"),
).encode()
HEADERS = {"content-type": "application/json", "date": "Tue, 14 Nov 2023 22:13:20 GMT", "content-length": "420"}

Figures = Mapping[str, float]


def cpu_us(part: Callable[[], object]) -> float:
    """Return microseconds of this thread's CPU time for one of `CALLS` runs of a part."""
    turns = range(CALLS)
    part()
    began = time.thread_time_ns()
    for _ in turns:
        part()
    return (time.thread_time_ns() - began) / CALLS / 1000


def one_round(folder: Path) -> Figures:
    """Measure each part once."""
    ids, clock = RequestIds(), SystemClock()
    price = Price(input_per_million=Decimal("0.59"), output_per_million=Decimal("0.79"))
    tariff = Tariff.fixed(price)
    route = Route.to("small-1", "chat", Provider("p", "http://p/v1", (), stream_usage=True), "small-1", (), tariff)
    renamed = Route.to("small-1", "chat", route.provider, "vendor/small-1", (), tariff)
    caller = Caller("192.0.2.1", None)

    def attempt(body: bytes, route: Route = route) -> Meter:
        request = CHAT.read(read_json(body))
        call = ClientCall(RequestContext("018bcfe5-6800-7000-8000-000000000000", caller, 1), CHAT, PATH, request)
        return Meter(call.attempt(route, route.targets[0]), tariff, clock)

    def answered() -> Meter:
        meter = attempt(BODY)
        meter.is_sent = True
        meter.on_response()
        meter.on_body(ANSWER)
        return meter

    meter = answered()
    note, due = meter.call_started(), meter.close(Outcome.OK, 200, None)
    journal = Journal(folder, interrupted_row, max_bytes=1 << 30, max_calls=CALLS)
    try:
        return {
            "body -> attempt, meter": cpu_us(lambda: attempt(BODY)),
            "the same, another model": cpu_us(lambda: attempt(BODY, renamed)),
            "the same, a stream": cpu_us(lambda: attempt(STREAM)),
            "note": cpu_us(meter.call_started),
            "note in the journal": cpu_us(lambda: journal.begin(note)),
            "report": cpu_us(lambda: meter.on_body(ANSWER)),
            "price and row": cpu_us(lambda: meter.close(Outcome.OK, 200, None)),
            "row in the journal": cpu_us(lambda: journal.settle(due)),
            "head": cpu_us(lambda: response_head(200, HEADERS, "420")),
            "id": cpu_us(ids.next),
            "writer's thread": writer_us(folder, price),
        }
    finally:
        journal.close()


def writer_us(folder: Path, price: Price) -> float:
    """Return microseconds of the writer thread's CPU time for a row, into SQLite, at `RATE` rows a second."""
    due = [PendingRow(row(price_id=price.price_id), price.rates) for _ in range(RATE)]
    journal = Journal(folder / "journal", interrupted_row, max_bytes=1 << 30, max_calls=CALLS)
    with open_database(f"sqlite:///{folder / 'ledger.db'}") as store, Ledger.running(journal, store) as ledger:
        (writer,) = (thread for thread in threading.enumerate() if thread.name == "ledger-writer")
        before_us = thread_us(writer)
        began = time.monotonic()
        for number, one in enumerate(due):
            if number % BURST == 0:
                time.sleep(max(0.0, began + number / RATE - time.monotonic()))
            ledger.offer(one)
        while ledger.pending:
            time.sleep(0.01)
        took_us = thread_us(writer) - before_us
    journal.close()
    return took_us / len(due)


def thread_us(thread: threading.Thread) -> float:
    """Return the CPU time of a thread of this process, in microseconds."""
    return int(Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text().split()[0]) / 1000


def measured(tree: Path) -> Figures:
    """Measure one round of a source tree in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": f"{tree}{os.pathsep}{HERE}"}
    command = [sys.executable, "-P", __file__, "--once"]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, default=HERE, help="another source tree; without it, this one again")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--once", action="store_true", help="one round, in JSON")
    asked = parser.parse_args()
    if asked.once:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(one_round(Path(folder))))
        return
    other: Path = asked.against.resolve()
    if not (other / "hero_broker").is_dir():
        parser.error(f"{other} has no hero_broker")
    rounds: list[tuple[Figures, Figures]] = []
    for number in range(asked.rounds):
        if number % 2:
            theirs, ours = measured(other), measured(HERE)
        else:
            ours, theirs = measured(HERE), measured(other)
        rounds.append((theirs, ours))
    print(f"{'us of CPU time a call':26}{'other':>9}{'this':>9}{'saved':>9}")
    for part in rounds[0][1]:
        columns = zip(*((old[part], new[part], old[part] - new[part]) for old, new in rounds), strict=True)
        print(f"{part:26}" + "".join(f"{statistics.median(column):9.2f}" for column in columns))


if __name__ == "__main__":
    main()
