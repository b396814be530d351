"""(provider, upstream model) → Price: the operator's overrides first, then the genai-prices snapshot."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache

from genai_prices import data_snapshot
from genai_prices.types import ModelPrice, TieredPrices

from hero_broker.pricing.price import Price

THOUSAND = 1000
MINUTES_PER_HOUR = 60
# Groq bills at least ten seconds of audio: https://groq.com/pricing
AUDIO_MINIMUM_S = {"groq": Decimal(10)}
# Names under which people know a provider, where the list has another.
LISTED_AS = {"xai": "x-ai", "gemini": "google", "togetherai": "together", "moonshot": "moonshotai"}


class Catalogue:
    """Finds a model's price, once; what was found stays until the broker restarts."""

    def __init__(self, overrides: Mapping[tuple[str, str], Price]) -> None:
        self._overrides = dict(overrides)
        self._snapshot = data_snapshot.get_snapshot()
        self._listed = lru_cache(maxsize=4096)(self._look_up)  # bounded: clients may ask for any name

    def price(self, provider: str, upstream_model: str) -> Price | None:
        """Return the price of a provider's model; None where neither the operator nor the list has one."""
        override = self._overrides.get((provider, upstream_model))
        return self._listed(provider, upstream_model) if override is None else override

    def _look_up(self, provider: str, upstream_model: str) -> Price | None:
        try:
            listed = self._snapshot.find_provider(None, LISTED_AS.get(provider, provider), None)
        except LookupError:
            return None
        # Asked of the provider itself, because the snapshot remembers every name it was ever asked for.
        model = listed.find_model(upstream_model.lower(), all_providers=self._snapshot.providers)
        if model is None:
            return None
        source = listed.pricing_urls[0] if listed.pricing_urls else "genai-prices"
        return _price_from(model.get_prices(datetime.now(UTC)), source, AUDIO_MINIMUM_S.get(listed.id))


def _price_from(listed: ModelPrice, source: str, audio_minimum_s: Decimal | None) -> Price | None:
    """Translate a listed price; None where it prices no unit that is metered here."""
    audio_per_hour = _rate(listed, "audio_hours")
    if audio_per_hour is None:
        audio_per_hour = _rate(listed, "input_audio_hours")
    thousand_requests = _rate(listed, "requests_kcount")
    price = Price(
        input_per_million=_rate(listed, "input_mtok"),
        output_per_million=_rate(listed, "output_mtok"),
        cached_input_per_million=_rate(listed, "cache_read_mtok"),
        cache_write_per_million=_rate(listed, "cache_write_mtok"),
        reasoning_per_million=_rate(listed, "output_reasoning_mtok"),
        audio_input_per_million=_rate(listed, "input_audio_mtok"),
        audio_output_per_million=_rate(listed, "output_audio_mtok"),
        characters_per_million=_rate(listed, "input_mchars"),
        audio_per_minute=None if audio_per_hour is None else audio_per_hour / MINUTES_PER_HOUR,
        audio_minimum_s=None if audio_per_hour is None else audio_minimum_s,
        per_thousand_searches=_rate(listed, "rerank_searches_kcount"),
        per_request=None if thousand_requests is None else thousand_requests / THOUSAND,
        source=source,
    )
    return None if price.rates_json() == "{}" else price


def _rate(listed: ModelPrice, name: str) -> Decimal | None:
    """Return one rate; of tiers the base, which is the rate of a call below the first threshold."""
    rate = getattr(listed, name)
    if isinstance(rate, TieredPrices):
        return rate.base
    return rate if isinstance(rate, Decimal) else None
