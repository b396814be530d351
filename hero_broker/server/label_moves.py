"""Follows changes of labels: limits match calls, and budgets count them, by the labels as they are now, as reports do.

`budget_loading` reads the labels at the start.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from hero_broker.core.duties import Duty
from hero_broker.core.errors import QueryError
from hero_broker.core.labels import LabelIndex
from hero_broker.core.records import RequestLog
from hero_broker.ledger.ledger import Ledger
from hero_broker.limits.admission import Admission, SpentByLabel
from hero_broker.server.budget_loading import ReadLabels, spent_in
from hero_broker.store.database import Database

EVERY_S = 1.0


class LabelMoves:
    """Reads the labels every second; when they have changed, adds up again what budgets count by them.

    Meanwhile, calls are admitted and counted by the labels before.
    """

    def __init__(
        self,
        admission: Admission,
        database: Database,
        ledger: Ledger,
        read_labels: ReadLabels,
        every_s: float = EVERY_S,
    ) -> None:
        """Take what limits, the ledger that rows are offered to, and the pause between two looks at the labels."""
        self._admission = admission
        self._database = database
        self._ledger = ledger
        self._read_labels = read_labels
        self._every_s = every_s
        self.following = Duty("limit_labels", "the labels of limits are read from the database")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow the labels during the block."""
        following = asyncio.create_task(self._follow(), name="limit_labels")
        try:
            yield
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            await self.follow()

    async def follow(self) -> None:
        """Look at the labels once; do nothing before `BudgetLoading` is done."""
        if not self._admission.is_loaded:
            return
        try:
            if await asyncio.to_thread(self._has_changed):
                await self._move()
        except QueryError as error:
            self.following.failed(error.message)
        else:
            self.following.succeeded()

    async def _move(self) -> None:
        admission = self._admission
        at = admission.now()
        with self._ledger.copying() as rows:
            labels, spent, counted = await asyncio.to_thread(self._read, at, rows)
            # If a window has ended meanwhile, the next look begins again: the labels still differ then.
            if admission.label_windows(admission.now()) == admission.label_windows(at):
                admission.move(labels, spent, rows[counted:])

    def _has_changed(self) -> bool:
        with self._database.reading() as connection:
            return self._read_labels(connection) is not self._admission.labels

    def _read(self, at: int, rows: list[RequestLog]) -> tuple[LabelIndex, SpentByLabel, int]:
        """Return the labels, what is spent by them, and how many of `rows` that includes; others may be added.

        Blocks; not for the event loop.

        Raises:
            StoreUnavailable, TooWide: the database does not answer.
        """
        admission = self._admission
        with self._database.reading() as connection:
            labels = self._read_labels(connection)
            # The transaction has begun: it sees no row that is added to `rows` from here on.
            waiting = list(rows)
            spent = spent_in(connection, admission.label_windows(at), waiting, by_context=admission.uses_context)
            return labels, admission.spent_by_label(labels, at, spent), len(waiting)
