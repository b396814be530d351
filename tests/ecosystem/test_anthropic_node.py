"""Anthropic's Node client: every message is one row, and a count of tokens none."""

import pytest

from tests.ecosystem.agent_provider import COUNTED, DONE, MODELS, Work
from tests.ecosystem.place import Place

CLIENT = "anthropic_node"


@pytest.mark.parametrize("name", ["message", "stream"])
def test_message_is_one_row(agents_place: Place, work: Work, name: str) -> None:
    answer = agents_place.call_node(CLIENT, name)

    (row,) = work.books
    uncached = row.units["input_tokens"] - row.units["cached_input_tokens"] - row.units["cache_write_tokens"]
    assert answer == {"text": DONE, "tokens": [uncached, row.units["output_tokens"]]}
    assert agents_place.rows() == [row]


def test_count_of_tokens_has_no_row(agents_place: Place, work: Work) -> None:
    assert agents_place.call_node(CLIENT, "count") == COUNTED
    assert agents_place.rows() == []
    assert [path for path, _ in work.requests] == ["/v1/messages/count_tokens"]


def test_models_are_listed_and_found_without_a_row(agents_place: Place, work: Work) -> None:
    answer = agents_place.call_node(CLIENT, "models")

    assert set(answer["listed"]) >= set(MODELS)
    assert answer["retrieved"] == "model"
    assert agents_place.rows() == []
    assert work.requests == []
