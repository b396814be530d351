"""What a provider asks per unit; `pricing.cost` applies it to a call's usage."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from math import lcm
from typing import Self

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
    "characters_per_million": 1_000_000,
    "audio_per_minute": 60_000,
    "per_thousand_searches": 1000,
    "per_request": 1,
}
# What a price is written with: its rates in USD, and the least audio that is billed, in seconds.
RATES = (*PER, "audio_minimum_s")


@dataclass(frozen=True, slots=True)
class Price:
    """Rates in USD; None means that the unit has no price, 0 that it is free. Equal rates make equal prices."""

    input_per_million: Decimal | None = None
    output_per_million: Decimal | None = None
    cached_input_per_million: Decimal | None = None  # as input where None, like the next
    cache_write_per_million: Decimal | None = None
    reasoning_per_million: Decimal | None = None  # as output where None
    audio_input_per_million: Decimal | None = None  # as input where None
    audio_output_per_million: Decimal | None = None  # as output where None
    characters_per_million: Decimal | None = None
    audio_per_minute: Decimal | None = None
    audio_minimum_s: Decimal | None = None  # seconds that any audio is billed at least
    per_thousand_searches: Decimal | None = None
    per_request: Decimal | None = None  # for successful calls
    source: str = field(default="", compare=False)  # where the rates were read, mostly a URL
    version: str = field(default="", compare=False)  # which state of that source, such as "genai-prices 0.2.3"
    rates: str = field(init=False, compare=False, repr=False)  # canonical JSON: known rates, sorted, decimal strings
    price_id: str = field(init=False, compare=False)  # content hash of the rates: brokers agree without talking
    # The rates that are known, as integers, so that a cost is a sum of integers: nano-USD per unit, times `scale`.
    scaled: Mapping[str, int] = field(init=False, compare=False, repr=False)
    scale: int = field(init=False, compare=False, repr=False)

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

    @classmethod
    def from_rates(cls, text: str, *, source: str = "", version: str = "") -> Self:
        """Return the price that `rates` writes, with the same `price_id`.

        Raises:
            ValueError: `text` is no JSON object of known rates as decimal strings, none of them negative.
        """
        rates = json.loads(text)
        if not isinstance(rates, dict):
            raise ValueError(f"rates must be a JSON object, not {text}")
        if unknown := sorted(rates.keys() - set(RATES)):
            raise ValueError(f"rates must be among {', '.join(RATES)}, not {', '.join(unknown)}")
        return cls(**{name: _rate(name, rate) for name, rate in rates.items()}, source=source, version=version)


def _rate(name: str, text: object) -> Decimal:
    try:
        rate = Decimal(text) if isinstance(text, str) else None
    except InvalidOperation:
        rate = None
    if rate is None or not rate.is_finite() or rate < 0:
        raise ValueError(f"{name} must be a decimal string of at least 0, not {text!r}")
    return rate


def plain(rate: Decimal) -> str:
    """Spell equal amounts equally: no exponent, no trailing zeros."""
    text = f"{rate:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"
