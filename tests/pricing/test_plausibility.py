"""A wrong unit is named; a price that some provider charges is not doubted."""

from decimal import Decimal
from typing import Any

import pytest

from hero_broker.pricing.genai_data.reader import read_providers
from hero_broker.pricing.genai_prices import build_tariff
from hero_broker.pricing.plausibility import price_warnings
from hero_broker.pricing.price import Price

D = Decimal
LISTED = Price(input_per_million=D("0.59"), output_per_million=D("0.79"), audio_per_minute=D("0.006"))


@pytest.mark.parametrize(
    ("rates", "mistake"),
    [
        ({"input_per_million": D("0.00000059")}, "per token instead of per million"),
        ({"output_per_million": D("7.9E-7")}, "per token instead of per million"),
        ({"input_per_million": D("0.00059")}, "per thousand instead of per million"),
        ({"input_per_million": D(590_000)}, "in micro-USD"),
        ({"output_per_million": D(7_900)}, "in thousandths of a USD"),
        ({"cached_input_per_million": D("0.0000003")}, "per token"),
        ({"characters_per_million": D("0.000015")}, "per character instead of per million"),
        ({"characters_per_million": D("0.015")}, "per thousand instead of per million"),
        ({"audio_per_minute": D("0.0000001")}, "per millisecond"),
        ({"per_thousand_searches": D("0.002")}, "per search instead of per thousand"),
        ({"web_searches_per_thousand": D("0.01")}, "per search instead of per thousand"),
        ({"file_searches_per_thousand": D("0.0025")}, "per search instead of per thousand"),
        ({"cache_write_1h_per_million": D("0.000006")}, "per token instead of per million"),
        ({"image_input_per_million": D("0.005")}, "per thousand instead of per million"),
        ({"image_output_per_million": D(4_000)}, "in cents instead of USD"),
        ({"per_image": D(40)}, "per thousand images instead of per image"),
        ({"per_request": D(12)}, "per thousand requests instead of per request"),
        ({"per_second": D(3)}, "per hour instead of per second"),
        ({"per_gpu_second": D("0.0000008")}, "per millisecond instead of per second"),
        ({"per_gpu_second": D("0.05")}, "per minute instead of per second"),
        ({"audio_minimum_s": D(10_000)}, "in milliseconds instead of seconds"),
    ],
)
@pytest.mark.parametrize("listed", [None, Price()], ids=["unlisted", "listed without the rate"])
def test_rate_that_no_model_has_is_doubted(rates: dict[str, Any], mistake: str, listed: Price | None) -> None:
    [sentence] = price_warnings(Price(**rates), listed)

    [name] = rates
    assert sentence.startswith(f"{name} = ")
    assert f"looks entered {mistake}" in sentence


@pytest.mark.parametrize(
    ("rates", "part"),
    [
        ({"input_per_million": D("0.00000059")}, "is 1/1,000,000 of the listed 0.59; it looks entered per token"),
        ({"input_per_million": D(59)}, "is 100 times the listed 0.59; it looks entered in cents"),
        ({"output_per_million": D(790)}, "is 1,000 times the listed 0.79; it looks entered in thousandths"),
        ({"output_per_million": D("0.00079")}, "it looks entered per thousand"),
        ({"audio_per_minute": D("0.36")}, "is 60 times the listed 0.006; it looks entered per hour"),
        ({"audio_per_minute": D("0.0001")}, "is 1/60 of the listed 0.006; it looks entered per second"),
        ({"input_per_million": D(590_000_000_000)}, "looks like the price of something else"),
    ],
)
def test_rate_far_from_the_listed_one_is_doubted(rates: dict[str, Any], part: str) -> None:
    [sentence] = price_warnings(Price(**rates), LISTED)

    assert part in sentence


def test_every_doubtful_rate_has_its_sentence() -> None:
    price = Price(input_per_million=D("0.00000059"), output_per_million=D("0.00000079"))

    assert [sentence.split()[0] for sentence in price_warnings(price, LISTED)] == [
        "input_per_million",
        "output_per_million",
    ]


def test_free_and_near_prices_are_not_doubted() -> None:
    assert (
        price_warnings(Price(input_per_million=D(0), output_per_million=D("0.1"), audio_per_minute=D("0.01")), LISTED)
        == []
    )
    assert price_warnings(Price(input_per_million=D("0.0004")), Price(input_per_million=D("0.0005"))) == []


def test_no_listed_price_is_doubted() -> None:
    doubted = [
        (provider.id, model.id, sentence)
        for provider in read_providers()
        for model in provider.models()
        if (tariff := build_tariff(provider, model, "1")) is not None
        for price in tariff.prices()
        for sentence in price_warnings(price, None)
    ]

    assert doubted == []
