"""Looks up names in the price list of genai-prices, and makes its prices tariffs."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import lru_cache
from importlib import invalidate_caches
from importlib.metadata import version
from typing import NamedTuple

from hero_broker.core.calls import ORDINARY_TIERS
from hero_broker.pricing.genai_data.matching import certainty_of, exact_names, matches, with_dashed_dates
from hero_broker.pricing.genai_data.reader import data_file, read_providers, run_data_file
from hero_broker.pricing.genai_data.types import (
    ConditionalPrice,
    ListedModel,
    ListedProvider,
    Rates,
    StartDateConstraint,
    TieredPrices,
    TierPrice,
    TimeOfDateConstraint,
)
from hero_broker.pricing.listing import Certainty, Listing
from hero_broker.pricing.price import Price
from hero_broker.pricing.tariff import DAY_S, PricePeriod, Tariff

THOUSAND = 1000
MINUTES_PER_HOUR = 60
# Groq bills at least ten seconds of audio: https://groq.com/pricing
AUDIO_MINIMUM_S = {"groq": Decimal(10)}
# Common names of a provider → the list's name.
ALIASES = {"xai": "x-ai", "gemini": "google", "togetherai": "together", "moonshot": "moonshotai"}


def installed_version() -> str:
    """Return the version of the package that is installed."""
    return version("genai-prices")


class GenaiPrices:
    """A price list of genai-prices: the one inside the installed package, or one that it has published since."""

    def __init__(self, providers: Iterable[ListedProvider], version: str, taken_at: int | None = None) -> None:
        """Take the providers of a list; `taken_at` (unix seconds) is when an operator gave it to the broker."""
        self._providers = {provider.id: provider for provider in providers}
        self.version = version
        self.taken_at = taken_at
        self._version = f"genai-prices {self.version}"
        # Bounded, because clients may send any name.
        self._provider = lru_cache(maxsize=256)(self._find_provider)
        # At most all providers; a broker needs those that are configured.
        self._models = lru_cache(maxsize=None)(lambda provider: tuple(self._providers[provider].models()))

    @classmethod
    def installed(cls) -> "GenaiPrices":
        """Return the list of the package as this process found it first."""
        return cls(read_providers(), installed_version())

    @classmethod
    def installed_now(cls) -> "GenaiPrices":
        """Return the list of the package as it is installed now; it may have been updated since the start.

        Raises:
            Exception: the data file is missing or has another layout, which only a restart can read.
        """
        invalidate_caches()
        return cls(run_data_file(data_file()), installed_version())

    def find(self, provider: str, model: str) -> Listing | None:
        """Return the listing of any name that the list matches to a model; None if it has no price."""
        entry = self._provider(provider)
        if entry is None:
            return None
        name = model.lower()
        found = self._find_model(entry, name)
        if found is None and (dashed := with_dashed_dates(name)) != name:
            found = self._find_model(entry, dashed)
        if found is None:
            return None
        listed, is_own = found
        tariff = build_tariff(entry, listed, self._version)
        if tariff is None:
            return None
        certainty = certainty_of(listed.match, name)
        is_exact = certainty >= Certainty.ALIAS or name == listed.id.lower()
        return Listing(tariff, certainty if is_own else min(certainty, Certainty.BEGINS), is_exact)

    def models(self, provider: str) -> Iterator[str]:
        """Yield the names of a provider's priced models, except deprecated ones."""
        entry = self._provider(provider)
        if entry is None:
            return
        for model in self._models(entry.id):
            if model.deprecated or build_tariff(entry, model, self._version) is None:
                continue
            # Some ids are headings of the list; the matcher then has the provider's names for the model.
            names = [model.id] if matches(model.match, model.id.lower()) else exact_names(model.match)
            # A name that ends in a dash is a prefix of names.
            yield from (name for name in names if not name.endswith("-"))

    def newest_price(self, today: date) -> date | None:
        """Return the newest day, up to today, from which a price of the list holds. The list has no date of its own."""
        models = (model for provider in self._providers for model in self._models(provider))
        starts = [
            constraint.start_date
            for model in models
            for constraint in (*(one.constraint for one in model.periods), *(one.constraint for one in model.tiers))
            if isinstance(constraint, StartDateConstraint)
        ]
        return max((start for start in starts if start <= today), default=None)

    def _find_model(self, provider: ListedProvider, name: str) -> tuple[ListedModel, bool] | None:
        """Return the first model that matches, and whether it is the provider's own or that of one it falls back to."""
        for owner in (provider.id, *provider.fallback_model_providers):
            for model in self._models(owner) if owner in self._providers else ():
                if matches(model.match, name):
                    return model, owner == provider.id
        return None

    def _find_provider(self, name: str) -> ListedProvider | None:
        name = ALIASES.get(name, name).lower().strip()
        if name in self._providers:
            return self._providers[name]
        clauses = ((provider, provider.provider_match) for provider in self._providers.values())
        return next((provider for provider, clause in clauses if clause is not None and matches(clause, name)), None)


def build_tariff(provider: ListedProvider, model: ListedModel, version: str) -> Tariff | None:
    """Convert a listed model to a tariff; None if the list prices no unit that we meter."""
    source = provider.pricing_urls[0] if provider.pricing_urls else "genai-prices"
    origin = _Origin(source, version, AUDIO_MINIMUM_S.get(provider.id))
    periods = tuple(
        replace(_period(one, origin), tiers={tier: _tier(one, prices, origin) for tier, prices in _by_tier(model)})
        for one in model.periods
    )
    tariff = Tariff(periods)
    return tariff if any(price.scaled for price in tariff.prices()) else None


class _Origin(NamedTuple):
    """What all prices of a model have."""

    source: str
    version: str
    audio_minimum_s: Decimal | None


def _by_tier(model: ListedModel) -> Iterator[tuple[str, list[TierPrice]]]:
    """Yield the tiers of service that have prices of their own, in the order of the list."""
    for tier in dict.fromkeys(one.tier for one in model.tiers):
        if tier not in ORDINARY_TIERS:
            yield tier, [one for one in model.tiers if one.tier == tier]


def _tier(base: ConditionalPrice, tier_prices: Sequence[TierPrice], origin: _Origin) -> tuple[PricePeriod, ...]:
    """Return the prices of a tier: the rates of its prices, laid over the base."""
    starts = [_start_of(one) for one in tier_prices]
    periods = []
    for start in sorted({date.min, *starts}):
        rates = dict(base.prices)
        for one, one_start in reversed(list(zip(tier_prices, starts, strict=True))):
            if one_start <= start:
                rates |= one.prices
        constraint = None if start == date.min else StartDateConstraint(start)
        periods.append(_period(ConditionalPrice(constraint, rates), origin))
    return tuple(periods)


def _start_of(tier_price: TierPrice) -> date:
    return date.min if tier_price.constraint is None else tier_price.constraint.start_date


def _period(conditional: ConditionalPrice, origin: _Origin) -> PricePeriod:
    thresholds = sorted(
        {tier.start for rate in conditional.prices.values() if isinstance(rate, TieredPrices) for tier in rate.tiers}
    )
    # The next price applies just above a threshold.
    prices = tuple(
        _price(conditional.prices, input_tokens, origin) for input_tokens in (0, *(start + 1 for start in thresholds))
    )
    since, daily = _condition(conditional.constraint)
    return PricePeriod(prices, tuple(thresholds), since, daily)


def _condition(
    constraint: StartDateConstraint | TimeOfDateConstraint | None,
) -> tuple[int | None, tuple[int, int] | None]:
    if constraint is None:
        return None, None
    if isinstance(constraint, StartDateConstraint):
        return int(datetime.combine(constraint.start_date, time(), UTC).timestamp()), None
    return None, (_second_of_day(constraint.start_time), _second_of_day(constraint.end_time))


def _second_of_day(moment: time) -> int:
    offset = moment.utcoffset()
    seconds = moment.hour * 3600 + moment.minute * 60 + moment.second
    return (seconds - (0 if offset is None else int(offset.total_seconds()))) % DAY_S


def _price(rates: Rates, input_tokens: int, origin: _Origin) -> Price:
    """Convert the price of a call with `input_tokens`; it has no rates if we meter none of the listed units.

    Rates for cached images and audio are left out, because no provider reports these parts of the cached input. So is
    the rate of Perplexity's citations: it is that of the input, as which they are counted.
    """

    def rate(name: str) -> Decimal | None:
        value = rates.get(name)
        if not isinstance(value, TieredPrices):
            return value
        above = [tier.price for tier in value.tiers if input_tokens > tier.start]
        return above[-1] if above else value.base

    audio_per_hour = rate("audio_hours")
    if audio_per_hour is None:
        audio_per_hour = rate("input_audio_hours")
    thousand_requests = rate("requests_kcount")
    return Price(
        input_per_million=rate("input_mtok"),
        output_per_million=rate("output_mtok"),
        cached_input_per_million=rate("cache_read_mtok"),
        cache_write_per_million=rate("cache_write_mtok"),
        reasoning_per_million=rate("output_reasoning_mtok"),
        audio_input_per_million=rate("input_audio_mtok"),
        audio_output_per_million=rate("output_audio_mtok"),
        cache_write_1h_per_million=rate("cache_write_1h_mtok"),
        image_input_per_million=rate("input_image_mtok"),
        image_output_per_million=rate("output_image_mtok"),
        characters_per_million=rate("input_mchars"),
        audio_per_minute=None if audio_per_hour is None else audio_per_hour / MINUTES_PER_HOUR,
        audio_minimum_s=None if audio_per_hour is None else origin.audio_minimum_s,
        per_thousand_searches=rate("rerank_searches_kcount"),
        web_searches_per_thousand=rate("web_searches_kcount"),
        file_searches_per_thousand=rate("storage_searches_kcount"),
        per_request=None if thousand_requests is None else thousand_requests / THOUSAND,
        source=origin.source,
        version=origin.version,
    )
