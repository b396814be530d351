"""What the measurements share: the folder, the ledgers in it, and how long to measure."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.benchmarks.reports.files import ADDRESSES, folded, made
from tests.benchmarks.reports.rows import Plan

SMALLER = 10  # times: the smaller ledger, and rows to an address in the ledger of many addresses


@dataclass(frozen=True)
class Bench:
    """One run of the benchmark."""

    folder: Path
    rows: int
    rounds: int
    slow_rounds: int
    seconds: float

    @property
    def plan(self) -> Plan:
        """The usual ledger."""
        return Plan(self.rows, ADDRESSES)

    @property
    def smaller(self) -> Plan:
        """A ledger with a tenth of the rows."""
        return Plan(self.rows // SMALLER, ADDRESSES)

    @property
    def many_addresses(self) -> Plan:
        """A ledger with as many rows, and an address for each ten."""
        return Plan(self.rows, self.rows // SMALLER)

    def source(self, plan: Plan) -> Path:
        """Return a ledger's file without roll-ups."""
        return made(self.folder, plan)

    def folded(self, plan: Plan) -> Path:
        """Return a ledger's file with all rows folded."""
        return folded(self.folder, plan)

    @cached_property
    def ips(self) -> Sequence[str]:
        """The addresses of the usual ledger, that with the most calls first."""
        return [ip for ip, _ in self.plan.ips]
