"""Calls of Anthropic's Python client; the first argument names one, whose result is printed as JSON."""
# mypy: disable-error-code="import-not-found"

import json
import sys

import anthropic

CLIENT = anthropic.Anthropic()
WORDS = [{"role": "user", "content": " ".join(["word"] * 40)}]
TOOLS = [{"name": "weather", "input_schema": {"type": "object", "properties": {}}}]


def message() -> object:
    answer = CLIENT.messages.create(model="fake-chat", max_tokens=100, messages=WORDS)
    return {
        "text": answer.content[0].text,
        "tokens": [answer.usage.input_tokens, answer.usage.output_tokens],
        "has_request_id": bool(answer._request_id),
    }


def stream() -> object:
    with CLIENT.messages.stream(model="fake-chat", max_tokens=100, messages=WORDS) as events:
        text = "".join(events.text_stream)
        answer = events.get_final_message()
    return {"text": text, "tokens": [answer.usage.input_tokens, answer.usage.output_tokens]}


def tools() -> object:
    with CLIENT.messages.stream(
        model="fake-chat", max_tokens=100, messages=WORDS, tools=TOOLS, tool_choice={"type": "any"}
    ) as events:
        answer = events.get_final_message()
    return {"calls": [[block.name, block.input] for block in answer.content], "stop_reason": answer.stop_reason}


def count() -> object:
    return CLIENT.messages.count_tokens(model="fake-chat", messages=WORDS, system="and more").input_tokens


def models() -> object:
    listed = {model.id: model.display_name for model in CLIENT.models.list(limit=5)}
    return {"listed": listed, "retrieved": CLIENT.models.retrieve("claude-sonnet-4-5").type}


def unknown_model() -> object:
    try:
        CLIENT.messages.create(model="no-such-model", max_tokens=100, messages=WORDS)
    except anthropic.NotFoundError as error:
        return {"type": error.body["error"]["type"], "has_request_id": bool(error.request_id)}
    raise AssertionError("There is no such model.")


def refused() -> object:
    try:
        CLIENT.messages.create(model="claude-sonnet-4-5", max_tokens=100, messages=WORDS)
    except anthropic.APIStatusError as error:
        kind = error.body["error"]["type"]
        return {"class": type(error).__name__, "status": error.status_code, "code": kind, "message": str(error)}
    raise AssertionError("A limit refuses every call.")


if __name__ == "__main__":
    calls = (message, stream, tools, count, models, unknown_model, refused)
    (asked,) = (call for call in calls if call.__name__ == sys.argv[1])
    json.dump(asked(), sys.stdout)
