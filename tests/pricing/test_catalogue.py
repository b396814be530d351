"""The list's price comes first, then the supplement's; each with its certainty about a name."""

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from hero_broker.pricing.catalogue import Catalogue
from hero_broker.pricing.listing import Certainty
from hero_broker.pricing.price import Price

NOW = 1_795_500_000  # 2026-11-24


def listed(provider: str, model: str, input_tokens: int = 0) -> Price:
    tariff = Catalogue().tariff(provider, model)
    assert tariff is not None
    return tariff.price(NOW, input_tokens)


def test_listed_price() -> None:
    price = listed("groq", "llama-3.3-70b-versatile")

    assert price.input_per_million == Decimal("0.59")
    assert price.output_per_million == Decimal("0.79")
    assert price.source


def test_tariff_is_made_once() -> None:
    catalogue = Catalogue()

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
    catalogue = Catalogue()

    assert catalogue.tariff(provider, model) is None
    assert catalogue.find(provider, model) is None


@pytest.mark.parametrize(
    ("provider", "model", "certainty"),
    [
        pytest.param("openai", "gpt-4o", Certainty.NAMED, id="its own name"),
        pytest.param("openai", "GPT-4O", Certainty.ALIAS, id="its own name in another case"),
        pytest.param("openai", "gpt-4o-2024-08-06", Certainty.ALIAS, id="dated name"),
        pytest.param("gemini", "gemini-2.5-pro", Certainty.NAMED, id="provider by its other name"),
        pytest.param("cohere", "command-light", Certainty.BEGINS, id="deprecated"),
        pytest.param("cohere", "rerank-v3.5", Certainty.NAMED, id="supplement"),
        pytest.param("qwen", "QWEN-PLUS", Certainty.ALIAS, id="supplement by other names"),
        pytest.param("google", "anthropic/claude-haiku-4.5", Certainty.INSIDE, id="another's name"),
    ],
)
def test_priced_models_are_known(provider: str, model: str, certainty: Certainty) -> None:
    listing = Catalogue().find(provider, model)

    assert listing is not None
    assert listing.certainty is certainty


@pytest.mark.parametrize(
    ("provider", "model", "usd"),
    [
        pytest.param("openai", "gpt-4o-mini-2024-07-18", "0.15", id="alias"),
        pytest.param("azure", "gpt-4o-mini-2024-07-18", "0.15", id="alias at OpenAI, whose models Azure has"),
        pytest.param("azure", "gpt-4o", "2.5", id="name at OpenAI"),
        pytest.param("azure", "O4-Mini", "1.1", id="own name in another case"),
        pytest.param("dashscope", "qwen-plus", "0.4", id="supplement"),
        pytest.param("openai", "gpt-4o-mini-2024-07-18-tuned", None, id="pattern"),
        pytest.param("azure", "prod-gpt-4o-mini", None, id="deployment"),
    ],
)
def test_exact_names_have_a_tariff_of_their_own(provider: str, model: str, usd: str | None) -> None:
    tariff = Catalogue().tariff_of_name(provider, model)

    assert usd == (None if tariff is None else str(tariff.price(NOW, 0).input_per_million))


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


@pytest.mark.parametrize(
    ("provider", "model", "usd", "version"),
    [
        pytest.param("openai", "gpt-5", "10", "genai-prices", id="listed"),
        pytest.param("openai", "gpt-4.1-nano", "10", "supplement", id="OpenAI"),
        pytest.param("xai", "grok-4.5", "5", "supplement", id="provider by its other name"),
        pytest.param("gemini", "gemini-2.0-flash-lite", "35", "supplement", id="an older model"),
        pytest.param("perplexity", "sonar-pro", "0", "supplement", id="part of the request's fee"),
        pytest.param("perplexity", "sonar-deep-research", "5", "genai-prices", id="no part of a fee"),
    ],
)
def test_web_searches_are_priced(provider: str, model: str, usd: str, version: str) -> None:
    price = listed(provider, model)

    assert price.web_searches_per_thousand == Decimal(usd)
    assert price.source_of("web_searches_per_thousand").version.startswith(version)
    assert price.source_of("input_per_million").version.startswith("genai-prices")


@pytest.mark.parametrize(
    ("provider", "model", "tier", "usd"),
    [
        pytest.param("openai", "gpt-5", None, "1.375", id="ordinary"),
        pytest.param("openai", "gpt-5", "flex", "0.6875", id="tier"),
        pytest.param("dashscope", "qwen-max", None, "0.8", id="supplement"),
        pytest.param("groq", "llama-3.3-70b-versatile", None, "0.59", id="no factor"),
    ],
)
def test_prices_of_a_provider_are_multiplied(provider: str, model: str, tier: str | None, usd: str) -> None:
    catalogue = Catalogue({"openai": Decimal("1.1"), "dashscope": Decimal("0.5")})

    tariff = catalogue.tariff(provider, model)

    assert tariff is not None
    assert tariff.price(NOW, 0, tier).input_per_million == Decimal(usd)


def test_models_of_list_and_supplement_are_named_in_order() -> None:
    names = Catalogue().models("cohere")

    assert {"command-r", "rerank-v3.5"} <= set(names)
    assert list(names) == sorted(set(names))


def test_every_name_is_known() -> None:
    catalogue = Catalogue()
    providers = ("openai", "groq", "cohere", "dashscope", "sambanova", "voyage", "jina")

    named = [(provider, model) for provider in providers for model in catalogue.models(provider)]

    assert len(named) > 100
    assert [one for one in named if catalogue.find(*one) is None] == []


def test_unknown_provider_has_no_models() -> None:
    assert Catalogue().models("nobody") == ()


@pytest.mark.slow
def test_list_is_not_read_for_the_operators_own_prices(tmp_path: Path) -> None:
    config = tmp_path / "own.toml"
    config.write_text('[[models]]\nname = "m"\nprovider = "fake"\n[models.price]\nper_request = 1\n')
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from hero_broker.server.configured_routes import build_routes\n"
        "from hero_broker.pricing.catalogue import Catalogue\n"
        "from hero_broker.pricing.genai_data.reader import read_providers\n"
        "from hero_broker.settings import load\n"
        "served = build_routes(load(config=Path(sys.argv[1]), environ={}, fake=True), '', Catalogue())\n"
        "assert served.get('m').tariff.is_override\n"
        "assert read_providers.cache_info().currsize == 0\n"
    )

    subprocess.run([sys.executable, "-c", script, str(config)], check=True, timeout=60)
