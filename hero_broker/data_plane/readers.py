"""Bodies of each kind → Call."""

from dataclasses import dataclass

from hero_broker.core.calls import Call, Caller, CallKind
from hero_broker.core.errors import InvalidRequest
from hero_broker.data_plane.bodies import read_json
from hero_broker.providers.routing import ModelRoute, Routes


@dataclass(frozen=True, slots=True)
class Arrival:
    """What the edge knows of a request before its body is read."""

    request_id: str
    caller: Caller
    started_at: int  # unix seconds, UTC


def read_chat(body: bytes, arrival: Arrival, routes: Routes) -> tuple[Call, ModelRoute]:
    """Read `POST /v1/chat/completions`."""
    request = read_json(body)
    route = routes.find(request.model, CallKind.CHAT)
    if "messages" not in request.members:
        raise InvalidRequest("'messages' is missing.", param="messages")
    stream = request.flag("stream")
    options = request.mapping("stream_options")
    changes: dict[str, object] = {"model": route.upstream_model}
    if stream and route.provider.stream_usage:
        changes["stream_options"] = {**options, "include_usage": True}
    wants_usage = options.get("include_usage") is True
    size = len(request.members["messages"])
    return _call(
        CallKind.CHAT, "/chat/completions", request.encode(**changes), arrival, route, size, stream, wants_usage
    )


def read_embedding(body: bytes, arrival: Arrival, routes: Routes) -> tuple[Call, ModelRoute]:
    """Read `POST /v1/embeddings`."""
    request = read_json(body)
    route = routes.find(request.model, CallKind.EMBEDDING)
    if "input" not in request.members:
        raise InvalidRequest("'input' is missing.", param="input")
    encoded = request.encode(model=route.upstream_model)
    return _call(CallKind.EMBEDDING, "/embeddings", encoded, arrival, route, len(request.members["input"]))


def _call(
    kind: CallKind,
    path: str,
    body: bytes,
    arrival: Arrival,
    route: ModelRoute,
    input_bytes: int,
    stream: bool = False,
    wants_usage: bool = False,
) -> tuple[Call, ModelRoute]:
    call = Call(
        request_id=arrival.request_id,
        kind=kind,
        model=route.model,
        provider=route.provider.name,
        upstream_model=route.upstream_model,
        path=path,
        body=body,
        caller=arrival.caller,
        started_at=arrival.started_at,
        stream=stream,
        wants_usage=wants_usage,
        input_bytes=input_bytes,
    )
    return call, route
