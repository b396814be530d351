"""`GET /v1/models` and `GET /v1/models/{id}`: what may be asked for."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hero_broker.core.errors import ModelNotFound
from hero_broker.providers.routes import Routes
from hero_broker.providers.upstream import Provider


def routes(served: Routes) -> list[Route]:
    """Return the routes that tell which models are served."""

    async def every(_request: Request) -> Response:
        found = [_shown(route.model, route.provider) for route in served.named]
        found.extend(_shown(alias, route.provider) for route in served.named for alias in route.aliases)
        found.extend(_shown(name, provider) for name, provider in served.listed())
        return JSONResponse({"object": "list", "data": found})

    async def one(request: Request) -> Response:
        name: str = request.path_params["name"]
        route = served.get(name)
        if route is None:
            raise ModelNotFound(f"The model {name[:200]!r} does not exist here.", param="model")
        return JSONResponse(_shown(name, route.provider))

    return [Route("/v1/models", every), Route("/v1/models/{name:path}", one)]


def _shown(name: str, provider: Provider) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": provider.name}
