"""OpenAI's Node client: every call that it makes is one row, and a refused one none."""

import pytest

from tests.ecosystem.agent_provider import COUNTED, DONE, Work, tokens
from tests.ecosystem.place import Place, Row

CLIENT = "openai_node"
CHAT_UNITS = {"input_tokens": 40, "output_tokens": 3}


# The second response reads the words of both inputs and of the first reply.
NEITHER = {"cached_input_tokens": 0, "reasoning_tokens": 0}
CHAIN = [
    Row("responses", "fake-chat", 2 * 590 + 2 * 790, {"input_tokens": 2, "output_tokens": 2, **NEITHER}),
    Row("responses", "fake-chat", 5 * 590 + 3 * 790, {"input_tokens": 5, "output_tokens": 3, **NEITHER}, stream=True),
]


def test_chat_is_one_row(place: Place) -> None:
    answer = place.call_node(CLIENT, "chat")

    assert answer == {"text": "word word word", "tokens": [40, 3], "has_request_id": True}
    assert place.rows() == [Row("chat", "fake-chat", 25_970, CHAT_UNITS)]


@pytest.mark.parametrize(("name", "usages"), [("stream", []), ("stream_with_usage", [[0, 40, 3]])])
def test_stream_is_one_row_and_shows_usage_to_who_asked(place: Place, name: str, usages: list[list[int]]) -> None:
    answer = place.call_node(CLIENT, name)

    assert answer == {"text": "word word word", "usages": usages}
    assert place.rows() == [Row("chat", "fake-chat", 25_970, CHAT_UNITS, stream=True)]


def test_tool_call_is_one_row(place: Place) -> None:
    assert place.call_node(CLIENT, "tools") == [{"name": "weather", "arguments": "{}"}]
    assert place.rows() == [Row("chat", "fake-chat", 3_940, {"input_tokens": 4, "output_tokens": 2})]


def test_embeddings_of_either_encoding_are_the_same_and_one_row_each(place: Place) -> None:
    as_base64 = place.call_node(CLIENT, "embeddings")
    as_floats = place.call_node(CLIENT, "embeddings_as_floats")

    assert [len(vector) for vector in as_base64] == [8, 8]
    assert as_base64[0] == pytest.approx(as_floats[0])
    assert as_base64[1] == pytest.approx(as_floats[1])
    assert place.rows() == [Row("embedding", "fake-embedding", 1_770, {"input_tokens": 3, "output_tokens": 0})] * 2


def test_moderation_is_one_row_without_units_and_needs_no_model(place: Place) -> None:
    assert place.call_node(CLIENT, "moderation") == [[True, False], [False]]
    assert place.rows() == [Row("moderation", "fake-moderation", 0, {}, usage_source="none")] * 2


def test_speech_is_one_row_of_characters(place: Place) -> None:
    assert place.call_node(CLIENT, "speech") == "RIFF"
    assert place.rows() == [Row("tts", "fake-tts", 165_000, {"characters": 11})]


def test_transcription_is_one_row_of_audio(place: Place) -> None:
    text = place.call_node(CLIENT, "transcription")

    assert len(text.split()) == 6
    assert place.rows() == [Row("stt", "fake-stt", 200_000, {"audio_ms": 2_000})]


@pytest.mark.parametrize("name", ["response", "response_stream"])
def test_response_is_one_row(agents_place: Place, work: Work, name: str) -> None:
    answer = agents_place.call_node(CLIENT, name)

    assert answer == {"text": DONE, "tokens": tokens(work)}
    assert agents_place.rows() == work.books
    assert [row.kind for row in work.books] == ["responses"]


def test_parsed_response_is_one_row(agents_place: Place, work: Work) -> None:
    assert agents_place.call_node(CLIENT, "response_parsed") == DONE
    assert agents_place.rows() == work.books
    assert len(work.books) == 1


def test_compaction_is_one_row(agents_place: Place, work: Work) -> None:
    answer = agents_place.call_node(CLIENT, "response_compacted")

    assert answer == {"types": ["compaction"], "tokens": tokens(work)[0]}
    assert agents_place.rows() == work.books
    assert len(work.books) == 1


def test_count_of_a_responses_tokens_has_no_row(agents_place: Place, work: Work) -> None:
    assert agents_place.call_node(CLIENT, "response_tokens") == COUNTED
    assert agents_place.rows() == []
    assert [path for path, _ in work.requests] == ["/v1/responses/input_tokens"]


def test_stored_responses_are_continued_read_and_deleted(place: Place) -> None:
    answer = place.call_node(CLIENT, "response_stored")

    assert answer == {
        "texts": ["one two", "one two three", "one two three"],
        "items": 1,
        "failures": [[400, "previous_response_not_found"], [404, "not_found"]],
    }
    assert place.rows() == CHAIN


def test_models_are_listed_and_found_without_a_row(place: Place) -> None:
    answer = place.call_node(CLIENT, "models")

    assert "fake-chat" in answer["listed"]
    assert answer["retrieved"] == "fake-chat"
    assert place.rows() == []


def test_unknown_model_is_refused_without_a_row(place: Place) -> None:
    assert place.call_node(CLIENT, "unknown_model") == {"code": "model_not_found", "param": "model"}
    assert place.rows() == []
