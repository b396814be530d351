"""The reports of a ledger without its broker: read from the database, nothing is changed."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hero_broker.admin_plane.contract import Contract, load_document
from hero_broker.admin_plane.methods import Admin, dispatch
from hero_broker.core.clock import SystemClock
from hero_broker.core.inventory import InventoryModel, InventoryProvider
from hero_broker.reports.billing_periods import Books
from hero_broker.reports.labels import LabelBook
from hero_broker.reports.usage import Reports
from hero_broker.store.database import open_for_reading

# What a database answers by itself, and without being changed.
METHODS = (
    "rpc.discover",
    "billing.usage_by_ip",
    "billing.usage_for_ip",
    "billing.usage",
    "billing.requests",
    "billing.request",
    "billing.unbilled",
    "billing.periods",
    "billing.verify",
    "labels.list",
)


class _EmptyInventory:
    """What a ledger without its broker serves; `METHODS` has no question for it."""

    def models(self) -> list[InventoryModel]:
        return []

    def providers(self) -> list[InventoryProvider]:
        return []


class LocalLedger:
    """Answers the contract's questions about what was billed."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin
        self._contract = Contract(admin.document)

    def call_raw(self, method: str, params: Mapping[str, Any]) -> bytes:
        """Return the JSON of a method's result.

        Raises:
            AdminError: as a broker would answer.
            ValueError: only a running broker answers this method.
        """
        if method not in METHODS:
            raise ValueError(f"{method} is answered by a running broker only")
        return asyncio.run(dispatch(self._admin, self._contract, method, dict(params)))


@contextmanager
def open_ledger(url: str) -> Iterator[LocalLedger]:
    """Open the ledger at `url` for the time of the block; its broker may be running.

    Rows that the broker has not moved from its journal yet are not in it.

    Raises:
        DatabaseUnusable: there is no ledger, or another version of the program wrote it.
    """
    clock = SystemClock()
    with open_for_reading(url) as database:
        labels = LabelBook(database, clock)
        reports, books = Reports(database, labels, clock), Books(database, clock)
        try:
            yield LocalLedger(Admin(reports, books, labels, _EmptyInventory(), dict, dict, load_document()))
        finally:
            for one in (reports, books, labels):
                one.close()
