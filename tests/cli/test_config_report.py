"""What `check-config` and the start banner say of what would be served."""

from pathlib import Path

import pytest

from hero_broker.cli import config_report
from hero_broker.pricing.catalogue import Catalogue
from hero_broker.server.configured_routes import build_routes
from hero_broker.settings import load
from hero_broker.settings.known_providers import KNOWN_PROVIDERS

CATALOGUE = Catalogue()
PROVIDER = '[[providers]]\nname = "p"\nbase_url = "http://127.0.0.1:1/v1"\n'
MODEL = '[[models]]\nname = "m"\nprovider = "p"\n'


def previewed(tmp_path: Path, text: str, *, fake: bool = False, **environ: str) -> tuple[list[str], list[str]]:
    """Return the lines and the warnings."""
    config = tmp_path / "hero-broker.toml"
    config.write_text(text)
    settings = load(config=config, environ=environ, fake=fake)
    routes = build_routes(settings, "" if fake else None, CATALOGUE)
    return list(config_report.report_lines(settings, routes)), list(config_report.warnings(settings, routes, CATALOGUE))


def test_no_provider_is_warned_of_with_the_variables_that_configure_one(tmp_path: Path) -> None:
    _, warnings = previewed(tmp_path, "")

    assert len(warnings) == 1
    assert [known.variable for known in KNOWN_PROVIDERS if known.variable not in warnings[0]] == []
    assert "[[providers]]" in warnings[0]


def test_providers_without_a_model_are_warned_of(tmp_path: Path) -> None:
    _, warnings = previewed(tmp_path, PROVIDER)

    assert warnings == ["no model is served: the price list knows none of the providers; name models in [[models]]"]


def test_nothing_is_warned_of_where_a_model_is_served(tmp_path: Path) -> None:
    assert previewed(tmp_path, "", fake=True)[1] == []
    assert previewed(tmp_path, "", OPENAI_API_KEY="sk-any")[1] == []


def test_built_in_provider_is_a_provider(tmp_path: Path) -> None:
    lines, _ = previewed(tmp_path, PROVIDER, fake=True)

    assert "provider  fake built in" in lines
    assert "provider  p at http://127.0.0.1:1/v1, 0 keys" in lines


@pytest.mark.parametrize(
    ("wires", "line"),
    [
        ('["anthropic"]', "provider  p at http://127.0.0.1:1/v1, 0 keys, wire anthropic"),
        ('["openai", "anthropic"]', "provider  p at http://127.0.0.1:1/v1, 0 keys, wires openai and anthropic"),
        (
            '{ anthropic = "http://127.0.0.1:2" }',
            "provider  p at http://127.0.0.1:1/v1, 0 keys, wires openai and anthropic at http://127.0.0.1:2/v1",
        ),
    ],
)
def test_other_wires_than_openais_are_printed(tmp_path: Path, wires: str, line: str) -> None:
    lines, _ = previewed(tmp_path, f"{PROVIDER}wires = {wires}\n{MODEL}")

    assert line in lines


@pytest.mark.parametrize(
    ("unpriced", "refused"), [("allow", "are counted as unpriced"), ("refuse", "are refused")], ids=["allow", "refuse"]
)
def test_calls_without_a_price_are_counted_or_refused_as_the_settings_say(
    tmp_path: Path, unpriced: str, refused: str
) -> None:
    by_characters = MODEL.replace('"m"', '"c"') + "[models.price]\ncharacters_per_million = 15\n"
    text = f'{PROVIDER}{MODEL}{by_characters}[billing]\nunpriced = "{unpriced}"\n'

    _, warnings = previewed(tmp_path, text)

    assert warnings == [
        f"models.m: no price is known; its calls {refused}",
        f"models.c: its price has no rate for calls of the kind chat; they {refused}",
    ]


def test_calls_without_a_price_are_refused_where_a_budget_counts_them(tmp_path: Path) -> None:
    budget = '[[limits]]\nname = "day"\nunit = "usd"\namount = 1\nwindow = "day"\n'
    tried = budget.replace("day", "week") + 'mode = "shadow"\n'
    allowing = budget.replace("day", "month") + 'unpriced = "allow"\n'

    _, warnings = previewed(tmp_path, f"{PROVIDER}{MODEL}{budget}{tried}{allowing}")

    assert warnings == [
        "models.m: no price is known; its calls are counted as unpriced, and refused where day counts them"
    ]


def test_doubtful_rate_of_a_tier_is_warned_of(tmp_path: Path) -> None:
    text = f"{PROVIDER}{MODEL}[models.price]\ninput_per_million = 1\noutput_per_million = 2\n"

    _, warnings = previewed(tmp_path, f"{text}[models.price.tiers.flex]\ninput_per_million = 0.0000005\n")

    [warning] = warnings
    assert warning.startswith("models.m.price.tiers.flex: input_per_million = 0.0000005 is lower than")


def test_name_that_hides_another_models_is_warned_of(tmp_path: Path) -> None:
    price = "[models.price]\ninput_per_million = 1\noutput_per_million = 1\n"
    other = '[[models]]\nname = "x"\naliases = ["p/m"]\nprovider = "p"\n'

    _, warnings = previewed(tmp_path, f"{PROVIDER}{MODEL}{price}{other}{price}")
    _, of_itself = previewed(tmp_path, f"{PROVIDER}{MODEL}aliases = ['p/m']\n{price}")

    assert warnings == ["models[1]: p/m is this model, and not provider/model of models[0]"]
    assert of_itself == []


def test_number_of_listed_models_is_that_of_the_list_of_models(tmp_path: Path) -> None:
    lines, _ = previewed(tmp_path, "", OPENAI_API_KEY="sk-any")

    count = len(CATALOGUE.models("openai"))
    assert f"models    {count} at openai that the price list knows; GET /v1/models names them" in lines


LIMIT = '[[limits]]\nname = "l"\nunit = "requests"\namount = 60\nwindow = "minute"\n'


def test_limits_are_printed_as_sentences(tmp_path: Path) -> None:
    lines, warnings = previewed(tmp_path, PROVIDER + MODEL + LIMIT)

    assert "limit     l: at most 60 requests per minute, 60 at once, for all together; it counts all calls" in lines
    assert [one for one in warnings if one.startswith("limits.")] == []


@pytest.mark.parametrize(
    ("fields", "warning"),
    [
        ('match = { model = "x" }', "no model x is served, so the limit bounds nobody"),
        ('match = { model = "n" }', "n is another name of the model m, so the limit bounds nobody"),
        ('match = { ip = "192.0.2.1" }', "no address that may call is in its match, so the limit bounds nobody"),
    ],
)
def test_limits_that_bound_nobody_are_warned_of(tmp_path: Path, fields: str, warning: str) -> None:
    _, warnings = previewed(tmp_path, f'{PROVIDER}{MODEL}aliases = ["n"]\n{LIMIT}{fields}\n')

    assert f"limits.l: {warning}" in warnings
