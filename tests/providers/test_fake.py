"""The fake provider's answers: shapes, exact usage, the same answer to the same request."""

import asyncio
import base64
import io
import json
import math
import struct
import wave
from typing import Any

import httpx
import pytest

from hero_broker.providers.fake import responses
from hero_broker.providers.fake.app import fake_provider

USER = [{"role": "user", "content": "one two three four"}]
CHAT = {"model": "fake-chat", "messages": USER}
WITH_USAGE = {"stream": True, "stream_options": {"include_usage": True}}
TOOLS = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("first", "second")]


def ask(method: str, path: str, **options: Any) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(fake_provider())
        async with httpx.AsyncClient(transport=transport, base_url="http://fake") as client:
            return await client.request(method, path, **options)

    return asyncio.run(send())


def answer(path: str, body: object) -> Any:
    reply = ask("POST", path, json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()


def events(path: str, body: object = None, **options: Any) -> list[Any]:
    """Return a stream's events; "[DONE]" stays a string."""
    reply = ask("POST", path, **({"json": body} if body is not None else options))
    assert reply.headers["content-type"].startswith("text/event-stream"), reply.text
    *parts, rest = reply.text.split("\n\n")
    assert rest == ""
    data = [part.removeprefix("data: ") for part in parts]
    return [item if item == "[DONE]" else json.loads(item) for item in data]


def wav(seconds: float, *, rate: int = 8_000, width: int = 2, channels: int = 1) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(width)
        writer.setframerate(rate)
        writer.writeframes(bytes(round(seconds * rate) * width * channels))
    return buffer.getvalue()


def transcribe(audio: bytes, task: str = "transcriptions", **fields: str) -> httpx.Response:
    data = {"model": "fake-stt", **fields}
    return ask("POST", f"/v1/audio/{task}", data=data, files={"file": ("speech.wav", audio)})


# Chat


def test_chat_counts_a_word_as_a_token_and_echoes_the_last_three() -> None:
    founding = [{"role": "user", "content": " ".join(["word"] * 40)}]

    reply = answer("/v1/chat/completions", {"model": "anything", "messages": founding})

    assert reply["object"] == "chat.completion"
    assert reply["model"] == "anything"
    assert reply["choices"][0]["message"]["content"] == "word word word"
    assert reply["choices"][0]["finish_reason"] == "stop"
    assert reply["usage"] == {"prompt_tokens": 40, "completion_tokens": 3, "total_tokens": 43}


def test_chat_that_says_nothing_is_answered() -> None:
    reply = answer("/v1/chat/completions", {"model": "fake-chat", "messages": []})

    assert reply["choices"][0]["message"]["content"] == "nothing was said"
    assert reply["usage"] == {"prompt_tokens": 0, "completion_tokens": 3, "total_tokens": 3}


def test_chat_counts_the_text_parts_of_every_message() -> None:
    parts = [{"type": "text", "text": "a b"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    messages = [{"role": "system", "content": "be brief"}, {"role": "assistant", "content": None}]

    reply = answer("/v1/chat/completions", {**CHAT, "messages": [*messages, {"role": "user", "content": parts}]})

    assert reply["choices"][0]["message"]["content"] == "brief a b"
    assert reply["usage"]["prompt_tokens"] == 4


def test_chat_stream_has_a_word_an_event_and_one_id() -> None:
    *chunks, done = events("/v1/chat/completions", {**CHAT, "stream": True})

    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas == [{"role": "assistant", "content": "two"}, {"content": " three"}, {"content": " four"}, {}]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, "stop"]
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert not any("usage" in chunk for chunk in chunks)
    assert done == "[DONE]"


def test_chat_stream_reports_usage_in_an_event_of_its_own_when_asked() -> None:
    *chunks, last, _ = events("/v1/chat/completions", {**CHAT, **WITH_USAGE})

    assert all(chunk["choices"] and "usage" not in chunk for chunk in chunks)
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}


@pytest.mark.parametrize(
    ("limit", "content", "reason"),
    [
        pytest.param({"max_tokens": 2}, "two three", "length", id="max_tokens"),
        pytest.param({"max_completion_tokens": 1, "max_tokens": 9}, "two", "length", id="max_completion_tokens"),
        pytest.param({"max_tokens": 3}, "two three four", "stop", id="just enough"),
        pytest.param({"max_tokens": None}, "two three four", "stop", id="null"),
    ],
)
def test_chat_is_cut_at_the_token_limit(limit: dict[str, object], content: str, reason: str) -> None:
    reply = answer("/v1/chat/completions", {**CHAT, **limit})

    assert reply["choices"][0]["message"]["content"] == content
    assert reply["choices"][0]["finish_reason"] == reason
    assert reply["usage"]["completion_tokens"] == len(content.split())


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        pytest.param("required", "first", id="required"),
        pytest.param({"type": "function", "function": {"name": "second"}}, "second", id="named"),
    ],
)
def test_chat_calls_the_function_that_is_asked_for(choice: object, name: str) -> None:
    body = {**CHAT, "tools": TOOLS, "tool_choice": choice}

    reply = answer("/v1/chat/completions", body)
    *chunks, usage, _ = events("/v1/chat/completions", {**body, **WITH_USAGE})

    (call,) = reply["choices"][0]["message"]["tool_calls"]
    assert call["function"] == {"name": name, "arguments": "{}"}
    assert reply["choices"][0]["finish_reason"] == "tool_calls"
    assert reply["usage"] == usage["usage"] == {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}
    begun, more, end = (chunk["choices"][0] for chunk in chunks)
    assert begun["delta"]["tool_calls"][0]["function"] == {"name": name, "arguments": ""}
    assert more["delta"] == {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}
    assert (end["delta"], end["finish_reason"]) == ({}, "tool_calls")


@pytest.mark.parametrize("choice", ["auto", "none", None, {"type": "allowed_tools", "allowed_tools": {}}])
def test_chat_answers_in_words_where_no_function_must_be_called(choice: object) -> None:
    reply = answer("/v1/chat/completions", {**CHAT, "tools": TOOLS, "tool_choice": choice})

    assert reply["choices"][0]["message"]["content"] == "two three four"


# Completions


def test_completion_has_a_choice_a_prompt() -> None:
    body = {"model": "m", "prompt": ["a b c d", "e"], "max_tokens": 2}

    reply = answer("/v1/completions", body)

    assert reply["object"] == "text_completion"
    assert [(choice["index"], choice["text"]) for choice in reply["choices"]] == [(0, "b c"), (1, "e")]
    assert [choice["finish_reason"] for choice in reply["choices"]] == ["length", "stop"]
    assert reply["usage"] == {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}


def test_completion_stream_has_a_word_an_event_and_usage_when_asked() -> None:
    body = {"model": "m", "prompt": "a b c d", "stream": True}

    *quiet, done = events("/v1/completions", body)
    *_, usage, _ = events("/v1/completions", {**body, **WITH_USAGE})

    assert [chunk["choices"][0]["text"] for chunk in quiet] == ["b", " c", " d", ""]
    assert quiet[-1]["choices"][0]["finish_reason"] == "stop"
    assert done == "[DONE]"
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}


# Embeddings


@pytest.mark.parametrize(
    ("given", "vectors", "tokens"),
    [
        pytest.param("a few words", 1, 3, id="text"),
        pytest.param(["a few words", "more"], 2, 4, id="texts"),
        pytest.param([5, 6, 7], 1, 3, id="token ids"),
        pytest.param([[5, 6], [7]], 2, 3, id="lists of token ids"),
    ],
)
def test_embedding_counts_words_or_token_ids(given: object, vectors: int, tokens: int) -> None:
    reply = answer("/v1/embeddings", {"model": "fake-embedding", "input": given})

    assert [item["index"] for item in reply["data"]] == list(range(vectors))
    assert reply["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}


@pytest.mark.parametrize(("requested", "dimensions"), [(None, 8), (1, 1), (300, 300)])
def test_embeddings_are_unit_vectors_of_as_many_dimensions_as_requested(requested: int | None, dimensions: int) -> None:
    reply = answer(
        "/v1/embeddings", {"model": "fake-embedding", "input": ["same", "same", "other"], "dimensions": requested}
    )

    one, two, three = (item["embedding"] for item in reply["data"])
    assert len(one) == dimensions
    assert math.hypot(*one) == pytest.approx(1, abs=1e-6)
    assert one == two
    assert dimensions == 1 or one != three


def test_embedding_in_base64_is_the_same_vector_as_little_endian_float32() -> None:
    body = {"model": "fake-embedding", "input": "a"}

    plain = answer("/v1/embeddings", body)["data"][0]["embedding"]
    packed = answer("/v1/embeddings", {**body, "encoding_format": "base64"})["data"][0]["embedding"]

    assert list(struct.unpack("<8f", base64.b64decode(packed))) == plain


# Speech


def test_speech_is_a_wav_of_50_ms_a_character_whatever_format_is_asked() -> None:
    reply = ask("POST", "/v1/audio/speech", json={"model": "fake-tts", "input": "été " * 10, "response_format": "mp3"})

    assert reply.headers["content-type"] == "audio/wav"
    assert "content-length" not in reply.headers
    with wave.open(io.BytesIO(reply.content)) as reader:
        assert (reader.getnchannels(), reader.getsampwidth(), reader.getframerate()) == (1, 2, 16_000)
        assert reader.getnframes() == 40 * 800
        assert len(set(reader.readframes(800))) > 20


def test_speech_as_pcm_is_the_samples_of_the_wav() -> None:
    body = {"model": "fake-tts", "input": "hello"}

    reply = ask("POST", "/v1/audio/speech", json={**body, "response_format": "pcm"})
    whole = ask("POST", "/v1/audio/speech", json=body)

    assert reply.headers["content-type"] == "audio/pcm"
    with wave.open(io.BytesIO(whole.content)) as reader:
        assert reply.content == reader.readframes(reader.getnframes())


def test_speech_as_events_has_the_same_audio_and_reports_usage_last() -> None:
    body = {"model": "fake-tts", "input": "hello world"}

    *deltas, done = events("/v1/audio/speech", {**body, "stream_format": "sse"})
    whole = ask("POST", "/v1/audio/speech", json=body)

    assert len(deltas) > 1
    assert {delta["type"] for delta in deltas} == {"speech.audio.delta"}
    assert b"".join(base64.b64decode(delta["audio"]) for delta in deltas) == whole.content
    assert done == {
        "type": "speech.audio.done",
        "usage": {"input_tokens": 2, "output_tokens": 11, "total_tokens": 13},
    }


def test_speech_differs_by_text() -> None:
    one, two = (
        ask("POST", "/v1/audio/speech", json={"model": "fake-tts", "input": text}).content for text in ("one", "two")
    )

    assert one != two


# Transcription


@pytest.mark.parametrize(
    ("seconds", "billed", "words"),
    [
        pytest.param(0, 0, 0, id="nothing"),
        pytest.param(0.01, 1, 1, id="a moment"),
        pytest.param(2, 2, 6, id="whole seconds"),
        pytest.param(2.5, 3, 8, id="a second begun"),
    ],
)
def test_transcription_reports_the_seconds_begun(seconds: float, billed: int, words: int) -> None:
    reply = transcribe(wav(seconds)).json()

    assert reply["usage"] == {"type": "duration", "seconds": billed}
    assert len(reply["text"].split()) == words


def test_transcription_of_speech_lasts_as_long_as_was_spoken() -> None:
    speech = ask("POST", "/v1/audio/speech", json={"model": "fake-tts", "input": "x" * 90})

    reply = transcribe(speech.content, response_format="verbose_json").json()

    assert reply["duration"] == 4.5
    assert reply["usage"]["seconds"] == 5


def test_transcription_depends_on_the_samples() -> None:
    silence = wav(5)
    noise = silence[:-1] + b"\x01"

    assert transcribe(silence).text == transcribe(silence).text
    assert transcribe(silence).text != transcribe(noise).text


def test_transcription_believes_the_samples_rather_than_the_header() -> None:
    endless = bytearray(wav(3))
    endless[4:8] = endless[40:44] = b"\xff" * 4  # as a recorder writes that cannot go back to the header

    assert transcribe(bytes(endless), response_format="verbose_json").json()["duration"] == 3


def test_transcription_of_a_very_long_recording_is_cut() -> None:
    reply = transcribe(wav(40_000, rate=1, width=1)).json()

    assert reply["usage"]["seconds"] == 40_000
    assert len(reply["text"].split()) == 30_000


@pytest.mark.parametrize(("path", "task"), [("transcriptions", "transcribe"), ("translations", "translate")])
def test_verbose_transcription_has_segments_that_cover_it(path: str, task: str) -> None:
    reply = transcribe(wav(7.5), path, response_format="verbose_json").json()

    assert (reply["task"], reply["language"], reply["duration"]) == (task, "english", 7.5)
    assert [(segment["start"], segment["end"]) for segment in reply["segments"]] == [(0, 3), (3, 6), (6, 7.5)]
    assert " ".join(segment["text"] for segment in reply["segments"]) == reply["text"]
    assert reply["usage"] == {"type": "duration", "seconds": 8}


def test_transcription_is_plain_text_where_asked() -> None:
    audio = wav(4)
    words = transcribe(audio).json()["text"].split()
    first, second = " ".join(words[:9]), " ".join(words[9:])

    text, srt, vtt = (transcribe(audio, response_format=form) for form in ("text", "srt", "vtt"))

    assert text.headers["content-type"].startswith("text/plain")
    assert text.text == f"{first} {second}\n"
    assert srt.text == (f"1\n00:00:00,000 --> 00:00:03,000\n{first}\n\n2\n00:00:03,000 --> 00:00:04,000\n{second}\n\n")
    assert vtt.text == (
        f"WEBVTT\n\n00:00:00.000 --> 00:00:03.000\n{first}\n\n00:00:03.000 --> 00:00:04.000\n{second}\n\n"
    )


def test_transcription_stream_has_a_word_an_event_and_usage_last() -> None:
    audio = wav(2)
    text = transcribe(audio).json()["text"]

    upload = {"data": {"model": "fake-stt", "stream": "true"}, "files": {"file": ("speech.wav", audio)}}
    *deltas, done = events("/v1/audio/transcriptions", **upload)

    assert len(deltas) == 6
    assert {delta["type"] for delta in deltas} == {"transcript.text.delta"}
    assert "".join(delta["delta"] for delta in deltas) == text
    assert done == {"type": "transcript.text.done", "text": text, "usage": {"type": "duration", "seconds": 2}}


# Rerank

DOCUMENTS = ["the moon", {"text": "red fox, brown fox"}, "a red fox"]


@pytest.mark.parametrize("version", ["1", "2"])
def test_rerank_sorts_by_shared_words_and_reports_search_units_alone(version: str) -> None:
    body = {
        "model": "fake-rerank",
        "query": "Red fox",
        "documents": DOCUMENTS,
        "top_n": None,
        "max_tokens_per_doc": None,
    }

    reply = answer(f"/v{version}/rerank", body)

    assert reply["results"] == [
        {"index": 1, "relevance_score": pytest.approx(2 / 3)},
        {"index": 2, "relevance_score": pytest.approx(2 / 3)},
        {"index": 0, "relevance_score": 0},
    ]
    assert reply["meta"] == {"api_version": {"version": version}, "billed_units": {"search_units": 1}}
    assert reply["model"] == "fake-rerank"
    assert "usage" not in reply


@pytest.mark.parametrize(("top_n", "results"), [(1, 1), (2, 2), (50, 3)])
def test_rerank_returns_at_most_the_number_asked_for(top_n: int, results: int) -> None:
    reply = answer("/v2/rerank", {"model": "fake-rerank", "query": "fox", "documents": DOCUMENTS, "top_n": top_n})

    assert len(reply["results"]) == results


def test_rerank_returns_documents_where_asked() -> None:
    body = {"model": "fake-rerank", "query": "", "documents": ["", {"text": "b"}], "return_documents": True}

    reply = answer("/v1/rerank", body)

    assert [result["document"] for result in reply["results"]] == [{"text": ""}, {"text": "b"}]
    assert [result["relevance_score"] for result in reply["results"]] == [0, 0]


@pytest.mark.parametrize(("documents", "units"), [(1, 1), (100, 1), (101, 2), (200, 2)])
def test_rerank_bills_a_search_unit_per_hundred_documents_begun(documents: int, units: int) -> None:
    reply = answer("/v2/rerank", {"model": "fake-rerank", "query": "a", "documents": ["b"] * documents, "top_n": 1})

    assert reply["meta"]["billed_units"] == {"search_units": units}


# All routes


def test_models_of_every_kind_are_listed() -> None:
    reply = ask("GET", "/v1/models").json()

    assert reply["object"] == "list"
    assert [model["id"] for model in reply["data"]] == [
        "fake-chat",
        "fake-completion",
        "fake-embedding",
        "fake-tts",
        "fake-stt",
        "fake-rerank",
        "fake-moderation",
    ]
    assert all(set(model) == {"id", "object", "created", "owned_by"} for model in reply["data"])


MESSAGE: dict[str, Any] = {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "a b c d"}]}


def test_message_echoes_the_last_words_and_counts_all() -> None:
    blocks = [{"type": "text", "text": "e"}, {"type": "tool_result", "content": [{"type": "text", "text": "f g"}]}]
    body = {**MESSAGE, "system": "h i", "messages": [*MESSAGE["messages"], {"role": "user", "content": blocks}]}

    reply = answer("/v1/messages", body)

    assert reply["content"] == [{"type": "text", "text": "e f g"}]
    assert (reply["type"], reply["model"], reply["stop_reason"]) == ("message", "m", "end_turn")
    assert reply["usage"] == {
        "input_tokens": 9,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 3,
    }
    assert answer("/v1/messages/count_tokens", body) == {"input_tokens": 9}
    assert answer("/v1/messages", {**body, "max_tokens": 2})["stop_reason"] == "max_tokens"


def test_streamed_message_says_the_same_in_anthropics_events() -> None:
    streamed = ask("POST", "/v1/messages", json={**MESSAGE, "stream": True})

    events = [event.splitlines() for event in streamed.text.split("\n\n") if event]
    data = [json.loads(line.removeprefix("data: ")) for _, line in events]
    assert [name for name, _ in events] == [f"event: {item['type']}" for item in data]
    assert [data[0]["type"], data[-2]["type"], data[-1]["type"]] == ["message_start", "message_delta", "message_stop"]
    assert data[0]["message"]["usage"]["output_tokens"] == 1
    assert data[-2]["usage"] == {"output_tokens": 3}
    assert "".join(item["delta"]["text"] for item in data if item["type"] == "content_block_delta") == "b c d"


@pytest.mark.parametrize(
    ("choice", "tool"),
    [({"type": "any"}, "ls"), ({"type": "tool", "name": "cat"}, "cat"), ({"type": "auto"}, None), (None, None)],
)
def test_message_uses_the_tool_that_is_required(choice: object, tool: str | None) -> None:
    body = {**MESSAGE, "tools": [{"name": "ls"}, {"name": "cat"}], "tool_choice": choice}

    (block,) = answer("/v1/messages", body)["content"]

    assert block.get("name") == tool
    assert (block["type"] == "tool_use") == (tool is not None)


@pytest.mark.parametrize(
    "change", [{"messages": 5}, {"max_tokens": 0}, {"tool_choice": {"type": "any"}}, {"tool_choice": {"type": "tool"}}]
)
def test_error_of_a_message_has_anthropics_shape(change: dict[str, object]) -> None:
    refused = ask("POST", "/v1/messages", json={**MESSAGE, **change})

    assert refused.status_code == 400
    assert refused.json()["type"] == "error"
    assert refused.json()["error"].keys() == {"type", "message"}


RESPONSE: dict[str, Any] = {"model": "m", "input": [{"role": "user", "content": "a b c d"}]}
LS = [{"type": "web_search"}, {"type": "function", "name": "ls"}]


def test_response_echoes_the_last_words_and_counts_all() -> None:
    parts = [{"type": "input_text", "text": "e"}]
    items = [*RESPONSE["input"], {"role": "user", "content": parts}, {"type": "function_call_output", "output": "f g"}]
    body = {"model": "m", "input": items, "instructions": "h i"}

    reply = answer("/v1/responses", body)

    assert reply["output"][0]["content"] == [{"type": "output_text", "text": "e f g", "annotations": []}]
    assert (reply["object"], reply["model"], reply["status"]) == ("response", "m", "completed")
    assert reply["usage"] == {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 12,
    }
    assert answer("/v1/responses/input_tokens", body) == {"object": "response.input_tokens", "input_tokens": 9}
    assert answer("/v1/responses", {"model": "m", "input": "a b"})["usage"]["input_tokens"] == 2


def test_response_that_reaches_its_bound_is_incomplete() -> None:
    reply = answer("/v1/responses", {**RESPONSE, "max_output_tokens": 2})

    assert (reply["status"], reply["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})


def test_compaction_reports_usage() -> None:
    reply = answer("/v1/responses/compact", RESPONSE)

    assert (reply["object"], reply["usage"]["input_tokens"], reply["usage"]["output_tokens"]) == (
        "response.compaction",
        4,
        1,
    )


@pytest.mark.parametrize("more", [{}, {"tools": LS, "tool_choice": "required"}])
def test_streamed_response_says_the_same_in_numbered_events(more: dict[str, Any]) -> None:
    streamed = ask("POST", "/v1/responses", json={**RESPONSE, **more, "stream": True})

    events = [event.splitlines() for event in streamed.text.split("\n\n") if event]
    data = [json.loads(line.removeprefix("data: ")) for _, line in events]
    assert [name for name, _ in events] == [f"event: {item['type']}" for item in data]
    assert [item["sequence_number"] for item in data] == [*range(len(data))]
    assert (data[0]["type"], data[-1]["type"]) == ("response.created", "response.completed")
    assert data[0]["response"]["usage"] is None
    item = data[-1]["response"]["output"][0]
    text = item["arguments"] if more else item["content"][0]["text"]
    assert text == "".join(item["delta"] for item in data if item["type"].endswith(".delta"))


@pytest.mark.parametrize("change", [{"input": 5}, {"max_output_tokens": 0}, {"tool_choice": "required"}])
def test_wrong_request_of_a_response_is_refused(change: dict[str, object]) -> None:
    assert ask("POST", "/v1/responses", json={**RESPONSE, **change}).status_code == 400


def conversation(*requests: tuple[str, str, object]) -> list[httpx.Response]:
    """Make requests of one fake provider, each a method, a path and a body; "{id}" is the id of the first answer."""

    async def run() -> list[httpx.Response]:
        replies: list[httpx.Response] = []
        transport = httpx.ASGITransport(fake_provider())
        async with httpx.AsyncClient(transport=transport, base_url="http://fake") as client:
            for method, path, body in requests:
                first = replies[0].json()["id"] if replies else ""
                text = json.dumps(body).replace("{id}", first) if body is not None else None
                replies.append(await client.request(method, path.replace("{id}", first), content=text))
        return replies

    return asyncio.run(run())


BEGIN = ("POST", "/v1/responses", RESPONSE)
STORED = "/v1/responses/{id}"
GO_ON = {"model": "m", "input": "e", "previous_response_id": "{id}"}


def test_response_that_goes_on_from_another_has_its_words() -> None:
    _, whole, counted = conversation(
        BEGIN, ("POST", "/v1/responses", GO_ON), ("POST", "/v1/responses/input_tokens", GO_ON)
    )

    assert whole.json()["output"][0]["content"][0]["text"] == "c d e"
    assert whole.json()["usage"]["input_tokens"] == 8
    assert counted.json()["input_tokens"] == 8


def test_stored_response_is_retrieved_and_deleted() -> None:
    begun, got, items, cancelled, deleted, gone = conversation(
        BEGIN,
        ("GET", STORED, None),
        ("GET", f"{STORED}/input_items", None),
        ("POST", f"{STORED}/cancel", None),
        ("DELETE", STORED, None),
        ("GET", STORED, None),
    )

    assert got.json() == begun.json()
    assert [item["content"][0]["text"] for item in items.json()["data"]] == ["a b c d"]
    assert cancelled.status_code == 400
    assert deleted.json() == {"id": begun.json()["id"], "object": "response", "deleted": True}
    assert gone.status_code == 404


def test_response_that_is_not_to_be_stored_is_not_kept() -> None:
    _, got, refused = conversation(
        ("POST", "/v1/responses", {**RESPONSE, "store": False}),
        ("GET", STORED, None),
        ("POST", "/v1/responses", GO_ON),
    )

    assert (got.status_code, refused.status_code) == (404, 400)
    assert refused.json()["error"]["code"] == "previous_response_not_found"


def test_fake_provider_forgets_the_oldest_responses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "_MAX_KEPT", 1)

    _, _, got = conversation(BEGIN, ("POST", "/v1/responses", GO_ON), ("GET", STORED, None))

    assert got.status_code == 404


ONE_OF_EACH = [
    ("/v1/chat/completions", CHAT),
    ("/v1/chat/completions", {**CHAT, **WITH_USAGE}),
    ("/v1/chat/completions", {**CHAT, "tools": TOOLS, "tool_choice": "required"}),
    ("/v1/completions", {"model": "m", "prompt": "a b"}),
    ("/v1/embeddings", {"model": "m", "input": "a b"}),
    ("/v1/audio/speech", {"model": "m", "input": "a b"}),
    ("/v1/rerank", {"model": "m", "query": "a", "documents": ["a"]}),
    ("/v1/moderations", {"model": "m", "input": "a b"}),
    ("/v1/messages", MESSAGE),
    ("/v1/messages", {**MESSAGE, "stream": True}),
    ("/v1/messages/count_tokens", MESSAGE),
    ("/v1/responses", RESPONSE),
    ("/v1/responses", {**RESPONSE, "stream": True}),
    ("/v1/responses/compact", RESPONSE),
    ("/v1/responses/input_tokens", RESPONSE),
]


@pytest.mark.parametrize(("path", "body"), ONE_OF_EACH)
def test_same_request_has_the_same_answer(path: str, body: object) -> None:
    assert ask("POST", path, json=body).content == ask("POST", path, json=body).content


def test_other_request_has_another_id() -> None:
    requests = [request for request in ONE_OF_EACH if request[0] in ("/v1/completions", "/v1/rerank")]
    requests += [("/v1/chat/completions", {**CHAT, "user": user}) for user in ("a", "b")]

    ids = {answer(path, body)["id"] for path, body in requests}

    assert len(ids) == len(requests)


BAD_BODIES = [
    pytest.param("/v1/chat/completions", "{", None, id="unreadable"),
    pytest.param("/v1/chat/completions", '{"model":"\\ud800","messages":[]}', None, id="no Unicode"),
    pytest.param("/v1/chat/completions", "[]", None, id="no object"),
    pytest.param("/v1/chat/completions", '{"messages":[]}', "model", id="no model"),
    pytest.param("/v1/chat/completions", '{"model":"m"}', "messages", id="no messages"),
    pytest.param("/v1/chat/completions", '{"model":"m","messages":["hi"]}', "messages", id="message is text"),
    pytest.param("/v1/chat/completions", '{"model":"m","messages":[{"content":5}]}', "messages", id="content"),
    pytest.param("/v1/chat/completions", '{"model":"m","messages":[],"max_tokens":0}', "max_tokens", id="no tokens"),
    pytest.param(
        "/v1/chat/completions", '{"model":"m","messages":[],"tool_choice":"required"}', "tool_choice", id="no tools"
    ),
    pytest.param(
        "/v1/chat/completions",
        '{"model":"m","messages":[],"tool_choice":{"type":"function","function":{"name":"f"}}}',
        "tool_choice",
        id="unknown tool",
    ),
    pytest.param("/v1/completions", '{"model":"m","prompt":[]}', "prompt", id="no prompt"),
    pytest.param("/v1/completions", '{"model":"m","prompt":[1]}', "prompt", id="prompt of numbers"),
    pytest.param("/v1/embeddings", '{"model":"m","input":[]}', "input", id="nothing to embed"),
    pytest.param("/v1/embeddings", '{"model":"m","input":["a",1]}', "input", id="texts and token ids"),
    pytest.param("/v1/embeddings", '{"model":"m","input":"a","dimensions":0}', "dimensions", id="no dimensions"),
    pytest.param("/v1/embeddings", '{"model":"m","input":"a","encoding_format":"x"}', "encoding_format", id="encoding"),
    pytest.param("/v1/audio/speech", '{"model":"m","input":""}', "input", id="nothing to say"),
    pytest.param("/v1/audio/speech", json.dumps({"model": "m", "input": "x" * 4097}), "input", id="too much to say"),
    pytest.param("/v1/audio/speech", '{"model":"m","input":"a","response_format":"x"}', "response_format", id="format"),
    pytest.param("/v1/rerank", '{"model":"m","query":"a","documents":[]}', "documents", id="no documents"),
    pytest.param(
        "/v2/rerank", '{"model":"m","query":"a","documents":[{"title":"b"}]}', "documents", id="document lacks text"
    ),
    pytest.param("/v2/rerank", '{"model":"m","query":"a","documents":["b"],"top_n":0}', "top_n", id="no results"),
]


@pytest.mark.parametrize(("path", "body", "param"), BAD_BODIES)
def test_bad_body_is_told_in_openais_shape(path: str, body: str, param: str | None) -> None:
    reply = ask("POST", path, content=body)

    assert reply.status_code == 400
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert error["message"]


BAD_UPLOADS = [
    pytest.param({"data": {"model": "m"}}, "file", id="no form of parts"),
    pytest.param({"data": {"model": "m", "file": "text"}}, "file", id="file is text"),
    pytest.param({"files": {"file": wav(1)}}, "model", id="no model"),
    pytest.param({"files": {"file": b"ID3 and so on"}, "data": {"model": "m"}}, "file", id="no WAV"),
    pytest.param({"files": {"file": b""}, "data": {"model": "m"}}, "file", id="empty"),
    pytest.param({"files": {"file": wav(1)[:30]}, "data": {"model": "m"}}, "file", id="half a header"),
    pytest.param(
        {"files": {"file": wav(1)[:16] + bytes([16, 0, 255, 0]) + wav(1)[20:]}, "data": {"model": "m"}},
        "file",
        id="sizes that contradict",
    ),
    pytest.param(
        {"files": {"file": wav(1)[:24] + bytes(4) + wav(1)[28:]}, "data": {"model": "m"}}, "file", id="rate of zero"
    ),
    pytest.param(
        {"files": {"file": wav(1)}, "data": {"model": "m", "response_format": "xml"}}, "response_format", id="format"
    ),
    pytest.param({"files": {"file": wav(1)}, "data": {"model": "m", "stream": "maybe"}}, "stream", id="stream"),
    pytest.param(
        {"content": b"no parts", "headers": {"content-type": "multipart/form-data; boundary=x"}}, None, id="no parts"
    ),
]


@pytest.mark.parametrize(("upload", "param"), BAD_UPLOADS)
def test_bad_upload_is_told_in_openais_shape(upload: dict[str, Any], param: str | None) -> None:
    reply = ask("POST", "/v1/audio/transcriptions", **upload)

    assert reply.status_code == 400
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["param"] == param


@pytest.mark.parametrize(("method", "path", "status"), [("POST", "/v1/nothing", 404), ("GET", "/v1/embeddings", 405)])
def test_what_is_not_served_is_told_in_openais_shape(method: str, path: str, status: int) -> None:
    reply = ask(method, path)

    assert reply.status_code == status
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
