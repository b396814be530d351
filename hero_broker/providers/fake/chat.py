"""Fake chats: the reply echoes the last words, or calls the function that `tool_choice` requires."""

from typing import Annotated, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from hero_broker.core.errors import InvalidRequest
from hero_broker.providers.fake.echo import echo
from hero_broker.providers.fake.fake_kind import TEXT_PRICE, FakeKind
from hero_broker.providers.fake.wire import DONE, event_stream, json_response, read_body, response_id, token_usage

TokenLimit = Annotated[int, msgspec.Meta(ge=1)]

_ARGUMENTS = "{}"
_CALL_TOKENS = 2  # the function's name and its arguments


class StreamOptions(msgspec.Struct):
    """What a stream contains besides the reply."""

    include_usage: bool | None = None


class _Part(msgspec.Struct):
    type: str
    text: str | None = None


class _Message(msgspec.Struct):
    content: str | list[_Part] | None = None

    def words(self) -> list[str]:
        if isinstance(self.content, list):
            return [word for part in self.content if part.type == "text" for word in (part.text or "").split()]
        return (self.content or "").split()


class _Function(msgspec.Struct):
    name: str


class _Tool(msgspec.Struct):
    type: str
    function: _Function | None = None


class _ChatBody(msgspec.Struct):
    model: str
    messages: list[_Message]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: TokenLimit | None = None
    max_completion_tokens: TokenLimit | None = None
    tools: list[_Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | _Tool | None = None


class _Reply(msgspec.Struct):
    message: dict[str, object]
    deltas: list[dict[str, object]]  # the message in pieces
    finish_reason: str
    tokens: int


async def answer_chat(request: Request) -> Response:
    """Answer `POST /v1/chat/completions`; usage is the words of all messages and of the reply."""
    body = await read_body(request, _ChatBody)
    answer_id = await response_id(request, "chatcmpl-")
    words = [word for message in body.messages for word in message.words()]
    function = _function_to_call(body)
    if function is not None:
        reply = _tool_call(answer_id, function)
    else:
        reply = _echo(words, body.max_completion_tokens or body.max_tokens)
    usage = token_usage(len(words), reply.tokens)
    base: dict[str, object] = {"id": answer_id, "created": 0, "model": body.model}
    if not body.stream:
        message = {"role": "assistant", **reply.message}
        choices = [{"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish_reason}]
        return json_response({**base, "object": "chat.completion", "choices": choices, "usage": usage})
    chunk = {**base, "object": "chat.completion.chunk"}
    first, *others = reply.deltas
    deltas = [{"role": "assistant", **first}, *others]
    events = [{**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    events.append({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": reply.finish_reason}]})
    if body.stream_options is not None and body.stream_options.include_usage:
        events.append({**chunk, "choices": [], "usage": usage})
    return event_stream(events, DONE)


def _function_to_call(body: _ChatBody) -> str | None:
    """Return the name of the function that must be called; None if the reply is text."""
    choice = body.tool_choice
    offered = [tool.function.name for tool in body.tools or () if tool.function is not None]
    if choice == "required":
        if not offered:
            raise InvalidRequest("'tool_choice' requires a call, but 'tools' has no function.", param="tool_choice")
        return offered[0]
    if not isinstance(choice, _Tool) or choice.function is None:
        return None
    if choice.function.name not in offered:
        raise InvalidRequest("'tool_choice' names a function that is not in 'tools'.", param="tool_choice")
    return choice.function.name


def _tool_call(answer_id: str, function: str) -> _Reply:
    call: dict[str, object] = {"id": answer_id.replace("chatcmpl-", "call_"), "type": "function"}
    first = {"index": 0, **call, "function": {"name": function, "arguments": ""}}
    return _Reply(
        message={"content": None, "tool_calls": [{**call, "function": {"name": function, "arguments": _ARGUMENTS}}]},
        deltas=[
            {"content": None, "tool_calls": [first]},
            {"tool_calls": [{"index": 0, "function": {"arguments": _ARGUMENTS}}]},
        ],
        finish_reason="tool_calls",
        tokens=_CALL_TOKENS,
    )


def _echo(words: list[str], max_words: int | None) -> _Reply:
    reply = echo(words, max_words)
    deltas: list[dict[str, object]] = [{"content": piece} for piece in reply.pieces]
    return _Reply({"content": reply.text, "refusal": None}, deltas, reply.finish_reason, len(reply.words))


FAKE = FakeKind("chat", "fake-chat", TEXT_PRICE, answer_chat)
