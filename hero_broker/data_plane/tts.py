"""Speech bodies → Call."""

from hero_broker.core.calls import Call, CallKind
from hero_broker.data_plane.request_context import RequestContext
from hero_broker.kinds.json_body import read_json
from hero_broker.providers.routes import ModelRoute, Routes


def read_tts(body: bytes, context: RequestContext, routes: Routes) -> tuple[Call, ModelRoute]:
    """Read `POST /v1/audio/speech`. Characters are Unicode code points of `input`."""
    request = read_json(body)
    route = routes.find(request.model, CallKind.TTS)
    text = request.string("input")
    return context.build_call(
        CallKind.TTS,
        route,
        route.provider.base_url + "/audio/speech",
        request.encode(model=route.upstream_model),
        input_bytes=len(text.encode("utf-8", "replace")),
        stream=bytes(request.members.get("stream_format", b"")) == b'"sse"',
        characters=len(text),
    )
