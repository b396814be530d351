"""OpenAI's Responses, which coding agents call; billed by tokens, cache writes, searches, and images of a tool."""

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from hero_broker.core.calls import ResponseStorage
from hero_broker.core.errors import InvalidRequest
from hero_broker.core.records import RESPONSE_ID
from hero_broker.core.usage import Usage
from hero_broker.kinds.account_ids import UNSUPPORTED, refuse_account_ids, refuse_members
from hero_broker.kinds.attachments import file_tokens, image_of, input_bytes
from hero_broker.kinds.json_body import ARRAY, STRING, JsonBody
from hero_broker.kinds.kind import (
    EVENT_STREAM,
    JSON,
    STORED_ID,
    Framing,
    HeaderRules,
    Kind,
    Request,
    StoredRequest,
    WireTarget,
)
from hero_broker.kinds.report import Report
from hero_broker.kinds.response_usage import LAST_TYPES, read_error_code, read_response_report
from hero_broker.kinds.route_spec import FLAG, MODEL, STREAM, BodySpec, RouteSpec, Schema, provider_answer
from hero_broker.kinds.stream_rules import StreamRules
from hero_broker.kinds.text_streams import text_framing
from hero_broker.kinds.texts import Image, Reading, compact, load, mapping, member, non_empty, sequence
from hero_broker.kinds.usage_dialect import OPENAI_USAGE, UsageDialect
from hero_broker.kinds.wide_json import is_wide
from hero_broker.kinds.wires import RESPONSES_WIRE

_PREVIOUS = "previous_response_id"
_ABSENT: Schema = {"type": "null"}
_MEMBERS: Mapping[str, Schema] = {
    "model": {**MODEL["model"], "description": f"{MODEL['model']['description']} Needed without `{_PREVIOUS}`."},
    "input": {"type": ["string", "array"]},
    _PREVIOUS: {
        "type": ["string", "null"],
        "minLength": 1,
        "description": "The id of a response that the caller stored here. The call goes to the same provider and key; "
        "without `model` the model is that of the response.",
    },
    "conversation": _ABSENT,
    "prompt": _ABSENT,
    "background": {**FLAG, "enum": [False, None]},
}
STORE: Mapping[str, Schema] = {
    "store": {
        **FLAG,
        "description": "Unless it is false, the caller may name the response in calls of the next 30 days.",
    }
}
_STORED = f"/v1/responses/{{{STORED_ID}}}"
_ID: Mapping[str, Schema] = {
    STORED_ID: {
        "type": "string",
        "pattern": f"^{RESPONSE_ID.pattern}$",
        "description": "An id of a response that the caller stored here.",
    }
}
_INCLUDE: Schema = {"type": "array", "items": {"type": "string"}, "description": "What to return besides."}
_NAMES_MODEL = ("model", _PREVIOUS)  # a request has at least one of these
_READ = ("input", "instructions", "tools", "text")  # what the model reads


class Responses(Kind):
    """`POST /v1/responses`, and below it `/compact` and `/input_tokens`.

    Sources: https://platform.openai.com/docs/api-reference/responses and https://github.com/openai/codex.
    """

    name = "responses"
    wire = RESPONSES_WIRE
    model_kind = "chat"
    paths: ClassVar[dict[str, str]] = {
        "/v1/responses": "/responses",
        "/v1/responses/compact": "/responses/compact",
    }
    specs = (
        RouteSpec(
            "/v1/responses",
            "createResponse",
            "Create a response",
            provider_answer(JSON, EVENT_STREAM),
            BodySpec(JSON, {**_MEMBERS, **STREAM, **STORE}, ("input",), _NAMES_MODEL),
        ),
        RouteSpec(
            "/v1/responses/compact",
            "compactResponse",
            "Shorten the history of a conversation",
            provider_answer(JSON),
            BodySpec(JSON, _MEMBERS, ("input",), _NAMES_MODEL),
        ),
    )
    look_ups: ClassVar[dict[str, str]] = {"/v1/responses/input_tokens": "/responses/input_tokens"}
    look_up_specs = (
        RouteSpec(
            "/v1/responses/input_tokens",
            "countInputTokens",
            "Count the input tokens of a response; free, and without a row",
            provider_answer(JSON),
            BodySpec(JSON, _MEMBERS, ("input",), _NAMES_MODEL),
        ),
    )
    stored_requests = (
        StoredRequest(
            RouteSpec(
                _STORED,
                "getResponse",
                "Retrieve a stored response; free, and without a row",
                provider_answer(JSON),
                path_parameters=_ID,
                query_parameters={"include": _INCLUDE},
            ),
            refused=("stream", "starting_after"),
        ),
        StoredRequest(
            RouteSpec(
                _STORED,
                "deleteResponse",
                "Delete a stored response; free, and without a row",
                provider_answer(JSON),
                path_parameters=_ID,
                method="delete",
            ),
            removes=True,
        ),
        StoredRequest(
            RouteSpec(
                f"{_STORED}/cancel",
                "cancelResponse",
                "Cancel a stored response; free, and without a row",
                provider_answer(JSON),
                path_parameters=_ID,
                method="post",
            )
        ),
        StoredRequest(
            RouteSpec(
                f"{_STORED}/input_items",
                "listInputItems",
                "List the input of a stored response; free, and without a row",
                provider_answer(JSON),
                path_parameters=_ID,
                query_parameters={
                    "after": {"type": "string", "description": "The page begins after this item."},
                    "before": {"type": "string", "description": "The page ends before this item."},
                    "limit": {"type": "integer"},
                    "order": {"type": "string", "description": "`asc` or `desc`."},
                    "include": _INCLUDE,
                },
            )
        ),
    )
    typical = (("1,000 in and 1,000 out", Usage(input_tokens=1000, output_tokens=1000)),)
    output_bounds = ("max_output_tokens",)
    example: ClassVar[Mapping[str, object]] = {"input": "a few words"}
    may_omit_model = True
    always_reads_tokens = True
    request_headers = frozenset({b"session_id", b"originator", b"version", b"x-openai-subagent"})
    request_header_prefixes = (b"x-codex-",)
    response_headers = HeaderRules(
        (
            *HeaderRules().names,
            *("retry-after", "retry-after-ms", "x-should-retry"),
            *("x-codex-turn-state", "x-models-etag", "x-generation-id"),
        ),
        ("x-ratelimit-",),
    )
    errors_as_sent = True
    error_before_output_is_free = True
    stream_rules = StreamRules(
        last_types=tuple(b'"%s"' % name.encode() for name in LAST_TYPES),
        must_end=True,
        delta_marks=(b'.delta"',) * 2,
        empty_deltas=(),
        has_long_events=True,
    )

    def read(self, body: JsonBody) -> Request:
        """Check `input`, `stream` and `store`, and refuse what belongs to the operator's account."""
        request = self.read_look_up(body)
        stores = body.boolean("store") or bytes(body.members.get("store", b"null")) == b"null"
        storage = ResponseStorage(stores, None if request.storage is None else request.storage.previous)
        return msgspec.structs.replace(request, stream=body.boolean("stream"), storage=storage)

    def read_look_up(self, body: JsonBody) -> Request:
        """Check `input` and what names the model, and refuse what belongs to the operator's account."""
        _refuse_state(body)
        has_previous = bytes(body.members.get(_PREVIOUS, b"null")) != b"null"
        previous = body.string(_PREVIOUS) if has_previous else None
        if previous is None and not body.model:
            raise InvalidRequest("'model' must be a non-empty string.", param="model")
        body.require("input", STRING, ARRAY)
        refuse_account_ids(body, "input", "tools")
        size = sum(len(body.members[name]) for name in _READ if name in body.members)
        return Request(body.model, input_bytes(body, size), body, storage=ResponseStorage(previous=previous))

    def url(self, path: str, target: WireTarget) -> str:
        """Return the provider's URL for a request or a look-up that came on `path`."""
        return target.provider.base_url + (self.paths.get(path) or self.look_ups[path])

    def framing(self, content_type: str, *, is_stream: bool) -> Framing:
        """Return how to relay a response; a stream may lack its content type."""
        return text_framing(content_type, is_stream=is_stream)

    def report(self, body: bytes, dialect: UsageDialect = OPENAI_USAGE) -> Report:
        """Return what a response, or a single event, reports."""
        return read_response_report(body)

    def error_code(self, data: bytes) -> str | None:
        """Return the code of the error, such as `rate_limit_exceeded`."""
        return read_error_code(data)

    def reading(self, members: Mapping[str, msgspec.Raw]) -> Reading:
        """Return the texts of `instructions` and of all items of `input`, the tools, and what is no text."""
        texts: list[object] = [member(members, "instructions")]
        images: list[Image] = []
        tokens = 0
        items = member(members, "input")
        if isinstance(items, str):
            texts.append(items)
        for item in map(mapping, sequence(items)):
            for part in _parts(item):
                texts += _texts(part)
                if part.get("type") == "input_image" and (
                    image := image_of({"image_url": {**part, "url": part.get("image_url")}})
                ):
                    images.append(image)
                elif part.get("type") == "input_file":
                    tokens += file_tokens({"file": part})
        schemas = {name: members[name] for name in ("tools", "text") if name in members}
        definitions = tuple(
            compact(raw) for name, raw in schemas.items() if name == "tools" or b'"schema"' in bytes(raw)
        )
        has_tools = any(text.startswith("[{") for text in definitions)
        messages = len(sequence(items)) or 1
        return Reading(non_empty(texts), tokens, 0, messages, tuple(images), definitions, has_tools=has_tools)

    def delivered_text(self, body: bytes) -> tuple[str, ...]:
        """Return the model's output from a whole response; JSON with too many values counts as one text."""
        if is_wide(body):
            return non_empty([body.decode("utf-8", "replace")])
        items = map(mapping, sequence(mapping(load(body)).get("output")))
        return non_empty(text for item in items for part in _parts(item) for text in _texts(part))

    def delivered_events(self, events: bytes) -> tuple[str, ...]:
        """Return the model's output from the lines of a stream's events; the deltas of one text are joined."""
        texts: dict[object, list[str]] = {}
        for line in events.split(b"\n"):
            data = line.removeprefix(b"data:").strip()
            if data.startswith(b"{") and b'.delta"' in data:
                event = mapping(load(data))
                places = (event.get(name) for name in ("type", "output_index", "content_index", "summary_index"))
                place = tuple(value if isinstance(value, int | str) else None for value in places)
                texts.setdefault(place, []).extend(non_empty([event.get("delta")]))
        return non_empty("".join(pieces) for pieces in texts.values())


def _refuse_state(body: JsonBody) -> None:
    """Return if a request needs nothing of the operator's account but a stored response.

    Raises:
        InvalidRequest: it does.
    """
    if body.boolean("background"):
        raise InvalidRequest(
            "'background' is not supported here: no answer would tell its usage. Leave it out, or stream the response.",
            param="background",
            code=UNSUPPORTED,
        )
    refuse_members(body, "conversation", "prompt")


def _parts(item: Mapping[str, object]) -> list[Mapping[str, object]]:
    """Return an item of the input or the output, and the parts of its content, its output and its summary."""
    inner = (value for name in ("content", "output", "summary") for value in sequence(item.get(name)))
    return [item, *map(mapping, inner)]


def _texts(part: Mapping[str, object]) -> list[object]:
    """Return the texts of an item or a part; what is no text is left to `non_empty`."""
    return [part.get(name) for name in ("content", "text", "refusal", "name", "arguments", "input", "output")]


RESPONSES = Responses()
