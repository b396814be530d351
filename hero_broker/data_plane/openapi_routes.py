"""The data plane's routes as data, for the OpenAPI document: what the broker itself asks of a body.

Tests drive each reader by this, so that it says neither more nor less than the readers check.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hero_broker.data_plane.json_body import DROPPED_KEYS
from hero_broker.data_plane.responses import PASSED_STATUSES

Schema = Mapping[str, Any]

JSON, FORM, EVENTS = "application/json", "multipart/form-data", "text/event-stream"
TEXT: Schema = {"type": "string", "minLength": 1}
FLAG: Schema = {"type": ["boolean", "null"]}

MODEL = {
    "model": {**TEXT, "description": "A model's name, an alias, or provider/model, as `GET /v1/models` lists them."}
}
STREAM = {"stream": {**FLAG, "description": "Whether the answer comes in events."}}
STREAM_OPTIONS = {
    "stream_options": {
        "type": ["object", "null"],
        "description": "With `include_usage: true` the stream has a usage event.",
    }
}

# What a call can be refused with before a provider is asked, and what is told of a provider's own failure.
REFUSED = {
    400: "A member is missing or of another form, or X-Hero-Context is too long; `param` names it.",
    403: "The address or the web page may not call; in dev mode, the Host is no loopback name.",
    404: "No model of this name serves such calls, or no price is known for it.",
    413: "The body is too long.",
    415: "The body's content type or encoding is another.",
    429: "As many calls of this address are in flight as the settings allow one address.",
    500: "The broker failed.",
    502: "The provider could not be reached, broke off, or answered with a status that is not passed on.",
    503: "As many calls are in flight as the settings allow, or the call could not be billed; it was not made.",
    504: "The provider did not answer in time.",
}
CALL_STATUSES = dict.fromkeys(PASSED_STATUSES, "The provider's own.") | {
    status: f"{told} Or the provider's own." if status in PASSED_STATUSES else told for status, told in REFUSED.items()
}
READ_STATUSES = {
    400: "The header X-Hero-Context is too long, or the path has a control character.",
    403: REFUSED[403],
    500: REFUSED[500],
}


@dataclass(frozen=True, slots=True)
class Body:
    """What the broker checks of a body; further members go through to the provider."""

    media_type: str
    members: Mapping[str, Schema]
    required: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """One route."""

    path: str
    name: str  # unique among the document's operations; OpenAI's own where there is one
    summary: str
    answers: Mapping[str, Schema]  # media types, each with what is known of its content
    body: Body | None = None  # None: it is asked by GET
    path_parameters: Mapping[str, Schema] = field(default_factory=dict)
    statuses: Mapping[int, str] = field(default_factory=lambda: CALL_STATUSES)

    @property
    def verb(self) -> str:
        """The HTTP method in lower case, as OpenAPI spells it."""
        return "get" if self.body is None else "post"


def _json(members: Mapping[str, Schema], *required: str) -> Body:
    return Body(JSON, {**MODEL, **members}, ("model", *required))


def _answer(*media_types: str) -> Mapping[str, Schema]:
    """Return answers that are the provider's: all that is known is that JSON is an object."""
    return {kind: {"type": "object"} if kind == JSON else {} for kind in media_types}


_RERANK = _json(
    {
        "query": {"type": ["string", "object"], "description": "A text; an object where images are ranked."},
        "documents": {"type": "array"},
    },
    "query",
    "documents",
)
_UPLOAD = Body(
    FORM,
    {
        **MODEL,
        "file": {
            "type": "string",
            "contentMediaType": "application/octet-stream",
            "minLength": 1,
            "description": "The audio, once, with a file name; it passes on as it arrives if `model` stands before it.",
        },
        "stream": {
            "type": "string",
            "enum": ["true", "1", "false", "0", ""],
            "description": "Whether the answer comes in events; upper and lower case are the same.",
        },
    },
    ("model", "file"),
)
_TRANSCRIPT = _answer(JSON, EVENTS, "text/*")

CALLS = (
    RouteSpec(
        "/v1/chat/completions",
        "createChatCompletion",
        "Chat",
        _answer(JSON, EVENTS),
        _json({"messages": {"type": "array"}, **STREAM, **STREAM_OPTIONS}, "messages"),
    ),
    RouteSpec(
        "/v1/completions",
        "createCompletion",
        "Complete a text",
        _answer(JSON, EVENTS),
        _json({"prompt": {"type": ["string", "array"]}, **STREAM, **STREAM_OPTIONS}, "prompt"),
    ),
    RouteSpec(
        "/v1/embeddings",
        "createEmbedding",
        "Embed texts",
        _answer(JSON),
        _json({"input": {"type": ["string", "array"]}}, "input"),
    ),
    RouteSpec(
        "/v1/audio/speech",
        "createSpeech",
        "Speak a text",
        _answer("audio/*", EVENTS, "application/octet-stream"),
        _json({"input": {**TEXT, "description": "Billed by its Unicode code points."}}, "input"),
    ),
    RouteSpec("/v1/audio/transcriptions", "createTranscription", "Write speech down", _TRANSCRIPT, _UPLOAD),
    RouteSpec("/v1/audio/translations", "createTranslation", "Write speech down in English", _TRANSCRIPT, _UPLOAD),
    RouteSpec("/v1/rerank", "rerankV1", "Rank documents, in Cohere's first shape and Jina's", _answer(JSON), _RERANK),
    RouteSpec("/v2/rerank", "rerankV2", "Rank documents, in Cohere's second shape", _answer(JSON), _RERANK),
)

MODELS = (
    RouteSpec(
        "/v1/models",
        "listModels",
        "List the models that may be asked for",
        {JSON: {"$ref": "#/components/schemas/ServedModels"}},
        statuses=READ_STATUSES,
    ),
    RouteSpec(
        "/v1/models/{name}",
        "retrieveModel",
        "Find a model",
        {JSON: {"$ref": "#/components/schemas/ServedModel"}},
        path_parameters={"name": {**TEXT, "description": "Its slashes may stand as they are."}},
        statuses={**READ_STATUSES, 404: "No model of this name is served."},
    ),
)

ROUTES = (*CALLS, *MODELS)
SCHEMAS: Mapping[str, Schema] = {
    "ServedModel": {
        "title": "ServedModel",
        "type": "object",
        "properties": {
            "id": {"type": "string", "description": "What to ask for."},
            "object": {"const": "model"},
            "created": {"type": "integer", "description": "Always 0: it is not known."},
            "owned_by": {"type": "string", "description": "The provider."},
        },
        "required": ["id", "object", "created", "owned_by"],
    },
    "ServedModels": {
        "title": "ServedModels",
        "type": "object",
        "properties": {
            "object": {"const": "list"},
            "data": {"type": "array", "items": {"$ref": "#/components/schemas/ServedModel"}},
        },
        "required": ["object", "data"],
    },
}
DROPPED = f"Of a call's body, these top-level members are dropped: {', '.join(DROPPED_KEYS)}."
