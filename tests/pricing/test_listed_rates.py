"""`prices.list` has the rates of the lists: those of genai-prices, and those that providers' pages name."""

import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice, TieredPrices

from hero_broker.core.inventory import PriceInForce
from hero_broker.pricing.catalogue import Catalogue
from hero_broker.pricing.genai_prices import GenaiPrices
from hero_broker.providers.health import HealthTracker
from hero_broker.providers.inventory import Inventory
from hero_broker.providers.provider import Provider
from hero_broker.providers.routes import Routes
from tests.pricing.test_genai_prices import UNITS
from tests.providers.test_inventory import FrozenClock

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
ROOT = Path(__file__).parents[2]
SUPPLEMENT = ROOT / "hero_broker" / "pricing" / "supplement.toml"
PAGE = ROOT / "docs" / "explanation" / "pricing.md"

# Pages of providers that name a rate.
OPENAI = "https://developers.openai.com/api/docs/pricing"
OPENAI_MODERATION = "https://developers.openai.com/api/docs/models/omni-moderation-latest"
ANTHROPIC = "https://platform.claude.com/docs/en/about-claude/pricing"
XAI = "https://docs.x.ai/developers/pricing"
GOOGLE = "https://ai.google.dev/gemini-api/docs/pricing"
MISTRAL_MODERATION = (
    "https://github.com/mistralai/platform-docs-public/blob/main/src/schema/models/models/mistral-moderation-24-11.ts"
)
# How a page of the provider itself begins.
OWN_PAGES = {
    "openai": "https://developers.openai.com/",
    "anthropic": "https://platform.claude.com/",
    "x-ai": "https://docs.x.ai/",
    "google": "https://ai.google.dev/",
    "mistral": "https://github.com/mistralai/",
    "dashscope": "https://alibabacloud.com/",
}
# Rates of the supplement that neither genai-prices nor a page of the provider has; * stands for all other models.
UNVERIFIED = {
    "cohere": {"*"},
    "voyageai": {"*"},
    "jina": {"*"},
    "sambanova": {"*"},
    "dashscope": {"*"},
    "x-ai": {"grok-imagine-image"},
    "perplexity": {"sonar", "sonar-pro", "sonar-reasoning*"},
}
# Their names in the sentence of the page.
NAMED = {
    "cohere": "Cohere",
    "voyageai": "Voyage AI",
    "jina": "Jina AI",
    "sambanova": "SambaNova",
    "dashscope": "Alibaba",
    "x-ai": "`grok-imagine-image`",
    "perplexity": "Perplexity's searches",
}


class Listed(NamedTuple):
    """A rate, as `prices.list` should have it, and where it comes from."""

    usd: str
    source: str  # the unit's name in genai-prices, or the page of the provider


def chat(into: str, out: str, cached: str | None = None, **others: Listed) -> dict[str, Listed]:
    """Return the rates of a chat model that genai-prices has, and others."""
    rates = {"input_per_million": Listed(into, "input_mtok"), "output_per_million": Listed(out, "output_mtok")}
    if cached is not None:
        rates["cached_input_per_million"] = Listed(cached, "cache_read_mtok")
    return {**rates, **others}


def claude(into: str, out: str, cached: str, written: str, for_1h: str) -> dict[str, Listed]:
    """Return the rates of a model of Anthropic: writes are 1.25 times the input, for an hour twice, reads a tenth."""
    return chat(
        into,
        out,
        cached,
        cache_write_per_million=Listed(written, "cache_write_mtok"),
        cache_write_1h_per_million=Listed(for_1h, "cache_write_1h_mtok"),
        web_searches_per_thousand=Listed("10", "web_searches_kcount"),
    )


SEARCHES = {
    "web_searches_per_thousand": Listed("10", "web_searches_kcount"),
    "file_searches_per_thousand": Listed("2.5", "storage_searches_kcount"),
}
SEARCHES_OF_PAGE = {
    "web_searches_per_thousand": Listed("10", OPENAI),
    "file_searches_per_thousand": Listed("2.5", OPENAI),
}
SEARCHES_OF_XAI = {
    "web_searches_per_thousand": Listed("5", XAI),
    "file_searches_per_thousand": Listed("2.5", XAI),
}
# Provider, model, tier of service, and rates, at noon (UTC) of 30 November 2026.
TABLE: list[tuple[str, str, str | None, Mapping[str, Listed]]] = [
    ("openai", "gpt-5.4", None, chat("2.5", "15", "0.25", **SEARCHES)),
    ("openai", "gpt-5.4", "flex", chat("1.25", "7.5", "0.13", **SEARCHES)),
    ("openai", "gpt-5.4", "priority", chat("5", "30", "0.5", **SEARCHES)),
    ("openai", "gpt-5.4", "fast", chat("5", "30", "0.5", **SEARCHES)),
    ("openai", "gpt-4o", None, chat("2.5", "10", "1.25", **SEARCHES)),
    ("openai", "gpt-4o", "priority", chat("4.25", "17", "2.125", **SEARCHES)),
    (
        "openai",
        "gpt-image-1.5",
        None,
        chat(
            "5",
            "10",
            "1.25",
            image_input_per_million=Listed("8", "input_image_mtok"),
            image_output_per_million=Listed("32", "output_image_mtok"),
            **SEARCHES_OF_PAGE,
        ),
    ),
    (
        "openai",
        "gpt-audio",
        None,
        chat(
            "2.5",
            "10",
            None,
            audio_input_per_million=Listed("32", "input_audio_mtok"),
            audio_output_per_million=Listed("64", "output_audio_mtok"),
            **SEARCHES_OF_PAGE,
        ),
    ),
    ("openai", "text-embedding-3-small", None, {"input_per_million": Listed("0.02", "input_mtok")}),
    ("openai", "tts-1", None, {"characters_per_million": Listed("15", "input_mchars")}),
    ("openai", "omni-moderation-latest", None, {"per_request": Listed("0", OPENAI_MODERATION)}),
    ("anthropic", "claude-opus-5", None, claude("5", "25", "0.5", "6.25", "10")),
    ("anthropic", "claude-opus-5", "fast", claude("10", "50", "1", "12.5", "20")),
    ("anthropic", "claude-sonnet-4-5", None, claude("3", "15", "0.3", "3.75", "6")),
    ("anthropic", "claude-haiku-4-5", None, claude("1", "5", "0.1", "1.25", "2")),
    (
        "google",
        "gemini-2.5-pro",
        None,
        chat("1.25", "10", "0.125", web_searches_per_thousand=Listed("35", "web_searches_kcount")),
    ),
    (
        "google",
        "gemini-3-pro-image-preview",
        None,
        chat(
            "2",
            "12",
            image_output_per_million=Listed("120", "output_image_mtok"),
            web_searches_per_thousand=Listed("14", "web_searches_kcount"),
        ),
    ),
    (
        "google",
        "gemini-2.5-flash-image",
        None,
        chat(
            "0.3",
            "2.5",
            image_output_per_million=Listed("30", "output_image_mtok"),
            web_searches_per_thousand=Listed("35", GOOGLE),
        ),
    ),
    ("x-ai", "grok-4.3", None, chat("1.25", "2.5", "0.2", **SEARCHES_OF_XAI)),
    ("x-ai", "grok-4.7", None, chat("2", "6", "0.5", **SEARCHES_OF_XAI)),
    (
        "perplexity",
        "sonar-deep-research",
        None,
        chat(
            "2",
            "8",
            reasoning_per_million=Listed("3", "output_reasoning_mtok"),
            web_searches_per_thousand=Listed("5", "web_searches_kcount"),
        ),
    ),
    ("perplexity", "r1-1776", None, chat("2", "8")),
    ("groq", "llama-3.3-70b-versatile", None, chat("0.59", "0.79")),
    ("groq", "openai/gpt-oss-120b", None, chat("0.15", "0.6", "0.075")),
    ("mistral", "mistral-large-2512", None, chat("0.5", "1.5", "0.05")),
    (
        "mistral",
        "mistral-moderation-latest",
        None,
        {
            "input_per_million": Listed("0.1", MISTRAL_MODERATION),
            "output_per_million": Listed("0", MISTRAL_MODERATION),
        },
    ),
    ("deepseek", "deepseek-chat", None, chat("0.27", "1.1", "0.07")),
    ("deepseek", "deepseek-v4-pro", None, chat("0.66", "1.98", "0.022")),
    ("cohere", "command-a", None, chat("2.5", "10")),
    ("cohere", "command-r7b", None, chat("0.0375", "0.15")),
    ("voyageai", "voyage-4", None, {"input_per_million": Listed("0.06", "input_mtok")}),
    ("voyageai", "voyage-code-3", None, {"input_per_million": Listed("0.18", "input_mtok")}),
]
LARGE = (
    "anthropic",
    "fireworks",
    "google",
    "groq",
    "mistral",
    "openai",
    "openrouter",
    "perplexity",
    "together",
    "x-ai",
)
MODELS_OF_EACH = 20
# The units of genai-prices that become a rate of another unit, and by what they are divided.
CONVERTED = {
    "input_mchars": ("characters_per_million", 1),
    "audio_hours": ("audio_per_minute", 60),
    "input_audio_hours": ("audio_per_minute", 60),
    "requests_kcount": ("per_request", 1000),
    "rerank_searches_kcount": ("per_thousand_searches", 1),
    **{unit: (rate, 1) for unit, rate in UNITS.items()},
}


@cache
def inventory() -> Inventory:
    names = sorted({provider for provider, *_ in TABLE} | set(LARGE))
    providers = [Provider(name, "http://127.0.0.1:1/v1", (), stream_usage=True) for name in names]
    catalogue, clock = Catalogue(), FrozenClock(int(NOON.timestamp()))
    return Inventory(Routes([], providers, catalogue), HealthTracker(clock), clock, catalogue)


def in_force(provider: str, model: str, tier: str | None = None) -> PriceInForce:
    [price] = [price for price in inventory().prices(f"{provider}/{model}") or [] if price.tier == tier]
    return price


def entry(provider: str, model: str, tier: str | None = None) -> dict[str, Decimal]:
    """Return the rates of a model in the package, for a short context, by the package's names of units."""
    _, listed = get_snapshot().find_provider_model(model, None, provider, None)
    key = next((key for one in listed.price_variants or () for key in one.when if one.when[key] == tier), None)
    found: ModelPrice = listed.get_prices(NOON, None if key is None or tier is None else {key: tier})
    rates = {unit: rate for unit, rate in vars(found).items() if rate is not None}
    return {unit: rate.base if isinstance(rate, TieredPrices) else rate for unit, rate in rates.items()}


def supplement() -> dict[str, Any]:
    return tomllib.loads(SUPPLEMENT.read_text())


@pytest.mark.parametrize(
    ("provider", "model", "tier", "rates"),
    [pytest.param(*row, id=" ".join(str(cell) for cell in row[:3] if cell)) for row in TABLE],
)
def test_price_in_force_is_that_of_the_table(
    provider: str, model: str, tier: str | None, rates: Mapping[str, Listed]
) -> None:
    price = in_force(provider, model, tier)

    assert {rate.rate: rate.value for rate in price.rates} == {name: listed.usd for name, listed in rates.items()}
    for rate in price.rates:
        source = rates[rate.rate].source
        if source.startswith("https://"):
            assert (rate.source, str(rate.version)[:13]) == (source, "supplement 20")
        else:
            assert str(rate.version).startswith("genai-prices ")
            assert entry(provider, model, tier)[source] == Decimal(rate.value)


def test_table_has_twenty_models_of_ten_providers() -> None:
    models = {(provider, model) for provider, model, *_ in TABLE}

    assert len(models) >= 20
    assert len({provider for provider, _ in models}) == 10


@pytest.mark.parametrize("provider", LARGE)
def test_twenty_models_of_a_large_provider_have_the_rates_of_the_package(provider: str) -> None:
    names = sorted(GenaiPrices.installed().models(provider))
    models = names[:: max(1, len(names) // MODELS_OF_EACH)][:MODELS_OF_EACH]

    assert len(models) == MODELS_OF_EACH
    for model in models:
        shown = {rate.rate: Decimal(rate.value) for rate in in_force(provider, model).rates if is_listed(rate.version)}
        listed = entry(provider, model)
        expected = {name: listed[unit] / divisor for unit, (name, divisor) in CONVERTED.items() if unit in listed}
        shown.pop("audio_minimum_s", None)
        assert shown == expected, model


def is_listed(version: str | None) -> bool:
    return str(version).startswith("genai-prices ")


def test_rate_of_the_supplement_is_of_a_page_of_the_provider_or_is_named_as_unverified() -> None:
    content = supplement()
    named = set()
    for table in (*content["prices"], *content["defaults"]):
        provider, model = table["provider"], table.get("model") or table.get("models", "*")
        is_own = provider in OWN_PAGES and table["source"].startswith(OWN_PAGES[provider])
        unverified = UNVERIFIED.get(provider, set())
        if model in unverified or (not is_own and "*" in unverified):
            named.add((provider, model if model in unverified else "*"))
        else:
            assert is_own, (provider, model)

    assert named == {(provider, model) for provider, models in UNVERIFIED.items() for model in models}


def test_page_on_pricing_names_what_is_not_verified() -> None:
    [sentence] = re.findall(r"^Not verified .*$", PAGE.read_text(), re.MULTILINE)

    assert NAMED.keys() == UNVERIFIED.keys()
    assert [provider for provider, name in NAMED.items() if name not in sentence] == []
