"""The operator's names for addresses and networks, kept in the ledger's database: brokers that share it share them."""

from sqlalchemy import Connection

from hero_broker.core.clock import Clock
from hero_broker.core.labels import Label, LabelIndex, order
from hero_broker.reports.query_pool import QueryPool
from hero_broker.store import labels
from hero_broker.store.database import Database

THREADS = 1
DEADLINE_S = 10.0


class LabelBook:
    """Sets, lists and removes labels, and keeps them ready for reports."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._reader = QueryPool(database, THREADS)
        self._clock = clock
        self._kept = (0, LabelIndex(()))  # with the revision that they are of

    def close(self) -> None:
        """End what is being asked."""
        self._reader.close()

    def names(self, connection: Connection) -> LabelIndex:
        """Return the labels as a transaction sees them, read anew only if they were changed. For any thread."""
        revision = labels.revision(connection)
        kept, names = self._kept
        if kept != revision:
            names = LabelIndex((label.target, label.label) for label in labels.labels(connection))
            self._kept = (revision, names)
        return names

    async def set(self, target: str, label: str) -> tuple[Label, int]:
        """Name a target, given in its canonical spelling; return its label, and when that was (unix seconds).

        Raises:
            InvalidParams: there are too many labels.
            StoreUnavailable: the database does not answer; the label may be set or not.
        """
        now = self._clock.now()
        return await self._reader.run(self._set, Label(target, label, now)), now

    async def remove(self, target: str) -> tuple[Label, int]:
        """Remove a target's label; return it, and when that was (unix seconds).

        Raises:
            NotRecorded: it has none.
            StoreUnavailable: the database does not answer; the label may be removed or not.
        """
        return await self._reader.run(self._remove, target), self._clock.now()

    async def list(self) -> tuple[list[Label], int]:
        """Return all labels: IPv4, IPv6, "unknown"; each by address, a wider network first; and when that was.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        as_of = self._clock.now()
        found = await self._reader.query(DEADLINE_S, labels.labels)
        return sorted(found, key=lambda label: order(label.target)), as_of

    def _set(self, label: Label) -> Label:
        with self._database.writing() as connection:
            labels.put(connection, label)
        return label

    def _remove(self, target: str) -> Label:
        with self._database.writing() as connection:
            return labels.remove(connection, target)
