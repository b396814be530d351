"""Tariffs built from the list give the same prices as the list itself."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal

import pytest
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
    Usage,
)
from hypothesis import given
from hypothesis import strategies as st

from hero_broker.pricing.genai_data.reader import convert
from hero_broker.pricing.genai_prices import GenaiPrices, build_tariff
from hero_broker.pricing.listing import Certainty

LIST = GenaiPrices()
CONDITIONAL = [
    (provider.id, model)
    for provider in get_snapshot().providers
    for model in provider.models
    if not isinstance(model.prices, ModelPrice) or "TieredPrices" in repr(model.prices)
]
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
