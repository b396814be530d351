"""A published list gives what the package gives, or is refused as a whole."""

from typing import Any

import pytest

from hero_broker.pricing.genai_data.matching import matches
from hero_broker.pricing.genai_data.published import UnreadableList, read_published
from hero_broker.pricing.genai_data.reader import read_providers
from tests.pricing.genai_data.publish import installed_list, provider, publish

GOOD = provider("p", m={"input_mtok": 1})


def with_model(**changes: Any) -> list[Any]:
    """Return a list of one provider, whose one model has other members."""
    [model] = GOOD["models"]
    return [{**GOOD, "models": [{**model, **changes}]}]


def test_installed_list_is_read_as_its_data_file() -> None:
    assert read_published(installed_list()) == read_providers()


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
        pytest.param(publish(with_model(prices={"a\x07": 1})), "p m: 'a\\x07' is no name of a unit", id="unit"),
        pytest.param(publish([GOOD, GOOD]), "the provider 'p' is there twice", id="twice"),
        pytest.param(
            publish(with_model(prices={"input_mtok": "cheap"})),
            "at `$[0].models[0].prices[...]`",
            id="rate is no number",
        ),
        pytest.param(
            publish(with_model(prices={"input_mtok": -1})),
            "p m: input_mtok must be from 0 to 1,000,000, not -1",
            id="low",
        ),
        pytest.param(
            publish(with_model(prices={"input_mtok": {"base": 1, "tiers": [{"start": 5, "price": 1_000_001}]}})),
            "p m: input_mtok must be from 0 to 1,000,000, not 1000001",
            id="high for long contexts",
        ),
        pytest.param(
            publish(with_model(price_variants=[{"when": {"service_tier": "flex"}, "prices": {"output_mtok": "NaN"}}])),
            "p m: output_mtok must be from 0 to 1,000,000, not NaN",
            id="no number in a tier",
        ),
        pytest.param(publish(with_model(match={})), "p m: a match must have exactly one of", id="no clause"),
        pytest.param(
            publish(with_model(match={"or": [{"equals": "a", "contains": "b"}]})),
            "p m: a match must have exactly one of",
            id="two clauses",
        ),
        pytest.param(publish(with_model(match={"like": "m"})), "unknown field `like`", id="unknown clause"),
        pytest.param(
            publish(with_model(match={"regex": "("})), "p m: the regular expression '(' is malformed", id="regex"
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
        pytest.param(nested(21), "p m: clauses are nested too deeply", id="deep"),
        pytest.param(nested(50_000), "nested too deeply", id="very deep"),
    ],
)
def test_wrong_list_is_refused_with_what_is_wrong(content: bytes, fault: str) -> None:
    with pytest.raises(UnreadableList) as caught:
        read_published(content)

    assert fault in str(caught.value)


def test_first_faults_are_told_and_the_others_counted() -> None:
    models: dict[str, dict[str, Any]] = {f"m{number}": {"input_mtok": -1} for number in range(12)}

    with pytest.raises(UnreadableList) as caught:
        read_published(publish([provider("p", **models)]))

    assert str(caught.value).count("must be from 0") == 10
    assert str(caught.value).endswith("; and 2 more faults")
