"""What addresses spent, read from the store in one snapshot per question."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from hero_broker.core.clock import Clock
from hero_broker.core.errors import NotRecorded
from hero_broker.core.records import ExplainedRequest, UsageByIp, UsageForIp
from hero_broker.metering.explain import explain
from hero_broker.store import request_logs
from hero_broker.store.database import Database

Answer = TypeVar("Answer")


class Reports:
    """Questions about what was billed. Windows are half-open: since <= started_at < until."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def usage_by_ip(
        self, since: int | None, until: int | None, limit: int, after: tuple[int, str] | None
    ) -> UsageByIp:
        """Return spend per address, largest first, at most `limit` addresses after the (cost, ip) seen last.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        as_of = self._clock.now()

        def ask(connection: Connection) -> UsageByIp:
            items = request_logs.usage_by_ip(connection, since, until, limit + 1, after)
            totals = request_logs.totals(connection, since, until)
            return UsageByIp(tuple(items[:limit]), totals, as_of, len(items) > limit)

        return await self._read(ask)

    async def usage_for_ip(self, ip: str, since: int | None, until: int | None) -> UsageForIp:
        """Return one address's spend by model, largest first. `ip` is canonical, or "unknown".

        Raises:
            StoreUnavailable: the database does not answer.
        """
        as_of = self._clock.now()

        def ask(connection: Connection) -> UsageForIp:
            models = request_logs.usage_by_model(connection, ip, since, until)
            return UsageForIp(tuple(models), request_logs.totals(connection, since, until, ip), as_of)

        return await self._read(ask)

    async def request(self, request_id: str) -> ExplainedRequest:
        """Return one row with how its cost was computed.

        Raises:
            NotRecorded: there is no such row in the store.
            StoreUnavailable: the database does not answer.
        """
        as_of = self._clock.now()
        found = await self._read(lambda connection: request_logs.find(connection, request_id))
        if found is None:
            raise NotRecorded("No such request")
        seq, row, price = found
        lines, exact_usd = explain(row, price)
        return ExplainedRequest(seq, row, price, lines, exact_usd, as_of)

    async def _read(self, ask: Callable[[Connection], Answer]) -> Answer:
        def run() -> Answer:
            with self._database.reading() as connection:
                return ask(connection)

        return await asyncio.to_thread(run)
