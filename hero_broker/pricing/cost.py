"""Computes the cost of a call from its usage and price, and the parts that add up to it."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from hero_broker.core.usage import Usage
from hero_broker.pricing.price import PER, Price

_Line = tuple[str, Fraction | int, str]  # unit, units, name of the rate: a `CostPart` that is cheap to build
# What is measured instead of tokens, and the tokens that it replaces.
_REPLACED = {"characters": "input_tokens", "audio_ms": "audio_input_tokens", "images": "image_output_tokens"}
# A part of the input or the output: unit, count, and the names of its own rate and of the rate that applies without it.
_Included = tuple[str, int, str, str]


@dataclass(frozen=True, slots=True)
class CostPart:
    """One line of a call's bill; the lines of a call are disjoint and add up to its cost."""

    # A count of `Usage`, less what has its own line ("input_tokens" is fresh input), or "request", "duration_ms" and
    # "gpu_ms".
    unit: str
    units: Fraction | int  # as billed, so not below the audio minimum; never 0
    rate_name: str  # the rate of `Price` that applies: "output_per_million" for reasoning that has no rate
    rate: Decimal | None  # USD for `per` units; None if the price has no rate for the unit
    per: int

    @property
    def usd(self) -> Fraction | None:
        """Return the exact amount; None if there is no rate."""
        return None if self.rate is None else Fraction(self.rate) * self.units / self.per


def cost_of(usage: Usage, price: Price, *, ok: bool = True, duration_ms: int = 0) -> int | None:
    """Price one call's usage, in nano-USD (1e-9 USD), rounded once, half to even; None if a used unit has no rate.

    `duration_ms` is the time that the call took. The cost is the sum of `cost_parts`, whose docstring states the rules.
    """
    rates, tokens_in, tokens_out = price.token_rates, usage.input_tokens, usage.output_tokens
    if (
        rates is not None
        and tokens_in is not None
        and tokens_out is not None
        and usage.characters is None
        and usage.audio_ms is None
        and usage.search_units is None
        and usage.images is None
        and not usage.web_searches
        and not usage.file_searches
    ):
        # Without rates of their own, parts of the input and the output are charged as these.
        return _rounded(tokens_in * rates[0] + tokens_out * rates[1], price.scale)
    total: Fraction | int = 0
    for _, units, rate_name in _lines(usage, price, ok, duration_ms):
        rate = price.scaled.get(rate_name)
        if rate is None:
            return None
        total += units * rate
    return _rounded(total, price.scale) if isinstance(total, int) else round(total / price.scale)


def _rounded(total: int, scale: int) -> int:
    """Return `total / scale` rounded half to even, without building a Fraction."""
    whole, rest = divmod(total, scale)
    return whole + (2 * rest > scale or (2 * rest == scale and whole % 2 == 1))


def cost_parts(usage: Usage, price: Price, *, ok: bool = True, duration_ms: int = 0) -> list[CostPart]:
    """Return the lines of one call's bill, except those whose count is 0.

    Every token is charged once: cached, cache-written, audio and image input are subtracted from the input, reasoning,
    audio and image output from the output. They are charged as input or output if they have no rate of their own;
    one-hour cache writes are then charged as other cache writes.
    Characters, audio time and images are charged if they have a rate. Characters then replace the input tokens, audio
    time the audio input tokens, and images the image output tokens; the remaining tokens are charged as well, at the
    rates that the price has. Images without a rate are charged as image output tokens if these are known.
    Search units are charged in addition to tokens, or instead of tokens without a rate. Web and file searches are
    always charged in addition, and so is the time of the call if a price has a rate for it. If a price has only rates
    per request and by time, these cover the whole call. Per-request rates and the default search unit are charged only
    to successful calls (`ok`).
    """
    return [
        CostPart(unit, units, rate_name, getattr(price, rate_name), PER[rate_name])
        for unit, units, rate_name in _lines(usage, price, ok, duration_ms)
    ]


def parts_of_shares(shares: Iterable[tuple[Usage, Price]], *, ok: bool = True) -> list[list[CostPart]]:
    """Return the lines of each share of a call, if its shares have prices of their own; they add up to its cost.

    A price per request is charged in the first share alone, and the time of the call in none.
    """
    return [cost_parts(usage, price, ok=ok and at == 0) for at, (usage, price) in enumerate(shares)]


def _lines(usage: Usage, price: Price, ok: bool, duration_ms: int) -> list[_Line]:
    by_call = _lines_by_call(price, ok, duration_ms)
    if price.is_by_call:
        return by_call

    lines: list[_Line] = []
    measured: list[str] = []
    if usage.characters is not None or usage.audio_ms is not None:
        lines = _measured_lines(usage, price)
        # A reported count of 0 characters does not bill tokens instead.
        measured = [unit for unit, _, rate_name in lines if rate_name in price.scaled]
        lines = [line for line in lines if line[1]]
    if usage.images is not None:
        if price.per_image is not None:
            measured.append("images")
        if usage.images and (price.per_image is not None or not usage.image_output_tokens):
            lines.append(("images", usage.images, "per_image"))
    searches = _billed_searches(usage, price, ok, bool(measured))
    if searches:
        lines.append(("search_units", searches, "per_thousand_searches"))
    if usage.web_searches:
        lines.append(("web_searches", usage.web_searches, "web_searches_per_thousand"))
    if usage.file_searches:
        lines.append(("file_searches", usage.file_searches, "file_searches_per_thousand"))
    lines += _token_lines(usage, price, measured)
    return lines + by_call


def _lines_by_call(price: Price, ok: bool, duration_ms: int) -> list[_Line]:
    """Return the lines of the rates that apply whatever a call used."""
    lines: list[_Line] = []
    if ok and price.per_request is not None:
        lines.append(("request", 1, "per_request"))
    if duration_ms and price.per_second is not None:
        lines.append(("duration_ms", duration_ms, "per_second"))
    if price.per_gpu_second is not None:
        gpu_ms = duration_ms if price.gpus is None else duration_ms * Fraction(price.gpus)
        if gpu_ms:
            lines.append(("gpu_ms", gpu_ms, "per_gpu_second"))
    return lines


def _measured_lines(usage: Usage, price: Price) -> list[_Line]:
    """Return the lines for characters and audio time; empty if tokens are billed instead."""
    lines: list[_Line] = []
    if usage.characters is not None:
        lines.append(("characters", usage.characters, "characters_per_million"))
    if usage.audio_ms is not None:
        lines.append(("audio_ms", _billed_ms(usage.audio_ms, price.audio_minimum_s), "audio_per_minute"))
    priced = [line for line in lines if line[2] in price.scaled]
    # Without a rate, they only measure a call that is billed by something else.
    return priced if priced or _has_tokens(usage) else lines


def _billed_ms(audio_ms: int, minimum_s: Decimal | None) -> Fraction | int:
    if minimum_s is None or audio_ms == 0:
        return audio_ms
    minimum_ms = Fraction(minimum_s) * 1000
    return minimum_ms if audio_ms < minimum_ms else audio_ms


def _has_tokens(usage: Usage) -> bool:
    return usage.input_tokens is not None or usage.output_tokens is not None


def _billed_searches(usage: Usage, price: Price, ok: bool, is_measured: bool) -> int:
    if price.per_thousand_searches is None:
        return 0 if is_measured or _has_tokens(usage) else usage.search_units or 0
    if usage.search_units is not None:
        return usage.search_units
    # If the price also has token rates, reported tokens are billed: a chat is not a search.
    is_counted = is_measured or (_has_tokens(usage) and price.input_per_million is not None)
    return 1 if ok and not is_counted else 0


def _token_lines(usage: Usage, price: Price, measured: list[str]) -> list[_Line]:
    by_search = price.per_thousand_searches is not None
    if by_search and price.input_per_million is None and price.output_per_million is None:
        return []
    lines: list[_Line] = []
    if "characters" not in measured:
        _split(lines, "input_tokens", usage.input_tokens, "input_per_million", _included_input(usage), price)
    _split(lines, "output_tokens", usage.output_tokens, "output_per_million", _included_output(usage), price)
    if measured:
        replaced = {_REPLACED[unit] for unit in measured}
        lines = [line for line in lines if line[2] in price.scaled and line[0] not in replaced]
    return lines


def _included_input(usage: Usage) -> tuple[_Included, ...]:
    """Return the parts of the input, in the order in which they are subtracted from it."""
    for_1h = usage.cache_write_1h_tokens or 0
    written = for_1h if usage.cache_write_tokens is None else usage.cache_write_tokens
    for_1h = min(for_1h, written)
    as_written = "cache_write_per_million"
    return (
        ("cached_input_tokens", usage.cached_input_tokens or 0, "cached_input_per_million", ""),
        ("cache_write_1h_tokens", for_1h, "cache_write_1h_per_million", as_written),
        ("cache_write_tokens", written - for_1h, as_written, ""),
        ("audio_input_tokens", usage.audio_input_tokens or 0, "audio_input_per_million", ""),
        ("image_input_tokens", usage.image_input_tokens or 0, "image_input_per_million", ""),
    )


def _included_output(usage: Usage) -> tuple[_Included, ...]:
    """Return the parts of the output, in the order in which they are subtracted from it."""
    return (
        ("audio_output_tokens", usage.audio_output_tokens or 0, "audio_output_per_million", ""),
        ("image_output_tokens", usage.image_output_tokens or 0, "image_output_per_million", ""),
        ("reasoning_tokens", usage.reasoning_tokens or 0, "reasoning_per_million", ""),
    )


def _split(
    lines: list[_Line], whole: str, total: int | None, rate_name: str, included: tuple[_Included, ...], price: Price
) -> None:
    """Split a count into lines that never add up to more than it: cached audio is reported as cached and as audio."""
    left = sum(part[1] for part in included) if total is None else total
    for unit, count, own, without in included:
        if count and left:
            units = min(count, left)
            known = own if own in price.scaled else without if without in price.scaled else rate_name
            lines.append((unit, units, known))
            left -= units
    if left:
        lines.append((whole, left, rate_name))
