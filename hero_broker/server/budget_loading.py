"""Loads what limits must know at the start: labels, and what was spent of budgets before.

`label_moves` follows the labels later.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from sqlalchemy import Connection

from hero_broker.core.duties import Duty
from hero_broker.core.errors import QueryError
from hero_broker.core.labels import LabelIndex
from hero_broker.core.records import RequestLog
from hero_broker.limits.admission import Admission
from hero_broker.limits.counters import Used, used_by
from hero_broker.limits.limit import Dimensions
from hero_broker.store.budget_usage import recorded, usage_by_group
from hero_broker.store.database import Database

RETRY_S = 5.0
TURN_S = 0.002  # for which other calls may have to wait

Spent = tuple[int, Dimensions, Used]
ReadLabels = Callable[[Connection], LabelIndex]  # the labels that a transaction sees; see `LabelBook.names`


class BudgetLoading:
    """Lets an `Admission` know its budgets, at once or as soon as the database answers.

    No call that an enforced budget counts is made before. So every row that such a budget counts is in the ledger, or
    is one of `recovered`, which the writer may be moving there meanwhile.
    """

    def __init__(
        self,
        admission: Admission,
        database: Database,
        recovered: Sequence[RequestLog],
        read_labels: ReadLabels,
        retry_s: float = RETRY_S,
    ) -> None:
        """Take the rows that the journal had at the start, and the pause before another attempt."""
        self._retry_s = retry_s
        self._admission = admission
        self._database = database
        self._recovered = tuple(recovered)
        self._read_labels = read_labels
        self.loading = Duty("budgets", "labels, and what is spent of budgets, are read from the database")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load the budgets before the block, or try again during it."""
        if await self._load():
            yield
            return
        retrying = asyncio.create_task(self._retry(), name="budgets")
        try:
            yield
        finally:
            retrying.cancel()
            with suppress(asyncio.CancelledError):
                await retrying

    async def _retry(self) -> None:
        while True:
            await asyncio.sleep(self._retry_s)
            if await self._load():
                return

    async def _load(self) -> bool:
        try:
            labels, spent = await asyncio.to_thread(self._read)
        except QueryError as error:
            self.loading.failed(error.message)
            return False
        if labels is not None:
            self._admission.use_labels(labels)
        turn_ends = time.monotonic() + TURN_S
        for _ in self._admission.learn_budgets(spent):
            if time.monotonic() >= turn_ends:
                await asyncio.sleep(0)
                turn_ends = time.monotonic() + TURN_S
        self.loading.succeeded()
        return True

    def _read(self) -> tuple[LabelIndex | None, list[Spent]]:
        """Return the labels, if limits look at them, and what was spent in the present windows.

        Blocks; not for the event loop.

        Raises:
            StoreUnavailable, TooWide: the database does not answer.
        """
        windows = self._admission.windows()
        with self._database.reading() as connection:
            labels = self._read_labels(connection) if self._admission.uses_labels else None
            by_context = self._admission.uses_context
            return labels, list(spent_in(connection, windows, self._recovered, by_context=by_context))


def spent_in(
    connection: Connection, windows: Mapping[int, int], rows: Collection[RequestLog], *, by_context: bool
) -> Iterator[Spent]:
    """Yield what was spent in windows, by the rows of the database, and by those of `rows` that it lacks."""
    missing = {row.request_id for row in rows}
    missing -= recorded(connection, missing)
    for since, until in windows.items():
        for one in usage_by_group(connection, since, until, by_context=by_context):
            call = Dimensions(one.ip, one.context, one.model, one.provider, one.kind)
            yield since, call, Used(one.cost_nano_usd, one.input_tokens, one.output_tokens, one.requests)
        yield from _of_rows(rows, since, until, missing)


def _of_rows(rows: Iterable[RequestLog], since: int, until: int, missing: Collection[str]) -> Iterator[Spent]:
    for row in rows:
        if row.request_id in missing and since <= row.started_at < until:
            yield since, Dimensions(row.ip, row.context, row.model, row.provider, row.kind), used_by(row)
