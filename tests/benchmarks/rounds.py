"""Gateways in turn: the one whose turn it is runs, all others are stopped; all CPU time of a turn's calls is counted.

The CPU time of a turn begins before the load and ends when the gateway is quiet again, so that the rows of the calls
are in the store. What it does at the beginning of its next turn, before it is quiet for the first time, is counted to
the turn before: the broker adds up its rows every two seconds, and is mostly stopped when that is due.
"""

import os
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.pair import LoadGenerator, Seen
from tests.benchmarks.processes import cpu_s, is_runnable
from tests.benchmarks.scenarios import Scenario
from tests.benchmarks.turns import Bill, check
from tests.e2e_support import Broker
from tests.waits import wait_until

LOOK_EVERY_S, QUIET_CPU_S = 0.1, 0.001  # quiet: it used so little from one look to the next
QUIET_WITHIN_S = 3.0


@dataclass(slots=True)
class Turn:
    """One load on one gateway."""

    scenario: Scenario
    seen: Seen
    cpu_s: float  # 0 for the provider alone


@dataclass(slots=True)
class Books:
    """What the ledger of one broker should say."""

    running: Broker
    database: Path
    calls: Counter[int] = field(default_factory=Counter)  # by output tokens, which tell JSON from streams
    cost_nano_usd: dict[int, int] = field(default_factory=dict)  # of a call, by output tokens

    def add(self, turn: Turn) -> None:
        """Expect the rows of a turn."""
        self.calls[turn.scenario.output_tokens] += turn.seen.answered
        self.cost_nano_usd[turn.scenario.output_tokens] = turn.scenario.cost_nano_usd

    @property
    def bill(self) -> Bill:
        """The number of rows and their sum."""
        cost = sum(count * self.cost_nano_usd[tokens] for tokens, count in self.calls.items())
        return Bill(self.calls.total(), cost)

    def are_written(self) -> bool:
        """Whether the store has as many rows; asks the file, since a question to the broker takes its CPU time."""
        return bool(self._query("SELECT count(*) FROM request_logs")[0][0] == self.calls.total())

    def check(self, *, are_all_counted: bool) -> str:
        """Return what was checked; end with exit code 1 if an answer has no row, or a row not its cost.

        There may be more rows than answers unless all calls are counted, and rows of calls that were left.
        """
        if are_all_counted:
            check(self.running, self.bill)
        self.running.usage()  # waits until all rows are written
        found = self._query(
            "SELECT output_tokens, count(*), sum(cost_nano_usd) FROM request_logs WHERE outcome = 'ok' GROUP BY 1"
        )
        rows = {tokens: (count, cost) for tokens, count, cost in found}
        for tokens, calls in self.calls.items():
            count, cost = rows.pop(tokens, (0, 0))
            is_enough = count == calls if are_all_counted else count >= calls
            if not is_enough or cost != count * self.cost_nano_usd[tokens]:
                sys.exit(f"{tokens} output tokens: {count} rows of {calls}; nano-USD {cost}")
        if rows:
            sys.exit(f"rows of other calls: {rows}")
        total, nano_usd = sum(count for _, count, _ in found), sum(cost for *_, cost in found)
        return f"rows {total:,} of {self.calls.total():,}, {nano_usd:,} nano-USD as expected"

    def _query(self, statement: str) -> list[tuple[int, ...]]:
        with closing(sqlite3.connect(f"{self.database.as_uri()}?mode=ro", uri=True)) as ledger:
            return ledger.execute(statement).fetchall()


@dataclass(slots=True)
class Gateway:
    """A process under load, stopped but for its turns."""

    pid: int
    port: int
    books: Books | None = None  # of a broker
    _last: Turn | None = field(default=None, init=False)
    _read_cpu_s: float = field(default=0.0, init=False)  # at the end of the last turn

    def stop(self) -> None:
        """Stop it until its next turn."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it run."""
        os.kill(self.pid, signal.SIGCONT)

    def turn(self, scenario: Scenario, load_generator: LoadGenerator, seconds: float) -> Turn:
        """Put it under load."""
        with self.running():
            began_cpu_s = self._read_cpu_s
            seen = load_generator.load(self.port, scenario, seconds)
            turn = Turn(scenario, seen, 0.0)
            if self.books is not None:
                self.books.add(turn)
            self._read_cpu_s = self._quiet_cpu_s()
            if self.books is not None and load_generator.is_exact and not self.books.are_written():
                wait_until(self.books.are_written)
                self._read_cpu_s = self._quiet_cpu_s()
            turn.cpu_s = self._read_cpu_s - began_cpu_s
            self._last = turn
        return turn

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let it run during the block, which begins when it is quiet, and count what it did until then."""
        self.go_on()
        quiet_cpu_s = self._quiet_cpu_s()
        if self._last is not None:
            self._last.cpu_s += quiet_cpu_s - self._read_cpu_s
        self._read_cpu_s = quiet_cpu_s
        self._last = None
        try:
            yield
        finally:
            self.stop()

    def _quiet_cpu_s(self) -> float:
        """Return its CPU time, once it has nothing to do."""
        ends_at = time.monotonic() + QUIET_WITHIN_S
        before = cpu_s(self.pid)
        while True:
            time.sleep(LOOK_EVERY_S)
            now = cpu_s(self.pid)
            is_quiet = now - before < QUIET_CPU_S and not is_runnable(self.pid)  # it may wait for a core
            if is_quiet or time.monotonic() > ends_at:
                return now
            before = now


def alone(port: int, scenario: Scenario, load_generator: LoadGenerator, seconds: float) -> Turn:
    """Put the provider itself under load; all gateways are stopped."""
    return Turn(scenario, load_generator.load(port, scenario, seconds), 0.0)


def cpu_us(turn: Turn) -> float:
    """Return the CPU microseconds of a call, or of an event if the answers are streams."""
    return turn.cpu_s * 1e6 / (turn.seen.events if turn.scenario.events else turn.seen.calls)


def rate(turn: Turn) -> float:
    """Return the answers, or the events of streams, per second."""
    return turn.seen.per_second


def p50_ms(turn: Turn) -> float:
    """Return the median time of an answer."""
    return turn.seen.p50_ms


def p99_ms(turn: Turn) -> float:
    """Return the time within which 99 of 100 answers come."""
    return turn.seen.p99_ms


def first_event_ms(turn: Turn) -> float:
    """Return the median time to the first event of a stream."""
    return turn.seen.first_event_ms
