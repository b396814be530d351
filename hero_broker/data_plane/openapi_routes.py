"""Describes the data plane's routes for the OpenAPI document, with what the broker itself requires of a body.

Tests drive each reader by these descriptions, so they state exactly what the readers check.
"""

from collections.abc import Mapping, Sequence

from hero_broker.data_plane.responses import FORWARDED_STATUSES
from hero_broker.kinds.json_body import DROPPED_KEYS
from hero_broker.kinds.registry import KINDS
from hero_broker.kinds.route_spec import JSON, NON_EMPTY_STRING, RouteSpec, Schema

# How the broker refuses a call before it calls a provider, and how it reports a provider's failure.
REFUSALS = {
    400: "A member is missing or invalid, or X-Hero-Context is too long; `param` names it.",
    403: "The address or the web page may not call, or, in dev mode, Host is no loopback name or address.",
    404: "No model of this name serves calls of this kind, or its price is unknown.",
    408: "The body did not arrive in time.",
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


CALLS = tuple(spec for kind in KINDS.values() for spec in kind.specs)

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

FRONT_PAGE = RouteSpec(
    "/",
    "frontPage",
    "Say what answers here",
    {"text/plain": {"type": "string"}, "text/html": {"type": "string"}},
    statuses=READ_STATUSES,
)

ROUTES: Mapping[str, Sequence[RouteSpec]] = {"calls": CALLS, "models": MODELS, "health": (FRONT_PAGE,)}  # by tag
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
