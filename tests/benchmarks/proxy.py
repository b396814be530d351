"""What a call through the broker costs, beside gateways that only pass on. `python -m tests.benchmarks.proxy`.

The figure that counts is the CPU time of the gateway's process for a call, or for an event of a stream: it sets how
much one core carries, and other work on the machine disturbs it least. The candidates are the broker with billing,
journal and SQLite; Starlette with aiohttp and Starlette with httpx, which pass on and bill nothing, httpx also with
what `pip install httpx` brings, and so without `sniffio`, which it asks for at each lock (the openai SDK, which the
tests use, brings it); LiteLLM, where `--litellm` names an interpreter that has it; and the provider alone,
which shows what load and provider could do. Each is a process of its own, on a core of its own where there are two, and
is stopped while another has its turn. They take turns, round by round: medians and ratios within a round are printed,
because on a shared machine an absolute time means little. After each turn every answer of the broker must have its row,
and the rows the right sum.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from tests.benchmarks.goals import Figure, table
from tests.benchmarks.litellm import litellm
from tests.benchmarks.loadgen import Load, percentile
from tests.benchmarks.processes import MEASURED_CORE, OTHER_CORE, packages_but, pin, started
from tests.benchmarks.scenarios import Scenario, scenarios, settings
from tests.benchmarks.turns import Bill, Candidate, check, cpu_us, turn
from tests.e2e_support import started_broker

BROKER, PASSING, SLOW, ALONE = "broker", "aiohttp, no billing", "httpx, no billing", "provider alone"
BARE, LITELLM = "httpx without sniffio", "LiteLLM, no database"
THROUGHPUT = {  # at least so many times theirs, the aim, and at how many calls at once
    PASSING: (0.9, 1.1, (16, 64)),
    SLOW: (8, 12, (16,)),
    BARE: (8, 12, (16,)),
    LITELLM: (45, 60, (16,)),
}
Loads = Mapping[str, Sequence[Load]]  # of one kind of load: each candidate's, round by round


@contextmanager
def candidates(litellm_python: str | None = None) -> Iterator[dict[str, Candidate]]:
    """Run all candidates during the block, each on its core; LiteLLM too if an interpreter has it."""
    with ExitStack() as stack:
        provider_pid, provider_port = stack.enter_context(started("tests.benchmarks.provider"))
        pin(provider_pid, OTHER_CORE)
        url = f"http://127.0.0.1:{provider_port}/v1"
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hb-")))
        config = folder / "hero-broker.toml"
        config.write_text(settings(url))
        running = stack.enter_context(started_broker(folder / "state", "--config", str(config)))
        found = {BROKER: Candidate(running.process.pid, int(running.url.rpartition(":")[2]), running)}
        packages = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hb-")))
        without_sniffio = packages_but("sniffio", packages)
        for name, client, installed in (
            (PASSING, "aiohttp", None),
            (SLOW, "httpx", None),
            (BARE, "httpx", without_sniffio),
        ):
            process = started("tests.benchmarks.candidates", client, url, packages=installed)
            found[name] = Candidate(*stack.enter_context(process))
        if litellm_python is not None:
            found[LITELLM] = Candidate(*stack.enter_context(litellm(litellm_python, url)))
        for candidate in found.values():
            pin(candidate.pid, MEASURED_CORE)
        yield {**found, ALONE: Candidate(provider_pid, provider_port)}


def per_second(found: Load) -> float:
    """Return the answers, or the events of streams, per second."""
    return (found.events or len(found.took_ms)) / found.window_s


def report(scenario: Scenario, found: Loads) -> None:
    """Print the medians of all rounds, and those of the ratios within a round."""
    what = "event" if scenario.events else "call"
    ratio = f"{'CPU, broker : this':>20}{'rate, broker : this':>21}"
    first = f"{'first event p50':>17}" if scenario.events else ""
    print(
        f"\n{scenario.title}\n{'':24}{what + 's/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'CPU us/' + what:>15}{first}{ratio}"
    )
    for name, loads in found.items():
        line = f"  {name:22}{median(map(per_second, loads)):>10,.0f}"
        line += "".join(f"{median(percentile(one.took_ms, part) for one in loads):>9.2f}" for part in (0.5, 0.99))
        line += f"{median(map(cpu_us, loads)):>15.0f}" if name != ALONE else f"{'':15}"
        if scenario.events:
            line += f"{median(percentile(one.first_event_ms, 0.5) for one in loads):>17.2f}"
        if name not in (BROKER, ALONE):
            line += f"{_ratio(cpu_us, found, name):>20.2f}{_ratio(per_second, found, name):>21.2f}"
        print(line)


def figures(calls: Mapping[int, Loads], paced: Loads) -> list[Figure]:
    """Return what is aimed at; `calls` are those answered with JSON, by how many were in flight at once."""
    found = []
    for at_once, loads in calls.items():
        of = f"at {at_once} at once"
        found.append(Figure(f"CPU of a call, of aiohttp's without billing, {of}", _ratio(cpu_us, loads, PASSING), "x"))
        for name, (at_least, aim, aimed_at) in THROUGHPUT.items():
            if name in loads:
                what, rate = f"throughput, of {name}, {of}", _ratio(per_second, loads, name)
                goals = (at_least, aim) if at_once in aimed_at else (None, None)
                found.append(Figure(what, rate, "x", goals[0], goals[1], larger_is_better=True))
        if at_once == 1:
            found.append(Figure(f"added latency p50, of httpx's, {of}", _added(loads), "x", 0.4, 0.25))
    first = _ratio(_first_event_ms, paced, SLOW)
    found.append(Figure("first event p50 of a paced stream, of httpx's", first, "x", 0.1, 0.05))
    of_event = _ratio(cpu_us, paced, PASSING)
    found.append(Figure("CPU of a paced event, of aiohttp's without billing", of_event, "x", 1.1, 0.9))
    return found


def _ratio(figure: Callable[[Load], float], found: Loads, name: str) -> float:
    """Return the median over all rounds of the broker's figure by another candidate's."""
    return median(figure(ours) / figure(theirs) for ours, theirs in zip(found[BROKER], found[name], strict=True))


def _added(found: Loads) -> float:
    """Return what the broker adds to the provider's own time, by what httpx adds."""
    rounds = zip(found[BROKER], found[SLOW], found[ALONE], strict=True)
    return median((_p50_ms(ours) - _p50_ms(alone)) / (_p50_ms(slow) - _p50_ms(alone)) for ours, slow, alone in rounds)


def _p50_ms(found: Load) -> float:
    return percentile(found.took_ms, 0.5)


def _first_event_ms(found: Load) -> float:
    return percentile(found.first_event_ms, 0.5)


def main() -> None:
    """Run the rounds and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each candidate, round and kind of load")
    parser.add_argument("--concurrency", default="1,16,64,256", help="calls at once, of those answered with JSON")
    parser.add_argument("--litellm", metavar="PYTHON", help="an interpreter that has LiteLLM's proxy, to compare with")
    asked = parser.parse_args()
    loads = scenarios([int(count) for count in asked.concurrency.split(",")])
    seen: list[dict[str, list[Load]]] = [{} for _ in loads]
    bill = Bill()
    pin(os.getpid(), OTHER_CORE)
    with candidates(asked.litellm) as found:
        gateways = {name: one for name, one in found.items() if name != ALONE}
        for _ in range(asked.rounds):
            for scenario, by_name in zip(loads, seen, strict=True):
                for name, candidate in found.items():
                    if name == LITELLM and scenario.events:
                        continue  # it sends other events than the provider, so that they cannot be counted
                    others = [one for other, one in gateways.items() if other != name]
                    load = turn(candidate, others, scenario, asked.seconds)
                    by_name.setdefault(name, []).append(load)
                    if candidate.running is not None:
                        bill.calls += load.answered
                        bill.cost_nano_usd += load.answered * scenario.cost_nano_usd
                        check(candidate.running, bill)
    for scenario, by_name in zip(loads, seen, strict=True):
        report(scenario, by_name)
    of_json = {scenario.at_once: one for scenario, one in zip(loads, seen, strict=True) if not scenario.events}
    paced = next(one for scenario, one in zip(loads, seen, strict=True) if scenario.user == "paced")
    print(f"\n{table(figures(of_json, paced))}")
    print(f"\nrows {bill.calls:,} of {bill.calls:,}, {bill.cost_nano_usd:,} nano-USD as expected, after each turn")


if __name__ == "__main__":
    main()
