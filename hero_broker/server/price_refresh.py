"""Puts another price list in force while the broker runs, and keeps it for the next start."""

import threading
from asyncio import to_thread
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from hero_broker.core.clock import Clock
from hero_broker.core.errors import InvalidParams, StoreUnavailable
from hero_broker.core.inventory import ModelMove, ModelPriceChange, PriceChanges
from hero_broker.data_plane.exchange import Exchange
from hero_broker.pricing.catalogue import Catalogue
from hero_broker.pricing.genai_data.published import UnreadableList
from hero_broker.pricing.genai_prices import GenaiPrices
from hero_broker.pricing.kept_list import KeptList, forget_list, read_list
from hero_broker.pricing.tariff_changes import compare_tariffs, order_of
from hero_broker.providers.inventory import Inventory
from hero_broker.providers.routes import Routes

PARAM = "price_list"  # of `prices.refresh`


class PriceRefresh:
    """Replaces the price list of a running broker. Calls in flight keep the prices with which they began."""

    def __init__(
        self,
        state_dir: Path,
        clock: Clock,
        build: Callable[[GenaiPrices], tuple[Catalogue, Routes]],
        routes: Routes,
        exchange: Exchange,
        inventory: Inventory,
        file: Path | None = None,
    ) -> None:
        """Take what makes a catalogue and the routes from a list, and what uses them.

        `file` has the list of a refresh that gives none, in place of the installed package.
        """
        self._state_dir = state_dir
        self._clock = clock
        self._build = build
        self._routes = routes
        self._exchange = exchange
        self._inventory = inventory
        self._file = file
        self._lock = threading.Lock()

    async def refresh(self, content: bytes | None, dry_run: bool) -> PriceChanges:
        """Put a published list in force, or, without `content`, that of the file or the package as they are now.

        Nothing changes with `dry_run`, or if an error is raised.

        Raises:
            InvalidParams: the content or the file is no price list, or the installed list can only be read after a
                restart.
            StoreUnavailable: the list cannot be kept in the state directory.
        """
        return await to_thread(self._refresh, content, dry_run)

    def _refresh(self, content: bytes | None, dry_run: bool) -> PriceChanges:
        """Do all of it in one thread: if the request is cancelled meanwhile, what is kept is still what is in force."""
        with self._lock:
            kept = None if content is None else self._take(content)
            catalogue, routes = self._build(self._read(kept))
            now = self._clock.now()
            changes = PriceChanges(
                lists=tuple(catalogue.lists(datetime.fromtimestamp(now, UTC).date())),
                models=tuple(sorted(_changes(self._routes, routes), key=lambda model: order_of(model.rates[0]))),
                moves=tuple(_moves(self._routes, routes)),
                models_removed=sum(routes.get(route.model) is None for route in self._routes.every_route()),
                as_of=now,
            )
            if dry_run:
                return changes
            self._keep(kept)
            self._routes.replace(routes)
            self._exchange.use_list(catalogue.tariff_of_name)
            self._inventory.lists = catalogue
        return changes

    def _take(self, content: bytes) -> KeptList:
        try:
            return KeptList.take(content, self._clock.now())
        except UnreadableList as error:
            raise InvalidParams(PARAM, f"must be a price list of genai-prices: {error}") from error

    def _read(self, kept: KeptList | None) -> GenaiPrices:
        if kept is not None:
            try:
                return kept.prices()
            except UnreadableList as error:
                raise InvalidParams(PARAM, f"must be a price list of genai-prices: {error}") from error
        if self._file is not None:
            try:
                return read_list(self._file, self._clock.now()).prices()
            except UnreadableList as error:
                reason = f"the file of billing.price_list, {self._file}, cannot be used: {error}"
                raise InvalidParams(PARAM, f"must be given: {reason}") from error
        try:
            return GenaiPrices.installed_now()
        except Exception as error:  # the layout of a new data file may raise anything
            reason = f"the list of the installed genai-prices can only be read after a restart ({type(error).__name__})"
            raise InvalidParams(PARAM, f"must be given: {reason}") from error

    def _keep(self, kept: KeptList | None) -> None:
        try:
            if kept is None:
                forget_list(self._state_dir)
            else:
                kept.save(self._state_dir)
        except OSError as error:
            raise StoreUnavailable(
                f"The list cannot be kept in the state directory: {error.strerror}; the prices are as they were"
            ) from error


def _changes(before: Routes, after: Routes) -> Iterator[ModelPriceChange]:
    """Yield the models whose prices differ: those that are served after the change, then the others."""
    old = {(route.model, route.provider.name): route.tariff for route in before.every_route()}
    new = {(route.model, route.provider.name): route.tariff for route in after.every_route()}
    for model, provider in dict.fromkeys((*new, *old)):
        was, will_be = old.get((model, provider)), new.get((model, provider))
        rates = compare_tariffs(was, will_be)
        if rates:
            change = "added" if was is None else "removed" if will_be is None else "changed"
            added, removed = sum(rate.before is None for rate in rates), sum(rate.after is None for rate in rates)
            yield ModelPriceChange(model, provider, change, added, removed, len(rates) - added - removed, rates)


def _moves(before: Routes, after: Routes) -> Iterator[ModelMove]:
    """Yield the names that another provider serves after the change, sorted."""
    for name in sorted({route.model for routes in (before, after) for route in routes.every_route()}):
        old, new = before.get(name), after.get(name)
        if old is not None and new is not None and old.provider.name != new.provider.name:
            yield ModelMove(name, old.provider.name, new.provider.name)
