"""Describes the data plane's routes for the OpenAPI document, with what the broker itself requires of a body.

Tests drive each reader by these descriptions, so they state exactly what the readers check.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hero_broker.data_plane.models import DEFAULT_LIMIT, MAX_LIMIT
from hero_broker.data_plane.responses import FORWARDED_STATUSES
from hero_broker.kinds.json_body import DROPPED_KEYS
from hero_broker.kinds.kind import Kind
from hero_broker.kinds.registry import KINDS
from hero_broker.kinds.route_spec import JSON, NON_EMPTY_STRING, RouteSpec, Schema
from hero_broker.kinds.wires import ANTHROPIC_WIRE

# How the broker refuses a call before it calls a provider, and how it reports a provider's failure.
REFUSALS = {
    400: "A member is missing or invalid, or X-Hero-Context is too long; `param` names it.",
    403: "The address or the web page may not call, or, in dev mode, Host is no loopback name or address.",
    402: "A budget is spent, or does not cover the call.",
    404: "No model of this name serves calls of this kind, or its price is unknown.",
    408: "The body did not arrive in time.",
    413: "The body is too large, counted after decoding.",
    415: "Unsupported content type or encoding. JSON may be in gzip or zstd.",
    429: "A limit of requests per minute or of calls in flight is reached, or a budget is held for other calls; the "
    "broker may be set to refuse with it what it refuses with 402.",
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


def _one_of(*names: str) -> Schema:
    return {"oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in names]}


ERROR_SCHEMAS = {ANTHROPIC_WIRE: "AnthropicError"}
# Of calls whose errors pass as the provider sent them.
STATUSES_AS_SENT = CALL_STATUSES | {529: "The provider's own error: it is overloaded."}


def _described(kind: Kind, spec: RouteSpec) -> RouteSpec:
    """Return the description of a route with its errors."""
    if not kind.errors_as_sent:
        return spec
    return replace(spec, statuses=STATUSES_AS_SENT, error_schema=ERROR_SCHEMAS.get(kind.wire, spec.error_schema))


CALLS = tuple(_described(kind, spec) for kind in KINDS.values() for spec in kind.specs)
LOOK_UPS = tuple(_described(kind, spec) for kind in KINDS.values() for spec in kind.look_up_specs)

STORED_STATUSES = {
    **{status: text for status, text in STATUSES_AS_SENT.items() if status not in (408, 413, 415)},
    400: "A parameter is invalid or not supported, or X-Hero-Context is too long. Or the provider's own error.",
    404: "The caller has stored no response of this id here, or its provider or key is gone from the settings. "
    "Or the provider's own error.",
    503: "The limit of calls in flight is reached, or the database does not answer. No provider was called. "
    "Or the provider's own error.",
}
STORED = tuple(
    replace(stored.spec, statuses=STORED_STATUSES) for kind in KINDS.values() for stored in kind.stored_requests
)

_ANTHROPIC: Mapping[str, Schema] = {
    "anthropic-version": {
        "type": "string",
        "description": "Any value: the response has Anthropic's shape, and errors have OpenAI's.",
    }
}
MODELS = (
    RouteSpec(
        "/v1/models",
        "listModels",
        "List the models",
        {JSON: _one_of("ServedModels", "AnthropicModelPage")},
        query_parameters={
            "limit": {
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_LIMIT,
                "default": DEFAULT_LIMIT,
                "description": "Read with `anthropic-version` only, as are the next two.",
            },
            "after_id": {"type": "string", "description": "The page begins after this model."},
            "before_id": {"type": "string", "description": "The page ends before this model; not with `after_id`."},
        },
        header_parameters=_ANTHROPIC,
        statuses={**READ_STATUSES, 400: f"{READ_STATUSES[400]} Or `limit`, `after_id` or `before_id` is invalid."},
    ),
    RouteSpec(
        "/v1/models/{name}",
        "retrieveModel",
        "Retrieve a model",
        {JSON: _one_of("ServedModel", "AnthropicModel")},
        path_parameters={"name": {**NON_EMPTY_STRING, "description": "Slashes need no escaping."}},
        header_parameters=_ANTHROPIC,
        statuses={**READ_STATUSES, 404: "No model of this name is served."},
    ),
)

FRONT_PAGE = RouteSpec(
    "/",
    "frontPage",
    "Say what answers here",
    {JSON: {"type": "object"}, "text/html": {"type": "string"}},
    statuses=READ_STATUSES,
)

ROUTES: Mapping[str, Sequence[RouteSpec]] = {
    "calls": (*CALLS, *LOOK_UPS, *STORED),
    "models": MODELS,
    "health": (FRONT_PAGE,),
}  # by tag
_SHARED_MEMBERS: Mapping[str, Schema] = {
    "id": {"type": "string", "description": "The name to use as `model`."},
    "display_name": {"type": "string"},
    "kind": {
        "type": ["string", "null"],
        "description": "The kind of calls that may use the model; null if calls of any kind may.",
    },
}
SCHEMAS: Mapping[str, Schema] = {
    "AnthropicError": {
        "title": "AnthropicError",
        "type": "object",
        "description": "An error in Anthropic's shape.",
        "properties": {
            "type": {"const": "error"},
            "error": {
                "type": "object",
                "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
                "required": ["type", "message"],
            },
            "request_id": {
                "type": ["string", "null"],
                "description": "The request's id, the broker's or the provider's.",
            },
        },
        "required": ["type", "error"],
    },
    "ServedModel": {
        "title": "ServedModel",
        "type": "object",
        "properties": {
            **_SHARED_MEMBERS,
            "object": {"const": "model"},
            "created": {"type": "integer", "description": "Always 0: unknown."},
            "owned_by": {"type": "string", "description": "The provider."},
        },
        "required": ["id", "object", "created", "owned_by", "display_name", "kind"],
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
    "AnthropicModel": {
        "title": "AnthropicModel",
        "type": "object",
        "properties": {
            **_SHARED_MEMBERS,
            "type": {"const": "model"},
            "created_at": {"type": "string", "description": "Always 1970-01-01T00:00:00Z: unknown."},
        },
        "required": ["id", "type", "display_name", "created_at", "kind"],
    },
    "AnthropicModelPage": {
        "title": "AnthropicModelPage",
        "type": "object",
        "properties": {
            "data": {"type": "array", "items": {"$ref": "#/components/schemas/AnthropicModel"}},
            "has_more": {"type": "boolean", "description": "Whether more models follow, or precede with `before_id`."},
            "first_id": {"type": ["string", "null"]},
            "last_id": {"type": ["string", "null"]},
        },
        "required": ["data", "has_more", "first_id", "last_id"],
    },
}
DROPPED = f"The broker drops these top-level members of a call's body: {', '.join(DROPPED_KEYS)}."
