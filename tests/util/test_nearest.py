"""Misspelled names find their neighbours; long ones have none."""

import pytest

from hero_broker.util.nearest import MAX_NAME, NameIndex, did_you_mean, nearest

NAMES = [f"model-{number:04}" for number in range(2000)]


@pytest.mark.parametrize(
    ("suggestions", "question"),
    [
        ([], ""),
        (["a"], "did you mean a?"),
        (["a", "b"], "did you mean a or b?"),
        (["a", "b", "c"], "did you mean a, b or c?"),
    ],
)
def test_question_names_all_suggestions(suggestions: list[str], question: str) -> None:
    assert did_you_mean(suggestions) == question


def test_nearest_name_comes_first() -> None:
    names = ["billing.usage", "billing.usage_by_ip", "labels.set"]

    assert nearest("billing.usge", names) == ["billing.usage", "billing.usage_by_ip"]
    assert nearest("nothing", names) == []
    assert NameIndex([*NAMES, "gpt-4o-mini"]).nearest("gtp-4o-mini") == ["gpt-4o-mini"]
    assert NameIndex(NAMES).nearest("model-0042")[0] == "model-0042"
    assert NameIndex([]).nearest("a") == []
    assert NameIndex(NAMES).nearest("") == []


def test_long_names_have_no_neighbours() -> None:
    long = "a" * (MAX_NAME + 1)

    assert nearest(long, [long]) == NameIndex([long]).nearest(long) == []


def test_name_in_any_case_is_found_among_many() -> None:
    assert NameIndex([*NAMES, "llama-3.3-70b"]).nearest("LLaMA-3.3-70b")[0] == "llama-3.3-70b"
