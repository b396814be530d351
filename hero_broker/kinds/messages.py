"""Anthropic's Messages, which coding agents call; billed by tokens, cache writes and searches of the web."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import ClassVar

import msgspec

from hero_broker.core.errors import InvalidRequest
from hero_broker.core.usage import Usage
from hero_broker.kinds.account_ids import refuse_message_ids
from hero_broker.kinds.attachments import file_tokens, image_of, input_bytes
from hero_broker.kinds.json_body import ARRAY, JsonBody
from hero_broker.kinds.kind import EVENT_STREAM, JSON, Framing, HeaderRules, Kind, Request, WireTarget
from hero_broker.kinds.message_usage import read_message_report
from hero_broker.kinds.report import Report
from hero_broker.kinds.route_spec import NON_EMPTY_STRING, STREAM, RouteSpec, Schema, json_body, provider_answer
from hero_broker.kinds.stream_rules import StreamRules
from hero_broker.kinds.text_streams import text_framing
from hero_broker.kinds.texts import Image, Reading, compact, load, mapping, member, non_empty, sequence
from hero_broker.kinds.usage_dialect import OPENAI_USAGE, UsageDialect
from hero_broker.kinds.wide_json import is_wide
from hero_broker.kinds.wires import ANTHROPIC_WIRE

VERSION, DEFAULT_VERSION = "anthropic-version", "2023-06-01"
BETA = "anthropic-beta"
# Betas of a login at Anthropic, which belongs to the client and not to the key that the broker sends.
_LOGIN_BETA = re.compile(r"oauth-", re.IGNORECASE)
_ERROR_TYPE = re.compile(r"[a-z][a-z0-9_]{0,63}")  # nothing that could be a key may get into a row
_FALLBACK = {"type": "object", "properties": {"model": NON_EMPTY_STRING}, "required": ["model"]}
_MEMBERS: Mapping[str, Schema] = {
    "messages": {"type": "array"},
    "container": {
        "type": ["object", "null"],
        "properties": {"id": {"type": "null"}},
        "description": "Skills of Anthropic's own may be in it; ids of the operator's account may not.",
    },
    "fallbacks": {
        "type": ["array", "null"],
        "items": _FALLBACK,
        "description": "The models that the provider may use instead; it must serve each of them here.",
    },
}
_QUERY: Mapping[str, Schema] = {"beta": {"type": "string", "description": "The provider gets it."}}
_HEADERS: Mapping[str, Schema] = {
    VERSION: {"type": "string", "description": f"The provider gets it; by default it is {DEFAULT_VERSION}."},
    BETA: {"type": "string", "description": "The provider gets it, without `oauth-…` and its own `drop_betas`."},
}
_DELTA_TEXTS = ("text", "thinking", "partial_json")


class Messages(Kind):
    """`POST /v1/messages`, and below it `/count_tokens`.

    Sources: https://platform.claude.com/docs/en/api/messages and https://code.claude.com/docs/en/llm-gateway-protocol.
    """

    name = "messages"
    wire = ANTHROPIC_WIRE
    model_kind = "chat"
    paths: ClassVar[dict[str, str]] = {"/v1/messages": "/messages"}
    specs = (
        RouteSpec(
            "/v1/messages",
            "createMessage",
            "Create a message, in the shape of Anthropic's API",
            provider_answer(JSON, EVENT_STREAM),
            json_body(
                {**_MEMBERS, "max_tokens": {"type": "integer", "minimum": 0}, **STREAM}, "messages", "max_tokens"
            ),
            query_parameters=_QUERY,
            header_parameters=_HEADERS,
        ),
    )
    look_ups: ClassVar[dict[str, str]] = {"/v1/messages/count_tokens": "/messages/count_tokens"}
    look_up_specs = (
        RouteSpec(
            "/v1/messages/count_tokens",
            "countMessageTokens",
            "Count the input tokens of a message; free, and without a row",
            provider_answer(JSON),
            json_body(_MEMBERS, "messages"),
            query_parameters=_QUERY,
            header_parameters=_HEADERS,
        ),
    )
    typical = (("1,000 in and 1,000 out", Usage(input_tokens=1000, output_tokens=1000)),)
    example: ClassVar[Mapping[str, object]] = {
        "max_tokens": 1000,
        "messages": [{"role": "user", "content": "a few words"}],
    }
    output_bounds = ("max_tokens",)
    always_reads_tokens = True
    request_headers = frozenset({VERSION.encode(), BETA.encode()})
    changes_requests = True
    query_names = ("beta",)
    response_headers = HeaderRules(
        ("retry-after", "retry-after-ms", "x-should-retry"),
        ("anthropic-ratelimit-",),
        (("request-id", "x-upstream-request-id"),),
    )
    errors_as_sent = True
    error_before_output_is_free = True
    stream_rules = StreamRules(
        last_types=(b'"message_stop"',),
        must_end=True,
        delta_marks=(b'"content_block_delta"',) * 2,
        empty_deltas=(),
        has_long_events=True,  # a document that a tool of the provider fetched comes in one
    )

    def read(self, body: JsonBody) -> Request:
        """Check `messages`, `max_tokens`, `stream` and `fallbacks`."""
        request = self.read_look_up(body)
        body.count("max_tokens")
        return msgspec.structs.replace(request, stream=body.boolean("stream"))

    def read_look_up(self, body: JsonBody) -> Request:
        """Check `messages` and `fallbacks`, and refuse what belongs to the operator's account at the provider."""
        refuse_message_ids(body)
        size = len(body.require("messages", ARRAY))
        size += sum(len(body.members[name]) for name in ("system", "tools") if name in body.members)
        return Request(body.model, input_bytes(body, size, in_sources=True), body, fallbacks=_fallbacks(body))

    def encode(self, request: Request, target: WireTarget) -> bytes:
        """Return the JSON for a provider; the models of `fallbacks` have its names, too."""
        body, model = request.body, target.upstream_model
        if not request.fallbacks:
            return body.encode(model=model)
        entries = sequence(member(body.members, "fallbacks"))
        fallbacks = [{**mapping(entry), "model": name} for entry, name in zip(entries, request.fallbacks, strict=True)]
        return body.encode(model=model, fallbacks=fallbacks)

    def url(self, path: str, target: WireTarget) -> str:
        """Return the provider's URL for a request or a look-up that came on `path`."""
        return target.provider.base_url + (self.paths | self.look_ups)[path]

    def headers(self, headers: tuple[tuple[str, str], ...], target: WireTarget) -> tuple[tuple[str, str], ...]:
        """Return the headers for a provider: with a version, and with all betas in one line that it may get."""
        dropped = target.provider.drop_betas
        betas = [beta.strip() for name, value in headers if name == BETA for beta in value.split(",")]
        kept = [beta for beta in betas if beta and beta not in dropped and not _LOGIN_BETA.match(beta)]
        version = next((value for name, value in headers if name == VERSION), DEFAULT_VERSION)
        others = tuple(pair for pair in headers if pair[0] not in (BETA, VERSION))
        return (*others, (VERSION, version), *([(BETA, ",".join(kept))] if kept else ()))

    def framing(self, content_type: str, *, is_stream: bool) -> Framing:
        """Return how to relay a response; a stream may lack its content type."""
        return text_framing(content_type, is_stream=is_stream)

    def report(self, body: bytes, dialect: UsageDialect = OPENAI_USAGE) -> Report:
        """Return what a response, or a single event, reports."""
        return read_message_report(body)

    def next_report(self, data: bytes, dialect: UsageDialect, earlier: Report) -> Report:
        """Return what an event reports; its members replace those of the events before it."""
        return read_message_report(data, earlier)

    def error_code(self, data: bytes) -> str | None:
        """Return the type of the error, such as `overloaded_error`."""
        code = mapping(mapping(load(data)).get("error")).get("type")
        return code if isinstance(code, str) and _ERROR_TYPE.fullmatch(code) else None

    def reading(self, members: Mapping[str, msgspec.Raw]) -> Reading:
        """Return the texts of `system`, of all messages and of the tools, and the tokens of what is no text."""
        collected = _Input()
        collected.add(member(members, "system"))
        messages = sequence(member(members, "messages"))
        for message in map(mapping, messages):
            collected.add(message.get("content"))
        tools = [compact(members["tools"])] if "tools" in members else []
        return Reading(
            non_empty(collected.texts),
            collected.tokens,
            0,
            len(messages),
            tuple(collected.images),
            tuple(tools),
            has_tools=any(text.startswith("[{") for text in tools),
        )

    def delivered_text(self, body: bytes) -> tuple[str, ...]:
        """Return the model's output from a whole response; JSON with too many values counts as one text."""
        if is_wide(body):
            return non_empty([body.decode("utf-8", "replace")])
        texts: list[object] = []
        for block in map(mapping, sequence(mapping(load(body)).get("content"))):
            texts += [block.get("text"), block.get("thinking"), block.get("name")]
            if "input" in block:
                texts.append(_json(block["input"]))
        return non_empty(texts)

    def delivered_events(self, events: bytes) -> tuple[str, ...]:
        """Return the model's output from the lines of a stream's events; the deltas of one block are joined."""
        blocks: dict[object, list[str]] = {}
        for line in events.split(b"\n"):
            data = line.removeprefix(b"data:").strip()
            if data.startswith(b"{") and b"content_block_" in data:
                event = mapping(load(data))
                index = event.get("index")
                delta, block = mapping(event.get("delta")), mapping(event.get("content_block"))
                texts = (*map(delta.get, _DELTA_TEXTS), block.get("text"), block.get("name"))
                blocks.setdefault(index if isinstance(index, int) else 0, []).extend(non_empty(texts))
        return non_empty("".join(texts) for texts in blocks.values())


class _Input:
    """What a model reads of blocks of content, collected."""

    def __init__(self) -> None:
        self.texts: list[object] = []
        self.images: list[Image] = []
        self.tokens = 0  # of files

    def add(self, content: object) -> None:
        """Add a text, or an array of blocks; a tool's result has blocks of its own."""
        if isinstance(content, str):
            self.texts.append(content)
        for block in map(mapping, sequence(content)):
            self.texts += [block.get("text"), block.get("thinking"), block.get("name")]
            if block.get("type") == "tool_use":
                self.texts.append(_json(block.get("input")))
            inner, source = block.get("content"), mapping(block.get("source"))
            if isinstance(inner, str):
                self.texts.append(inner)
            self._add_results(sequence(inner))
            self._add_source(block.get("type"), source)

    def _add_results(self, blocks: Iterable[object]) -> None:
        for block in map(mapping, blocks):
            self.texts.append(block.get("text"))
            self._add_source(block.get("type"), mapping(block.get("source")))

    def _add_source(self, kind: object, source: Mapping[str, object]) -> None:
        """Add an image or a document, by its base64, its text or its URL."""
        if kind == "image" and (image := image_of({"image_url": {"url": source.get("data") or source.get("url")}})):
            self.images.append(image)
        elif kind == "document" and source.get("type") == "text":
            self.texts.append(source.get("data"))
        elif kind == "document":
            self.tokens += file_tokens({"file": {"file_data": source.get("data")}})


def _json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        return ""


def _fallbacks(body: JsonBody) -> tuple[str, ...]:
    """Return the models of `fallbacks`, as the client names them.

    Raises:
        InvalidRequest: it is no array of objects, each with a `model`, or it has too many values.
    """
    if "fallbacks" not in body.members or bytes(body.members["fallbacks"]) == b"null":
        return ()
    body.require("fallbacks", ARRAY)
    body.check_values("fallbacks")
    models = [mapping(entry).get("model") for entry in sequence(member(body.members, "fallbacks"))]
    names = tuple(model for model in models if isinstance(model, str) and model)
    if len(names) < len(models):
        raise InvalidRequest("'fallbacks' must have objects, each with the name of a 'model'.", param="fallbacks")
    return names


MESSAGES = Messages()
