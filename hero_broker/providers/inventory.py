"""Lists the models and providers of this broker, for `models.list` and `providers.list`."""

import json
from collections import Counter

from hero_broker.core.clock import Clock
from hero_broker.core.inventory import InventoryModel, InventoryPrice, InventoryProvider
from hero_broker.pricing.tariff import Tariff
from hero_broker.providers.health import HealthTracker
from hero_broker.providers.routes import Route, Routes


class Inventory:
    """The models with their prices and the providers with their health."""

    def __init__(self, routes: Routes, health: HealthTracker, clock: Clock) -> None:
        self._routes = routes
        self._health = health
        self._clock = clock

    def models(self) -> list[InventoryModel]:
        """Return the models of the settings, then those that only the price list has."""
        configured = [self._model(route, is_configured=True) for route in self._routes.named]
        listed = (self._routes.get(name) for name, _ in self._routes.listed())
        return configured + [self._model(route, is_configured=False) for route in listed if route is not None]

    def providers(self) -> list[InventoryProvider]:
        """Return the providers in the order of the settings, the fake provider last."""
        named = Counter(route.provider.name for route in self._routes.named)
        listed = Counter(provider.name for _, provider in self._routes.listed())
        return [
            InventoryProvider(
                provider=provider.name,
                base_url=provider.base_url,
                api_keys=len(provider.api_keys),
                stream_usage=provider.stream_usage,
                models=named[provider.name],
                listed_models=listed[provider.name],
                health=self._health.health(provider.name),
            )
            for provider in self._routes.every_provider
        ]

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
