"""(provider, upstream model) → tariff: the operator's overrides first, then genai-prices, then our supplement."""

from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from importlib import import_module
from typing import Protocol

from hero_broker.pricing.price import Price
from hero_broker.pricing.supplement import Supplement
from hero_broker.pricing.tariff import Tariff


class PriceList(Protocol):
    """Somebody's public prices."""

    def tariff(self, provider: str, model: str) -> Tariff | None:
        """Return what a provider's model costs; None where the list does not price it."""

    def models(self, provider: str) -> Iterable[str]:
        """Return the names of a provider's priced models, without deprecated ones."""


class Catalogue:
    """Finds a model's tariff, once; what was found stays until the broker restarts."""

    def __init__(self, overrides: Mapping[tuple[str, str], Price]) -> None:
        self._overrides = {key: Tariff.fixed(price, is_override=True) for key, price in overrides.items()}
        # Bounded, because clients may ask for any name.
        self._listed = lru_cache(maxsize=4096)(self._look_up)
        self._models = lru_cache(maxsize=256)(self._list_models)

    @cached_property
    def _lists(self) -> tuple[PriceList, ...]:
        # Loaded when first asked: 250 ms and 25 MB that a broker with prices of its own for all its models can do
        # without. Whoever cannot wait for it in the event loop asks for some provider's `models` before.
        listed = import_module("hero_broker.pricing.listed")
        return (listed.GenaiPrices(), Supplement.load())

    def tariff(self, provider: str, upstream_model: str) -> Tariff | None:
        """Return the tariff of a provider's model; None where neither the operator nor a list prices it."""
        override = self._overrides.get((provider, upstream_model))
        return self._listed(provider, upstream_model) if override is None else override

    def listed(self, provider: str, upstream_model: str) -> Tariff | None:
        """Return the public tariff of a provider's model, also where the operator has set another price."""
        return self._listed(provider, upstream_model)

    def knows(self, provider: str, upstream_model: str) -> bool:
        """Return whether the model has a tariff, by any name that a list takes for it."""
        return self.tariff(provider, upstream_model) is not None

    def models(self, provider: str) -> tuple[str, ...]:
        """Return the names of a provider's models that the lists price, sorted; deprecated ones are left out.

        The lists take other names too, such as dated ones: `knows` tells which.
        """
        return self._models(provider)

    def _look_up(self, provider: str, upstream_model: str) -> Tariff | None:
        tariffs = (prices.tariff(provider, upstream_model) for prices in self._lists)
        return next((tariff for tariff in tariffs if tariff is not None), None)

    def _list_models(self, provider: str) -> tuple[str, ...]:
        return tuple(sorted({name for prices in self._lists for name in prices.models(provider)}))
