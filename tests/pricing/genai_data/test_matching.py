"""A name matches what it matches in genai-prices itself, and a pattern is as sure as what it leaves open."""

from collections.abc import Iterator
from typing import Any

import pytest
from genai_prices.data_snapshot import find_provider_by_id, get_snapshot
from genai_prices.types import ModelInfo, Provider
from hypothesis import given, settings
from hypothesis import strategies as st

from hero_broker.pricing.genai_data.matching import certainty_of, matches, with_dashed_dates
from hero_broker.pricing.genai_data.reader import convert, read_providers
from hero_broker.pricing.genai_data.types import (
    ClauseAnd,
    ClauseContains,
    ClauseEndsWith,
    ClauseEquals,
    ClauseOr,
    ClauseRegex,
    ClauseStartsWith,
    MatchLogic,
)
from hero_broker.pricing.genai_prices import ALIASES, GenaiPrices, build_tariff
from hero_broker.pricing.listing import Certainty

LIST = GenaiPrices.installed()
PROVIDERS = get_snapshot().providers
OURS = {provider.id: provider for provider in read_providers()}


def texts_of(clause: Any) -> Iterator[str]:
    """Yield the texts of a clause, which are names and parts of names."""
    for value in vars(clause).values():
        if isinstance(value, str):
            yield value
        else:
            for each in value:
                yield from texts_of(each)


TEXTS = {
    provider.id: sorted({text for model in provider.models for text in (model.id, *texts_of(model.match))})
    for provider in PROVIDERS
}
EVERY_TEXT = sorted({text for texts in TEXTS.values() for text in texts})


def owner_of(model: ModelInfo) -> Provider:
    """Return the provider of a model object; equal models may stand at several."""
    return next(provider for provider in PROVIDERS if any(model is each for each in provider.models))


def check(provider: Provider, name: str) -> None:
    theirs = provider.find_model(name, all_providers=PROVIDERS)

    ours = LIST.find(provider.id, name)

    expected = None if theirs is None else build_tariff(OURS[provider.id], convert(theirs), "")
    assert (None if ours is None else ours.tariff) == expected, (provider.id, name)
    if ours is not None and theirs is not None and owner_of(theirs) is not provider:
        assert ours.certainty <= Certainty.BEGINS


@pytest.mark.parametrize("provider", [pytest.param(provider, id=provider.id) for provider in PROVIDERS])
def test_every_text_of_a_provider_has_the_price_that_genai_prices_finds(provider: Provider) -> None:
    for text in TEXTS[provider.id]:
        check(provider, text)


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from(PROVIDERS),
    st.sampled_from(EVERY_TEXT),
    st.sampled_from(["", "x/", "openai/", "us.", "ft:"]),
    st.sampled_from(["", "-latest", "-20251211", "-2025-12-11", "-20251341", "-20251211:free", "x"]),
    st.sampled_from([str, str.upper, str.title]),
)
def test_any_name_has_the_price_that_genai_prices_finds(
    provider: Provider, text: str, before: str, behind: str, case: Any
) -> None:
    check(provider, case(f"{before}{text}{behind}"))


@pytest.mark.parametrize(
    "name",
    [
        *(provider.id for provider in PROVIDERS),
        *ALIASES,
        "OpenAI",
        " azure ",
        "google-vertex",
        "aws-bedrock",
        "azure_openai",
        "anthropic-proxy",
        "nobody",
        "",
    ],
)
def test_provider_is_found_as_genai_prices_finds_it(name: str) -> None:
    theirs = find_provider_by_id(PROVIDERS, ALIASES.get(name, name))

    assert list(LIST.models(name)) == ([] if theirs is None else list(LIST.models(theirs.id)))


def test_dates_get_dashes() -> None:
    assert with_dashed_dates("m-20261124") == "m-2026-11-24"
    assert with_dashed_dates("m-20261124-20250101:free") == "m-2026-11-24-2025-01-01:free"
    assert with_dashed_dates("m-20261301-19991231-202611241-x20261124") == "m-20261301-19991231-202611241-x20261124"


NO_SPEECH = ClauseRegex(r"^(?!.*-tts$)")


@pytest.mark.parametrize(
    ("match", "name", "certainty"),
    [
        pytest.param(ClauseEquals("M-1"), "m-1", Certainty.ALIAS, id="equal"),
        pytest.param(ClauseEquals("m-2026-11-24"), "m-20261124", Certainty.ALIAS, id="equal but for the date's dashes"),
        pytest.param(ClauseStartsWith("m-"), "m-1", Certainty.BEGINS, id="start"),
        pytest.param(ClauseContains("M-1"), "m-1-latest", Certainty.BEGINS, id="contained at the start"),
        pytest.param(ClauseContains("m-1"), "reseller/m-1", Certainty.INSIDE, id="contained behind another's name"),
        pytest.param(ClauseEndsWith("M-1"), "m-1", Certainty.ALIAS, id="the end is the whole"),
        pytest.param(ClauseEndsWith("m-1"), "reseller/m-1", Certainty.INSIDE, id="end"),
        pytest.param(ClauseRegex(r"^m-\d$"), "m-1", Certainty.BEGINS, id="regex at the start"),
        pytest.param(ClauseRegex(r"m-\d"), "reseller/m-1", Certainty.INSIDE, id="regex inside"),
        pytest.param(NO_SPEECH, "anything", Certainty.INSIDE, id="regex that only leaves names out"),
        pytest.param(ClauseAnd([ClauseStartsWith("m"), NO_SPEECH]), "m-1", Certainty.BEGINS, id="start without some"),
        pytest.param(ClauseAnd([ClauseContains("m"), NO_SPEECH]), "x/m", Certainty.INSIDE, id="contained without some"),
        pytest.param(ClauseOr([ClauseContains("m"), ClauseEquals("x/m")]), "x/m", Certainty.ALIAS, id="the surest"),
        pytest.param(ClauseOr([ClauseContains("m"), ClauseEquals("y/m")]), "x/m", Certainty.INSIDE, id="that holds"),
    ],
)
def test_pattern_is_as_sure_as_what_it_leaves_open(match: MatchLogic, name: str, certainty: Certainty) -> None:
    assert certainty_of(match, name) is certainty


@pytest.mark.parametrize("clause", [ClauseEquals("M"), ClauseStartsWith("M"), ClauseEndsWith("M"), ClauseContains("M")])
def test_case_of_a_clause_does_not_matter(clause: MatchLogic) -> None:
    assert matches(clause, "m")
    assert not matches(clause, "n")
