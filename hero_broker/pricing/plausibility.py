"""Warns about entered prices that look wrong; such a price is used all the same."""

from decimal import Decimal
from typing import NamedTuple

from hero_broker.pricing.price import PER, Price, plain

_OTHER_MONEY = (
    (Decimal(100), "in cents instead of USD"),
    (Decimal(1000), "in thousandths of a USD instead of USD"),
    (Decimal(1_000_000), "in micro-USD instead of USD"),
)


class _Usual(NamedTuple):
    """The usual values of a rate, and the factors by which a wrong unit changes it."""

    low: Decimal  # lower and higher rates are doubted if no list has the model
    middle: Decimal
    high: Decimal
    slips: tuple[tuple[Decimal, str], ...]  # the factor on the right rate, and the mistake
    factor: int = 100  # a rate is doubted if it is the listed one times or divided by this, or further off


def _usual(low: str, middle: str, high: str, *slips: tuple[Decimal, str], factor: int = 100) -> _Usual:
    return _Usual(Decimal(low), Decimal(middle), Decimal(high), (*slips, *_OTHER_MONEY), factor)


def _per_million(low: str, middle: str, high: str, one: str = "token") -> _Usual:
    return _usual(
        low,
        middle,
        high,
        (Decimal("0.000001"), f"per {one} instead of per million"),
        (Decimal("0.001"), "per thousand instead of per million"),
    )


def _per_thousand(low: str, middle: str, high: str) -> _Usual:
    return _usual(low, middle, high, (Decimal("0.001"), "per search instead of per thousand"))


def _per_second(low: str, middle: str, high: str) -> _Usual:
    return _usual(
        low,
        middle,
        high,
        (Decimal("0.001"), "per millisecond instead of per second"),
        (Decimal(60), "per minute instead of per second"),
        (Decimal(3600), "per hour instead of per second"),
        factor=50,
    )


# Facts of genai-prices 0.2.3 (2,330 models), lowest to highest rate in USD. A million tokens: input 0.003 to 150,
# output 0.01 to 600, cached input 0.0011 to 37.5, cache write 0.03125 to 37.5, reasoning 3 to 3, audio input 0.3 to
# 40, audio output 12 to 80, one-hour cache write 0.2 to 60, image input 0.8 to 10, image output 30 to 120. A million
# characters: 15 to 40. A minute of audio: 0.00067 to 0.08. A thousand web searches: 5 to 35, file searches: 2.5. A
# request: 0.012 to 0.014. In the supplement a thousand search units are 2 to 2.5. An image is 0.02 to 0.3 at the
# providers that charge by the image or by its tokens. The bounds leave room for models to come: a factor of 2
# or more below, and of 10 or more above. The time of machines is in no list: a GPU is rented for about 0.2 to 15 USD an
# hour, and a machine has one to eight of them, or none.
_USUAL = {
    "input_per_million": _per_million("0.001", "0.5", "1500"),
    "output_per_million": _per_million("0.003", "2", "6000"),
    "cached_input_per_million": _per_million("0.0005", "0.1", "400"),
    "cache_write_per_million": _per_million("0.001", "1", "400"),
    "reasoning_per_million": _per_million("0.003", "2", "6000"),
    "audio_input_per_million": _per_million("0.01", "5", "400"),
    "audio_output_per_million": _per_million("0.01", "20", "800"),
    "cache_write_1h_per_million": _per_million("0.002", "2", "800"),
    "image_input_per_million": _per_million("0.01", "5", "400"),
    "image_output_per_million": _per_million("0.01", "30", "1200"),
    "characters_per_million": _per_million("0.1", "20", "1000", "character"),
    "audio_per_minute": _usual(
        "0.00005",
        "0.005",
        "1",
        (Decimal(1) / 60_000, "per millisecond instead of per minute"),
        (Decimal(1) / 60, "per second instead of per minute"),
        (Decimal(60), "per hour instead of per minute"),
        factor=50,  # a slip between seconds, minutes and hours is a factor of 60
    ),
    "per_thousand_searches": _per_thousand("0.05", "2", "200"),
    "web_searches_per_thousand": _per_thousand("0.1", "10", "350"),
    "file_searches_per_thousand": _per_thousand("0.05", "2.5", "200"),
    "per_image": _usual("0.0001", "0.04", "1", (Decimal(1000), "per thousand images instead of per image")),
    "per_request": _usual("0.000001", "0.01", "5", (Decimal(1000), "per thousand requests instead of per request")),
    "per_second": _per_second("0.000001", "0.001", "0.5"),
    "per_gpu_second": _per_second("0.00001", "0.0008", "0.02"),
}
_LONGEST_MINIMUM_S = 600


def price_warnings(price: Price, listed: Price | None) -> list[str]:
    """Return the doubts about an entered price: one sentence for each rate, with the likely mistake.

    A rate is compared with the same model's rate in a public list (`listed`), or, if the list has no such rate, with
    the range over all models. A rate of 0 is never doubted.
    """
    warnings = []
    for name in PER:
        rate: Decimal | None = getattr(price, name)
        if rate:
            expected: Decimal | None = None if listed is None else getattr(listed, name)
            sentence = _against_list(name, rate, expected) if expected else _against_all(name, rate)
            if sentence is not None:
                warnings.append(sentence)
    if price.audio_minimum_s is not None and price.audio_minimum_s > _LONGEST_MINIMUM_S:
        warnings.append(
            f"audio_minimum_s = {plain(price.audio_minimum_s)} is more than {_LONGEST_MINIMUM_S} seconds; "
            "it looks entered in milliseconds instead of seconds."
        )
    return warnings


def _against_list(name: str, rate: Decimal, listed: Decimal) -> str | None:
    factor = rate / listed
    if 1 / Decimal(_USUAL[name].factor) < factor < _USUAL[name].factor:
        return None
    times = f"{factor:,.0f} times" if factor > 1 else f"1/{1 / factor:,.0f} of"
    slip, mistake = _likely(name, factor)
    is_close = abs((factor / slip).log10()) < Decimal("0.5")
    guess = f"it looks entered {mistake}" if is_close else "it looks like the price of something else"
    return f"{name} = {plain(rate)} is {times} the listed {plain(listed)}; {guess}."


def _against_all(name: str, rate: Decimal) -> str | None:
    usual = _USUAL[name]
    if usual.low <= rate <= usual.high:
        return None
    side, bound = ("lower", usual.low) if rate < usual.low else ("higher", usual.high)
    _, mistake = _likely(name, rate / usual.middle)
    return f"{name} = {plain(rate)} is {side} than any known price (bound: {plain(bound)}); it looks entered {mistake}."


def _likely(name: str, factor: Decimal) -> tuple[Decimal, str]:
    """Return the mistake that best explains a rate that is `factor` times the expected one."""
    return min(_USUAL[name].slips, key=lambda slip: abs((factor / slip[0]).log10()))
