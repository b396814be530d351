"""Looks up which stored response belongs to whom: among the rows on their way to the store, then in the store."""

import asyncio
from typing import Protocol

from hero_broker.core.clock import Clock
from hero_broker.core.errors import LedgerUnavailable, StoreUnavailable, TooWide
from hero_broker.core.records import StoredResponse
from hero_broker.reports.query_pool import QueryPool
from hero_broker.store import responses
from hero_broker.store.database import Database

THREADS = 2
DEADLINE_S = 2.0  # of the statement
WAIT_S = 3.0  # a call waits no longer, whatever the store does


class PendingResponses(Protocol):
    """The stored responses that the store does not have yet; see `ledger.recent_responses`."""

    def find(self, response_id: str, owner: str) -> StoredResponse | None:
        """Return the line of a pending row; None if there is none."""
        ...

    def is_removed(self, response_id: str, owner: str) -> bool:
        """Return whether a line was removed that the store may still have."""
        ...

    def remove(self, response_id: str, owner: str) -> None:
        """Remove a line."""
        ...


class ResponseLookUp:
    """The stored responses of all owners. Calls wait for it, so its threads have the priority of calls."""

    def __init__(self, database: Database, pending: PendingResponses, clock: Clock) -> None:
        self._reader = QueryPool(database, THREADS, nice=0)
        self._pending = pending
        self._clock = clock

    def close(self) -> None:
        """Cancel running queries."""
        self._reader.close()

    async def find(self, response_id: str, owner: str) -> StoredResponse | None:
        """Return an owner's stored response; None if it has none of this id, or the line has expired.

        Raises:
            LedgerUnavailable: the store does not answer in time.
        """
        if self._pending.is_removed(response_id, owner):
            return None
        now = self._clock.now()
        # Rows leave the pending ones only when the store has them: in this order, none is missed.
        pending = self._pending.find(response_id, owner)
        if pending is not None:
            return pending if pending.expires_at > now else None
        try:
            async with asyncio.timeout(WAIT_S):
                return await self._reader.query(DEADLINE_S, responses.find, response_id, owner, now)
        except (StoreUnavailable, TooWide, TimeoutError) as error:
            raise LedgerUnavailable("The ledger's database does not respond; try again later.") from error

    def remove(self, response_id: str, owner: str) -> None:
        """Forget a stored response; it is removed from the store a little later."""
        self._pending.remove(response_id, owner)
