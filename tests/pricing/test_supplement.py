"""Every price in the supplement has its source and date, and a plausible size."""

import tomllib
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.resources import files
from typing import Any

import pytest

from hero_broker.pricing.genai_prices import GenaiPrices
from hero_broker.pricing.plausibility import price_warnings
from hero_broker.pricing.price import RATES, Price, RateSource
from hero_broker.pricing.supplement import Supplement
from hero_broker.pricing.tariff import Tariff

TEXT = (files("hero_broker.pricing") / "supplement.toml").read_text(encoding="utf-8")
ENTRIES: list[dict[str, Any]] = tomllib.loads(TEXT, parse_float=Decimal)["prices"]
DEFAULTS: list[dict[str, Any]] = tomllib.loads(TEXT, parse_float=Decimal)["defaults"]
CHAT = Price(Decimal(1), Decimal(2), source="list", version="1")
GOOD = """
[[prices]]
provider = "p"
model = "M"
input_per_million = 1
source = "https://example.com/"
checked = 2026-11-24
"""


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry['provider']}-{entry['model']}")
def test_entry_has_source_date_and_usual_rates(entry: dict[str, Any]) -> None:
    listing = Supplement.load().find(entry["provider"], entry["model"])

    assert entry["source"].startswith("https://")
    assert date(2025, 1, 1) <= entry["checked"] <= datetime.now(UTC).date()
    assert entry.keys() & set(RATES)
    assert listing is not None
    for price in listing.tariff.prices():
        assert price.scaled
        assert price_warnings(price, None) == []
        assert price.source == entry["source"]
        assert price.version == f"supplement {entry['checked']}"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry['provider']}-{entry['model']}")
def test_entry_is_not_in_genai_prices(entry: dict[str, Any]) -> None:
    assert GenaiPrices.installed().find(entry["provider"], entry["model"]) is None


@pytest.mark.parametrize("entry", DEFAULTS, ids=lambda entry: f"{entry['provider']}-{entry.get('models', '*')}")
def test_default_has_source_date_and_usual_rates_and_reaches_its_models(entry: dict[str, Any]) -> None:
    model = entry.get("models", "any").replace("*", "-any")

    tariff = Supplement.load().with_defaults(entry["provider"], model, Tariff.fixed(CHAT))

    price = tariff.price(0, 0)
    assert date(2025, 1, 1) <= entry["checked"] <= datetime.now(UTC).date()
    assert price_warnings(price, None) == []
    for name in entry.keys() & set(RATES):
        assert getattr(price, name) == entry[name]
        assert price.source_of(name) == RateSource(entry["source"], f"supplement {entry['checked']}")
    assert price.source_of("input_per_million") == RateSource("list", "1")


DEFAULT = """
[[defaults]]
provider = "p"
models = "Big-*"
input_per_million = 9
web_searches_per_thousand = 10
source = "https://example.com/"
checked = 2026-11-24
[[defaults]]
provider = "p"
web_searches_per_thousand = 5
source = "https://example.com/"
checked = 2026-11-24
[[defaults]]
provider = "q"
models = "one"
per_image = 1
source = "https://example.com/"
checked = 2026-11-24
"""


@pytest.mark.parametrize(
    ("provider", "model", "price", "searches"),
    [
        pytest.param("p", "BIG-1", CHAT, Decimal(10), id="start of the name"),
        pytest.param("p", "small", CHAT, Decimal(5), id="any model"),
        pytest.param("q", "small", CHAT, None, id="another model"),
        pytest.param("r", "big-1", CHAT, None, id="another provider"),
        pytest.param("p", "big-1", Price(Decimal(1)), None, id="no output"),
        pytest.param(
            "p",
            "big-1",
            Price(Decimal(1), Decimal(2), web_searches_per_thousand=Decimal(0)),
            Decimal(0),
            id="its own rate",
        ),
    ],
)
def test_first_default_that_matches_gives_the_rates_that_a_price_lacks(
    provider: str, model: str, price: Price, searches: Decimal | None
) -> None:
    tariff = Tariff.fixed(price, {"flex": price})

    found = Supplement.parse(DEFAULT).with_defaults(provider, model, tariff)

    for one in (found.price(0, 0), found.price(0, 0, "flex")):
        assert one.web_searches_per_thousand == searches
        assert (one.input_per_million, one.output_per_million) == (price.input_per_million, price.output_per_million)


def test_default_without_a_star_is_of_one_model() -> None:
    supplement = Supplement.parse(DEFAULT)

    with_images = [supplement.with_defaults("q", name, Tariff.fixed(CHAT)).price(0, 0) for name in ("ONE", "one-more")]

    assert [price.per_image for price in with_images] == [1, None]


def test_fault_of_a_default_is_named() -> None:
    with pytest.raises(ValueError, match=r"defaults\[3\] \(q one\): per_picture is not a rate"):
        Supplement.parse(DEFAULT.replace("per_image", "per_picture"))


def test_newest_price_is_that_of_the_last_check() -> None:
    assert Supplement.parse("").newest_price() is None
    assert Supplement.parse(GOOD + DEFAULT.replace("2026-11-24", "2026-11-25")).newest_price() == date(2026, 11, 25)


def test_model_is_found_in_any_case_and_its_provider_by_other_names() -> None:
    supplement = Supplement.load()

    assert supplement.find("sambanova", "gpt-OSS-120b") is not None
    assert supplement.find("alibaba", "qwen-plus") == supplement.find("dashscope", "qwen-plus")
    assert supplement.find("openai", "rerank-v3.5") is None


def test_names_keep_their_case() -> None:
    assert "Meta-Llama-3.3-70B-Instruct" in Supplement.load().models("sambanova")
    assert list(Supplement.load().models("nobody")) == []


def test_rate_that_is_not_repeated_above_a_threshold_stays() -> None:
    text = GOOD + "output_per_million = 2.5\n[[prices.above]]\ninput_tokens = 1000\ninput_per_million = 3\n"

    listing = Supplement.parse(text).find("p", "m")

    assert listing is not None
    assert listing.tariff.price(0, 1000).input_per_million == 1
    assert listing.tariff.price(0, 1001).input_per_million == 3
    assert listing.tariff.price(0, 1001).output_per_million == Decimal("2.5")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param(GOOD.replace('provider = "p"', ""), "provider must be a non-empty string", id="provider"),
        pytest.param(GOOD.replace('"M"', "1"), "model must be a non-empty string", id="model"),
        pytest.param(GOOD.replace("https:", "http:"), "source must be an https URL", id="source"),
        pytest.param(GOOD.replace("2026-11-24", "2026-11-24T00:00:00"), "checked must be a date", id="checked"),
        pytest.param(GOOD.replace("input_per_million = 1", ""), "has no rate", id="no rate"),
        pytest.param(
            GOOD.replace("input_per_million = 1", "audio_minimum_s = 10"), "has no rate", id="nothing but a minimum"
        ),
        pytest.param(GOOD.replace("input_per_million", "input_per_token"), "input_per_token is not a rate", id="rate"),
        pytest.param(GOOD.replace("= 1", "= -1"), "input_per_million must be a number", id="negative"),
        pytest.param(GOOD.replace("= 1", "= nan"), "input_per_million must be a number", id="no amount"),
        pytest.param(GOOD.replace("= 1", "= true"), "input_per_million must be a number", id="no number"),
        pytest.param(GOOD + GOOD, r"prices\[2\] \(p M\): is given twice", id="twice"),
        pytest.param(GOOD + "[[prices.above]]\ninput_per_million = 3\n", "above.input_tokens must be", id="threshold"),
        pytest.param(GOOD + "[[prices.above]]\ninput_tokens = 5\n", "has no rate", id="threshold without a rate"),
    ],
)
def test_fault_is_named(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Supplement.parse(text)


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"model must be a non-empty string\n.*checked must be a date"):
        Supplement.parse(GOOD.replace('"M"', '""').replace("2026-11-24", "1"))


def test_models_that_a_provider_does_not_offer_are_known_by_their_start() -> None:
    text = '[[not_offered]]\nprovider = "google"\nmodels = "Claude*"\nsource = "https://x"\nchecked = 2026-11-30'
    supplement = Supplement.parse(text)

    assert [supplement.offers(*one) for one in (("google", "claude-x"), ("gemini", "CLAUDE-y"))] == [False, False]
    assert [supplement.offers(*one) for one in (("google", "gemini-x"), ("anthropic", "claude-x"))] == [True, True]
    with pytest.raises(ValueError, match=r"not_offered\[1\] \(google Claude\*\): must have no rates"):
        Supplement.parse(text + "\nper_request = 1")
