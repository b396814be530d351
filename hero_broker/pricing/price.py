"""What a provider asks per unit; `pricing.cost` applies it to a call's usage."""

import hashlib
import json
from dataclasses import dataclass, field
from decimal import Decimal

RATES = (
    "input_per_million",
    "output_per_million",
    "cached_input_per_million",
    "cache_write_per_million",
    "reasoning_per_million",
    "audio_input_per_million",
    "audio_output_per_million",
    "characters_per_million",
    "audio_per_minute",
    "audio_minimum_s",
    "per_thousand_searches",
    "per_request",
)


@dataclass(frozen=True, slots=True)
class Price:
    """Rates in USD; None means that the unit has no price, 0 that it is free."""

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
    source: str = ""  # where the rates were read; not part of `price_id`
    price_id: str = field(init=False, compare=False)  # content hash of the rates: brokers agree without talking

    def __post_init__(self) -> None:
        digest = hashlib.sha256(self.rates_json().encode()).hexdigest()[:32]
        object.__setattr__(self, "price_id", digest)

    def rates_json(self) -> str:
        """Return the rates as canonical JSON: known rates only, sorted, as plain decimal strings."""
        rates = {name: _plain(rate) for name in RATES if (rate := getattr(self, name)) is not None}
        return json.dumps(rates, sort_keys=True, separators=(",", ":"))


def _plain(rate: Decimal) -> str:
    """Spell equal amounts equally: no exponent, no trailing zeros."""
    text = f"{rate:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"
