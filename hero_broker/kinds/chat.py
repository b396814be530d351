"""Chat completions."""

from collections.abc import Mapping

import msgspec

from hero_broker.core.usage import Usage
from hero_broker.kinds.attachments import SEARCHED_BYTES, audio_tokens, file_tokens, image_of, input_bytes
from hero_broker.kinds.json_body import ARRAY, JsonBody
from hero_broker.kinds.kind import EVENT_STREAM, JSON, Request
from hero_broker.kinds.route_spec import STREAM, STREAM_OPTIONS, RouteSpec, json_body, provider_answer
from hero_broker.kinds.text_streams import TextStreamKind
from hero_broker.kinds.texts import (
    Image,
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

NAME_TOKENS = 1
DEFINITIONS = ("tools", "functions", "response_format")
_DEFINITIONS = frozenset(DEFINITIONS)


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
    output_bounds = ("max_completion_tokens", "max_tokens")
    output_copies = ("n",)
    always_reads_tokens = True

    def read(self, body: JsonBody) -> Request:
        """Check `messages`, `stream` and `stream_options`."""
        size, members = len(body.require("messages", ARRAY)), body.members
        if not _DEFINITIONS.isdisjoint(members):
            size += sum(len(members[name]) for name in DEFINITIONS if name in members)
        if len(body.as_sent) > SEARCHED_BYTES:  # `input_bytes` looks too, but most bodies are short
            size = input_bytes(body, size)
        return self.text_request(body, size)

    def reading(self, members: Mapping[str, msgspec.Raw]) -> Reading:
        """Return the texts of all messages and tools, and the tokens of what is no text."""
        texts: list[str] = []
        images: list[Image] = []
        fixed, audio = 0, 0
        messages = sequence(member(members, "messages"))
        for item in messages:
            message = mapping(item)
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
                if image := image_of(part):
                    images.append(image)
                fixed += file_tokens(part)
                audio += audio_tokens(part)
        definitions = {name: compact(members[name]) for name in DEFINITIONS if name in members}
        has_tools = any(definitions.get(name, "").startswith("[{") for name in ("tools", "functions"))
        return Reading(
            non_empty(texts),
            fixed,
            audio,
            len(messages),
            tuple(images),
            tuple(definitions.values()),
            has_tools=has_tools,
        )


CHAT = Chat()
