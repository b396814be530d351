"""`GET /v1/models` and `GET /v1/models/{id}`: the models that callers may use.

They have OpenAI's shape, and Anthropic's for clients that send `anthropic-version`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hero_broker.core.errors import InvalidRequest, ModelNotFound
from hero_broker.providers.routes import Routes

ANTHROPIC_VERSION = "anthropic-version"
DEFAULT_LIMIT, MAX_LIMIT = 20, 1000  # Anthropic's, https://docs.anthropic.com/en/api/models-list
UNKNOWN_TIME = "1970-01-01T00:00:00Z"  # what Anthropic sends if it does not know when a model was released
_LIMIT = re.compile("[0-9]{1,4}")
_VARY = {"vary": ANTHROPIC_VERSION}


@dataclass(frozen=True, slots=True)
class ModelName:
    """A name by which clients call a model."""

    name: str
    provider: str
    kind: str | None  # None: the price list has no kinds, and calls of any kind may use the model

    def openai_object(self) -> dict[str, object]:
        """Return OpenAI's model object, with our `display_name` and `kind`."""
        return {
            "id": self.name,
            "object": "model",
            "created": 0,
            "owned_by": self.provider,
            "display_name": self.name,
            "kind": self.kind,
        }

    def anthropic_object(self) -> dict[str, object]:
        """Return Anthropic's model object, with our `kind`."""
        return {
            "type": "model",
            "id": self.name,
            "display_name": self.name,
            "created_at": UNKNOWN_TIME,
            "kind": self.kind,
        }


def http_routes(model_routes: Routes) -> list[Route]:
    """Return the HTTP routes that list the models."""

    async def list_all(request: Request) -> Response:
        names = _model_names(model_routes)
        if ANTHROPIC_VERSION in request.headers:
            return JSONResponse(anthropic_page(names, request.query_params), headers=_VARY)
        return JSONResponse({"object": "list", "data": [name.openai_object() for name in names]}, headers=_VARY)

    async def retrieve(request: Request) -> Response:
        name: str = request.path_params["name"]
        route = model_routes.get(name)
        if route is None:
            raise ModelNotFound(model_routes.unknown_name(name), param="model")
        model = ModelName(name, route.provider.name, route.kind)
        is_anthropic = ANTHROPIC_VERSION in request.headers
        return JSONResponse(model.anthropic_object() if is_anthropic else model.openai_object(), headers=_VARY)

    return [Route("/v1/models", list_all), Route("/v1/models/{name:path}", retrieve)]


def anthropic_page(names: Sequence[ModelName], query: Mapping[str, str]) -> dict[str, object]:
    """Return a page of the models in Anthropic's shape: the first ones, or those after or before a model.

    Raises:
        InvalidRequest: `limit` is out of range, `after_id` or `before_id` is no model's id, or both are given.
    """
    limit = _limit(query.get("limit"))
    if "after_id" in query and "before_id" in query:
        raise InvalidRequest("'after_id' and 'before_id' must not be sent together.", param="before_id")
    if "before_id" in query:
        end = _position(names, query, "before_id")
        start = max(0, end - limit)
        has_more = start > 0
    else:
        start = _position(names, query, "after_id") + 1 if "after_id" in query else 0
        end = start + limit
        has_more = end < len(names)
    page = names[start:end]
    return {
        "data": [name.anthropic_object() for name in page],
        "has_more": has_more,
        "first_id": page[0].name if page else None,
        "last_id": page[-1].name if page else None,
    }


def _limit(value: str | None) -> int:
    limit = DEFAULT_LIMIT if value is None else int(value) if _LIMIT.fullmatch(value) else 0
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidRequest(f"'limit' must be an integer from 1 to {MAX_LIMIT}.", param="limit")
    return limit


def _position(names: Sequence[ModelName], query: Mapping[str, str], param: str) -> int:
    position = next((at for at, name in enumerate(names) if name.name == query[param]), None)
    if position is None:
        raise InvalidRequest(f"'{param}' must be the id of a model that is listed.", param=param)
    return position


def _model_names(model_routes: Routes) -> list[ModelName]:
    """Return each name once: the models of the settings, their aliases, then what only the price list has."""
    named = model_routes.named
    names: dict[str, ModelName] = {}
    for name in (*(route.model for route in named), *(alias for route in named for alias in route.aliases)):
        route = model_routes.get(name)
        if route is not None:  # the one that a call of this name uses, even if another has it as an alias
            names[name] = ModelName(name, route.provider.name, route.kind)
    for name, provider in model_routes.listed():
        names.setdefault(name, ModelName(name, provider.name, None))
    return list(names.values())
