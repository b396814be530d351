"""Bodies of chat and text completions → Call."""

from hero_broker.core.calls import Call, CallKind
from hero_broker.data_plane.request_context import RequestContext
from hero_broker.kinds.json_body import ARRAY, STRING, JsonBody, read_json
from hero_broker.providers.routes import ModelRoute, Routes


def read_chat(body: bytes, context: RequestContext, routes: Routes) -> tuple[Call, ModelRoute]:
    """Read `POST /v1/chat/completions`."""
    request = read_json(body)
    route = routes.find(request.model, CallKind.CHAT)
    size = len(request.require("messages", ARRAY))
    return _call(CallKind.CHAT, "/chat/completions", request, context, route, size)


def read_completion(body: bytes, context: RequestContext, routes: Routes) -> tuple[Call, ModelRoute]:
    """Read `POST /v1/completions`."""
    request = read_json(body)
    route = routes.find(request.model, CallKind.COMPLETION)
    size = len(request.require("prompt", STRING, ARRAY))
    return _call(CallKind.COMPLETION, "/completions", request, context, route, size)


def _call(
    kind: CallKind, path: str, request: JsonBody, context: RequestContext, route: ModelRoute, input_bytes: int
) -> tuple[Call, ModelRoute]:
    stream = request.boolean("stream")
    options = request.json_object("stream_options")
    changes: dict[str, object] = {"model": route.upstream_model}
    if stream and route.provider.stream_usage:
        changes["stream_options"] = {**options, "include_usage": True}
    return context.build_call(
        kind,
        route,
        route.provider.base_url + path,
        request.encode(**changes),
        input_bytes=input_bytes,
        stream=stream,
        wants_usage=options.get("include_usage") is True,
    )
