"""Bodies of embeddings → Call."""

from hero_broker.core.calls import Call, CallKind
from hero_broker.data_plane.arrival import Arrival
from hero_broker.data_plane.bodies import LIST, TEXT, read_json
from hero_broker.providers.routing import ModelRoute, Routes


def read_embedding(body: bytes, arrival: Arrival, routes: Routes) -> tuple[Call, ModelRoute]:
    """Read `POST /v1/embeddings`."""
    request = read_json(body)
    route = routes.find(request.model, CallKind.EMBEDDING)
    call = Call(
        request_id=arrival.request_id,
        kind=CallKind.EMBEDDING,
        model=route.model,
        provider=route.provider.name,
        upstream_model=route.upstream_model,
        url=route.provider.base_url + "/embeddings",
        body=request.encode(model=route.upstream_model),
        caller=arrival.caller,
        started_at=arrival.started_at,
        headers=arrival.headers,
        input_bytes=len(request.require("input", TEXT, LIST)),
    )
    return call, route
