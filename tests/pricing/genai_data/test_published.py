"""A published list gives what the package gives, or is refused as a whole."""

from collections.abc import Iterable, Iterator
from copy import deepcopy
from typing import Any

import msgspec
import pytest
from genai_prices.data_units import unit_data
from hypothesis import given, settings
from hypothesis import strategies as st

from hero_broker.pricing.genai_data.matching import matches
from hero_broker.pricing.genai_data.published import UnreadableList, read_published
from hero_broker.pricing.genai_data.reader import read_providers
from hero_broker.pricing.genai_data.units import UNITS
from hero_broker.pricing.genai_prices import GenaiPrices, build_tariff
from tests.pricing.genai_data.publish import installed_list, provider, publish

GOOD = provider("p", m={"input_mtok": 1})


WHOLE: list[Any] = [
    {
        "id": "p",
        "pricing_urls": ["https://p.example/"],
        "provider_match": {"or": [{"contains": "p"}, {"and": [{"ends_with": "q"}, {"regex": "^q"}]}]},
        "fallback_model_providers": ["q"],
        "models": [
            {
                "id": "m",
                "match": {"or": [{"equals": "m"}, {"starts_with": "m-"}]},
                "deprecated": False,
                "prices": [
                    {"prices": {"input_mtok": {"base": 1, "tiers": [{"start": 200, "price": 2}]}, "output_mtok": 0.5}},
                    {"constraint": {"start_date": "2026-01-01"}, "prices": {"audio_hours": 0.04}},
                    {
                        "constraint": {"start_time": "00:30:00Z", "end_time": "16:30:00Z"},
                        "prices": {"requests_kcount": 5},
                    },
                ],
                "price_variants": [
                    {
                        "when": {"service_tier": "flex"},
                        "constraint": {"start_date": "2026-02-01"},
                        "prices": {"input_mtok": 0.5},
                    }
                ],
            }
        ],
    },
    {"id": "q", "models": [{"id": "n", "match": {"equals": "n"}, "prices": {"input_mtok": 1}}]},
]
WORDS = ["id", "prices", "match", "equals", "or", "base", "tiers", "start", "price", "start_date", "input_mtok"]


def with_model(**changes: Any) -> list[Any]:
    """Return a list of one provider, whose one model has other members."""
    [model] = GOOD["models"]
    return [{**GOOD, "models": [{**model, **changes}]}]


def test_installed_list_is_read_as_its_data_file() -> None:
    assert read_published(installed_list()) == read_providers()


def test_every_unit_of_the_package_is_known() -> None:
    assert {unit["price_key"] for unit in unit_data.values()} <= UNITS


def test_members_that_the_broker_does_not_need_may_be_missing_or_new() -> None:
    [listed] = read_published(publish([{**GOOD, "colour": "blue"}]))

    assert listed.id == "p"
    assert [model.id for model in listed.models()] == ["m"]


def nested(depth: int) -> bytes:
    """Return a list whose one match has so many clauses, one in the other."""
    match = b'{"or":[' * (depth - 1) + b'{"equals":"m"}' + b"]}" * (depth - 1)
    return publish([GOOD]).replace(b'{"equals":"m"}', match)


def test_clauses_may_be_nested() -> None:
    [listed] = read_published(nested(20))

    assert matches(listed.models()[0].match, "m")


def tiered(starts: Iterable[int]) -> dict[str, Any]:
    """Return a rate with a tier from each of these starts."""
    return {"base": 1, "tiers": [{"start": start, "price": 1} for start in starts]}


def test_rate_may_have_many_tiers() -> None:
    [listed] = read_published(publish(with_model(prices={"input_mtok": tiered(range(100))})))

    tariff = build_tariff(listed, listed.models()[0], "1")

    assert tariff is not None
    assert len(list(tariff.prices())) == 101


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        pytest.param(b"", "Input data was truncated", id="empty"),
        pytest.param(b"<html>", "JSON is malformed", id="no JSON"),
        pytest.param(b"\xff", "JSON is malformed", id="no UTF-8"),
        pytest.param(b'{"providers": []}', "Expected `array`, got `object`", id="object"),
        pytest.param(b"[]", "no model with a price", id="no provider"),
        pytest.param(publish([provider("p")]), "no model with a price", id="no model"),
        pytest.param(publish([provider("p", m={})]), "no model with a price", id="no price"),
        pytest.param(publish([{"models": []}]), "missing required field `id` - at `$[0]`", id="no id"),
        pytest.param(publish([{"id": "", "models": []}, GOOD]), "'' is no name of a provider", id="empty id"),
        pytest.param(publish([provider("\x1b[31m"), GOOD]), "'\\x1b[31m' is no name of a provider", id="provider"),
        pytest.param(publish(with_model(id="a\nb")), "p: 'a\\nb' is no name of a model", id="control character"),
        pytest.param(publish(with_model(match={"equals": "é" * 201})), "is no name of a model", id="long name"),
        pytest.param(publish(with_model(prices={"a\x07": 1})), "p m: 'a\\x07' is no known rate", id="unit"),
        pytest.param(
            publish(with_model(prices={"input_mtokk": 1, "output_mtok": 2})),
            "p m: 'input_mtokk' is no known rate: did you mean \"input_mtok\"?",
            id="unknown rate",
        ),
        pytest.param(
            publish(with_model(price_variants=[{"when": {"service_tier": "flex"}, "prices": {"x" * 300: None}}])),
            f"p m: '{'x' * 200}' is no known rate",
            id="unknown rate of a tier without a value",
        ),
        pytest.param(publish([GOOD, GOOD]), "the provider 'p' is there twice", id="twice"),
        pytest.param(
            publish(with_model(prices={"input_mtok": "cheap"})),
            "at `$[0].models[0].prices[...]`",
            id="rate is no number",
        ),
        pytest.param(
            publish(with_model(prices={"input_mtok": -1})),
            "p m: input_mtok must be from 0 to 1,000,000 with at most 20 decimal places, not -1",
            id="low",
        ),
        pytest.param(
            publish(with_model(prices={"input_mtok": {"base": 1, "tiers": [{"start": 5, "price": 1_000_001}]}})),
            "p m: input_mtok must be from 0 to 1,000,000 with at most 20 decimal places, not 1000001",
            id="high for long contexts",
        ),
        pytest.param(
            publish(with_model(price_variants=[{"when": {"service_tier": "flex"}, "prices": {"output_mtok": "NaN"}}])),
            "p m: output_mtok must be from 0 to 1,000,000 with at most 20 decimal places, not NaN",
            id="no number in a tier",
        ),
        pytest.param(
            publish(with_model(prices={"input_mtok": 1})).replace(b'"input_mtok":1', b'"input_mtok":1e-9999999'),
            "not 1E-9999999",
            id="tiny",
        ),
        pytest.param(
            publish(with_model(prices={"input_mtok": {"base": 1, "tiers": [{"start": 10**30, "price": 1}]}})),
            "Expected `int` <= 1000000000",
            id="late tier",
        ),
        pytest.param(publish(with_model(match={})), "p m: a match must have exactly one of", id="no clause"),
        pytest.param(
            publish(with_model(match={"or": [{"equals": "a", "contains": "b"}]})),
            "p m: a match must have exactly one of",
            id="two clauses",
        ),
        pytest.param(publish(with_model(match={"like": "m"})), "unknown field `like`", id="unknown clause"),
        pytest.param(
            publish(with_model(match={"regex": "("})),
            "p m: the regular expression '(' cannot be used: a gr",
            id="regex",
        ),
        pytest.param(
            publish(with_model(match={"regex": "(a+)+$"})),
            "p m: the regular expression '(a+)+$' cannot be used: a group is repeated",
            id="slow regex",
        ),
        pytest.param(
            publish([{**GOOD, "provider_match": {"regex": "(a+)+$"}}]),
            "p: the regular expression",
            id="provider's regex",
        ),
        pytest.param(
            publish([{**GOOD, "models": [{**GOOD["models"][0], "match": {"regex": "^a*a"}}] * 1001}]),
            "it has more than 1,000 regular expressions",
            id="regexes",
        ),
        pytest.param(
            publish([{**GOOD, "models": [{**GOOD["models"][0], "match": {"regex": "a*a"}}] * 30}]),
            "its regular expressions may take more than 2,000,000 steps for one name",
            id="slow regexes together",
        ),
        pytest.param(
            publish([{**GOOD, "provider_match": {}}]), "p: a match must have exactly one of", id="match of the provider"
        ),
        pytest.param(
            publish(with_model(prices=[{"prices": {"input_mtok": 1}, "constraint": {"start_time": "00:30:00Z"}}])),
            "p m: a constraint must have start_date, or start_time and end_time",
            id="half a constraint",
        ),
        pytest.param(
            publish(with_model(prices=[{"prices": {"input_mtok": 1}, "constraint": {"end_date": "2026-01-01"}}])),
            "unknown field `end_date`",
            id="unknown constraint",
        ),
        pytest.param(
            publish(with_model(prices={"input_mtok": tiered(range(101))})),
            "p m: 'input_mtok' must have at most 100 tiers, not 101",
            id="tiers",
        ),
        pytest.param(
            publish(
                with_model(
                    prices={"input_mtok": tiered(range(100))},
                    price_variants=[{"when": {"speed": f"s{n}"}, "prices": {"input_mtok": 1}} for n in range(10)],
                )
            ),
            "p m: its conditions, variants and tiers make more than 2,000 prices",
            id="prices of a model",
        ),
        pytest.param(
            publish([provider("p", **{f"m{n}": {"input_mtok": tiered(range(100))} for n in range(500)})]),
            "its models have more than 50,000 prices",
            id="prices",
        ),
        pytest.param(
            publish(with_model(match={"or": [{"equals": "m"}] * 50_000})), "more than 50,000 clauses", id="clauses"
        ),
        pytest.param(publish([{**GOOD, "models": GOOD["models"] * 10_001}]), "`array` of length <= 10000", id="models"),
        pytest.param(publish([GOOD] * 501), "Expected `array` of length <= 500", id="providers"),
        pytest.param(publish([{**GOOD, "pricing_urls": [""] * 101}]), "Expected `array` of length <= 100", id="URLs"),
        pytest.param(
            publish([{**GOOD, "fallback_model_providers": ["q"] * 101}]), "`array` of length <= 100", id="fallbacks"
        ),
        pytest.param(
            publish(with_model(prices=[{"prices": {"input_mtok": 1}}] * 101)),
            "`array` of length <= 100",
            id="conditions",
        ),
        pytest.param(
            publish(with_model(price_variants=[{"when": {}, "prices": {}}] * 101)), "length <= 100", id="variants"
        ),
        pytest.param(
            publish(with_model(prices={f"m{n}": 1 for n in range(101)})), "`object` of length <= 100", id="rates"
        ),
        pytest.param(
            publish([{**GOOD, "pricing_urls": ["https://p.example/\x1b[2J"]}]),
            "p: 'https://p.example/\\x1b[2J' is no URL",
            id="control character in a URL",
        ),
        pytest.param(publish([{**GOOD, "pricing_urls": ["u" * 1001]}]), "is no URL", id="long URL"),
        pytest.param(
            publish([{**GOOD, "fallback_model_providers": ["q\n"]}]),
            "p: 'q\\n' is no name of a provider",
            id="control character in a fallback",
        ),
        pytest.param(
            publish(with_model(match={"contains": "m\x00"})),
            "p m: 'm\\x00' is no name of a model, or no part of one",
            id="control character in a clause",
        ),
        pytest.param(
            publish(with_model(price_variants=[{"when": {"service_tier": "f\x07"}, "prices": {"input_mtok": 1}}])),
            "p m: 'f\\x07' is no name of a tier",
            id="control character in a tier",
        ),
        pytest.param(nested(21), "p m: clauses are nested too deeply", id="deep"),
        pytest.param(nested(50_000), "nested too deeply", id="very deep"),
    ],
)
def test_wrong_list_is_refused_with_what_is_wrong(content: bytes, fault: str) -> None:
    with pytest.raises(UnreadableList) as caught:
        read_published(content)

    assert fault in str(caught.value)


@pytest.mark.parametrize(
    ("number_of_faults", "end"),
    [
        pytest.param(12, "; and 2 more faults", id="some"),
        pytest.param(100, "; and 90 more faults", id="many"),
        pytest.param(500, "; and at least 90 more faults", id="not counted"),
    ],
)
def test_first_faults_are_told_and_the_others_counted(number_of_faults: int, end: str) -> None:
    models: dict[str, dict[str, Any]] = {f"m{number}": {"input_mtok": -1} for number in range(number_of_faults)}

    with pytest.raises(UnreadableList) as caught:
        read_published(publish([provider("p", **models)]))

    assert str(caught.value).count("must be from 0") == 10
    assert str(caught.value).endswith(end)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=2), inner),
    max_leaves=4,
)


@settings(deadline=None)  # the first list takes longer
@given(st.data())
def test_list_with_any_other_value_is_refused_or_gives_prices(data: st.DataObject) -> None:
    changed = deepcopy(WHOLE)
    holder, key = data.draw(st.sampled_from(list(places(changed))))
    holder[key] = data.draw(VALUES)

    try:
        listed = read_published(msgspec.json.encode(changed))
    except UnreadableList:
        return

    prices = GenaiPrices(listed, "1")
    for provider_id in [one.id for one in listed]:
        for model in prices.models(provider_id):
            found = prices.find(provider_id, model)
            assert found is None or list(found.tariff.prices())


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each place of a value: what holds it, and its key or index there."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])
