"""What a broker weighs: the memory that is resident, before and after load. `python -m tests.benchmarks.memory`.

Started anew each round, each beside gateways that only pass on: the broker with billing, journal and SQLite, and
Starlette with aiohttp and with httpx. Each takes all loads one after another: JSON at 16 and at 256 at once, paced
streams, streams in bursts. After each of the broker's, every answer must have its row, and the rows the right sum.
"""

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from tests.benchmarks.goals import Figure, table
from tests.benchmarks.processes import rss_bytes, started
from tests.benchmarks.scenarios import Scenario, scenarios, settings
from tests.benchmarks.turns import Bill, Candidate, check, turn
from tests.e2e_support import started_broker

MIB = 1 << 20
BROKER = "broker"
PASSING = {"aiohttp, no billing": "aiohttp", "httpx, no billing": "httpx"}
AT_ONCE = [16, 256]
START, END = "the start", "all loads"


@contextmanager
def gateway(name: str, url: str) -> Iterator[Candidate]:
    """Run one candidate for the time of the block, passing on to the provider at `url`."""
    with ExitStack() as stack:
        if name in PASSING:
            yield Candidate(*stack.enter_context(started("tests.benchmarks.candidates", PASSING[name], url)))
            return
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hb-")))
        config = folder / "hero-broker.toml"
        config.write_text(settings(url))
        running = stack.enter_context(started_broker(folder / "state", "--config", str(config)))
        yield Candidate(running.process.pid, int(running.url.rpartition(":")[2]), running)


def weights(candidate: Candidate, loads: list[Scenario], seconds: float, bill: Bill) -> Mapping[str, float]:
    """Return the MiB that are resident at the start and after each load; add what was answered to `bill`."""
    found = {START: rss_bytes(candidate.pid) / MIB}
    told = Bill()
    for scenario in loads:
        answered = turn(candidate, [], scenario, seconds).answered
        found[scenario.title] = rss_bytes(candidate.pid) / MIB
        if candidate.running is not None:
            told.calls += answered
            told.cost_nano_usd += answered * scenario.cost_nano_usd
            check(candidate.running, told)
    bill.calls += told.calls
    bill.cost_nano_usd += told.cost_nano_usd
    return {**found, END: found[loads[-1].title]}


def main() -> None:
    """Run the rounds and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="for each candidate, round and kind of load")
    asked = parser.parse_args()
    loads = scenarios(AT_ONCE)
    found: dict[str, list[Mapping[str, float]]] = {}
    bill = Bill()
    with started("tests.benchmarks.provider") as (_, port):
        for _ in range(asked.rounds):
            for name in (BROKER, *PASSING):
                with gateway(name, f"http://127.0.0.1:{port}/v1") as candidate:
                    found.setdefault(name, []).append(weights(candidate, loads, asked.seconds, bill))
    figures = []
    for name, rounds in found.items():
        for when in rounds[0]:
            goals = (110, 80) if (name, when) == (BROKER, END) else (None, None)
            figures.append(Figure(f"{name}, after {when}", median(one[when] for one in rounds), "MiB", *goals))
    print(table(figures))
    print(f"\nrows {bill.calls:,} of {bill.calls:,}, {bill.cost_nano_usd:,} nano-USD as expected, after each load")


if __name__ == "__main__":
    main()
