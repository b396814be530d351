"""What a call through the broker costs, beside gateways that only pass on. `python -m tests.benchmarks.proxy`.

The figure that counts is the CPU time of the gateway's process for a call, or for an event of a stream: it sets how
much one core carries, and other work on the machine disturbs it least. The candidates are the broker with billing,
journal and SQLite; Starlette with aiohttp and Starlette with httpx, which pass on and bill nothing; LiteLLM, where
`--litellm` names an interpreter that has it; and the provider alone, which shows what load and provider could do. Each
is a process of its own, on a core of its own where there are two, and is stopped while another has its turn. They take
turns, round by round: medians and ratios within a round are printed, because on a shared machine an absolute time means
little. After each turn every answer of the broker must have its row, and the rows the right sum.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import uvloop

from tests.benchmarks.litellm import litellm
from tests.benchmarks.loadgen import Load, load, percentile
from tests.benchmarks.processes import MEASURED_CORE, OTHER_CORE, cpu_s, paused, pin, started
from tests.benchmarks.provider import BURST_EVENTS, END_EVENTS, INPUT_TOKENS, PACED_EVENTS, WHOLE_TOKENS
from tests.e2e_support import Broker, started_broker

INPUT_NANO_USD, OUTPUT_NANO_USD = 590, 790  # per token
STREAMS_AT_ONCE = 32
BROKER, PASSING, SLOW, ALONE = "broker", "aiohttp, no billing", "httpx, no billing", "provider alone"
LITELLM = "LiteLLM, no database"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of load."""

    title: str
    user: str  # how the provider answers
    at_once: int
    events: int  # of an answer, with those that end it; 0 for JSON
    output_tokens: int

    @property
    def body(self) -> bytes:
        """The request, some 300 bytes."""
        text = "Say in two sentences what a gateway that bills each request to the address that made it needs to know."
        asked = {"model": "small-1", "messages": [{"role": "user", "content": text}], "temperature": 0.7}
        stream = {"stream": True, "stream_options": {"include_usage": True}} if self.events else {"stream": False}
        return json.dumps({**asked, "user": self.user, **stream}, separators=(",", ":")).encode()

    @property
    def cost_nano_usd(self) -> int:
        """What a call of it costs."""
        return INPUT_TOKENS * INPUT_NANO_USD + self.output_tokens * OUTPUT_NANO_USD


@dataclass(frozen=True, slots=True)
class Candidate:
    """A process under load."""

    pid: int
    port: int
    running: Broker | None = None  # the one whose rows are checked


@dataclass(slots=True)
class Bill:
    """What the ledger should say."""

    calls: int = 0
    cost_nano_usd: int = 0


def settings(provider_url: str) -> str:
    """Return the settings of a broker with one provider and one model."""
    return (
        f'[[providers]]\nname = "p"\nbase_url = "{provider_url}"\n[[models]]\nname = "small-1"\nprovider = "p"\n'
        "[models.price]\ninput_per_million = 0.59\noutput_per_million = 0.79\n"
    )


def scenarios(concurrency: list[int]) -> list[Scenario]:
    """Return the loads, in the order in which they are run."""
    return [
        *(Scenario(f"JSON, {count} at once", "whole", count, 0, WHOLE_TOKENS) for count in concurrency),
        *(
            Scenario(f"{count} events, {user}, {STREAMS_AT_ONCE} streams", user, STREAMS_AT_ONCE, with_end, count)
            for user, count, with_end in (
                ("paced", PACED_EVENTS, PACED_EVENTS + END_EVENTS),
                ("burst", BURST_EVENTS, BURST_EVENTS + END_EVENTS),
            )
        ),
    ]


@contextmanager
def candidates(litellm_python: str | None = None) -> Iterator[dict[str, Candidate]]:
    """Run all candidates for the time of the block, each on its core; LiteLLM where an interpreter has it."""
    with ExitStack() as stack:
        provider_pid, provider_port = stack.enter_context(started("tests.benchmarks.provider"))
        pin(provider_pid, OTHER_CORE)
        url = f"http://127.0.0.1:{provider_port}/v1"
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hb-")))
        config = folder / "hero-broker.toml"
        config.write_text(settings(url))
        running = stack.enter_context(started_broker(folder / "state", "--config", str(config)))
        found = {BROKER: Candidate(running.process.pid, int(running.url.rpartition(":")[2]), running)}
        for name, client in ((PASSING, "aiohttp"), (SLOW, "httpx")):
            found[name] = Candidate(*stack.enter_context(started("tests.benchmarks.candidates", client, url)))
        if litellm_python is not None:
            found[LITELLM] = Candidate(*stack.enter_context(litellm(litellm_python, url)))
        for candidate in found.values():
            pin(candidate.pid, MEASURED_CORE)
        yield {**found, ALONE: Candidate(provider_pid, provider_port)}


def turn(candidate: Candidate, others: list[Candidate], scenario: Scenario, seconds: float) -> Load:
    """Put one candidate under load; the gateways among the others are stopped meanwhile."""
    with ExitStack() as stack:
        for other in others:
            stack.enter_context(paused(other.pid))
        return uvloop.run(
            load(
                candidate.port,
                scenario.body,
                at_once=scenario.at_once,
                seconds=seconds,
                events_each=scenario.events,
                cpu_s=lambda: cpu_s(candidate.pid),
            )
        )


def check(running: Broker, bill: Bill) -> None:
    """End with exit code 1 if the ledger has not a row for each answer, or not their cost."""
    totals = running.usage()["totals"]
    if totals["requests"] != bill.calls or int(totals["total_cost_nano_usd"]) != bill.cost_nano_usd:
        sys.exit(f"rows {totals['requests']} of {bill.calls}; nano-USD {totals['total_cost_nano_usd']}, not {bill}")


def cpu_us(found: Load) -> float:
    """Return the CPU microseconds for a call, or for an event where the answers are streams."""
    return found.cpu_s * 1e6 / (found.events or len(found.took_ms))


def per_second(found: Load) -> float:
    """Return the answers, or the events of streams, per second."""
    return (found.events or len(found.took_ms)) / found.window_s


def report(scenario: Scenario, found: dict[str, list[Load]]) -> None:
    """Print the medians of all rounds, and those of the ratios within a round."""
    what = "event" if scenario.events else "call"
    ratio = f"{'CPU, broker : this':>20}{'rate, broker : this':>21}"
    first = f"{'first event p50':>17}" if scenario.events else ""
    print(
        f"\n{scenario.title}\n{'':22}{what + 's/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'CPU us/' + what:>15}{first}{ratio}"
    )
    for name, loads in found.items():
        line = f"  {name:20}{median(map(per_second, loads)):>10,.0f}"
        line += "".join(f"{median(percentile(one.took_ms, part) for one in loads):>9.1f}" for part in (0.5, 0.99))
        line += f"{median(map(cpu_us, loads)):>15.0f}" if name != ALONE else f"{'':15}"
        if scenario.events:
            line += f"{median(percentile(one.first_event_ms, 0.5) for one in loads):>17.1f}"
        if name not in (BROKER, ALONE):
            pairs = list(zip(found[BROKER], loads, strict=True))
            line += f"{median(cpu_us(ours) / cpu_us(theirs) for ours, theirs in pairs):>20.2f}"
            line += f"{median(per_second(ours) / per_second(theirs) for ours, theirs in pairs):>21.2f}"
        print(line)


def main() -> None:
    """Run the rounds and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each candidate, round and kind of load")
    parser.add_argument("--concurrency", default="1,16,64", help="calls at once, of those answered with JSON")
    parser.add_argument("--litellm", metavar="PYTHON", help="an interpreter that has LiteLLM's proxy, to compare with")
    asked = parser.parse_args()
    loads = scenarios([int(count) for count in asked.concurrency.split(",")])
    figures: list[dict[str, list[Load]]] = [{} for _ in loads]
    bill = Bill()
    pin(os.getpid(), OTHER_CORE)
    with candidates(asked.litellm) as found:
        gateways = {name: one for name, one in found.items() if name != ALONE}
        for _ in range(asked.rounds):
            for scenario, figure in zip(loads, figures, strict=True):
                for name, candidate in found.items():
                    if name == LITELLM and scenario.events:
                        continue  # it sends other events than the provider, so that they cannot be counted
                    others = [one for other, one in gateways.items() if other != name]
                    seen = turn(candidate, others, scenario, asked.seconds)
                    figure.setdefault(name, []).append(seen)
                    if candidate.running is not None:
                        bill.calls += seen.answered
                        bill.cost_nano_usd += seen.answered * scenario.cost_nano_usd
                        check(candidate.running, bill)
    for scenario, figure in zip(loads, figures, strict=True):
        report(scenario, figure)
    print(f"\nrows {bill.calls:,} of {bill.calls:,}, {bill.cost_nano_usd:,} nano-USD as expected, after each turn")


if __name__ == "__main__":
    main()
