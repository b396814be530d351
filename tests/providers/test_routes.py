"""A name goes to the provider that it names, else to the one that most certainly serves it."""

import re
from collections.abc import Sequence
from itertools import permutations

import pytest
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from hero_broker.core.errors import ModelNotFound
from hero_broker.pricing.catalogue import Catalogue
from hero_broker.pricing.tariff import Tariff
from hero_broker.providers.provider import Provider
from hero_broker.providers.routes import Route, Routes
from hero_broker.settings.known_providers import KNOWN_PROVIDERS

CATALOGUE = Catalogue()
KNOWN = [provider.name for provider in KNOWN_PROVIDERS]
EVERY = list(dict.fromkeys([*KNOWN, *(provider.id for provider in get_snapshot().providers)]))


def provider_of(name: str) -> Provider:
    return Provider(name, "http://127.0.0.1:1/v1", (), stream_usage=True)


def served(*names: str, models: Sequence[Route] = ()) -> Routes:
    return Routes(models, [provider_of(name) for name in names], CATALOGUE)


def resolve(routes: Routes, name: str) -> tuple[str, str, str] | None:
    """Return the provider, its name for the model, and the name in the bill."""
    route = routes.get(name)
    return None if route is None else (route.provider.name, route.upstream_model, route.model)


@pytest.mark.slow
def test_name_that_one_provider_lists_exactly_goes_there_whoever_else_has_a_pattern_for_it() -> None:
    wrong = []
    for first, second in permutations(EVERY, 2):
        routes = served(first, second)
        for model in set(CATALOGUE.models(second)) - set(CATALOGUE.models(first)):
            is_bare = model.partition("/")[0] not in (first, second)
            if is_bare and resolve(routes, model) != (second, model, model):
                wrong.append((first, second, model))

    assert wrong == []


@pytest.mark.slow
def test_provider_and_model_is_that_provider_for_every_name_of_the_list() -> None:
    wrong = [
        (first, second, model)
        for first, second in permutations(EVERY, 2)
        for routes in [served(first, second)]
        for model in CATALOGUE.models(second)
        if (resolve(routes, f"{second}/{model}") or ())[:2] != (second, model)
    ]

    assert wrong == []


@pytest.mark.parametrize("providers", [KNOWN, KNOWN[::-1], EVERY], ids=["known", "reversed", "every"])
@pytest.mark.slow
def test_every_model_of_every_provider_is_listed_once_under_a_name_that_reaches_it(providers: list[str]) -> None:
    routes = served(*providers)

    listed = [(name, provider.name) for name, provider in routes.listed()]

    reached = [resolve(routes, name) or ("", "", "") for name, _ in listed]
    assert [(billed, provider) for provider, _, billed in reached] == listed
    expected = [(provider, model) for provider in providers for model in CATALOGUE.models(provider)]
    assert [(provider, model) for provider, model, _ in reached] == expected
    assert len(set(listed)) == len(listed)


WORDS = st.sampled_from(
    [*EVERY, *sorted({word for one in EVERY for name in CATALOGUE.models(one) for word in name.split("/")})]
)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(EVERY), min_size=1, max_size=6, unique=True),
    st.lists(WORDS | st.text("abc-/.:0123456789", max_size=8), min_size=1, max_size=4).map("/".join),
    st.booleans(),
)
def test_any_name_is_its_owners_or_nobodys_and_is_billed_under_a_name_that_reaches_it(
    providers: list[str], name: str, has_model: bool
) -> None:
    model = Route.to(name, "chat", provider_of(providers[0]), "its own")
    routes = served(*providers, models=[model] if has_model else [])

    route = routes.get(name)

    owner, slash, rest = name.partition("/")
    if has_model:
        assert route is model
    elif route is not None:
        assert route.provider.name in providers
        assert route.upstream_model in (name, rest)
        assert route.tariff is not None
        if slash and rest and owner in providers:
            assert route.provider.name == owner
        assert resolve(routes, route.model) == resolve(routes, name)


@pytest.mark.parametrize(
    ("providers", "name", "expected"),
    [
        pytest.param(
            ["google", "openrouter"],
            "openrouter/anthropic/claude-opus-4.5",
            ("openrouter", "anthropic/claude-opus-4.5", "anthropic/claude-opus-4.5"),
            id="another's pattern occurs in the name",
        ),
        pytest.param(
            ["google", "openrouter"],
            "openrouter/anthropic/claude-sonnet-4",
            ("openrouter", "anthropic/claude-sonnet-4", "anthropic/claude-sonnet-4"),
            id="another has the rest as an alias",
        ),
        pytest.param(
            ["google", "openrouter"],
            "anthropic/claude-sonnet-4",
            ("openrouter", "anthropic/claude-sonnet-4", "anthropic/claude-sonnet-4"),
            id="another's alias",
        ),
        pytest.param(
            ["together", "openrouter"],
            "moonshotai/kimi-k3",
            ("openrouter", "moonshotai/kimi-k3", "moonshotai/kimi-k3"),
            id="another's name in another case",
        ),
        pytest.param(["openrouter", "openai"], "openai/gpt-4o", ("openai", "gpt-4o", "gpt-4o"), id="reseller is first"),
        pytest.param(
            ["openai", "openrouter"],
            "openrouter/openai/gpt-4o",
            ("openrouter", "openai/gpt-4o", "openrouter/openai/gpt-4o"),
            id="the shorter name is another model's",
        ),
        pytest.param(["moonshotai", "groq"], "moonshotai/kimi-k2-instruct", None, id="provider does not serve it"),
        pytest.param(["openai"], "openai/anthropic/claude-sonnet-4", None, id="provider alone does not serve it"),
        pytest.param(
            ["perplexity"],
            "perplexity/glm-5.3",
            ("perplexity", "perplexity/glm-5.3", "perplexity/glm-5.3"),
            id="name begins with its provider's",
        ),
        pytest.param(["perplexity"], "perplexity/sonar", ("perplexity", "sonar", "sonar"), id="both names are listed"),
        pytest.param(
            ["perplexity"],
            "perplexity/perplexity/sonar",
            ("perplexity", "perplexity/sonar", "perplexity/perplexity/sonar"),
            id="the longer of both",
        ),
        pytest.param(
            ["google", "openai"],
            "gpt-4o-2024-08-06",
            ("openai", "gpt-4o-2024-08-06", "gpt-4o-2024-08-06"),
            id="dated name",
        ),
        pytest.param(
            ["anthropic", "google"],
            "claude-haiku-4-5-20251001",
            ("anthropic", "claude-haiku-4-5-20251001", "claude-haiku-4-5-20251001"),
            id="equally sure: the first",
        ),
        pytest.param(["google"], "claude-sonnet-4-5", None, id="Google does not offer Claude to clients of OpenAI"),
        pytest.param(
            ["google", "anthropic"],
            "claude-sonnet-4-5",
            ("anthropic", "claude-sonnet-4-5", "claude-sonnet-4-5"),
            id="Claude is Anthropic's, even if Google comes first",
        ),
        pytest.param(["google"], "vendor/claude-haiku-4-5", None, id="pattern inside a name is no proof"),
        pytest.param(
            ["google"],
            "google/vendor/claude-haiku-4-5",
            ("google", "vendor/claude-haiku-4-5", "google/vendor/claude-haiku-4-5"),
            id="but a price if the provider is named",
        ),
        pytest.param(
            ["azure", "openai"],
            "gpt-4.1",
            ("openai", "gpt-4.1", "gpt-4.1"),
            id="another provider's models are no proof",
        ),
        pytest.param(["azure"], "gpt-4.1", ("azure", "gpt-4.1", "gpt-4.1"), id="unless nobody is surer"),
        pytest.param(["openai"], "openai/", None, id="no model"),
        pytest.param(["openai"], "/gpt-4o", None, id="no provider"),
        pytest.param(["openai"], "x" * 201, None, id="too long"),
    ],
)
def test_name_goes_to_the_provider_that_it_names_or_that_is_surest(
    providers: list[str], name: str, expected: tuple[str, str, str] | None
) -> None:
    assert resolve(served(*providers), name) == expected


def test_caller_learns_under_which_name_another_provider_serves_a_model() -> None:
    with pytest.raises(ModelNotFound, match="groq serves it as 'groq/moonshotai/kimi-k2-instruct'"):
        served("moonshotai", "groq").find("moonshotai/kimi-k2-instruct", "chat")


def test_caller_learns_of_which_kind_a_model_is_and_where_all_are_listed() -> None:
    routes = served(models=[Route.to("fake-chat", "chat", provider_of("fake"), "fake-chat", ("small",))])

    for name in ("fake-chat", "small", "fake/fake-chat"):
        with pytest.raises(ModelNotFound) as refused:
            routes.find(name, "embedding")
        assert refused.value.message == (
            f"The model '{name}' exists for calls of kind chat, not for calls of kind embedding."
            " GET /v1/models lists the models."
        )


def test_caller_with_an_unknown_name_learns_where_the_models_are_listed() -> None:
    for name in ("nothing like it", "gpt-4o" * 100, "\x00"):
        with pytest.raises(ModelNotFound) as refused:
            served("openai").find(name, "chat")
        assert refused.value.message == (f"The model {name[:200]!r} does not exist. GET /v1/models lists the models.")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("gpt-4o-mni", "Did you mean 'gpt-4o-mini', "),
        ("claude-sonet-4-5", "Did you mean 'claude-sonnet-4-5', "),
        ("openai/gtp-4o", "Did you mean 'openai/gpt-4o', "),
        ("LLAMA-3.3-70b-versatil", "Did you mean 'llama-3.3-70b-versatile' "),
        ("My-modle", "Did you mean 'My-model' or 'My-modell'?"),
    ],
)
def test_caller_with_a_misspelled_name_learns_the_nearest_ones_that_can_be_called(name: str, nearest: str) -> None:
    provider = provider_of("local")
    mine = Route.to("My-model", "chat", provider, "m", ("My-modell",))
    other_kind = Route.to("my-modle-2", "embedding", provider, "m")
    routes = served("openai", "anthropic", "groq", "openrouter", models=[mine, other_kind])
    with pytest.raises(ModelNotFound) as refused:
        routes.find(name, "chat")

    assert f"The model {name!r} does not exist. {nearest}" in refused.value.message
    assert refused.value.message.endswith(" GET /v1/models lists the models.")
    for suggested in re.findall(r"'([^']+)'", refused.value.message)[1:]:
        assert routes.find(suggested, "chat")


def test_provider_that_only_models_of_the_settings_name_is_not_another_either() -> None:
    model = Route.to("fake-chat", "chat", provider_of("fake"), "fake-chat")
    routes = served("openrouter", models=[model])

    assert routes.get("fake/fake-chat") is model
    assert routes.get("fake/openai/gpt-4o") is None
    assert [provider.name for provider in routes.every_provider] == ["openrouter", "fake"]


@pytest.mark.parametrize("turn", [1, -1], ids=["first", "last"])
@pytest.mark.parametrize("alias", [False, True], ids=["name", "alias"])
def test_exact_name_wins_over_provider_and_model_of_another_entry(turn: int, alias: bool) -> None:
    stub, other = provider_of("stub"), provider_of("other")
    short = Route.to("m", "chat", stub, "a")
    exact = Route.to("x" if alias else "stub/m", "chat", other, "b", ("stub/m",) if alias else ())

    routes = Routes([short, exact][::turn], [stub, other], CATALOGUE)

    assert routes.get("stub/m") is exact
    assert routes.get("m") is short


def test_name_of_the_settings_hides_the_lists_model_of_that_name() -> None:
    model = Route.to("gpt-4o", "chat", provider_of("openrouter"), "openai/gpt-4o")
    routes = served("openai", "openrouter", models=[model])

    assert routes.get("gpt-4o") is model
    assert resolve(routes, "openai/gpt-4o") == ("openai", "gpt-4o", "openai/gpt-4o")
    assert ("openai/gpt-4o", "openai") in [(name, provider.name) for name, provider in routes.listed()]


def test_upstream_name_of_a_model_is_served_only_where_the_list_knows_it() -> None:
    price = Tariff(())
    model = Route.to("mine", "chat", provider_of("groq"), "unheard-of", (), price)
    listed = Route.to("fast", "chat", provider_of("groq"), "llama-3.3-70b-versatile", (), price)
    routes = served("groq", models=[model, listed])

    assert routes.get("unheard-of") is None
    assert routes.get("groq/unheard-of") is None
    by_list = routes.get("llama-3.3-70b-versatile")
    assert by_list is not None
    assert by_list.tariff is CATALOGUE.tariff("groq", "llama-3.3-70b-versatile")


@pytest.mark.parametrize("name", ["gpt-4o\0", "gpt-4o\x1b[1m", "openai/gpt-4o\r\n", "gpt-4o\u202e"])
def test_name_that_cannot_be_printed_is_no_models_of_the_list(name: str) -> None:
    routes = served("openai", "openrouter")

    assert routes.get(name) is None


@pytest.mark.parametrize(
    ("others", "name", "expected"),
    [
        pytest.param([], "openai/text-embedding-9", ("openai/text-embedding-9", "openai/text-embedding-9"), id="bare"),
        pytest.param([], "openrouter/a/b:free", ("a/b:free", "a/b:free"), id="by its provider"),
        pytest.param(
            ["openai"], "openrouter/openai/new-1", ("openai/new-1", "openrouter/openai/new-1"), id="of another"
        ),
        pytest.param(["openai"], "openai/new-1", None, id="another's"),
        pytest.param([], "new-1", None, id="without an owner"),
    ],
)
def test_model_that_no_list_has_is_served_by_an_aggregator_that_reports_its_costs(
    others: list[str], name: str, expected: tuple[str, str] | None
) -> None:
    aggregator = Provider("openrouter", "https://openrouter.ai/api/v1", (), stream_usage=True)
    routes = Routes([], [*map(provider_of, others), aggregator], CATALOGUE)

    assert resolve(routes, name) == (None if expected is None else ("openrouter", *expected))
    if expected is not None:
        route = routes.get(name)
        assert route is not None
        assert route.tariff is None
        assert resolve(routes, route.model) == ("openrouter", *expected)
