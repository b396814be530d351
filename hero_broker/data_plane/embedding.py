"""Bodies of embeddings → Call."""

from hero_broker.core.calls import Call, CallKind
from hero_broker.data_plane.json_body import LIST, TEXT, read_json
from hero_broker.data_plane.request_context import RequestContext
from hero_broker.providers.routes import ModelRoute, Routes


def read_embedding(body: bytes, arrival: RequestContext, routes: Routes) -> tuple[Call, ModelRoute]:
    """Read `POST /v1/embeddings`."""
    request = read_json(body)
    route = routes.find(request.model, CallKind.EMBEDDING)
    size = len(request.require("input", TEXT, LIST))
    encoded = request.encode(model=route.upstream_model)
    return arrival.build_call(
        CallKind.EMBEDDING, route, route.provider.base_url + "/embeddings", encoded, input_bytes=size
    )
