"""Tariffs built from the list give the same prices as the list itself."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal

import pytest
from genai_prices import calc_price
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
    Usage,
)
from hypothesis import given
from hypothesis import strategies as st

from hero_broker.core.money import NANO
from hero_broker.core.usage import Usage as CallUsage
from hero_broker.pricing.cost import cost_of
from hero_broker.pricing.genai_data.reader import convert
from hero_broker.pricing.genai_prices import GenaiPrices, build_tariff
from hero_broker.pricing.listing import Certainty

LIST = GenaiPrices.installed()
CONDITIONAL = [
    (provider.id, model)
    for provider in get_snapshot().providers
    for model in provider.models
    if not isinstance(model.prices, ModelPrice) or "TieredPrices" in repr(model.prices)
]
IN_TIERS = [
    (provider.id, model)
    for provider in get_snapshot().providers
    for model in provider.models
    if any(variant.when.keys() <= {"service_tier", "speed"} for variant in model.price_variants or ())
]
# The list's units, and the rates that they become.
UNITS = {
    "input_mtok": "input_per_million",
    "output_mtok": "output_per_million",
    "cache_read_mtok": "cached_input_per_million",
    "cache_write_mtok": "cache_write_per_million",
    "cache_write_1h_mtok": "cache_write_1h_per_million",
    "output_reasoning_mtok": "reasoning_per_million",
    "input_audio_mtok": "audio_input_per_million",
    "output_audio_mtok": "audio_output_per_million",
    "input_image_mtok": "image_input_per_million",
    "output_image_mtok": "image_output_per_million",
    "web_searches_kcount": "web_searches_per_thousand",
    "storage_searches_kcount": "file_searches_per_thousand",
}
# Rates that are left out: see `genai_prices._price`. The other units are not metered.
LEFT_OUT = {"cache_audio_read_mtok", "cache_image_read_mtok", "output_citation_mtok"}
NOT_METERED = {
    "input_document_kpages",
    "input_annotated_document_kpages",
    "input_video_mtok",
    "output_video_mtok",
    "input_text_messages_kcount",
}
OTHERS = {"audio_hours", "input_audio_hours", "input_mchars", "requests_kcount", "rerank_searches_kcount"}
PROVIDER = convert(Provider(id="p", name="P", api_pattern=""))
RATES = st.decimals(0, 100, places=3)
TIERED = st.builds(
    TieredPrices, base=RATES, tiers=st.lists(st.builds(Tier, start=st.integers(0, 500), price=RATES), max_size=3)
)
ZONES = st.sampled_from([None, UTC, timezone(timedelta(hours=8)), timezone(timedelta(hours=-3, minutes=-30))])
TIMES = st.builds(lambda moment, zone: moment.replace(microsecond=0, tzinfo=zone), st.times(), ZONES)
CONSTRAINTS = st.one_of(
    st.none(),
    st.builds(StartDateConstraint, start_date=st.dates(date(2026, 1, 1), date(2026, 1, 9))),
    st.builds(TimeOfDateConstraint, start_time=TIMES, end_time=TIMES),
)
CONDITIONALS = st.builds(
    ConditionalPrice,
    constraint=CONSTRAINTS,
    prices=st.builds(ModelPrice, input_mtok=RATES | TIERED, output_mtok=RATES | TIERED),
)


@given(
    st.lists(CONDITIONALS, min_size=1, max_size=4),
    st.datetimes(datetime(2026, 1, 1), datetime(2026, 1, 10)),  # noqa: DTZ001 (hypothesis adds no zone to bounds)
    st.integers(0, 600),
)
def test_any_conditions_and_tiers_give_the_same_rates(
    conditionals: list[ConditionalPrice], moment: datetime, input_tokens: int
) -> None:
    started_at = moment.replace(microsecond=0, tzinfo=UTC)
    model = ModelInfo(id="m", match=ClauseEquals("m"), prices=conditionals)
    listed = model.get_prices(started_at).calc_price(Usage(input_tokens=input_tokens, output_tokens=1_000_000))

    tariff = build_tariff(PROVIDER, convert(model), "1")

    assert tariff is not None
    price = tariff.price(int(started_at.timestamp()), input_tokens)
    assert price.output_per_million == listed["output_price"]
    assert price.input_per_million is not None
    assert price.input_per_million * input_tokens / 1_000_000 == listed["input_price"]


@given(
    st.sampled_from(CONDITIONAL),
    st.datetimes(datetime(2023, 1, 1), datetime(2027, 1, 1)),  # noqa: DTZ001
    st.integers(0, 600_000),
)
def test_conditional_prices_of_the_list_are_what_it_charges(
    listed: tuple[str, ModelInfo], moment: datetime, input_tokens: int
) -> None:
    provider, model = listed
    started_at = moment.replace(microsecond=0, tzinfo=UTC)
    expected = model.get_prices(started_at)

    tariff = build_tariff(PROVIDER, convert(model), "1")

    price = None if tariff is None else tariff.price(int(started_at.timestamp()), input_tokens)
    for theirs, ours in (("input_mtok", "input_per_million"), ("cache_read_mtok", "cached_input_per_million")):
        rate = getattr(expected, theirs)
        if isinstance(rate, TieredPrices):
            rate = next((tier.price for tier in reversed(rate.tiers) if input_tokens > tier.start), rate.base)
        assert rate == (None if price is None else getattr(price, ours)), provider


def in_tier(model: ModelInfo, started_at: datetime, tier: str, input_tokens: int) -> dict[str, Decimal]:
    """Return the rates of a tier, as the package selects them."""
    key = next((key for variant in model.price_variants or () for key in variant.when if variant.when[key] == tier), "")
    found = model.get_prices(started_at, {key: tier} if key else None)
    rates = {UNITS[name]: rate for name, rate in vars(found).items() if rate is not None and name in UNITS}
    return {
        name: next((tier.price for tier in reversed(rate.tiers) if input_tokens > tier.start), rate.base)
        if isinstance(rate, TieredPrices)
        else rate
        for name, rate in rates.items()
    }


@given(
    st.sampled_from(IN_TIERS),
    st.sampled_from(["flex", "priority", "fast", "default", "unknown"]),
    st.datetimes(datetime(2026, 6, 1), datetime(2027, 3, 1)),  # noqa: DTZ001
    st.sampled_from([0, 200_000, 200_001, 272_000, 272_001]),
)
def test_tiers_of_service_cost_what_the_list_charges(
    listed: tuple[str, ModelInfo], tier: str, moment: datetime, input_tokens: int
) -> None:
    provider, model = listed
    started_at = moment.replace(microsecond=0, tzinfo=UTC)

    tariff = build_tariff(PROVIDER, convert(model), "1")

    assert tariff is not None
    price = tariff.price(int(started_at.timestamp()), input_tokens, tier)
    ours = {name: rate for name in UNITS.values() if (rate := getattr(price, name)) is not None}
    assert ours == in_tier(model, started_at, tier, input_tokens), provider


def test_list_has_tiers_of_several_providers_and_none_by_the_time_of_day() -> None:
    variants = [variant for _, model in IN_TIERS for variant in model.price_variants or ()]

    assert {provider for provider, _ in IN_TIERS} >= {"openai", "anthropic", "google"}
    assert not any(isinstance(variant.constraint, TimeOfDateConstraint) for variant in variants)


def test_first_price_of_a_tier_that_has_begun_counts() -> None:
    model = ModelInfo(
        id="m",
        match=ClauseEquals("m"),
        prices=ModelPrice(input_mtok=Decimal(10), output_mtok=Decimal(20)),
        price_variants=[
            PriceVariant(
                {"service_tier": "flex"}, ModelPrice(input_mtok=Decimal(4)), StartDateConstraint(date(2026, 6, 2))
            ),
            PriceVariant({"service_tier": "flex"}, ModelPrice(input_mtok=Decimal(5), output_mtok=Decimal(9))),
            PriceVariant({"service_tier": "default"}, ModelPrice(input_mtok=Decimal(1))),
            PriceVariant({"service_tier": "flex", "processing": "batch"}, ModelPrice(input_mtok=Decimal(1))),
            PriceVariant({"processing": "batch"}, ModelPrice(input_mtok=Decimal(1))),
            PriceVariant({"speed": "fast"}, ModelPrice(input_mtok=Decimal(1)), TimeOfDateConstraint(time(9), time(10))),
        ],
    )
    june = int(datetime(2026, 6, 2, tzinfo=UTC).timestamp())

    tariff = build_tariff(PROVIDER, convert(model), "1")

    assert tariff is not None
    assert tariff.tiers(june) == ("flex",)
    before, after = (tariff.price(moment, 0, "flex") for moment in (june - 1, june))
    assert (before.input_per_million, before.output_per_million) == (Decimal(5), Decimal(9))
    assert (after.input_per_million, after.output_per_million) == (Decimal(4), Decimal(9))
    assert tariff.price(june, 0, "default").input_per_million == 10


def test_every_unit_of_the_list_is_priced_or_left_out_on_purpose() -> None:
    listed = set()
    for provider in get_snapshot().providers:
        for model in provider.models:
            conditional = (
                [model.prices] if isinstance(model.prices, ModelPrice) else [one.prices for one in model.prices]
            )
            variants = [variant.prices for variant in model.price_variants or ()]
            listed |= {name for prices in (*conditional, *variants) for name, rate in vars(prices).items() if rate}

    assert listed - UNITS.keys() - OTHERS == LEFT_OUT | NOT_METERED


def test_citations_cost_what_the_input_costs() -> None:
    prices = [model.prices for provider in get_snapshot().providers for model in provider.models]
    citing = [vars(one) for one in prices if isinstance(one, ModelPrice) and vars(one).get("output_citation_mtok")]

    assert citing
    assert all(one["output_citation_mtok"] == one["input_mtok"] for one in citing)


@pytest.mark.parametrize(
    ("provider", "model", "context", "units"),
    [
        pytest.param("openai", "gpt-5", {}, {"cache_read_tokens": 400, "web_searches": 2}, id="search"),
        pytest.param("openai", "gpt-5", {"service_tier": "flex"}, {"storage_searches": 3}, id="flex"),
        pytest.param("openai", "gpt-5", {"service_tier": "priority"}, {"cache_read_tokens": 900}, id="priority"),
        pytest.param("openai", "gpt-4o", {"service_tier": "default"}, {"web_searches": 1}, id="default"),
        pytest.param("openai", "gpt-image-1", {}, {"input_image_tokens": 700}, id="image in"),
        pytest.param(
            "openai", "gpt-image-1.5", {}, {"input_image_tokens": 700, "output_image_tokens": 200}, id="images"
        ),
        pytest.param("anthropic", "claude-sonnet-4-5", {}, {"cache_write_tokens": 300}, id="cache write"),
        pytest.param(
            "anthropic",
            "claude-opus-4-6",
            {},
            {"cache_write_tokens": 300, "cache_write_1h_tokens": 200, "cache_read_tokens": 100, "web_searches": 1},
            id="one-hour cache write",
        ),
        pytest.param("google", "gemini-3-pro-image-preview", {}, {"output_image_tokens": 250}, id="image out"),
        pytest.param("google", "gemini-2.5-pro", {}, {"cache_read_tokens": 20}, id="gemini"),
        pytest.param("deepseek", "deepseek-chat", {}, {"cache_read_tokens": 700}, id="deepseek"),
        pytest.param("mistral", "mistral-large-latest", {}, {}, id="mistral"),
        pytest.param("perplexity", "sonar-pro", {}, {}, id="request"),
        pytest.param(
            "perplexity",
            "sonar-deep-research",
            {},
            {"output_reasoning_tokens": 150, "web_searches": 10},
            id="reasoning",
        ),
    ],
)
def test_package_computes_the_same_cost(
    provider: str, model: str, context: dict[str, str], units: dict[str, int]
) -> None:
    moment = datetime(2026, 11, 28, 12, tzinfo=UTC)
    listing = LIST.find(provider, model)
    assert listing is not None
    ours = {
        {
            "cache_read_tokens": "cached_input_tokens",
            "input_image_tokens": "image_input_tokens",
            "output_image_tokens": "image_output_tokens",
            "output_reasoning_tokens": "reasoning_tokens",
            "storage_searches": "file_searches",
        }.get(name, name): count
        for name, count in units.items()
    }

    price = listing.tariff.price(int(moment.timestamp()), 1000, context.get("service_tier"))
    cost = cost_of(CallUsage(input_tokens=1000, output_tokens=250, **ours), price)

    theirs = calc_price(
        Usage(input_tokens=1000, output_tokens=250, **units),
        model,
        provider_id=provider,
        genai_request_timestamp=moment,
        price_context=context or None,
    )
    assert cost == round(theirs.total_price * NANO)


@pytest.mark.parametrize("provider", [provider.id for provider in get_snapshot().providers])
def test_every_model_that_is_named_is_priced(provider: str) -> None:
    names = list(LIST.models(provider))

    assert names
    assert [name for name in names if LIST.find(provider, name) is None] == []


def test_names_are_what_the_provider_takes() -> None:
    assert "accounts/fireworks/models/kimi-k3" in LIST.models("fireworks")  # listed under the heading "kimi-k3"
    assert "ft:gpt-3.5-turbo-" not in LIST.models("openai")  # the start of names


def test_deprecated_models_are_priced_and_not_named() -> None:
    assert LIST.find("cohere", "command-light") is not None
    assert "command-light" not in LIST.models("cohere")


def test_prices_say_where_they_come_from() -> None:
    listing = LIST.find("groq", "llama-3.3-70b-versatile")

    assert listing is not None
    assert listing.tariff.price(0, 0).source.startswith("https://")
    assert listing.tariff.price(0, 0).version.startswith("genai-prices 0.")


def test_provider_without_a_page_has_the_list_as_source() -> None:
    model = ModelInfo(id="m", match=ClauseEquals("m"), prices=ModelPrice(input_mtok=Decimal(1)))

    tariff = build_tariff(PROVIDER, convert(model), "1")

    assert tariff is not None
    assert tariff.price(0, 0).source == "genai-prices"
    assert build_tariff(PROVIDER, convert(ModelInfo(id="m", match=ClauseEquals("m"))), "1") is None


def test_time_of_day_is_read_in_its_zone() -> None:
    zone = timezone(timedelta(hours=8))
    model = ModelInfo(
        id="m",
        match=ClauseEquals("m"),
        prices=[
            ConditionalPrice(prices=ModelPrice(input_mtok=Decimal(1))),
            ConditionalPrice(
                TimeOfDateConstraint(time(9, tzinfo=zone), time(12, tzinfo=zone)),
                prices=ModelPrice(input_mtok=Decimal(2)),
            ),
        ],
    )

    tariff = build_tariff(PROVIDER, convert(model), "1")

    assert tariff is not None
    assert tariff.price(1 * 3600, 0).input_per_million == 2  # 09:00 there is 01:00 UTC
    assert tariff.price(4 * 3600, 0).input_per_million == 1


def test_name_that_is_found_among_another_providers_models_is_not_listed_exactly() -> None:
    own, theirs = LIST.find("azure", "o3-2025-04-16"), LIST.find("azure", "gpt-4.1")

    assert own is not None
    assert theirs is not None
    assert (own.certainty, theirs.certainty) == (Certainty.ALIAS, Certainty.BEGINS)
