"""Chat completions."""

from collections.abc import Mapping

import msgspec

from hero_broker.core.usage import Usage
from hero_broker.kinds.attachments import audio_tokens, file_tokens, image_tokens
from hero_broker.kinds.json_body import ARRAY, JsonBody
from hero_broker.kinds.kind import EVENT_STREAM, JSON, Request
from hero_broker.kinds.route_spec import STREAM, STREAM_OPTIONS, RouteSpec, json_body, provider_answer
from hero_broker.kinds.text_streams import TextStreamKind
from hero_broker.kinds.texts import (
    Reading,
    compact,
    mapping,
    member,
    non_empty,
    part_texts,
    sequence,
    thinking_texts,
    tool_call_texts,
)

MESSAGE_TOKENS = 4  # three to frame a message, one for its role
NAME_TOKENS = 1
PRIMING_TOKENS = 3  # at the start of the reply


class Chat(TextStreamKind):
    """`POST /v1/chat/completions`."""

    name = "chat"
    paths = {"/v1/chat/completions": "/chat/completions"}
    specs = (
        RouteSpec(
            "/v1/chat/completions",
            "createChatCompletion",
            "Create a chat completion",
            provider_answer(JSON, EVENT_STREAM),
            json_body({"messages": {"type": "array"}, **STREAM, **STREAM_OPTIONS}, "messages"),
        ),
    )
    typical = (("1,000 in and 1,000 out", Usage(input_tokens=1000, output_tokens=1000)),)
    example = {"messages": [{"role": "user", "content": "a few words"}]}
    always_reads_tokens = True

    def read(self, body: JsonBody) -> Request:
        """Check `messages`, `stream` and `stream_options`."""
        return self.text_request(body, body.require("messages", ARRAY))

    def reading(self, members: Mapping[str, msgspec.Raw]) -> Reading:
        """Return the texts of all messages and tools, and the tokens of what is no text."""
        texts: list[str] = []
        fixed, audio = PRIMING_TOKENS, 0
        for item in sequence(member(members, "messages")):
            message = mapping(item)
            fixed += MESSAGE_TOKENS
            texts += part_texts(message.get("content"))
            texts += thinking_texts(message.get("content"))
            for text in (
                message.get("name"),
                message.get("reasoning_content"),
                *(text for _, text in tool_call_texts(message)),
            ):
                if isinstance(text, str):
                    texts.append(text)
            if isinstance(message.get("name"), str):
                fixed += NAME_TOKENS
            for part in map(mapping, sequence(message.get("content"))):
                fixed += image_tokens(part) + file_tokens(part)
                audio += audio_tokens(part)
        texts += (compact(members[name]) for name in ("tools", "functions", "response_format") if name in members)
        return Reading(non_empty(texts), fixed, audio)


CHAT = Chat()
