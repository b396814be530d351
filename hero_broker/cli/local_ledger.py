"""Reads the reports of a ledger without its broker; changes nothing in the database."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hero_broker.admin_plane.admin import Admin
from hero_broker.admin_plane.contract import Contract, load_document
from hero_broker.admin_plane.method import NeedsBroker
from hero_broker.admin_plane.registry import METHODS, dispatch
from hero_broker.core.addresses import UNKNOWN
from hero_broker.core.calls import Caller
from hero_broker.core.clock import SystemClock
from hero_broker.core.inventory import InventoryModel, InventoryProvider, PriceChanges, PriceInForce, PriceList
from hero_broker.reports.billing_periods import Books
from hero_broker.reports.labels import LabelBook
from hero_broker.reports.usage import Reports
from hero_broker.store.database import open_for_reading

_NOBODY = Caller(UNKNOWN, None)  # methods of the caller's own usage are not offline


class _EmptyInventory:
    """The inventory of a ledger without its broker; no offline method reads it."""

    def models(self) -> list[InventoryModel]:
        return []

    def prices(self, _model: str | None) -> list[PriceInForce] | None:
        return None

    def price_lists(self) -> list[PriceList]:
        return []

    def providers(self) -> list[InventoryProvider]:
        return []


def _count_nothing(_before: int) -> int:
    return 0


async def _refuse_refresh(_content: bytes | None, _dry_run: bool) -> PriceChanges:
    raise NeedsBroker


class LocalLedger:
    """Answers the contract's queries about billed calls."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin
        self._contract = Contract(admin.document)

    def call_raw(self, method: str, params: Mapping[str, Any]) -> bytes:
        """Return the JSON of a method's result.

        Raises:
            QueryError: the same failure as with a broker.
            NeedsBroker: `method` needs a running broker.
        """
        if method not in METHODS or not METHODS[method].is_offline:
            raise NeedsBroker(f"{method} needs a running broker: name its address with --url instead of --database")
        return asyncio.run(dispatch(self._admin, self._contract, method, dict(params), _NOBODY))


@contextmanager
def open_ledger(url: str) -> Iterator[LocalLedger]:
    """Open the ledger at `url` for the block; its broker may be running.

    Rows that are still in the broker's journal are not included.

    Raises:
        DatabaseUnusable: the database has no ledger, or one of another version of the program.
    """
    clock = SystemClock()
    with open_for_reading(url) as database:
        labels = LabelBook(database, clock)
        reports, books = Reports(database, labels, clock), Books(database, clock)
        try:
            yield LocalLedger(
                Admin(
                    reports,
                    books,
                    labels,
                    _EmptyInventory(),
                    dict,
                    dict,
                    _count_nothing,
                    load_document(),
                    _refuse_refresh,
                )
            )
        finally:
            for one in (reports, books, labels):
                one.close()
