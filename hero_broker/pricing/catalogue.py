"""(provider, name) → what the public lists say: genai-prices first, then our supplement.

An operator's own price is not here: it belongs to the model of the settings that it was written for, and stands in
that model's route (`providers.routes`).
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Protocol

from hero_broker.pricing.listing import Certainty, Listing
from hero_broker.pricing.supplement import Supplement
from hero_broker.pricing.tariff import Tariff


class PriceSource(Protocol):
    """Somebody's public prices."""

    def find(self, provider: str, model: str) -> Listing | None:
        """Return what the list says of a name at a provider; None where the list does not price it."""

    def models(self, provider: str) -> Iterable[str]:
        """Return the names of a provider's priced models, without deprecated ones."""


class Catalogue:
    """Finds what is listed of a name, once; what was found stays until the broker restarts."""

    def __init__(self) -> None:
        # Bounded, because clients may ask for any name.
        self._found = lru_cache(maxsize=4096)(self._look_up)
        self._models = lru_cache(maxsize=256)(self._list_models)
        self._names = lru_cache(maxsize=256)(lambda provider: frozenset(self._models(provider)))

    @cached_property
    def _lists(self) -> tuple[PriceSource, ...]:
        # Loaded when first asked: 250 ms and 25 MB that a broker with prices of its own for all its models can do
        # without. Whoever cannot wait for it in the event loop asks for some provider's `models` before.
        from hero_broker.pricing.genai_prices import GenaiPrices

        return (GenaiPrices(), Supplement.load())

    def find(self, provider: str, model: str) -> Listing | None:
        """Return what is listed of a name at a provider; None where no list prices it."""
        return self._found(provider, model)

    def tariff(self, provider: str, model: str) -> Tariff | None:
        """Return the public tariff of a name at a provider; None where no list prices it.

        It holds if the provider serves the name, and does not prove that it does: `find` tells how sure that is.
        """
        found = self._found(provider, model)
        return None if found is None else found.tariff

    def models(self, provider: str) -> tuple[str, ...]:
        """Return the names of a provider's models that the lists price, sorted; deprecated ones are left out.

        The lists take other names too, such as dated ones: `find` tells which.
        """
        return self._models(provider)

    def _look_up(self, provider: str, model: str) -> Listing | None:
        listings = (prices.find(provider, model) for prices in self._lists)
        found = next((listing for listing in listings if listing is not None), None)
        if found is not None and model in self._names(provider):
            return replace(found, certainty=Certainty.NAMED)
        return found

    def _list_models(self, provider: str) -> tuple[str, ...]:
        return tuple(sorted({name for prices in self._lists for name in prices.models(provider)}))
