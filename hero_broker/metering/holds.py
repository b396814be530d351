"""Bounds what a call may use before it is made: what budgets set aside for it while it runs.

No bound holds for what cannot be known before: images and files that a request names by their URL, searches and tools
of the provider, the time that a call takes, and a provider that charges more than its list price.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import msgspec

from hero_broker.core.usage import Usage
from hero_broker.kinds.json_body import MAX_DIGITS
from hero_broker.kinds.kind import Kind, Measured, Request
from hero_broker.kinds.typical import is_priced
from hero_broker.pricing.price import Price
from hero_broker.pricing.tariff import Tariff

_INPUT_RATES = (
    "input_per_million",
    "cached_input_per_million",
    "cache_write_per_million",
    "cache_write_1h_per_million",
    "audio_input_per_million",
    "image_input_per_million",
)
_OUTPUT_RATES = ("output_per_million", "reasoning_per_million", "audio_output_per_million", "image_output_per_million")
MAX_COPIES = 128  # of an output; providers allow no more
MAX_NUMBER_BYTES = 64  # of a number that is not only digits; a longer one counts as huge
_HUGE: int = 10**MAX_DIGITS


@dataclass(frozen=True, slots=True)
class BoundRule:
    """How the size of a request bounds what it uses."""

    bytes_per_token: int  # of input; tokenizers that fall back to bytes have at most one token for each
    audio_bytes_per_s: int  # the lower it is, the longer is audio of unknown duration
    output_tokens: int  # of a request that does not bound them


# The words of `limits.limit.HOLDS`.
BOUND_RULES = {
    "worst": BoundRule(bytes_per_token=1, audio_bytes_per_s=750, output_tokens=131_072),
    "safe": BoundRule(bytes_per_token=2, audio_bytes_per_s=2000, output_tokens=4096),
    "mean": BoundRule(bytes_per_token=4, audio_bytes_per_s=16_000, output_tokens=4096),
}


class UsageBound(NamedTuple):
    """What a call may use."""

    cost_nano_usd: int | None  # None: some target has no price for the call
    input_tokens: int
    output_tokens: int


def usage_bound(
    kind: Kind,
    request: Request,
    tariffs: Sequence[Tariff | None],
    started_at: int,
    rule: BoundRule | None,
    max_output_tokens: int | None = None,
) -> UsageBound:
    """Return what a call may use at the dearest of its targets; nothing without a rule, but whether it has a price.

    `max_output_tokens` is the most that the model can answer, or with the rule "mean" what it answers on average, if it
    is known.
    """
    known = [tariff for tariff in tariffs if tariff is not None and is_priced(tariff, kind.name)]
    has_price = len(known) == len(tariffs)
    if rule is None:
        return UsageBound(0 if has_price else None, 0, 0)
    tokens = max(1, -(-request.input_bytes // rule.bytes_per_token))
    audio_ms = -(-request.input_bytes * 1000 // rule.audio_bytes_per_s)
    output = output_bound(kind, request, rule, max_output_tokens)
    size = Measured(tokens, output, audio_ms)
    cost = tokens_in = tokens_out = 0
    for price in (price for tariff in known for price in tariff.possible_prices(started_at, tokens)):
        usage = _usage(kind, request, price, size)
        cost = max(cost, highest_cost(usage, price))
        tokens_in, tokens_out = max(tokens_in, usage.input_tokens or 0), max(tokens_out, usage.output_tokens or 0)
    if not known:
        usage = _usage(kind, request, None, size)
        tokens_in, tokens_out = usage.input_tokens or 0, usage.output_tokens or 0
    return UsageBound(cost if has_price else None, tokens_in, tokens_out)


def output_bound(kind: Kind, request: Request, rule: BoundRule, max_output_tokens: int | None = None) -> int:
    """Return how many tokens the output may have."""
    unbounded = rule.output_tokens if max_output_tokens is None else max_output_tokens
    if not kind.output_bounds:
        return unbounded if kind.measures_audio else 0
    # Of two bounds, each provider takes another one. To many, 0 is no bound.
    tokens = max((_count(request, name) for name in kind.output_bounds), default=0) or unbounded
    if max_output_tokens is not None:
        tokens = min(tokens, max_output_tokens)
    copies = max((_count(request, name) for name in kind.output_copies), default=0) or 1
    return tokens * min(copies, MAX_COPIES)


def most_output(kind: Kind, request: Request, max_output_tokens: int | None = None) -> int | None:
    """Return how many tokens the output can have by the request, or as the model answers; None if nothing says so."""
    if not any(_count(request, name) for name in kind.output_bounds) and max_output_tokens is None:
        return None
    return output_bound(kind, request, BOUND_RULES["safe"], max_output_tokens)


def highest_output_cost(
    request: Request, tariffs: Sequence[Tariff | None], started_at: int, rule: BoundRule, tokens: int
) -> int:
    """Return what so many tokens of output cost at most, in nano-USD, rounded up; targets without a price cost 0."""
    read = max(1, -(-request.input_bytes // rule.bytes_per_token))
    prices = (price for one in tariffs if one is not None for price in one.possible_prices(started_at, read))
    rates = ((max(price.scaled.get(name, 0) for name in _OUTPUT_RATES), price.scale) for price in prices)
    return max((-(-tokens * rate // scale) for rate, scale in rates), default=0)


def highest_cost(usage: Usage, price: Price) -> int:
    """Return what usage costs at most, in nano-USD, rounded up: all input and output at the dearest of their rates."""
    rates, scaled = price.token_rates, price.scaled
    if rates is not None and usage.characters is None and usage.audio_ms is None and usage.search_units is None:
        return -(-((usage.input_tokens or 0) * rates[0] + (usage.output_tokens or 0) * rates[1]) // price.scale)
    total: int | Fraction = (usage.input_tokens or 0) * max(scaled.get(name, 0) for name in _INPUT_RATES)
    total += (usage.output_tokens or 0) * max(scaled.get(name, 0) for name in _OUTPUT_RATES)
    total += (usage.characters or 0) * scaled.get("characters_per_million", 0)
    if usage.audio_ms:
        minimum_ms = Fraction(price.audio_minimum_s or 0) * 1000
        total += max(Fraction(usage.audio_ms), minimum_ms) * scaled.get("audio_per_minute", 0)
    total += (usage.search_units or 0) * scaled.get("per_thousand_searches", 0)
    total += scaled.get("per_request", 0)
    return -int(-total // price.scale)


def _usage(kind: Kind, request: Request, price: Price | None, size: Measured) -> Usage:
    known = kind.usage_by_request(request, price)
    return kind.estimate(request, price, size) if known is None else known


def _count(request: Request, name: str) -> int:
    """Return a member that a provider may read as a number, rounded up; 0 if it is missing or something else.

    Many providers read 1e5, 100000.0 and "100000" as they read 100000.
    """
    raw = bytes(request.body.members.get(name, b""))
    if raw.isdigit():
        return int(raw[:MAX_DIGITS])
    if len(raw) > MAX_NUMBER_BYTES:
        return _HUGE
    try:
        number = float(msgspec.json.decode(raw, type=float | str))
    except ValueError:  # `DecodeError` too
        return 0
    return math.ceil(min(number, _HUGE)) if number > 0 else 0
