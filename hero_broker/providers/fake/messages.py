"""Fake Messages: the reply echoes the last words, or uses the tool that `tool_choice` requires."""

from typing import Annotated, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from hero_broker.core.errors import InvalidRequest
from hero_broker.providers.fake.echo import echo
from hero_broker.providers.fake.fake_kind import TEXT_PRICE, FakeKind
from hero_broker.providers.fake.wire import json_response, named_event_stream, read_body, response_id

_TOOL_TOKENS = 2  # the tool's name and its input
_STOP_REASONS = {"stop": "end_turn", "length": "max_tokens"}


class _Block(msgspec.Struct):
    type: str
    text: str | None = None
    content: "str | list[_Block] | None" = None  # of a tool's result


_Content = str | list[_Block] | None


class _Message(msgspec.Struct):
    content: _Content = None


class _Tool(msgspec.Struct):
    name: str


class _ToolChoice(msgspec.Struct):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None


class _CountBody(msgspec.Struct):
    model: str
    messages: list[_Message]
    system: _Content = None
    tools: list[_Tool] | None = None
    tool_choice: _ToolChoice | None = None

    def words(self) -> list[str]:
        return [*_words(self.system), *(word for message in self.messages for word in _words(message.content))]


class _MessagesBody(_CountBody, kw_only=True):
    max_tokens: Annotated[int, msgspec.Meta(ge=1)]
    stream: bool | None = None


def _words(content: _Content) -> list[str]:
    if isinstance(content, str):
        return content.split()
    return [word for block in content or () for word in (*(block.text or "").split(), *_words(block.content))]


async def answer_messages(request: Request) -> Response:
    """Answer `POST /v1/messages`; usage is the words of the system prompt, of all messages, and of the reply."""
    body = await read_body(request, _MessagesBody)
    answer_id = await response_id(request, "msg_")
    words = body.words()
    tool = _tool_to_use(body)
    if tool is not None:
        block: dict[str, object] = {"type": "tool_use", "id": f"toolu_{answer_id}", "name": tool, "input": {}}
        deltas: list[dict[str, object]] = [{"type": "input_json_delta", "partial_json": "{}"}]
        stop_reason, tokens, start = "tool_use", _TOOL_TOKENS, block
    else:
        reply = echo(words, body.max_tokens)
        block, start = {"type": "text", "text": reply.text}, {"type": "text", "text": ""}
        deltas = [{"type": "text_delta", "text": piece} for piece in reply.pieces]
        stop_reason, tokens = _STOP_REASONS[reply.finish_reason], len(reply.words)
    usage = {
        "input_tokens": len(words),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": tokens,
    }
    message: dict[str, object] = {"id": answer_id, "type": "message", "role": "assistant", "model": body.model}
    ending = {"stop_reason": stop_reason, "stop_sequence": None}
    if not body.stream:
        return json_response({**message, "content": [block], **ending, "usage": usage})
    placeholder = {**usage, "output_tokens": 1}  # as at the start of Anthropic's streams
    begun = {
        **message,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": placeholder,
    }
    return named_event_stream(
        [
            {"type": "message_start", "message": begun},
            {"type": "content_block_start", "index": 0, "content_block": start},
            {"type": "ping"},
            *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": ending, "usage": {"output_tokens": tokens}},
            {"type": "message_stop"},
        ]
    )


async def count_message_tokens(request: Request) -> Response:
    """Answer `POST /v1/messages/count_tokens`: the words of the system prompt and of all messages."""
    body = await read_body(request, _CountBody)
    return json_response({"input_tokens": len(body.words())})


def _tool_to_use(body: _MessagesBody) -> str | None:
    """Return the name of the tool that must be used; None if the reply is text."""
    choice, offered = body.tool_choice, [tool.name for tool in body.tools or ()]
    if choice is None or choice.type in ("auto", "none"):
        return None
    if not offered or (choice.type == "tool" and choice.name not in offered):
        raise InvalidRequest("'tool_choice' requires a tool that is not in 'tools'.", param="tool_choice")
    return offered[0] if choice.type == "any" else choice.name


FAKE = FakeKind("messages", "fake-chat", TEXT_PRICE, answer_messages, count_message_tokens)
