"""Calls of OpenAI's Python client; the first argument names one, whose result is printed as JSON."""

import json
import sys
from pathlib import Path
from typing import Any

import openai
from openai.types.chat import ChatCompletionUserMessageParam
from pydantic import BaseModel

CLIENT = openai.OpenAI()
WORDS: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": " ".join(["word"] * 40)}]
SPEECH = Path("speech.wav")
AGENT = "gpt-5-codex"


class Report(BaseModel):
    """What a reply says of the work."""

    state: str


def chat() -> object:
    answer = CLIENT.chat.completions.create(model="fake-chat", messages=WORDS)
    assert answer.usage is not None
    return {
        "text": answer.choices[0].message.content,
        "tokens": [answer.usage.prompt_tokens, answer.usage.completion_tokens],
        "has_request_id": bool(answer._request_id),
    }


def stream() -> object:
    chunks = list(CLIENT.chat.completions.create(model="fake-chat", messages=WORDS, stream=True))
    return {
        "text": "".join(chunk.choices[0].delta.content or "" for chunk in chunks),
        "usages": [chunk.usage for chunk in chunks if chunk.usage],
    }


def stream_with_usage() -> object:
    *chunks, last = CLIENT.chat.completions.create(
        model="fake-chat", messages=WORDS, stream=True, stream_options={"include_usage": True}
    )
    assert last.usage is not None
    return {
        "text": "".join(chunk.choices[0].delta.content or "" for chunk in chunks),
        "last_choices": last.choices,
        "tokens": [last.usage.prompt_tokens, last.usage.completion_tokens],
    }


def tools() -> object:
    answer = CLIENT.chat.completions.create(
        model="fake-chat",
        messages=[{"role": "user", "content": "what is the weather"}],
        tools=[{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}],
        tool_choice="required",
    )
    choice = answer.choices[0]
    assert choice.message.tool_calls is not None
    calls = [call.function for call in choice.message.tool_calls if call.type == "function"]
    return {"calls": [(call.name, call.arguments) for call in calls], "finish_reason": choice.finish_reason}


def completion() -> object:
    return CLIENT.completions.create(model="fake-completion", prompt="one two three four").choices[0].text


def embeddings() -> object:
    """Leave the encoding to the client, which asks for base64."""
    answer = CLIENT.embeddings.create(model="fake-embedding", input=["one two", "three"])
    return [item.embedding for item in answer.data]


def embeddings_as_floats() -> object:
    answer = CLIENT.embeddings.create(model="fake-embedding", input=["one two", "three"], encoding_format="float")
    return [item.embedding for item in answer.data]


def moderation() -> object:
    named = CLIENT.moderations.create(model="fake-moderation", input=["do harm", "do good"])
    part: Any = {"type": "text", "text": "be kind"}
    unnamed = CLIENT.moderations.create(input=[part])
    return [[item.flagged for item in answer.results] for answer in (named, unnamed)]


def speech() -> object:
    return CLIENT.audio.speech.create(model="fake-tts", voice="alloy", input="Hello there").content[:4].decode()


def speech_streamed() -> object:
    with CLIENT.audio.speech.with_streaming_response.create(
        model="fake-tts", voice="alloy", input="Hello there"
    ) as answer:
        answer.stream_to_file("said.wav")
    return Path("said.wav").read_bytes()[:4].decode()


def transcription() -> object:
    return CLIENT.audio.transcriptions.create(model="fake-stt", file=SPEECH).text


def transcription_verbose() -> object:
    answer = CLIENT.audio.transcriptions.create(model="fake-stt", file=SPEECH, response_format="verbose_json")
    return {"text": answer.text, "duration": answer.duration, "segments": len(answer.segments or ())}


def transcription_as_text() -> object:
    return CLIENT.audio.transcriptions.create(model="fake-stt", file=SPEECH, response_format="text")


def transcription_of_no_audio() -> object:
    try:
        CLIENT.audio.transcriptions.create(model="fake-stt", file=("a.wav", b"no audio"))
    except openai.BadRequestError as error:
        return {"message": error.response.json()["error"]["message"], "retries": retries(error)}
    raise AssertionError("The provider refuses what is no audio.")


def response() -> object:
    answer = CLIENT.responses.create(model=AGENT, input="how is the work")
    assert answer.usage is not None
    return {"text": answer.output_text, "tokens": [answer.usage.input_tokens, answer.usage.output_tokens]}


def response_stream() -> object:
    with CLIENT.responses.stream(model=AGENT, input="how is the work") as events:
        text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        answer = events.get_final_response()
    assert answer.usage is not None
    return {"text": text, "tokens": [answer.usage.input_tokens, answer.usage.output_tokens]}


def response_parsed() -> object:
    answer = CLIENT.responses.parse(model=AGENT, input="how is the work", text_format=Report)
    assert answer.output_parsed is not None
    return answer.output_parsed.state


def response_compacted() -> object:
    answer = CLIENT.responses.compact(model=AGENT, input="how is the work")
    return {"types": [item.type for item in answer.output], "tokens": answer.usage.input_tokens}


def response_tokens() -> object:
    return CLIENT.responses.input_tokens.count(model=AGENT, input="how is the work").input_tokens


def response_stored() -> object:
    first = CLIENT.responses.create(model="fake-chat", input="one two")
    with CLIENT.responses.stream(model="fake-chat", input="three", previous_response_id=first.id) as events:
        second = events.get_final_response()
    items = CLIENT.responses.input_items.list(second.id)
    found = CLIENT.responses.retrieve(second.id)
    CLIENT.responses.delete(second.id)
    try:
        CLIENT.responses.create(model="fake-chat", input="four", previous_response_id=second.id)
    except openai.BadRequestError as error:
        code = error.code
    try:
        CLIENT.responses.retrieve(second.id)
    except openai.NotFoundError as error:
        return {
            "texts": [first.output_text, second.output_text, found.output_text],
            "items": len(list(items)),
            "deleted": [code, retries(error)],
        }
    raise AssertionError("The response is deleted.")


def models() -> object:
    return {
        "listed": [model.id for model in CLIENT.models.list()],
        "retrieved": CLIENT.models.retrieve("fake-chat").id,
    }


def unknown_model() -> object:
    try:
        CLIENT.chat.completions.create(model="no-such-model", messages=WORDS)
    except openai.NotFoundError as error:
        return {"code": error.code, "param": error.param, "retries": retries(error)}
    raise AssertionError("There is no such model.")


def refused() -> object:
    try:
        CLIENT.responses.create(model=AGENT, input="hello")
    except openai.APIStatusError as error:
        code = error.code
        return {"class": type(error).__name__, "status": error.status_code, "code": code, "message": str(error)}
    raise AssertionError("A limit refuses every call.")


def retries(error: openai.APIStatusError) -> int:
    """Return how often the client had repeated the request, by its own count."""
    return int(error.request.headers["x-stainless-retry-count"])


CALLS = (
    chat,
    stream,
    stream_with_usage,
    tools,
    completion,
    embeddings,
    embeddings_as_floats,
    moderation,
    speech,
    speech_streamed,
    transcription,
    transcription_verbose,
    transcription_as_text,
    transcription_of_no_audio,
    response,
    response_stream,
    response_parsed,
    response_compacted,
    response_tokens,
    response_stored,
    models,
    unknown_model,
    refused,
)

if __name__ == "__main__":
    (asked,) = (call for call in CALLS if call.__name__ == sys.argv[1])
    json.dump(asked(), sys.stdout)
