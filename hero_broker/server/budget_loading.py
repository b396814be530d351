"""Loads what was spent of budgets before the start: from the ledger, and from the journal what the ledger lacks."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress

from hero_broker.core.duties import Duty
from hero_broker.core.errors import QueryError
from hero_broker.core.records import RequestLog
from hero_broker.limits.admission import Admission
from hero_broker.limits.counters import Used, used_by
from hero_broker.limits.limit import Dimensions
from hero_broker.store.budget_usage import recorded, usage_by_group
from hero_broker.store.database import Database

RETRY_S = 5.0
TURN_S = 0.002  # for which other calls may have to wait

Spent = tuple[int, Dimensions, Used]


class BudgetLoading:
    """Lets an `Admission` know its budgets, at once or as soon as the database answers.

    No call that an enforced budget counts is made before. So every row that such a budget counts is in the ledger, or
    is one of `recovered`, which the writer may be moving there meanwhile.
    """

    def __init__(
        self, admission: Admission, database: Database, recovered: Sequence[RequestLog], retry_s: float = RETRY_S
    ) -> None:
        """Take the rows that the journal had at the start, and the pause before another attempt."""
        self._retry_s = retry_s
        self._admission = admission
        self._database = database
        self._recovered = tuple(recovered)
        self.loading = Duty("budgets", "what is spent of budgets is read from the database")

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
            spent = await asyncio.to_thread(self.read)
        except QueryError as error:
            self.loading.failed(error.message)
            return False
        turn_ends = time.monotonic() + TURN_S
        for _ in self._admission.learn_budgets(spent):
            if time.monotonic() >= turn_ends:
                await asyncio.sleep(0)
                turn_ends = time.monotonic() + TURN_S
        self.loading.succeeded()
        return True

    def read(self) -> list[Spent]:
        """Return what was spent in the present windows. Blocks; not for the event loop.

        Raises:
            StoreUnavailable, TooWide: the database does not answer.
        """
        windows = self._admission.windows()
        with self._database.reading() as connection:
            missing = {row.request_id for row in self._recovered}
            missing -= recorded(connection, missing)
            spent: list[Spent] = []
            for since, until in windows.items():
                for one in usage_by_group(connection, since, until, by_context=self._admission.uses_context):
                    call = Dimensions(one.ip, one.context, one.model, one.provider, one.kind)
                    used = Used(one.cost_nano_usd, one.input_tokens, one.output_tokens, one.requests)
                    spent.append((since, call, used))
                spent += self._of_journal(since, until, missing)
        return spent

    def _of_journal(self, since: int, until: int, missing: set[str]) -> Iterator[Spent]:
        for row in self._recovered:
            if row.request_id in missing and since <= row.started_at < until:
                yield since, Dimensions(row.ip, row.context, row.model, row.provider, row.kind), used_by(row)
