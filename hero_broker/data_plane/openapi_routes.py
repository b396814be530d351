"""Describes the data plane's routes for the OpenAPI document, with what the broker itself requires of a body.

Tests drive each reader by these descriptions, so they state exactly what the readers check.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hero_broker.data_plane.responses import FORWARDED_STATUSES
from hero_broker.kinds.json_body import DROPPED_KEYS

Schema = Mapping[str, Any]

JSON, FORM, EVENT_STREAM = "application/json", "multipart/form-data", "text/event-stream"
NON_EMPTY_STRING: Schema = {"type": "string", "minLength": 1}
FLAG: Schema = {"type": ["boolean", "null"]}

MODEL = {
    "model": {
        **NON_EMPTY_STRING,
        "description": "A model's name, an alias, or provider/model, as `GET /v1/models` lists them.",
    }
}
STREAM = {"stream": {**FLAG, "description": "Whether to respond with an event stream."}}
STREAM_OPTIONS = {
    "stream_options": {
        "type": ["object", "null"],
        "description": "If `include_usage` is true, the stream has a usage event.",
    }
}

# How the broker refuses a call before it calls a provider, and how it reports a provider's failure.
REFUSALS = {
    400: "A member is missing or invalid, or X-Hero-Context is too long; `param` names it.",
    403: "The address or the web page may not call, or, in dev mode, Host is no loopback name or address.",
    404: "No model of this name serves calls of this kind, or its price is unknown.",
    413: "The body is too large.",
    415: "Unsupported content type or encoding.",
    429: "The address has reached its limit of calls in flight.",
    500: "Internal error of the broker.",
    502: "The provider was unreachable, broke off its response, or responded with a status that the broker replaces.",
    503: "The limit of calls in flight is reached, or the call could not be billed. No provider was called.",
    504: "The provider did not respond in time.",
}
CALL_STATUSES = dict.fromkeys(FORWARDED_STATUSES, "The provider's own error.") | {
    status: f"{text} Or the provider's own error." if status in FORWARDED_STATUSES else text
    for status, text in REFUSALS.items()
}
READ_STATUSES = {
    400: "The header X-Hero-Context is too long, or the path has a control character.",
    403: REFUSALS[403],
    500: REFUSALS[500],
}


@dataclass(frozen=True, slots=True)
class Body:
    """What the broker checks of a body; other members are forwarded to the provider."""

    media_type: str
    members: Mapping[str, Schema]
    required: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """One route."""

    path: str
    name: str  # the operation's unique id; OpenAI's own if it has one
    summary: str
    answers: Mapping[str, Schema]  # media type → what is known of the content
    body: Body | None = None  # None: a GET
    path_parameters: Mapping[str, Schema] = field(default_factory=dict)
    statuses: Mapping[int, str] = field(default_factory=lambda: CALL_STATUSES)

    @property
    def verb(self) -> str:
        """The HTTP method in lower case, as OpenAPI spells it."""
        return "get" if self.body is None else "post"


def _json(members: Mapping[str, Schema], *required: str) -> Body:
    return Body(JSON, {**MODEL, **members}, ("model", *required))


def _answer(*media_types: str) -> Mapping[str, Schema]:
    """Return the responses of a provider. All that is known of them is that JSON is an object."""
    return {media_type: {"type": "object"} if media_type == JSON else {} for media_type in media_types}


_RERANK = _json(
    {
        "query": {"type": ["string", "object"], "description": "A string, or an object if images are ranked."},
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
            "description": "The audio, once, with a file name. It is forwarded as it arrives if `model` comes first.",
        },
        "stream": {
            "type": "string",
            "enum": ["true", "1", "false", "0", ""],
            "description": "Whether to respond with an event stream; case does not matter.",
        },
    },
    ("model", "file"),
)
_TRANSCRIPT = _answer(JSON, EVENT_STREAM, "text/*")

CALLS = (
    RouteSpec(
        "/v1/chat/completions",
        "createChatCompletion",
        "Create a chat completion",
        _answer(JSON, EVENT_STREAM),
        _json({"messages": {"type": "array"}, **STREAM, **STREAM_OPTIONS}, "messages"),
    ),
    RouteSpec(
        "/v1/completions",
        "createCompletion",
        "Create a text completion",
        _answer(JSON, EVENT_STREAM),
        _json({"prompt": {"type": ["string", "array"]}, **STREAM, **STREAM_OPTIONS}, "prompt"),
    ),
    RouteSpec(
        "/v1/embeddings",
        "createEmbedding",
        "Create embeddings",
        _answer(JSON),
        _json({"input": {"type": ["string", "array"]}}, "input"),
    ),
    RouteSpec(
        "/v1/audio/speech",
        "createSpeech",
        "Create speech from text",
        _answer("audio/*", EVENT_STREAM, "application/octet-stream"),
        _json({"input": {**NON_EMPTY_STRING, "description": "Billed by its Unicode code points."}}, "input"),
    ),
    RouteSpec("/v1/audio/transcriptions", "createTranscription", "Transcribe audio", _TRANSCRIPT, _UPLOAD),
    RouteSpec("/v1/audio/translations", "createTranslation", "Translate audio to English", _TRANSCRIPT, _UPLOAD),
    RouteSpec(
        "/v1/rerank", "rerankV1", "Rerank documents, in the shape of Cohere's v1 and Jina", _answer(JSON), _RERANK
    ),
    RouteSpec("/v2/rerank", "rerankV2", "Rerank documents, in the shape of Cohere's v2", _answer(JSON), _RERANK),
)

MODELS = (
    RouteSpec(
        "/v1/models",
        "listModels",
        "List the models",
        {JSON: {"$ref": "#/components/schemas/ServedModels"}},
        statuses=READ_STATUSES,
    ),
    RouteSpec(
        "/v1/models/{name}",
        "retrieveModel",
        "Retrieve a model",
        {JSON: {"$ref": "#/components/schemas/ServedModel"}},
        path_parameters={"name": {**NON_EMPTY_STRING, "description": "Slashes need no escaping."}},
        statuses={**READ_STATUSES, 404: "No model of this name is served."},
    ),
)

ROUTES = (*CALLS, *MODELS)
SCHEMAS: Mapping[str, Schema] = {
    "ServedModel": {
        "title": "ServedModel",
        "type": "object",
        "properties": {
            "id": {"type": "string", "description": "The name to use as `model`."},
            "object": {"const": "model"},
            "created": {"type": "integer", "description": "Always 0: unknown."},
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
DROPPED = f"The broker drops these top-level members of a call's body: {', '.join(DROPPED_KEYS)}."
