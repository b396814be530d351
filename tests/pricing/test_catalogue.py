"""The operator's price first, then the list's, then the supplement's."""

import subprocess
import sys
from decimal import Decimal

import pytest

from hero_broker.pricing.catalogue import Catalogue
from hero_broker.pricing.price import Price

NOW = 1_795_500_000  # 2026-11-24


def listed(provider: str, model: str, input_tokens: int = 0) -> Price:
    tariff = Catalogue({}).tariff(provider, model)
    assert tariff is not None
    return tariff.price(NOW, input_tokens)


def test_listed_price() -> None:
    price = listed("groq", "llama-3.3-70b-versatile")

    assert price.input_per_million == Decimal("0.59")
    assert price.output_per_million == Decimal("0.79")
    assert price.source


def test_override_wins_at_any_time_and_length() -> None:
    override = Price(input_per_million=Decimal(1))

    tariff = Catalogue({("google", "gemini-2.5-pro"): override}).tariff("google", "gemini-2.5-pro")

    assert tariff is not None
    assert tariff.is_override
    assert tariff.price(NOW, 10**6) is override


def test_public_price_is_known_beside_an_override() -> None:
    catalogue = Catalogue({("groq", "llama-3.3-70b-versatile"): Price(input_per_million=Decimal(1))})

    tariff = catalogue.listed("groq", "llama-3.3-70b-versatile")

    assert tariff is not None
    assert not tariff.is_override
    assert tariff.price(NOW, 0).input_per_million == Decimal("0.59")


def test_tariff_is_made_once() -> None:
    catalogue = Catalogue({})

    assert catalogue.tariff("openai", "gpt-4o") is catalogue.tariff("openai", "gpt-4o")


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        pytest.param("nobody", "gpt-4o", id="provider"),
        pytest.param("groq", "no-such-model", id="model"),
        pytest.param("mistral", "mistral-ocr-2503", id="units that are not metered"),
    ],
)
def test_unknown_has_no_price(provider: str, model: str) -> None:
    catalogue = Catalogue({})

    assert catalogue.tariff(provider, model) is None
    assert not catalogue.knows(provider, model)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        pytest.param("own", "m", id="override"),
        pytest.param("openai", "gpt-4o-2024-08-06", id="dated name"),
        pytest.param("gemini", "gemini-2.5-pro", id="provider by its other name"),
        pytest.param("cohere", "rerank-v3.5", id="supplement"),
        pytest.param("qwen", "QWEN-PLUS", id="supplement by other names"),
    ],
)
def test_priced_models_are_known(provider: str, model: str) -> None:
    assert Catalogue({("own", "m"): Price(input_per_million=Decimal(1))}).knows(provider, model)


def test_audio_is_priced_by_the_minute_with_groqs_minimum() -> None:
    price = listed("groq", "whisper-large-v3")

    assert price.audio_per_minute == Decimal("0.111") / 60
    assert price.audio_minimum_s == 10


def test_audio_that_is_listed_as_input_is_priced() -> None:
    assert listed("mistral", "voxtral-mini-2602").audio_per_minute == Decimal("0.003")


def test_long_context_has_its_own_price() -> None:
    assert listed("google", "gemini-2.5-pro", 200_000).input_per_million == Decimal("1.25")
    assert listed("google", "gemini-2.5-pro", 200_001).input_per_million == Decimal("2.5")


def test_requests_are_priced_singly() -> None:
    assert listed("perplexity", "sonar").per_request == Decimal("0.012")


def test_speech_is_priced_by_characters() -> None:
    assert listed("openai", "tts-1").characters_per_million == Decimal(15)


def test_models_of_list_and_supplement_are_named_in_order() -> None:
    names = Catalogue({}).models("cohere")

    assert {"command-r", "rerank-v3.5"} <= set(names)
    assert list(names) == sorted(set(names))


def test_every_name_is_known() -> None:
    catalogue = Catalogue({})
    providers = ("openai", "groq", "cohere", "dashscope", "sambanova", "voyage", "jina")

    named = [(provider, model) for provider in providers for model in catalogue.models(provider)]

    assert len(named) > 100
    assert [one for one in named if not catalogue.knows(*one)] == []


def test_unknown_provider_has_no_models() -> None:
    assert Catalogue({}).models("nobody") == ()


def test_list_is_not_loaded_for_the_operators_own_prices() -> None:
    script = (
        "import sys\n"
        "from hero_broker.pricing.catalogue import Catalogue\n"
        "from hero_broker.pricing.price import Price\n"
        "assert Catalogue({('own', 'm'): Price()}).knows('own', 'm')\n"
        "assert 'genai_prices' not in sys.modules\n"
    )

    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
