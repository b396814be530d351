"""`GET /v1/models` and `GET /v1/models/{id}`: the models that callers may use."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hero_broker.core.errors import ModelNotFound
from hero_broker.providers.provider import Provider
from hero_broker.providers.routes import Routes


def http_routes(model_routes: Routes) -> list[Route]:
    """Return the HTTP routes that list the models."""

    async def list_all(_request: Request) -> Response:
        models = [_model_object(route.model, route.provider) for route in model_routes.named]
        models.extend(_model_object(alias, route.provider) for route in model_routes.named for alias in route.aliases)
        models.extend(_model_object(name, provider) for name, provider in model_routes.listed())
        return JSONResponse({"object": "list", "data": models})

    async def retrieve(request: Request) -> Response:
        name: str = request.path_params["name"]
        route = model_routes.get(name)
        if route is None:
            raise ModelNotFound(model_routes.unknown_name(name), param="model")
        return JSONResponse(_model_object(name, route.provider))

    return [Route("/v1/models", list_all), Route("/v1/models/{name:path}", retrieve)]


def _model_object(name: str, provider: Provider) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": provider.name}
