"""Lists the models, prices and providers of this broker, for `models.list`, `prices.list` and `providers.list`."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Protocol

from hero_broker.core.clock import Clock
from hero_broker.core.inventory import (
    InventoryModel,
    InventoryPrice,
    InventoryProvider,
    PriceInForce,
    PriceList,
    PriceRate,
)
from hero_broker.pricing.price import Price
from hero_broker.pricing.tariff import Tariff
from hero_broker.providers.health import HealthTracker
from hero_broker.providers.routes import Route, Routes


class PriceLists(Protocol):
    """The public price lists; see `pricing.catalogue`."""

    def lists(self, today: date) -> list[PriceList]:
        """Return the lists, in the order in which they are searched."""
        ...


class Inventory:
    """The models with their prices and the providers with their health."""

    def __init__(self, routes: Routes, health: HealthTracker, clock: Clock, lists: PriceLists) -> None:
        self.lists = lists  # those in force; `server.price_refresh` replaces them
        self._routes = routes
        self._health = health
        self._clock = clock

    def models(self) -> list[InventoryModel]:
        """Return the models of the settings, then those that only the price list has."""
        configured = len(self._routes.named)
        return [
            self._model(route, is_configured=number < configured)
            for number, route in enumerate(self._routes.every_route())
        ]

    def prices(self, model: str | None) -> list[PriceInForce] | None:
        """Return the prices of all models, or of the one that clients request by this name; None if there is none.

        Each model has a line for its ordinary price, then one for each tier of service with prices of its own.
        """
        if model is None:
            return [price for route in self._routes.every_route() for price in self._prices(route)]
        route = self._routes.get(model)
        return None if route is None else list(self._prices(route))

    def price_lists(self) -> list[PriceList]:
        """Return the public price lists, in the order in which they are searched."""
        return self.lists.lists(datetime.fromtimestamp(self._clock.now(), UTC).date())

    def providers(self) -> list[InventoryProvider]:
        """Return the providers in the order of the settings, the fake provider last."""
        named = Counter(route.provider.name for route in self._routes.named)
        listed = Counter(provider.name for _, provider in self._routes.listed())
        return [
            InventoryProvider(
                provider=provider.name,
                base_url=provider.base_url,
                api_keys=len(provider.api_keys),
                wires=provider.wires,
                stream_usage=provider.stream_usage,
                models=named[provider.name],
                listed_models=listed[provider.name],
                health=self._health.health(provider.name),
            )
            for provider in self._routes.every_provider
        ]

    def _prices(self, route: Route) -> Iterator[PriceInForce]:
        tariff, now = route.tariff, self._clock.now()
        for tier in (None, *(() if tariff is None else tariff.tiers(now))):
            rates = () if tariff is None else _rates(tariff.price(now, 0, tier))
            varies = tariff is not None and tariff.varies
            yield PriceInForce(route.model, route.provider.name, route.upstream_model, tier, rates, varies)

    def _model(self, route: Route, *, is_configured: bool) -> InventoryModel:
        return InventoryModel(
            model=route.model,
            aliases=route.aliases,
            kind=route.kind,
            provider=route.provider.name,
            upstream_model=route.upstream_model,
            is_configured=is_configured,
            price=None if route.tariff is None else self._price(route.tariff),
        )

    def _price(self, tariff: Tariff) -> InventoryPrice:
        price = tariff.price(self._clock.now(), 0)
        return InventoryPrice(json.loads(price.rates), price.source or None, price.version or None, tariff.varies)


def _rates(price: Price) -> tuple[PriceRate, ...]:
    known = json.loads(price.rates)
    sources = {rate: price.source_of(rate) for rate in known}
    return tuple(
        PriceRate(rate, value, sources[rate].source or None, sources[rate].version or None)
        for rate, value in known.items()
    )
