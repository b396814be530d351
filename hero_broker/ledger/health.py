"""Reports the health of the ledger to operators, load balancers and monitors."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hero_broker.core.duties import Duty
from hero_broker.ledger.journal import Journal
from hero_broker.ledger.ledger import Ledger
from hero_broker.store.rollups import Progress

STUCK_S = 10.0  # while the database answers, no row waits as long as this


@dataclass(frozen=True, slots=True)
class LedgerHealth:
    """The state of one broker's ledger."""

    ledger: Ledger
    journal: Journal
    state_dir: Path
    refuses_without_store: bool
    rollups: Callable[[], Progress | None]
    duties: Sequence[Duty]  # all duties of the broker

    def report(self) -> dict[str, object]:
        """Return `status` and the values that it is derived from.

        `ok`: rows reach the store, and every duty works.
        `degraded`: calls are served, but a duty fails, a row has waited in the journal for longer than `STUCK_S`, or
        the store has rejected rows, which are on no bill.
        `unavailable`: new calls are refused, because they could not be billed.
        """
        rollups = self.rollups()
        waited_s = self.ledger.oldest_pending_s
        return {
            "status": self._status(),
            "store": "refusing" if self.ledger.is_degraded else "ok",
            "journal_pending": self.ledger.pending,
            "journal_oldest_pending_s": None if waited_s is None else round(waited_s, 3),
            "journal_open_calls": self.journal.open_calls,
            "journal_bytes": self.journal.size_bytes,
            "rejected_rows": self.ledger.rejected,
            "disk_free_bytes": shutil.disk_usage(self.state_dir).free,
            "rollups": None if rollups is None else asdict(rollups),
            "duties": [duty.report() for duty in self.duties],
        }

    def _status(self) -> str:
        if self.ledger.is_full or (self.ledger.is_degraded and self.refuses_without_store):
            return "unavailable"
        waited_s = self.ledger.oldest_pending_s
        is_stuck = waited_s is not None and waited_s > STUCK_S
        is_failing = any(duty.is_failing for duty in self.duties)
        return "degraded" if is_stuck or is_failing or self.ledger.rejected else "ok"
