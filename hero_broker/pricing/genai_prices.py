"""Reads the genai-prices snapshot as tariffs; importing this module loads its 2,300 models (`pricing.catalogue`)."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, time
from decimal import Decimal
from functools import lru_cache
from importlib.metadata import version

from genai_prices import data_snapshot
from genai_prices.types import (
    ClauseAnd,
    ClauseContains,
    ClauseEndsWith,
    ClauseEquals,
    ClauseOr,
    ClauseRegex,
    ConditionalPrice,
    MatchLogic,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    TieredPrices,
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
# The list matches a date without dashes like the same date with dashes.
_COMPACT_DATE = re.compile(r"-(\d{4})(\d{2})(\d{2})(?=[-:]|$)")


class GenaiPrices:
    """The price list inside the installed package `genai-prices`, as of its release."""

    def __init__(self) -> None:
        self._providers = data_snapshot.get_snapshot().providers
        self._version = f"genai-prices {version('genai-prices')}"
        # The snapshot's own cache grows with every name; this one is bounded.
        self._provider = lru_cache(maxsize=256)(self._find_provider)

    def find(self, provider: str, model: str) -> Listing | None:
        """Return the listing of any name that the list matches to a model; None if it has no price."""
        entry = self._provider(provider)
        if entry is None:
            return None
        name = model.lower()
        info = entry.find_model(name, all_providers=self._providers)
        tariff = None if info is None else build_tariff(entry, info, self._version)
        if info is None or tariff is None:
            return None
        certainty = certainty_of(info.match, name)
        if entry.fallback_model_providers and all(info is not own for own in entry.models):
            certainty = min(certainty, Certainty.BEGINS)  # it is another provider's model
        return Listing(tariff, certainty)

    def models(self, provider: str) -> Iterator[str]:
        """Yield the names of a provider's priced models, except deprecated ones."""
        entry = self._provider(provider)
        if entry is None:
            return
        for model in entry.models:
            if model.deprecated or build_tariff(entry, model, self._version) is None:
                continue
            # Some ids are headings of the list; the matcher then has the provider's names for the model.
            names = [model.id] if model.is_match(model.id) else _exact_names(model.match)
            # A name that ends in a dash is a prefix of names.
            yield from (name for name in names if not name.endswith("-"))

    def _find_provider(self, name: str) -> Provider | None:
        return data_snapshot.find_provider_by_id(self._providers, ALIASES.get(name, name))


def build_tariff(provider: Provider, model: ModelInfo, version: str) -> Tariff | None:
    """Convert a listed model to a tariff; None if the list prices no unit that we meter."""
    conditional = [ConditionalPrice(prices=model.prices)] if isinstance(model.prices, ModelPrice) else model.prices
    source = provider.pricing_urls[0] if provider.pricing_urls else "genai-prices"
    minimum_s = AUDIO_MINIMUM_S.get(provider.id)
    periods = tuple(_period(one, source, version, minimum_s) for one in conditional)
    is_priced = any(price.scaled for period in periods for price in period.prices)
    return Tariff(periods) if is_priced else None


def certainty_of(match: MatchLogic, name: str) -> Certainty:
    """Return how certain it is that `name` (in lower case), which `match` accepts, is one of the provider's names."""
    if not match.is_match(name):
        name = _COMPACT_DATE.sub(r"-\1-\2-\3", name)
    if isinstance(match, ClauseOr | ClauseAnd):
        clauses = match.or_ if isinstance(match, ClauseOr) else match.and_
        return max(
            (certainty_of(clause, name) for clause in clauses if clause.is_match(name)), default=Certainty.INSIDE
        )
    if isinstance(match, ClauseEquals):
        return Certainty.ALIAS
    if isinstance(match, ClauseEndsWith):
        return Certainty.ALIAS if name == match.ends_with.lower() else Certainty.INSIDE
    if isinstance(match, ClauseContains):
        return Certainty.BEGINS if name.startswith(match.contains.lower()) else Certainty.INSIDE
    if isinstance(match, ClauseRegex):
        hit = re.search(match.regex, name)
        # A pattern that is only a lookahead, to exclude names, matches the empty string.
        return Certainty.BEGINS if hit and hit.start() == 0 < hit.end() else Certainty.INSIDE
    return Certainty.BEGINS


def _exact_names(match: MatchLogic) -> Iterator[str]:
    if isinstance(match, ClauseEquals):
        yield match.equals
    elif isinstance(match, ClauseOr):
        for clause in match.or_:
            yield from _exact_names(clause)


def _period(conditional: ConditionalPrice, source: str, version: str, audio_minimum_s: Decimal | None) -> PricePeriod:
    model_price = conditional.prices
    thresholds = sorted(
        {tier.start for rate in vars(model_price).values() if isinstance(rate, TieredPrices) for tier in rate.tiers}
    )
    # The next price applies just above a threshold.
    prices = tuple(
        _price(model_price, input_tokens, source, version, audio_minimum_s)
        for input_tokens in (0, *(start + 1 for start in thresholds))
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


def _price(
    model_price: ModelPrice, input_tokens: int, source: str, version: str, audio_minimum_s: Decimal | None
) -> Price:
    """Convert the price of a call with `input_tokens`; it has no rates if we meter none of the listed units."""

    def rate(name: str) -> Decimal | None:
        value = getattr(model_price, name)
        if not isinstance(value, TieredPrices):
            return value if isinstance(value, Decimal) else None
        rates = [tier.price for tier in value.tiers if input_tokens > tier.start]
        return rates[-1] if rates else value.base

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
        characters_per_million=rate("input_mchars"),
        audio_per_minute=None if audio_per_hour is None else audio_per_hour / MINUTES_PER_HOUR,
        audio_minimum_s=None if audio_per_hour is None else audio_minimum_s,
        per_thousand_searches=rate("rerank_searches_kcount"),
        per_request=None if thousand_requests is None else thousand_requests / THOUSAND,
        source=source,
        version=version,
    )
