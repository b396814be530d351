"""The operator's price first, then the list's."""

from decimal import Decimal

import pytest

from hero_broker.pricing.catalogue import Catalogue
from hero_broker.pricing.price import Price


def listed(provider: str, model: str) -> Price:
    price = Catalogue({}).price(provider, model)
    assert price is not None
    return price


def test_listed_price() -> None:
    price = listed("groq", "llama-3.3-70b-versatile")

    assert price.input_per_million == Decimal("0.59")
    assert price.output_per_million == Decimal("0.79")
    assert price.source


def test_override_wins() -> None:
    override = Price(input_per_million=Decimal(1))

    catalogue = Catalogue({("groq", "llama-3.3-70b-versatile"): override})

    assert catalogue.price("groq", "llama-3.3-70b-versatile") is override


def test_price_is_resolved_once() -> None:
    catalogue = Catalogue({})

    assert catalogue.price("openai", "gpt-4o") is catalogue.price("openai", "gpt-4o")


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        pytest.param("nobody", "gpt-4o", id="provider"),
        pytest.param("groq", "no-such-model", id="model"),
        pytest.param("mistral", "mistral-ocr-2503", id="units that are not metered"),
    ],
)
def test_unknown_has_no_price(provider: str, model: str) -> None:
    assert Catalogue({}).price(provider, model) is None


def test_audio_is_priced_by_the_minute_with_groqs_minimum() -> None:
    price = listed("groq", "whisper-large-v3")

    assert price.audio_per_minute == Decimal("0.111") / 60
    assert price.audio_minimum_s == 10


def test_audio_that_is_listed_as_input_is_priced() -> None:
    assert listed("mistral", "voxtral-mini-2602").audio_per_minute == Decimal("0.003")


def test_tiers_give_their_base() -> None:
    assert listed("google", "gemini-2.5-pro").input_per_million == Decimal("1.25")


def test_requests_are_priced_singly() -> None:
    assert listed("perplexity", "sonar").per_request == Decimal("0.012")


def test_speech_is_priced_by_characters() -> None:
    assert listed("openai", "tts-1").characters_per_million == Decimal(15)
