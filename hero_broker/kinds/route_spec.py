"""Describes a route for the OpenAPI document, with what the broker itself requires of a body."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Schema = Mapping[str, Any]

JSON, FORM, EVENT_STREAM = "application/json", "multipart/form-data", "text/event-stream"
NON_EMPTY_STRING: Schema = {"type": "string", "minLength": 1}
FLAG: Schema = {"type": ["boolean", "null"]}

MODEL: Mapping[str, Schema] = {
    "model": {
        **NON_EMPTY_STRING,
        "description": "A model's name, an alias, or provider/model, as `GET /v1/models` lists them.",
    }
}
OPTIONAL_MODEL: Mapping[str, Schema] = {
    "model": {
        **MODEL["model"],
        "type": ["string", "null"],
        "description": f"{MODEL['model']['description']} Without it, `default_models` of the settings names it.",
    }
}
STREAM: Mapping[str, Schema] = {"stream": {**FLAG, "description": "Whether to respond with an event stream."}}
STREAM_OPTIONS: Mapping[str, Schema] = {
    "stream_options": {
        "type": ["object", "null"],
        "description": "If `include_usage` is true, the stream has a usage event.",
    }
}


@dataclass(frozen=True, slots=True)
class BodySpec:
    """What the broker checks of a body; other members are forwarded to the provider."""

    media_type: str
    members: Mapping[str, Schema]
    required: tuple[str, ...]
    any_of: tuple[str, ...] = ()  # at least one of these is required too


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """One route."""

    path: str
    name: str  # the operation's unique id; OpenAI's own if it has one
    summary: str
    answers: Mapping[str, Schema]  # media type → what is known of the content
    body: BodySpec | None = None  # None: a GET
    path_parameters: Mapping[str, Schema] = field(default_factory=dict)
    query_parameters: Mapping[str, Schema] = field(default_factory=dict)
    header_parameters: Mapping[str, Schema] = field(default_factory=dict)
    statuses: Mapping[int, str] | None = None  # None: those of calls
    error_schema: str = "Error"  # among the document's components
    method: str | None = None  # in lower case, of a request without a body that is no GET

    @property
    def verb(self) -> str:
        """The HTTP method in lower case, as OpenAPI spells it."""
        return self.method or ("get" if self.body is None else "post")


def json_body(members: Mapping[str, Schema], *required: str) -> BodySpec:
    """Return the description of a JSON body that must name a model."""
    return BodySpec(JSON, {**MODEL, **members}, ("model", *required))


def provider_answer(*media_types: str) -> Mapping[str, Schema]:
    """Return the responses of a provider. All that is known of them is that JSON is an object."""
    return {media_type: {"type": "object"} if media_type == JSON else {} for media_type in media_types}
