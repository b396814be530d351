"""The members of genai-prices' list that a broker needs, under the names that its data file calls.

`reader` lets that file import this module in place of `genai_prices.types`. Members have the names that they have
there, and the texts that describe models are dropped.
"""

from collections.abc import Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from typing import TypeAlias, Union

import msgspec


class Tier(msgspec.Struct, frozen=True, array_like=True):
    """A rate for calls with more input tokens than `start`."""

    start: int
    price: Decimal


class TieredPrices(msgspec.Struct, frozen=True, array_like=True):
    """A rate that depends on the input tokens."""

    base: Decimal
    tiers: list[Tier]  # the highest one that a call is above counts; in order of `start`

    def __post_init__(self) -> None:
        self.tiers.sort(key=lambda tier: tier.start)


class StartDateConstraint(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The condition that a call began on a day (UTC) or later."""

    start_date: date


class TimeOfDateConstraint(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """The condition that a call began between two times of the day; the end is excluded."""

    start_time: time
    end_time: time


Rates: TypeAlias = dict[str, Decimal | TieredPrices]  # by the list's name of the unit


class ConditionalPrice(msgspec.Struct, frozen=True, array_like=True):
    """Rates that apply under a condition; without a condition, always."""

    constraint: StartDateConstraint | TimeOfDateConstraint | None = None
    prices: Rates = {}


class TierPrice(msgspec.Struct, frozen=True, array_like=True):
    """Rates that replace some of a model's rates for calls in a tier of service, from a day on."""

    tier: str
    prices: Rates
    constraint: StartDateConstraint | None = None


class ClauseEquals(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Matches one name."""

    equals: str


class ClauseStartsWith(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Matches names by their start."""

    starts_with: str


class ClauseEndsWith(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Matches names by their end."""

    ends_with: str


class ClauseContains(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """Matches names by a part."""

    contains: str


class ClauseRegex(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """Matches names in which a pattern is found."""

    regex: str


class ClauseOr(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """Matches names that any of its clauses matches."""

    or_: list["MatchLogic"]


class ClauseAnd(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """Matches names that all of its clauses match."""

    and_: list["MatchLogic"]


MatchLogic: TypeAlias = Union[  # noqa: UP007 (`|` cannot join a string, and `|` of all seven cannot be a list's member)
    ClauseEquals, ClauseStartsWith, ClauseEndsWith, ClauseContains, ClauseRegex, ClauseOr, ClauseAnd
]


class ListedModel(msgspec.Struct, frozen=True, array_like=True):
    """A model at a provider."""

    id: str
    match: MatchLogic
    periods: list[ConditionalPrice]  # the last one whose condition holds applies, else the first one
    deprecated: bool
    tiers: list[TierPrice] = []  # of those for one tier whose condition holds, the first one that has a rate counts


class ListedProvider(msgspec.Struct, frozen=True):
    """A provider; its models are kept encoded, because a broker needs those of few providers."""

    id: str
    pricing_urls: Sequence[str]
    provider_match: MatchLogic | None
    fallback_model_providers: Sequence[str]  # ids of providers whose models it serves too
    encoded_models: bytes

    def models(self) -> list[ListedModel]:
        """Return its models, in the order in which they are matched; each call decodes them."""
        return _DECODER.decode(self.encoded_models)


_DECODER = msgspec.msgpack.Decoder(list[ListedModel])


def model_price(**rates: Decimal | TieredPrices | None) -> Rates:
    """Return the rates that are known."""
    return {name: rate for name, rate in rates.items() if rate is not None}


def model_info(
    id: str,  # noqa: A002 (the data file's name, as all of them)
    match: MatchLogic,
    prices: Rates | list[ConditionalPrice] | None = None,
    deprecated: bool | None = None,
    price_variants: list[TierPrice | None] | None = None,
    **_: object,
) -> ListedModel:
    """Return a model without its texts."""
    periods = prices if isinstance(prices, list) else [ConditionalPrice(prices=prices or {})]
    tiers = [tier for tier in price_variants or () if tier is not None]
    return ListedModel(id, match, periods, bool(deprecated), tiers)


def price_variant(
    when: Mapping[str, str], prices: Rates, constraint: StartDateConstraint | TimeOfDateConstraint | None = None
) -> TierPrice | None:
    """Return the prices of a tier of service; None for what the broker does not offer, such as batches.

    Anthropic's `speed` is a tier here. No list has tiers with prices by the time of day; those would be left out.
    """
    match dict(when):
        case {"service_tier": tier, **others} | {"speed": tier, **others} if not others and prices:
            return None if isinstance(constraint, TimeOfDateConstraint) else TierPrice(tier, prices, constraint)
        case _:
            return None


def provider(
    id: str,  # noqa: A002
    models: list[ListedModel],
    pricing_urls: list[str] | None = None,
    provider_match: MatchLogic | None = None,
    fallback_model_providers: list[str] | None = None,
    **_: object,
) -> ListedProvider:
    """Return a provider without its texts, and with its models encoded."""
    return ListedProvider(
        id, pricing_urls or (), provider_match, fallback_model_providers or (), msgspec.msgpack.encode(models)
    )


def not_needed(*_: object, **__: object) -> None:
    """Stand for what the broker does not take from the list, such as where responses have their usage."""


# What `from .types import *` gives to the data file.
__all__ = [  # noqa: RUF022 (in the order above)
    "Tier",
    "TieredPrices",
    "StartDateConstraint",
    "TimeOfDateConstraint",
    "ConditionalPrice",
    "ClauseEquals",
    "ClauseStartsWith",
    "ClauseEndsWith",
    "ClauseContains",
    "ClauseRegex",
    "ClauseOr",
    "ClauseAnd",
    "ModelPrice",
    "ModelInfo",
    "Provider",
    "ArrayMatch",
    "PriceVariant",
    "UsageExtractor",
    "UsageExtractorMapping",
]
ModelPrice = model_price
ModelInfo = model_info
Provider = provider
PriceVariant = price_variant
ArrayMatch = UsageExtractor = UsageExtractorMapping = not_needed
