"""A provider's rates per unit; `pricing.cost` applies them to a call's usage."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from math import lcm
from typing import Any, NamedTuple, Self

from hero_broker.core.money import NANO

# How many units each rate is for; audio is counted in milliseconds.
PER: Mapping[str, int] = {
    "input_per_million": 1_000_000,
    "output_per_million": 1_000_000,
    "cached_input_per_million": 1_000_000,
    "cache_write_per_million": 1_000_000,
    "reasoning_per_million": 1_000_000,
    "audio_input_per_million": 1_000_000,
    "audio_output_per_million": 1_000_000,
    "cache_write_1h_per_million": 1_000_000,
    "image_input_per_million": 1_000_000,
    "image_output_per_million": 1_000_000,
    "characters_per_million": 1_000_000,
    "audio_per_minute": 60_000,
    "per_thousand_searches": 1000,
    "web_searches_per_thousand": 1000,
    "file_searches_per_thousand": 1000,
    "per_image": 1,
    "per_request": 1,
    "per_second": 1000,
    "per_gpu_second": 1000,
}
# The members of a price: its rates in USD, the minimum of audio that is billed, in seconds, and a number of GPUs.
RATES = (*PER, "audio_minimum_s", "gpus")
# The rates that apply whatever a call used; time is counted in milliseconds.
OF_ANY_CALL = frozenset({"per_request", "per_second", "per_gpu_second"})
_TOKENS = {"input_per_million", "output_per_million"}


class RateSource(NamedTuple):
    """Where a rate was read."""

    source: str  # usually a URL
    version: str  # of the source, such as "genai-prices 0.2.3"


@dataclass(frozen=True, slots=True)
class Price:
    """Rates in USD; None means that the unit has no price, 0 that it is free. Prices are equal if their rates are."""

    input_per_million: Decimal | None = None
    output_per_million: Decimal | None = None
    cached_input_per_million: Decimal | None = None  # if None, the input rate applies, as for the next
    cache_write_per_million: Decimal | None = None
    reasoning_per_million: Decimal | None = None  # if None, the output rate applies
    audio_input_per_million: Decimal | None = None  # if None, the input rate applies
    audio_output_per_million: Decimal | None = None  # if None, the output rate applies
    cache_write_1h_per_million: Decimal | None = None  # if None, the rate of other cache writes applies
    image_input_per_million: Decimal | None = None  # if None, the input rate applies
    image_output_per_million: Decimal | None = None  # if None, the output rate applies
    characters_per_million: Decimal | None = None
    audio_per_minute: Decimal | None = None
    audio_minimum_s: Decimal | None = None  # any audio is billed at least this many seconds
    per_thousand_searches: Decimal | None = None  # of search units, which rerank models count
    web_searches_per_thousand: Decimal | None = None
    file_searches_per_thousand: Decimal | None = None
    per_image: Decimal | None = None  # for each image that the model made
    per_request: Decimal | None = None  # for successful calls
    per_second: Decimal | None = None  # of the call's duration
    per_gpu_second: Decimal | None = None  # of the call's duration, for each of `gpus`
    gpus: Decimal | None = None  # that serve the model, or the part of one; if None, 1
    source: str = field(default="", compare=False)  # of the rates, as in `RateSource`
    version: str = field(default="", compare=False)
    # By rate, if they have several sources. `source` is then the first, and `version` has all versions.
    rate_sources: Mapping[str, RateSource] = field(default_factory=dict, compare=False, repr=False)
    rates: str = field(init=False, compare=False, repr=False)  # canonical JSON: known rates, sorted, decimal strings
    price_id: str = field(init=False, compare=False)  # content hash of the rates: equal on all brokers
    # The known rates as integers, so that a cost is a sum of integers: nano-USD per unit, times `scale`.
    scaled: Mapping[str, int] = field(init=False, compare=False, repr=False)
    scale: int = field(init=False, compare=False, repr=False)
    # The scaled rates of input and output, if the price has these two and no others, as most have.
    token_rates: tuple[int, int] | None = field(init=False, compare=False, repr=False)
    is_by_call: bool = field(init=False, compare=False, repr=False)  # all its rates apply whatever a call used

    def __post_init__(self) -> None:
        known = {name: plain(rate) for name in RATES if (rate := getattr(self, name)) is not None}
        object.__setattr__(self, "rates", json.dumps(known, sort_keys=True, separators=(",", ":")))
        object.__setattr__(self, "price_id", hashlib.sha256(self.rates.encode()).hexdigest()[:32])

        rates = {
            name: Fraction(rate) * NANO / per for name, per in PER.items() if (rate := getattr(self, name)) is not None
        }
        scale = lcm(*(rate.denominator for rate in rates.values()))
        object.__setattr__(self, "scaled", {name: int(rate * scale) for name, rate in rates.items()})
        object.__setattr__(self, "scale", scale)
        two = (
            (self.scaled["input_per_million"], self.scaled["output_per_million"])
            if self.scaled.keys() == _TOKENS
            else None
        )
        object.__setattr__(self, "token_rates", two)
        object.__setattr__(self, "is_by_call", bool(self.scaled) and self.scaled.keys() <= OF_ANY_CALL)

    def source_of(self, rate_name: str) -> RateSource:
        """Return where a rate was read."""
        return self.rate_sources.get(rate_name) or RateSource(self.source, self.version)

    def with_defaults(self, defaults: "Price") -> "Price":
        """Return the price with the rates of `defaults` that it lacks."""
        lacking = {
            name: rate
            for name in RATES
            if getattr(self, name) is None and (rate := getattr(defaults, name)) is not None
        }
        if not lacking:
            return self
        sources = {name: self.source_of(name) for name in RATES if getattr(self, name) is not None}
        sources |= dict.fromkeys(lacking, RateSource(defaults.source, defaults.version))
        versions = dict.fromkeys([*self.version.split(", "), defaults.version])
        return replace(self, **lacking, version=", ".join(versions), rate_sources=sources)

    def times(self, factor: Decimal) -> "Price":
        """Return the price with all its rates multiplied; the version of each source says so."""
        rates: dict[str, Any] = {name: rate * factor for name in PER if (rate := getattr(self, name)) is not None}
        by_factor = f" × {plain(factor)}"
        sources = {name: RateSource(one.source, one.version + by_factor) for name, one in self.rate_sources.items()}
        return replace(self, **rates, version=self.version + by_factor, rate_sources=sources)

    @classmethod
    def from_rates(cls, text: str, *, source: str = "", version: str = "") -> Self:
        """Parse the `rates` of a price; the result has the same `price_id`.

        Raises:
            ValueError: `text` is not a JSON object, has an unknown rate, or a rate is not a decimal string of at
                least 0.
        """
        rates = json.loads(text)
        if not isinstance(rates, dict):
            raise ValueError(f"rates must be a JSON object, not {text}")
        if unknown := sorted(rates.keys() - set(RATES)):
            raise ValueError(f"rates must be among {', '.join(RATES)}, not {', '.join(unknown)}")
        parsed: dict[str, Any] = {name: _rate(name, rate) for name, rate in rates.items()}
        return cls(**parsed, source=source, version=version)


def _rate(name: str, text: object) -> Decimal:
    try:
        rate = Decimal(text) if isinstance(text, str) else None
    except InvalidOperation:
        rate = None
    if rate is None or not rate.is_finite() or rate < 0:
        raise ValueError(f"{name} must be a decimal string of at least 0, not {text!r}")
    return rate


def plain(rate: Decimal) -> str:
    """Format equal amounts equally: no exponent, no trailing zeros."""
    text = f"{rate:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"
