"""Usage × Price → cost."""

from decimal import Decimal
from fractions import Fraction

from hero_broker.core.usage import Usage
from hero_broker.pricing.price import Price

NANO = 1_000_000_000
MS_PER_MINUTE = 60_000

_Part = tuple[Fraction | int, Decimal | None, int]  # units, rate in USD, units that the rate is for


def cost_of(usage: Usage, price: Price, *, ok: bool = True) -> int | None:
    """Price one call's usage, in nano-USD (1e-9 USD), rounded once, half to even; None where a used unit has no rate.

    Every token is charged once: cached, cache-written and audio input are taken out of the input, reasoning and audio
    output out of the output, and are charged as input or output where they have no rate of their own. Characters and
    audio time replace tokens where they have a rate; searches come beside tokens, or replace tokens without a rate.
    Per-request prices and the default search unit are charged to successful calls only (`ok`).
    """
    parts = _unit_parts(usage, price) or [*_search_parts(usage, price, ok), *_token_parts(usage, price)]
    if ok and price.per_request is not None:
        parts.append((1, price.per_request, 1))

    total = Fraction(0)  # exact, also for thirds of a minute
    for units, rate, per in parts:
        if units == 0:
            continue
        if rate is None:
            return None
        total += Fraction(rate) * units / per
    return round(total * NANO)


def _unit_parts(usage: Usage, price: Price) -> list[_Part]:
    """Return what is charged by characters and audio time; empty where tokens or searches are billed instead."""
    parts: list[_Part] = []
    has_tokens = usage.input_tokens is not None or usage.output_tokens is not None
    if usage.characters is not None and (price.characters_per_million is not None or not has_tokens):
        parts.append((usage.characters, price.characters_per_million, 1_000_000))
    if usage.audio_ms is not None and (price.audio_per_minute is not None or not has_tokens):
        minimum_ms = Fraction(price.audio_minimum_s or 0) * 1000
        billed_ms = max(Fraction(usage.audio_ms), minimum_ms) if usage.audio_ms else 0
        parts.append((billed_ms, price.audio_per_minute, MS_PER_MINUTE))
    # Where one of the two has a rate, the other is another measure of the same call.
    return [part for part in parts if part[1] is not None] or parts


def _search_parts(usage: Usage, price: Price, ok: bool) -> list[_Part]:
    has_tokens = usage.input_tokens is not None or usage.output_tokens is not None
    units = usage.search_units
    if price.per_thousand_searches is None:
        return [] if units is None or has_tokens else [(units, None, 1000)]
    if units is None:
        # A price with token rates too bills what was reported: a chat is no search.
        is_counted = has_tokens and price.input_per_million is not None
        units = 1 if ok and not is_counted else 0
    return [(units, price.per_thousand_searches, 1000)]


def _token_parts(usage: Usage, price: Price) -> list[_Part]:
    if price.per_thousand_searches is not None and price.input_per_million is None and price.output_per_million is None:
        return []
    return [
        *_disjoint(
            usage.input_tokens,
            price.input_per_million,
            (usage.cached_input_tokens, price.cached_input_per_million),
            (usage.cache_write_tokens, price.cache_write_per_million),
            (usage.audio_input_tokens, price.audio_input_per_million),
        ),
        *_disjoint(
            usage.output_tokens,
            price.output_per_million,
            (usage.audio_output_tokens, price.audio_output_per_million),
            (usage.reasoning_tokens, price.reasoning_per_million),
        ),
    ]


def _disjoint(total: int | None, rate: Decimal | None, *parts: tuple[int | None, Decimal | None]) -> list[_Part]:
    """Split `total` into parts that never add up to more: cached audio is reported as cached and as audio."""
    left = sum(units or 0 for units, _ in parts) if total is None else total
    split: list[_Part] = []
    for units, own_rate in parts:
        taken = min(units or 0, left)
        left -= taken
        split.append((taken, rate if own_rate is None else own_rate, 1_000_000))
    split.append((left, rate, 1_000_000))
    return split
