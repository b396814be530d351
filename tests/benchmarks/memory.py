"""What a broker weighs: the memory that is resident, before and after load. `python -m tests.benchmarks.memory`.

And how much that grows once it is warm: while it takes 200,000 more calls, or for the seconds of `--growth-seconds`.

Started anew each round, each beside gateways that only pass on: the broker with billing, journal and SQLite, and
Starlette with aiohttp and with httpx. Each takes all loads one after another: JSON at 16 and at 256 at once, paced
streams, streams in bursts. After each of the broker's, every answer must have its row, and the rows the right sum.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import cycle
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
WARM_CALLS = 200_000


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


def weights(candidate: Candidate, loads: list[Scenario], seconds: float, told: Bill) -> Mapping[str, float]:
    """Return the MiB that are resident at the start and after each load; add what was answered to `told`."""
    found = {START: rss_bytes(candidate.pid) / MIB}
    for scenario in loads:
        _load(candidate, scenario, seconds, told)
        found[scenario.title] = rss_bytes(candidate.pid) / MIB
    return {**found, END: found[loads[-1].title]}


def _load(candidate: Candidate, scenario: Scenario, seconds: float, told: Bill) -> int:
    """Put a candidate under load and return the calls that were answered, which are added to `told` and checked."""
    answered = turn(candidate, [], scenario, seconds).answered
    if candidate.running is not None:
        told.calls += answered
        told.cost_nano_usd += answered * scenario.cost_nano_usd
        check(candidate.running, told)
    return answered


def growth(broker: Candidate, loads: list[Scenario], seconds: float, limit_s: float, told: Bill) -> tuple[float, int]:
    """Return by how many per cent a warm broker grows, and with how many calls; the loads take turns of `seconds`."""
    before, ends_at, calls = rss_bytes(broker.pid), time.monotonic() + limit_s, 0
    for scenario in cycle(loads):
        calls += _load(broker, scenario, seconds, told)
        if calls >= WARM_CALLS or time.monotonic() > ends_at:
            break
    return (rss_bytes(broker.pid) / before - 1) * 100, calls


def main() -> None:
    """Run the rounds and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="for each candidate, round and kind of load")
    parser.add_argument("--growth-seconds", type=float, default=90.0, help="at most, in each round")
    asked = parser.parse_args()
    loads = scenarios(AT_ONCE)
    found: dict[str, list[Mapping[str, float]]] = {}
    grown: list[tuple[float, int]] = []
    bill = Bill()
    with started("tests.benchmarks.provider") as (_, port):
        for _ in range(asked.rounds):
            for name in (BROKER, *PASSING):
                with gateway(name, f"http://127.0.0.1:{port}/v1") as candidate:
                    told = Bill()
                    found.setdefault(name, []).append(weights(candidate, loads, asked.seconds, told))
                    if candidate.running is not None:
                        json_loads = [scenario for scenario in loads if not scenario.events]
                        grown.append(growth(candidate, json_loads, asked.seconds, asked.growth_seconds, told))
                    bill.calls += told.calls
                    bill.cost_nano_usd += told.cost_nano_usd
    figures = []
    for name, rounds in found.items():
        for when in rounds[0]:
            goals = (90, 75) if (name, when) == (BROKER, END) else (None, None)
            figures.append(Figure(f"{name}, after {when}", median(one[when] for one in rounds), "MiB", *goals))
    calls = min(calls for _, calls in grown)
    figures.append(
        Figure(f"{BROKER}, growth over {calls:,} more calls", median(share for share, _ in grown), "%", 2, 0)
    )
    print(table(figures))
    print(f"\nrows {bill.calls:,} of {bill.calls:,}, {bill.cost_nano_usd:,} nano-USD as expected, after each load")


if __name__ == "__main__":
    main()
