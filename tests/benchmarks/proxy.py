"""What a call through the broker costs, beside gateways that only pass on. `python -m tests.benchmarks.proxy`.

The figure that counts is the CPU time of the gateway's process for a call, or for an event of a stream: it sets how
much one core carries, and other work on the machine disturbs it least. The gateways are the broker with billing,
journal and SQLite, twice, so that its ratio to itself shows the noise; brokers of other source trees (`--against`);
Starlette with aiohttp and Starlette with httpx, which pass on and bill nothing; a bare relay of bytes, which is the
limit; and LiteLLM, if `--litellm` names an interpreter that has it. Each is a process of its own, on a core of its own
if there are two, and is stopped while another has its turn. They take turns, round by round, each round beginning with
another one. The first round is thrown away.

Medians are printed, and ratios within a round: on a shared machine an absolute time means little. At the end every
answer of each broker must have its row, and the rows the right sum.

`--provider` and `--loadgen` name programs that take the place of this folder's; see `tests/benchmarks/pair.py`.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from tests.benchmarks.gateways import AGAIN, BARE, BROKER, LITELLM, PASSING, RELAY, SLOW, gateways
from tests.benchmarks.goals import Figure, table
from tests.benchmarks.pair import (
    LoadGenerator,
    NamedLoadGenerator,
    OwnLoadGenerator,
    Provider,
    as_answered,
    provider,
)
from tests.benchmarks.processes import OTHER_CORE, pin
from tests.benchmarks.ratios import Ratios, added_ratios, quartiles, ratios, verdict
from tests.benchmarks.rounds import Gateway, Turn, alone, cpu_us, first_event_ms, p50_ms, p99_ms, rate
from tests.benchmarks.scenarios import Scenario, scenarios

ALONE = "provider alone"
TRIES = 3
ADDED_AT_ONCE = (1, 16)  # where the latency that gateways add is compared
Measure = Callable[[Turn], float]
Turns = Mapping[str, Sequence[Turn]]  # of one kind of load: each gateway's, round by round
# At least, and the aim, by how many calls are made at once.
CPU_GOALS = {1: (1.05, 0.9), 16: (0.9, 0.75), 64: (0.9, 0.75)}
RATE_GOALS: dict[str, dict[int, tuple[float, float]]] = {
    PASSING: {16: (1.1, 1.3), 64: (1.1, 1.3)},
    SLOW: {16: (8, 12)},
    BARE: {16: (8, 12)},
    LITELLM: {16: (45, 60)},
}
EVENT_GOALS = {"paced": (1.0, 0.92), "burst": (0.9, 0.75)}
ADDED_GOALS = {"p50": (1.0, 0.9), "p99": (1.2, 1.0)}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The broker's ratio to another gateway, and the same ratio to itself."""

    what: str
    found: Ratios
    itself: Ratios
    larger_is_better: bool = False

    @property
    def verdict(self) -> str:
        """Whether the broker is better or worse, or the noise too large to tell."""
        return verdict(self.found, self.itself, larger_is_better=self.larger_is_better)

    def figure(self, goals: tuple[float, float] | None) -> Figure:
        """Return it as a line of the table of goals."""
        at_least, aim = goals or (None, None)
        return Figure(
            self.what, self.found.median, "x", at_least, aim, self.larger_is_better, interval=self.found.interval
        )


def compare(what: str, turns: Turns, name: str, measure: Measure, *, larger_is_better: bool = False) -> Comparison:
    """Compare the broker with a gateway."""
    ours, again, theirs = ([measure(turn) for turn in turns[one]] for one in (BROKER, AGAIN, name))
    return Comparison(what, ratios(ours, theirs), ratios(ours, again), larger_is_better)


def compare_added(what: str, turns: Turns, name: str, measure: Measure) -> Comparison:
    """Compare what the broker adds to the provider's own time with what a gateway adds."""
    ours, again, theirs, least = ([measure(turn) for turn in turns[one]] for one in (BROKER, AGAIN, name, ALONE))
    return Comparison(what, added_ratios(ours, theirs, least), added_ratios(ours, again, least))


def comparisons(scenario: Scenario, turns: Turns) -> Iterator[Comparison]:
    """Yield all comparisons of a kind of load."""
    what = "event" if scenario.events else "call"
    others = [name for name in turns if name not in (BROKER, AGAIN, ALONE)]
    for name in others:
        yield compare(f"CPU/{what}, {name}", turns, name, cpu_us)
    for name in others:
        yield compare(f"{what}s/s, {name}", turns, name, rate, larger_is_better=True)
    for part, measure in (("p50", p50_ms), ("p99", p99_ms)):
        for name in others if is_added_compared(scenario) else []:
            if name != RELAY:  # it adds hardly anything, so that the ratio would say nothing
                yield compare_added(f"{part} added, {name}", turns, name, measure)


def is_added_compared(scenario: Scenario) -> bool:
    """Return whether the latency that gateways add is compared under this load."""
    return not scenario.events and scenario.at_once in ADDED_AT_ONCE


def report(scenario: Scenario, turns: Turns) -> None:
    """Print the medians of all rounds, and the comparisons."""
    what = "event" if scenario.events else "call"
    first = f"{'first event p50':>17}" if scenario.events else ""
    print(
        f"\n{scenario.title}\n{'':30}{what + 's/s':>10}{'p50 ms':>9}{'p99 ms':>9}{first}"
        f"{'CPU us/' + what:>15}{'quartiles':>20}"
    )
    for name, found in turns.items():
        line = f"  {name:28}{median(map(rate, found)):>10,.0f}"
        line += f"{median(map(p50_ms, found)):>9.2f}{median(map(p99_ms, found)):>9.2f}"
        if scenario.events:
            line += f"{median(map(first_event_ms, found)):>17.2f}"
        if name != ALONE:
            low, high = quartiles([cpu_us(turn) for turn in found])
            line += f"{median(map(cpu_us, found)):>15.1f}{f'{low:.1f}..{high:.1f}':>20}"
        print(line)
    heads = ("median", "quartiles", "interval", "to itself", "quartiles")
    print(_line("broker : this", heads, "verdict"))
    for one in comparisons(scenario, turns):
        cells = (_ratio(one.found.median), _ends(one.found.quartiles), _ends(one.found.interval))
        print(_line(one.what, (*cells, _ratio(one.itself.median), _ends(one.itself.quartiles)), one.verdict))


def _line(what: str, cells: Sequence[str], word: str) -> str:
    widths = zip(cells, (8, 14, 14, 11, 14), strict=True)
    return f"  {what:32}" + "".join(f"{cell:>{width}}" for cell, width in widths) + f"  {word}"


def _ends(ends: tuple[float, float] | None) -> str:
    return "-" if ends is None else "..".join(map(_ratio, ends))


def _ratio(value: float) -> str:
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def figures(found: Mapping[Scenario, Turns]) -> list[Figure]:
    """Return what is aimed at."""
    all_figures = []
    for scenario, turns in found.items():
        if scenario.events:
            what = f"CPU of an event, {scenario.user}, of aiohttp's"
            all_figures.append(compare(what, turns, PASSING, cpu_us).figure(EVENT_GOALS[scenario.user]))
            if scenario.user == "paced" and SLOW in turns:
                first = compare("first event p50, paced, of httpx's", turns, SLOW, first_event_ms)
                all_figures.append(first.figure((0.1, 0.05)))
            continue
        of = f"at {scenario.at_once} at once"
        cpu = compare(f"CPU of a call, of aiohttp's, {of}", turns, PASSING, cpu_us)
        all_figures.append(cpu.figure(CPU_GOALS.get(scenario.at_once)))
        for name, goals in RATE_GOALS.items():
            if name in turns:
                calls = compare(f"throughput, of {name}, {of}", turns, name, rate, larger_is_better=True)
                all_figures.append(calls.figure(goals.get(scenario.at_once)))
        if is_added_compared(scenario):
            for part, measure in (("p50", p50_ms), ("p99", p99_ms)):
                added = compare_added(f"{part} added, of aiohttp's, {of}", turns, PASSING, measure)
                all_figures.append(added.figure(ADDED_GOALS[part]))
        if scenario.at_once == 1 and SLOW in turns:
            added = compare_added(f"p50 added, of httpx's, {of}", turns, SLOW, p50_ms)
            all_figures.append(added.figure((0.4, 0.25)))
    return all_figures


def run(
    rounds: int,
    seconds: float,
    loads: Sequence[Scenario],
    found: Mapping[str, Gateway],
    asked: Provider,
    load_generator: LoadGenerator,
) -> dict[Scenario, dict[str, list[Turn]]]:
    """Return the turns of all rounds but for the first."""
    names = [*found, ALONE]
    turns: dict[Scenario, dict[str, list[Turn]]] = {scenario: {name: [] for name in names} for scenario in loads}
    for number in range(rounds + 1):
        first = number % len(names)
        for scenario in loads:
            asked.prepare(scenario)
            for name in (*names[first:], *names[:first]):
                if name == LITELLM and scenario.events:
                    continue  # it sends other events than the provider, so that they cannot be counted
                if name == ALONE:
                    turn = _answered(partial(alone, asked.port, scenario, load_generator, seconds))
                else:
                    turn = _answered(partial(found[name].turn, scenario, load_generator, seconds))
                if number:
                    turns[scenario][name].append(turn)
    return {scenario: {name: some for name, some in by_name.items() if some} for scenario, by_name in turns.items()}


def _answered(take_turn: Callable[[], Turn]) -> Turn:
    """Return a turn with answers: on a busy machine all may come before or after the time in which they count."""
    for _ in range(TRIES):
        turn = take_turn()
        if turn.seen.per_second:
            return turn
    raise SystemExit(f"{turn.scenario.title}: no answer in {TRIES} turns; give them more --seconds")


def main() -> None:
    """Run the rounds and print the figures."""
    asked = _arguments()
    began = time.monotonic()
    pin(os.getpid(), OTHER_CORE)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # leaves no gateway behind
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hb-")))
        load_generator: LoadGenerator = OwnLoadGenerator(asked.in_two_packets)
        if asked.loadgen is not None:
            load_generator = NamedLoadGenerator(asked.loadgen, folder)
        running_provider = stack.enter_context(provider(asked.provider))
        loads = [as_answered(running_provider, one) for one in scenarios(asked.concurrency)]
        found = stack.enter_context(
            gateways(
                running_provider.port,
                against=asked.against,
                with_httpx=not asked.no_httpx,
                without_sniffio=asked.httpx_without_sniffio,
                litellm_python=asked.litellm,
            )
        )
        turns = run(asked.rounds, asked.seconds, loads, found, running_provider, load_generator)
        checked = []
        for name, gateway in found.items():
            with gateway.running():
                if gateway.books is not None:
                    checked.append(f"{name}: {gateway.books.check(are_all_counted=load_generator.is_exact)}")
    for scenario, by_name in turns.items():
        report(scenario, by_name)
    print(f"\n{table(figures(turns))}\n")
    print("\n".join(checked))
    print(f"{asked.rounds} rounds, {time.monotonic() - began:.0f} s")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="that count")
    parser.add_argument("--seconds", type=float, default=0.6, help="for each gateway, round and kind of load")
    parser.add_argument("--concurrency", type=_counts, default=[1, 16, 64], help="calls at once, for JSON; comma")
    parser.add_argument("--against", metavar="NAME=TREE", type=_tree, action="append", default=[], help="a broker")
    parser.add_argument("--no-httpx", action="store_true", help="leave Starlette with httpx out")
    parser.add_argument("--httpx-without-sniffio", action="store_true", help="add it, as `pip install httpx` makes it")
    parser.add_argument("--litellm", metavar="PYTHON", help="an interpreter that has LiteLLM's proxy")
    parser.add_argument("--in-two-packets", action="store_true", help="send head and body apart, as httpx's clients do")
    parser.add_argument("--loadgen", metavar="PROGRAM", type=_program, help="a load generator in place of ours")
    parser.add_argument("--provider", metavar="PROGRAM", type=_program, help="a provider in place of ours")
    asked = parser.parse_args()
    if asked.in_two_packets and asked.loadgen is not None:
        parser.error("--in-two-packets is for our load generator; --loadgen's sends as it likes.")
    if asked.rounds < 1:
        parser.error("--rounds must be at least 1.")
    asked.against = dict(asked.against)
    if taken := {BROKER, AGAIN, PASSING, SLOW, BARE, RELAY, LITELLM, ALONE} & set(asked.against):
        parser.error(f"--against: the name {min(taken)!r} is taken.")
    return asked


def _counts(text: str) -> list[int]:
    return [int(count) for count in text.split(",")]


def _tree(text: str) -> tuple[str, Path]:
    name, _, folder = text.partition("=")
    tree = Path(folder).resolve()
    if not name or not (tree / "hero_broker" / "__main__.py").is_file():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=TREE, a folder with the source of a broker")
    return name, tree


def _program(text: str) -> Path:
    program = Path(text).resolve()
    if not os.access(program, os.X_OK) or program.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not a program")
    return program


if __name__ == "__main__":
    main()
