"""Looks up public prices by provider and model name: in genai-prices first, then in our supplement.

Rates that a price of genai-prices lacks come from the defaults of the supplement.

An operator's own price is not here: it belongs to one model of the settings, and is part of that model's route
(`providers.routes`).
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import cache, lru_cache

from hero_broker.core.inventory import PriceList
from hero_broker.pricing.genai_prices import GenaiPrices
from hero_broker.pricing.listing import Certainty, Listing
from hero_broker.pricing.supplement import Supplement
from hero_broker.pricing.tariff import Tariff


# Read on first use: a broker whose models all have prices in the settings never needs them. To keep the reading out of
# the event loop, call `Catalogue.models` for any provider beforehand.
@cache
def _installed() -> GenaiPrices:
    return GenaiPrices.installed()


@cache
def _supplement() -> Supplement:
    return Supplement.load()


class Catalogue:
    """Looks up listings, each once. A catalogue never changes: other prices make another one."""

    def __init__(
        self, price_factors: Mapping[str, Decimal] | None = None, genai_prices: GenaiPrices | None = None
    ) -> None:
        """Take the factors by which the prices of providers are multiplied; a missing one is 1.

        Without `genai_prices`, it is the list of the installed package.
        """
        self._price_factors = price_factors or {}
        self._genai_prices = genai_prices
        # Bounded, because clients may send any name.
        self._listing = lru_cache(maxsize=4096)(self._look_up)
        self._models = lru_cache(maxsize=256)(self._list_models)
        self._names = lru_cache(maxsize=256)(lambda provider: frozenset(self._models(provider)))

    def find(self, provider: str, model: str) -> Listing | None:
        """Return the listing of a name at a provider; None if no list has a price for it."""
        return self._listing(provider, model)

    def tariff(self, provider: str, model: str) -> Tariff | None:
        """Return the public tariff of a name at a provider; None if no list has a price for it.

        A tariff does not prove that the provider serves the name: `find` also returns how certain that is.
        """
        listing = self._listing(provider, model)
        return None if listing is None else listing.tariff

    def tariff_of_name(self, provider: str, model: str) -> Tariff | None:
        """Return the public tariff of a model whose exact name, in any case, a list has.

        It has it at the provider, or at one whose models the provider also has, as Azure has those of OpenAI.
        """
        listing = self._listing(provider, model)
        return listing.tariff if listing is not None and listing.is_exact else None

    def models(self, provider: str) -> tuple[str, ...]:
        """Return the names of a provider's priced models, sorted, except deprecated ones.

        The lists match other names too, such as dated ones: `find` matches those.
        """
        return self._models(provider)

    def lists(self, today: date) -> list[PriceList]:
        """Return the public price lists, in the order in which they are searched; reads them if nobody has yet."""
        genai_prices, supplement = self._public_lists()
        newest = (genai_prices.newest_price(today), supplement.newest_price())
        return [
            PriceList(name, version, None if day is None else day.isoformat(), taken_at)
            for name, version, taken_at, day in zip(
                ("genai-prices", "supplement"),
                (genai_prices.version, None),
                (genai_prices.taken_at, None),
                newest,
                strict=True,
            )
        ]

    def _public_lists(self) -> tuple[GenaiPrices, Supplement]:
        return self._genai_prices or _installed(), _supplement()

    def _look_up(self, provider: str, model: str) -> Listing | None:
        genai_prices, supplement = self._public_lists()
        listing = genai_prices.find(provider, model)
        if listing is not None:
            listing = replace(listing, tariff=supplement.with_defaults(provider, model, listing.tariff))
        else:
            listing = supplement.find(provider, model)
        factor = self._price_factors.get(provider)
        if listing is not None and factor is not None:
            listing = replace(listing, tariff=listing.tariff.map(lambda price: price.times(factor)))
        if listing is not None and model in self._names(provider):
            return replace(listing, certainty=Certainty.NAMED, is_exact=True)
        if listing is not None and not supplement.offers(provider, model):
            return replace(listing, certainty=Certainty.INSIDE)
        return listing

    def _list_models(self, provider: str) -> tuple[str, ...]:
        genai_prices, supplement = self._public_lists()
        offered = (name for name in genai_prices.models(provider) if supplement.offers(provider, name))
        return tuple(sorted({*offered, *supplement.models(provider)}))
