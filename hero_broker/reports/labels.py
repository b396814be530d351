"""Labels of addresses and networks, stored in the ledger's database: brokers that share it share the labels."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from hero_broker.core.clock import Clock
from hero_broker.core.labels import Label, LabelChanges, LabelIndex, around, order
from hero_broker.reports.query_pool import QueryPool
from hero_broker.store import labels
from hero_broker.store.database import Database

THREADS = 1
DEADLINE_S = 10.0


class LabelBook:
    """Sets, lists and removes labels, and caches them for reports."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._reader = QueryPool(database, THREADS)
        self._clock = clock
        self._cached = (0, LabelIndex(()))  # the revision of the labels, and the labels

    def close(self) -> None:
        """Cancel running queries."""
        self._reader.close()

    def names(self, connection: Connection) -> LabelIndex:
        """Return the labels that a transaction sees; reads them again only if they changed. Safe for any thread."""
        revision = labels.revision(connection)
        cached_revision, names = self._cached
        if cached_revision != revision:
            names = LabelIndex((label.target, label.label) for label in labels.labels(connection))
            self._cached = (revision, names)
        return names

    async def set(self, target: str, label: str) -> tuple[Label, int]:
        """Set the label of a target in canonical form; return it and the time (unix seconds).

        Raises:
            InvalidParams: there are too many labels.
            StoreUnavailable: the database does not answer; the label may be set or not.
        """
        now = self._clock.now()
        return await self._reader.run(self._set, Label(target, label, now)), now

    async def set_many(self, labels_by_target: Mapping[str, str]) -> tuple[LabelChanges, int]:
        """Set the labels of targets in canonical form, all or none; return what changed, and the time (unix seconds).

        Raises:
            InvalidParams: there would be too many labels.
            StoreUnavailable: the database does not answer; the labels may be set or not.
        """
        now = self._clock.now()
        new = [Label(target, label, now) for target, label in labels_by_target.items()]
        return await self._reader.run(self._set_many, new), now

    async def remove(self, target: str) -> tuple[Label, int]:
        """Remove a target's label; return it and the time (unix seconds).

        Raises:
            NotRecorded: the target has no label.
            StoreUnavailable: the database does not answer; the label may be removed or not.
        """
        return await self._reader.run(self._remove, target), self._clock.now()

    async def get(self, target: str) -> tuple[Label, int]:
        """Return the label that reports show for a target in canonical form, and the time (unix seconds).

        Raises:
            NotRecorded: neither the target nor a network around it has a label.
            StoreUnavailable: the database does not answer.
        """
        as_of = self._clock.now()
        return await self._reader.query(DEADLINE_S, lambda connection: labels.find(connection, around(target))), as_of

    async def list(self) -> tuple[list[Label], int]:
        """Return all labels and the time: IPv4, IPv6, "unknown"; by address, and a wider network first.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        as_of = self._clock.now()
        entries = await self._reader.query(DEADLINE_S, labels.labels)
        return sorted(entries, key=lambda label: order(label.target)), as_of

    def _set(self, label: Label) -> Label:
        with self._database.writing() as connection:
            labels.put(connection, label)
        return label

    def _set_many(self, new: Sequence[Label]) -> LabelChanges:
        with self._database.writing() as connection:
            return labels.put_many(connection, new)

    def _remove(self, target: str) -> Label:
        with self._database.writing() as connection:
            return labels.remove(connection, target)
