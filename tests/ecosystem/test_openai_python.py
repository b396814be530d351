"""OpenAI's Python client: every call that it makes is one row, and a refused one none."""

import pytest

from tests.ecosystem.agent_provider import COUNTED, DONE, Work, tokens
from tests.ecosystem.place import Place, Row

CLIENT = "openai_python"
CHAT_UNITS = {"input_tokens": 40, "output_tokens": 3}
MODELS = {"fake-chat", "fake-completion", "fake-embedding", "fake-tts", "fake-stt", "fake-rerank", "fake-moderation"}


# The second response reads the words of both inputs and of the first reply.
NEITHER = {"cached_input_tokens": 0, "reasoning_tokens": 0}
CHAIN = [
    Row("responses", "fake-chat", 2 * 590 + 2 * 790, {"input_tokens": 2, "output_tokens": 2, **NEITHER}),
    Row("responses", "fake-chat", 5 * 590 + 3 * 790, {"input_tokens": 5, "output_tokens": 3, **NEITHER}, stream=True),
]


def test_chat_is_one_row(place: Place) -> None:
    answer = place.call(CLIENT, "chat")

    assert answer == {"text": "word word word", "tokens": [40, 3], "has_request_id": True}
    assert place.rows() == [Row("chat", "fake-chat", 25_970, CHAT_UNITS)]


def test_stream_is_one_row_and_shows_no_usage_that_was_not_asked_for(place: Place) -> None:
    answer = place.call(CLIENT, "stream")

    assert answer == {"text": "word word word", "usages": []}
    assert place.rows() == [Row("chat", "fake-chat", 25_970, CHAT_UNITS, stream=True)]


def test_stream_that_asks_for_usage_gets_it_last(place: Place) -> None:
    answer = place.call(CLIENT, "stream_with_usage")

    assert answer == {"text": "word word word", "last_choices": [], "tokens": [40, 3]}
    assert place.rows() == [Row("chat", "fake-chat", 25_970, CHAT_UNITS, stream=True)]


def test_tool_call_is_one_row(place: Place) -> None:
    answer = place.call(CLIENT, "tools")

    assert answer == {"calls": [["weather", "{}"]], "finish_reason": "tool_calls"}
    assert place.rows() == [Row("chat", "fake-chat", 3_940, {"input_tokens": 4, "output_tokens": 2})]


def test_completion_is_one_row(place: Place) -> None:
    assert place.call(CLIENT, "completion") == "two three four"
    assert place.rows() == [Row("completion", "fake-completion", 4_730, {"input_tokens": 4, "output_tokens": 3})]


def test_embeddings_of_either_encoding_are_the_same_and_one_row_each(place: Place) -> None:
    as_base64 = place.call(CLIENT, "embeddings")
    as_floats = place.call(CLIENT, "embeddings_as_floats")

    assert [len(vector) for vector in as_base64] == [8, 8]
    assert as_base64[0] == pytest.approx(as_floats[0])
    assert as_base64[1] == pytest.approx(as_floats[1])
    assert place.rows() == [Row("embedding", "fake-embedding", 1_770, {"input_tokens": 3, "output_tokens": 0})] * 2


def test_moderation_is_one_row_without_units_and_needs_no_model(place: Place) -> None:
    assert place.call(CLIENT, "moderation") == [[True, False], [False]]
    assert place.rows() == [Row("moderation", "fake-moderation", 0, {}, usage_source="none")] * 2


@pytest.mark.parametrize("name", ["speech", "speech_streamed"])
def test_speech_is_one_row_of_characters(place: Place, name: str) -> None:
    assert place.call(CLIENT, name) == "RIFF"
    assert place.rows() == [Row("tts", "fake-tts", 165_000, {"characters": 11})]


def test_transcription_is_one_row_of_audio(place: Place) -> None:
    text = place.call(CLIENT, "transcription")

    assert len(text.split()) == 6
    assert place.rows() == [Row("stt", "fake-stt", 200_000, {"audio_ms": 2_000})]


def test_verbose_transcription_is_one_row_of_audio(place: Place) -> None:
    answer = place.call(CLIENT, "transcription_verbose")

    assert len(answer["text"].split()) == 6
    assert (answer["duration"], answer["segments"]) == (2.0, 1)
    assert place.rows() == [Row("stt", "fake-stt", 200_000, {"audio_ms": 2_000})]


def test_transcription_as_text_is_one_row_by_the_files_own_length(place: Place) -> None:
    text = place.call(CLIENT, "transcription_as_text")

    assert len(text.split()) == 6
    assert place.rows() == [Row("stt", "fake-stt", 200_000, {"audio_ms": 2_000}, usage_source="estimated")]


def test_call_that_the_provider_refuses_is_one_row_of_no_cost(place: Place) -> None:
    answer = place.call(CLIENT, "transcription_of_no_audio")

    assert answer["message"].startswith("The audio cannot be decoded")
    assert answer["retries"] == 0
    assert place.rows() == [
        Row(
            "stt",
            "fake-stt",
            0,
            {},
            usage_source="none",
            outcome="provider_error",
            http_status=400,
            error_code="provider_400",
        )
    ]


@pytest.mark.parametrize("name", ["response", "response_stream"])
def test_response_is_one_row(agents_place: Place, work: Work, name: str) -> None:
    answer = agents_place.call(CLIENT, name)

    assert answer == {"text": DONE, "tokens": tokens(work)}
    assert agents_place.rows() == work.books
    assert [row.kind for row in work.books] == ["responses"]


def test_parsed_response_is_one_row(agents_place: Place, work: Work) -> None:
    assert agents_place.call(CLIENT, "response_parsed") == DONE
    assert agents_place.rows() == work.books
    assert len(work.books) == 1


def test_compaction_is_one_row(agents_place: Place, work: Work) -> None:
    answer = agents_place.call(CLIENT, "response_compacted")

    assert answer == {"types": ["compaction"], "tokens": tokens(work)[0]}
    assert agents_place.rows() == work.books
    assert len(work.books) == 1


def test_count_of_a_responses_tokens_has_no_row(agents_place: Place, work: Work) -> None:
    assert agents_place.call(CLIENT, "response_tokens") == COUNTED
    assert agents_place.rows() == []
    assert [path for path, _ in work.requests] == ["/v1/responses/input_tokens"]


def test_stored_responses_are_continued_read_and_deleted(place: Place) -> None:
    answer = place.call(CLIENT, "response_stored")

    assert answer == {
        "texts": ["one two", "one two three", "one two three"],
        "items": 1,
        "deleted": ["previous_response_not_found", 0],
    }
    assert place.rows() == CHAIN


def test_models_are_listed_and_found_without_a_row(place: Place) -> None:
    answer = place.call(CLIENT, "models")

    assert set(answer["listed"]) >= MODELS
    assert answer["retrieved"] == "fake-chat"
    assert place.rows() == []


def test_unknown_model_is_refused_without_a_retry_or_a_row(place: Place) -> None:
    assert place.call(CLIENT, "unknown_model") == {"code": "model_not_found", "param": "model", "retries": 0}
    assert place.rows() == []
