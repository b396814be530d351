"""Extracts the text that a model read and wrote, for usage that no provider reported; `metering.tokens` counts it.

Clients and providers may send anything: unknown shapes count as nothing, and no function raises. The source of each
rule is in docs/explanation/estimates.md.
"""

import binascii
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from hero_broker.core.calls import CallKind
from hero_broker.core.usage import AUDIO_BYTES_PER_S, RAW_AUDIO_BYTES_PER_S
from hero_broker.kinds.wide_json import is_wide

MESSAGE_TOKENS = 4  # three to frame a message, one for its role
NAME_TOKENS = 1
PRIMING_TOKENS = 3  # at the start of the reply

LOW_DETAIL_TOKENS = 85
TILE_TOKENS = 170
TILE_PX = 512
FITTED_PX = 2048  # an image is first scaled down to fit this square,
SHORT_SIDE_PX = 768  # then until its short side is at most this
UNSEEN_IMAGE_TOKENS = 765  # those of 1024 by 1024 pixels

AUDIO_TOKENS_PER_S = 10

FILE_BYTES_PER_TOKEN = 4
FILE_TOKENS_MAX = 100_000
UNSEEN_FILE_TOKENS = 1_000

_IMAGE_HEAD = 256 * 1024  # characters of base64 that are searched for a JPEG's size, which follows its metadata
_AUDIO_HEAD = 8 * 1024
_MAX_SEGMENTS = 64  # of a JPEG or a WAV; the searched one is near the beginning

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_BAD_JSON = (ValueError, RecursionError)  # the errors of msgspec and of UTF-8 decoding are ValueErrors


@dataclass(frozen=True, slots=True)
class Reading:
    """The input of a model."""

    texts: tuple[str, ...] = ()
    fixed_tokens: int = 0  # everything but text: framing of messages, images, files, token ids
    audio_tokens: int = 0  # not included in `fixed_tokens`


def request_reading(kind: CallKind, body: bytes) -> Reading:
    """Return the model's input from a JSON request; empty if `body` is not a JSON object.

    JSON that has too many values to be decoded counts as one text.
    """
    if is_wide(body):
        return Reading((body.decode("utf-8", "replace"),))
    try:
        members = _MEMBERS.decode(body)
    except _BAD_JSON:
        return Reading()
    reader = _READERS.get(kind)
    return Reading() if reader is None else reader(members)


def delivered_text(kind: CallKind, body: bytes) -> tuple[str, ...]:
    """Return the model's output from a whole response. Transcripts may be plain text; embeddings have none."""
    if kind not in _REPLY_READERS:
        return ()
    wide = is_wide(body)
    answer = None if wide else _load(body)
    if wide or (kind is CallKind.STT and not isinstance(answer, dict)):
        return _non_empty([body.decode("utf-8", "replace")])
    reply = _ReplyTexts()
    reply.add_answer(_mapping(answer), "message")
    return reply.texts()


def delivered_events(kind: CallKind, events: bytes) -> tuple[str, ...]:
    """Return the model's output from the lines of a stream's events; a line may lack its "data:".

    The deltas of one text are joined, because separate pieces would have more tokens.
    """
    if kind not in _REPLY_READERS:
        return ()
    reply = _ReplyTexts()
    for line in events.split(b"\n"):
        data = line.removeprefix(b"data:").strip()
        if data.startswith(b"{"):
            reply.add_answer(_mapping(_load(data)), "delta")
    return reply.texts()


class _ReplyTexts:
    """The output of a model, collected by choice and place."""

    def __init__(self) -> None:
        self._parts: dict[tuple[object, ...], list[str]] = {}

    def texts(self) -> tuple[str, ...]:
        return _non_empty("".join(parts) for parts in self._parts.values())

    def add_answer(self, answer: Mapping[str, object], message: str) -> None:
        """Add a response or an event; `message` is the member of a choice that contains the message."""
        for at, item in enumerate(_sequence(answer.get("choices"))):
            choice = _mapping(item)
            index = _index(choice, at)
            self._add(choice.get("text"), index, "text")
            self._add_message(_mapping(choice.get(message)), index)
        self._add(answer.get("delta"), "transcript")
        if ("transcript",) not in self._parts:  # the last event of a transcript repeats all of it
            self._add(answer.get("text"), "transcript")

    def _add_message(self, message: Mapping[str, object], index: object) -> None:
        for part in _part_texts(message.get("content")):
            self._add(part, index, "content")
        # Providers use either name, and some send both with the same text.
        self._add(message.get("reasoning_content") or message.get("reasoning"), index, "reasoning")
        self._add(message.get("refusal"), index, "refusal")
        self._add(_mapping(message.get("audio")).get("transcript"), index, "audio")
        for place, text in _tool_call_texts(message):
            self._add(text, index, *place)

    def _add(self, text: object, *place: object) -> None:
        if isinstance(text, str) and text:
            self._parts.setdefault(place, []).append(text)


def _read_chat(members: Mapping[str, msgspec.Raw]) -> Reading:
    texts: list[str] = []
    fixed, audio = PRIMING_TOKENS, 0
    for item in _sequence(_member(members, "messages")):
        message = _mapping(item)
        fixed += MESSAGE_TOKENS
        texts += _part_texts(message.get("content"))
        for text in (
            message.get("name"),
            message.get("reasoning_content"),
            *(text for _, text in _tool_call_texts(message)),
        ):
            if isinstance(text, str):
                texts.append(text)
        if isinstance(message.get("name"), str):
            fixed += NAME_TOKENS
        for part in map(_mapping, _sequence(message.get("content"))):
            fixed += _image_tokens(part) + _file_tokens(part)
            audio += _audio_tokens(part)
    texts += (_compact(members[name]) for name in ("tools", "functions", "response_format") if name in members)
    return Reading(_non_empty(texts), fixed, audio)


def _read_embedding(members: Mapping[str, msgspec.Raw]) -> Reading:
    return _texts_or_ids(_member(members, "input"))


def _read_completion(members: Mapping[str, msgspec.Raw]) -> Reading:
    reading = _texts_or_ids(_member(members, "prompt"))
    return Reading((*reading.texts, *_non_empty([_member(members, "suffix")])), reading.fixed_tokens)


def _read_rerank(members: Mapping[str, msgspec.Raw]) -> Reading:
    query = _document(_member(members, "query"))
    documents = [_document(item) for item in _sequence(_member(members, "documents"))]
    return Reading(_non_empty([*[query] * max(1, len(documents)), *documents]))


def _read_speech(members: Mapping[str, msgspec.Raw]) -> Reading:
    return Reading(_non_empty(_member(members, name) for name in ("input", "instructions")))


_READERS: Mapping[CallKind, Callable[[Mapping[str, msgspec.Raw]], Reading]] = {
    CallKind.CHAT: _read_chat,
    CallKind.COMPLETION: _read_completion,
    CallKind.EMBEDDING: _read_embedding,
    CallKind.RERANK: _read_rerank,
    CallKind.TTS: _read_speech,
}
_REPLY_READERS = (CallKind.CHAT, CallKind.COMPLETION, CallKind.STT)


def _texts_or_ids(value: object) -> Reading:
    """Read a string, an array of strings or objects with `text`, an array of token ids, or an array of such arrays."""
    texts: list[object] = [value]
    ids = 0
    for item in _sequence(value):
        if type(item) is int:  # excludes true and false, which are ints too
            ids += 1
        elif isinstance(item, list):
            ids += sum(type(token) is int for token in item)
        else:
            texts.append(item if isinstance(item, str) else _mapping(item).get("text"))
    return Reading(_non_empty(texts), ids)


def _document(value: object) -> str:
    """Return the text of a document: a string, the member `text`, or the whole object as JSON."""
    if isinstance(value, str):
        return value
    document = _mapping(value)
    text = document.get("text")
    if isinstance(text, str) or not document:
        return text if isinstance(text, str) else ""
    try:
        return json.dumps(document, ensure_ascii=False)
    except RecursionError:
        return ""


def _part_texts(content: object) -> list[str]:
    """Return the texts of a message's content, which is a string or an array of parts."""
    if isinstance(content, str):
        return [content]
    parts = map(_mapping, _sequence(content))
    return [text for part in parts if isinstance(text := part.get("text") or part.get("refusal"), str)]


def _tool_call_texts(message: Mapping[str, object]) -> list[tuple[tuple[object, ...], object]]:
    """Return the place and text of the names and arguments of a message's function calls."""
    functions = {-1: _mapping(message.get("function_call"))}  # the older form, with one call
    for at, item in enumerate(_sequence(message.get("tool_calls"))):
        call = _mapping(item)
        functions[_index(call, at)] = _mapping(call.get("function"))
    return [(("call", at, name), call.get(name)) for at, call in functions.items() for name in ("name", "arguments")]


def _index(item: Mapping[str, object], at: int) -> int:
    index = item.get("index")
    return index if isinstance(index, int) else at


def _image_tokens(part: Mapping[str, object]) -> int:
    image = part.get("image_url")
    if isinstance(image, str):
        image = {"url": image}
    if not isinstance(image, dict):
        return 0
    if image.get("detail") == "low":
        return LOW_DETAIL_TOKENS
    width, height = _image_size(_head(_payload(image.get("url")), _IMAGE_HEAD))
    return _tiles(width, height) if width and height else UNSEEN_IMAGE_TOKENS


def _tiles(width: int, height: int) -> int:
    width, height = _scale_down(width, height, max(width, height), FITTED_PX)
    width, height = _scale_down(width, height, min(width, height), SHORT_SIDE_PX)
    return LOW_DETAIL_TOKENS + TILE_TOKENS * (-(-width // TILE_PX) * -(-height // TILE_PX))


def _scale_down(width: int, height: int, side: int, limit: int) -> tuple[int, int]:
    """Scale the size down until `side` is at most `limit`."""
    return (width, height) if side <= limit else (max(1, width * limit // side), max(1, height * limit // side))


def _image_size(head: bytes) -> tuple[int, int]:
    """Return width and height of a PNG or JPEG image, by its first bytes; zeros if they are not in them."""
    if head.startswith(b"\x89PNG\r\n\x1a\n") and len(head) >= 24:
        return int.from_bytes(head[16:20]), int.from_bytes(head[20:24])
    at = 2 if head.startswith(b"\xff\xd8") else len(head)
    for _ in range(_MAX_SEGMENTS):
        if at + 9 > len(head) or head[at] != 0xFF:
            break
        kind = head[at + 1]
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):  # a frame's header; the three exceptions are tables
            return int.from_bytes(head[at + 7 : at + 9]), int.from_bytes(head[at + 5 : at + 7])
        at += 1 if kind == 0xFF else 2 + int.from_bytes(head[at + 2 : at + 4])
    return 0, 0


def _audio_tokens(part: Mapping[str, object]) -> int:
    data = _payload(_mapping(part.get("input_audio")).get("data"))
    bytes_per_s, start = _wav(_head(data, _AUDIO_HEAD))
    return -(-max(0, _size(data) - start) * AUDIO_TOKENS_PER_S // bytes_per_s)


def _wav(head: bytes) -> tuple[int, int]:
    """Return the bytes per second and the offset of the samples; for other formats than WAV, a fixed rule.

    The lowest of several rates counts, up to a maximum, because clients may state any rate.
    """
    at, rates = 12, [RAW_AUDIO_BYTES_PER_S]
    if head.startswith(b"RIFF") and head[8:12] == b"WAVE":
        for _ in range(_MAX_SEGMENTS):
            if at + 8 > len(head) or head[at : at + 4] == b"data":
                break
            if head[at : at + 4] == b"fmt ":
                rates.append(int.from_bytes(head[at + 16 : at + 20], "little"))
            size = int.from_bytes(head[at + 4 : at + 8], "little")
            at += 8 + size + size % 2
    is_known = len(rates) > 1 and min(rates) > 0 and at + 8 <= len(head)
    return (min(rates), at + 8) if is_known else (AUDIO_BYTES_PER_S, 0)


def _file_tokens(part: Mapping[str, object]) -> int:
    file = part.get("file")
    if not isinstance(file, dict):
        return 0
    size = _size(_payload(file.get("file_data")))
    return min(-(-size // FILE_BYTES_PER_TOKEN), FILE_TOKENS_MAX) if size else UNSEEN_FILE_TOKENS


def _payload(value: object) -> str:
    """Return the base64 of a data URL, or bare base64; empty if the value is another URL."""
    if not isinstance(value, str) or value.startswith(("http:", "https:")):
        return ""
    return value.partition(",")[2] if value.startswith("data:") else value


def _size(data: str) -> int:
    """Return the decoded size of base64, in bytes."""
    return len(data.rstrip("=")) * 3 // 4


def _head(data: str, characters: int) -> bytes:
    """Decode the first characters of base64; empty if they are malformed."""
    try:
        return binascii.a2b_base64(data[: characters // 4 * 4].rstrip("=") + "==")
    except ValueError:
        return b""


def _member(members: Mapping[str, msgspec.Raw], name: str) -> object:
    return _load(bytes(members.get(name, b"null")))


def _compact(raw: msgspec.Raw) -> str:
    """Return JSON without unnecessary white space and escapes."""
    try:
        return msgspec.json.encode(msgspec.json.decode(raw)).decode()
    except _BAD_JSON:
        return bytes(raw).decode("utf-8", "replace")


def _load(data: bytes) -> object:
    """Decode JSON, including lone surrogates, which msgspec rejects and other parsers accept; None if it is invalid."""
    for decode in (msgspec.json.decode, json.loads):
        try:
            value: object = decode(data)
        except _BAD_JSON:
            continue
        return value
    return None


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _sequence(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()


def _non_empty(values: Iterable[object]) -> tuple[str, ...]:
    return tuple(value for value in values if isinstance(value, str) and value)
