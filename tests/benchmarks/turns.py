"""Gateways side by side: each a process on a core of its own, stopped while another has its turn."""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import uvloop

from tests.benchmarks.loadgen import Load, load
from tests.benchmarks.processes import cpu_s, paused
from tests.benchmarks.scenarios import Scenario
from tests.e2e_support import Broker


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


def turn(
    candidate: Candidate,
    others: Sequence[Candidate],
    scenario: Scenario,
    seconds: float,
    *,
    calls_per_s: float | None = None,
) -> Load:
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
                calls_per_s=calls_per_s,
            )
        )


def check(running: Broker, bill: Bill) -> None:
    """End with exit code 1 if the ledger has not a row for each answer, or not their cost."""
    totals = running.usage()["totals"]
    if totals["requests"] != bill.calls or int(totals["total_cost_nano_usd"]) != bill.cost_nano_usd:
        sys.exit(f"rows {totals['requests']} of {bill.calls}; nano-USD {totals['total_cost_nano_usd']}, not {bill}")


def cpu_us(found: Load) -> float:
    """Return the CPU microseconds of a call, or of an event if the responses are streams."""
    return found.cpu_s * 1e6 / (found.events or len(found.took_ms))
