"""Anthropic's Python client: every message is one row, and a count of tokens none."""

from tests.ecosystem.agent_provider import Work
from tests.ecosystem.place import Place, Row

CLIENT = "anthropic_python"
UNITS = {"input_tokens": 40, "output_tokens": 3, "cached_input_tokens": 0, "cache_write_tokens": 0}


def test_message_is_one_row(place: Place) -> None:
    assert place.call(CLIENT, "message") == {"text": "word word word", "tokens": [40, 3], "has_request_id": True}
    assert place.rows() == [Row("messages", "fake-chat", 25_970, UNITS)]


def test_stream_is_one_row(place: Place) -> None:
    assert place.call(CLIENT, "stream") == {"text": "word word word", "tokens": [40, 3]}
    assert place.rows() == [Row("messages", "fake-chat", 25_970, UNITS, stream=True)]


def test_use_of_a_tool_is_one_row(place: Place) -> None:
    assert place.call(CLIENT, "tools") == {"calls": [["weather", {}]], "stop_reason": "tool_use"}
    assert place.rows() == [Row("messages", "fake-chat", 25_180, {**UNITS, "output_tokens": 2}, stream=True)]


def test_count_of_tokens_has_no_row(place: Place) -> None:
    assert place.call(CLIENT, "count") == 42
    assert place.rows() == []


def test_models_are_listed_and_found_without_a_row(agents_place: Place, work: Work) -> None:
    answer = agents_place.call(CLIENT, "models")

    assert answer["listed"]["claude-haiku-4-5"] == "claude-haiku-4-5"
    assert answer["retrieved"] == "model"
    assert agents_place.rows() == []
    assert work.requests == []


def test_unknown_model_is_anthropics_own_error_without_a_row(place: Place) -> None:
    assert place.call(CLIENT, "unknown_model") == {"type": "not_found_error", "has_request_id": True}
    assert place.rows() == []
