"""Embedding bodies → Call."""

from hero_broker.core.calls import Call, CallKind
from hero_broker.data_plane.request_context import RequestContext
from hero_broker.kinds.json_body import ARRAY, STRING, read_json
from hero_broker.providers.routes import ModelRoute, Routes


def read_embedding(body: bytes, context: RequestContext, routes: Routes) -> tuple[Call, ModelRoute]:
    """Read `POST /v1/embeddings`."""
    request = read_json(body)
    route = routes.find(request.model, CallKind.EMBEDDING)
    size = len(request.require("input", STRING, ARRAY))
    encoded = request.encode(model=route.upstream_model)
    return context.build_call(
        CallKind.EMBEDDING, route, route.provider.base_url + "/embeddings", encoded, input_bytes=size
    )
