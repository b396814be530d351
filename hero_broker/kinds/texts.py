"""Extracts the texts that a model read and wrote, for usage that no provider reported; `metering.tokens` counts them.

Clients and providers may send anything: unknown shapes count as nothing, and no function raises. The source of each
rule is in docs/explanation/estimates.md.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from hero_broker.kinds.counts import json_integer
from hero_broker.kinds.wide_json import is_wide

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
BAD_JSON = (ValueError, RecursionError)  # the errors of msgspec and of UTF-8 decoding are ValueErrors


@dataclass(frozen=True, slots=True)
class Image:
    """An image that a model reads; its width and height are 0 if they are unknown."""

    width: int
    height: int
    is_low_detail: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """The input of a model; `kinds.families` has how a family of models counts it."""

    texts: tuple[str, ...] = ()
    fixed_tokens: int = 0  # the same for all models: files, token ids, names
    audio_tokens: int = 0  # the same for all models; not included in `fixed_tokens`
    messages: int = 0  # of a chat
    images: tuple[Image, ...] = ()
    definitions: tuple[str, ...] = ()  # compact JSON of tools, functions and the format of the response
    has_tools: bool = False  # or functions


def read_members(body: bytes) -> Mapping[str, msgspec.Raw] | None:
    """Return the members of a JSON object, undecoded; None if `body` is not a JSON object."""
    try:
        return _MEMBERS.decode(body)
    except BAD_JSON:
        return None


def delivered_body(body: bytes) -> tuple[str, ...]:
    """Return a model's output from a whole response in OpenAI's shape; JSON with too many values counts as one text."""
    if is_wide(body):
        return non_empty([body.decode("utf-8", "replace")])
    reply = _ReplyTexts()
    reply.add_answer(mapping(load(body)), "message")
    return reply.texts()


def delivered_events(events: bytes) -> tuple[str, ...]:
    """Return a model's output from the lines of a stream's events; a line may lack its "data:".

    The deltas of one text are joined, because separate pieces would have more tokens.
    """
    reply = _ReplyTexts()
    for line in events.split(b"\n"):
        data = line.removeprefix(b"data:").strip()
        if data.startswith(b"{"):
            reply.add_answer(mapping(load(data)), "delta")
    return reply.texts()


class _ReplyTexts:
    """The output of a model, collected by choice and place."""

    def __init__(self) -> None:
        self._parts: dict[tuple[object, ...], list[str]] = {}

    def texts(self) -> tuple[str, ...]:
        return non_empty("".join(parts) for parts in self._parts.values())

    def add_answer(self, answer: Mapping[str, object], message: str) -> None:
        """Add a response or an event; `message` is the member of a choice that contains the message."""
        for at, item in enumerate(sequence(answer.get("choices"))):
            choice = mapping(item)
            index = _index(choice, at)
            if not self._add_message(mapping(choice.get(message)), index):  # else Together repeats the text beside it
                self._add(choice.get("text"), index, "text")
        self._add(answer.get("delta"), "transcript")
        if ("transcript",) not in self._parts:  # the last event of a transcript repeats all of it
            self._add(answer.get("text"), "transcript")

    def _add_message(self, message: Mapping[str, object], index: object) -> bool:
        """Add a message or its delta; return whether it has content or reasoning."""
        content, thinking = message.get("content"), thinking_texts(message.get("content"))
        texts = part_texts(content)
        for text in texts:
            self._add(text, index, "content")
        for text in thinking:
            self._add(text, index, "thinking")
        # Providers use either name, and some send both with the same text.
        reasoning = message.get("reasoning_content") or message.get("reasoning")
        self._add(reasoning, index, "reasoning")
        self._add(message.get("refusal"), index, "refusal")
        self._add(mapping(message.get("audio")).get("transcript"), index, "audio")
        for place, value in tool_call_texts(message):
            self._add(value, index, *place)
        return any(texts) or any(thinking) or bool(reasoning)

    def _add(self, text: object, *place: object) -> None:
        if isinstance(text, str) and text:
            self._parts.setdefault(place, []).append(text)


def texts_or_ids(value: object) -> Reading:
    """Read a string, an array of strings or objects with `text`, an array of token ids, or an array of such arrays."""
    texts: list[object] = [value]
    ids = 0
    for item in sequence(value):
        if type(item) is int:  # excludes true and false, which are ints too
            ids += 1
        elif isinstance(item, list):
            ids += sum(type(token) is int for token in item)
        else:
            texts.append(item if isinstance(item, str) else mapping(item).get("text"))
    return Reading(non_empty(texts), ids)


def part_texts(content: object) -> list[str]:
    """Return the texts of a message's content, which is a string or an array of parts."""
    if isinstance(content, str):
        return [content]
    parts = map(mapping, sequence(content))
    return [text for part in parts if isinstance(text := part.get("text") or part.get("refusal"), str)]


def thinking_texts(content: object) -> list[str]:
    """Return the texts of the parts of a message's content that are thinking, as Mistral writes it.

    Source: https://docs.mistral.ai/capabilities/reasoning.
    """
    thinking = (mapping(part).get("thinking") for part in sequence(content))
    return [text for value in thinking for text in part_texts(value)]


def tool_call_texts(message: Mapping[str, object]) -> list[tuple[tuple[object, ...], object]]:
    """Return the place and text of the names and arguments of a message's function calls."""
    # The older form has one call; some providers give several calls the same index.
    functions = [(-1, mapping(message.get("function_call")))]
    for at, item in enumerate(sequence(message.get("tool_calls"))):
        call = mapping(item)
        functions.append((_index(call, at), mapping(call.get("function"))))
    return [(("call", at, name), call.get(name)) for at, call in functions for name in ("name", "arguments")]


def _index(item: Mapping[str, object], at: int) -> int:
    index = item.get("index")
    return index if isinstance(index, int) else at


def member(members: Mapping[str, msgspec.Raw], name: str) -> object:
    return load(bytes(members.get(name, b"null")))


def compact(raw: msgspec.Raw) -> str:
    """Return JSON without unnecessary white space and escapes."""
    try:
        return msgspec.json.encode(msgspec.json.decode(raw)).decode()
    except BAD_JSON:
        return bytes(raw).decode("utf-8", "replace")


def load(data: bytes) -> object:
    """Decode JSON, including lone surrogates and long numbers, which msgspec rejects; None if it is invalid.

    An integer with very many digits is a float.
    """
    try:
        return msgspec.json.decode(data)
    except BAD_JSON:
        pass
    try:
        value: object = json.loads(data, parse_int=json_integer)
    except BAD_JSON:
        return None
    return value


def mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()


def non_empty(values: Iterable[object]) -> tuple[str, ...]:
    return tuple(value for value in values if isinstance(value, str) and value)
