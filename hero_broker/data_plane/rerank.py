"""Rerank bodies, in Cohere's and Jina's shape → Call."""

from collections.abc import Callable

from hero_broker.core.calls import Call, CallKind
from hero_broker.data_plane.request_context import RequestContext
from hero_broker.kinds.json_body import ARRAY, OBJECT, STRING, read_json
from hero_broker.providers.routes import ModelRoute, Routes

COHERE_ENDS = ("/v2", "/compatibility/v1")


def build_reader(version: str) -> Callable[[bytes, RequestContext, Routes], tuple[Call, ModelRoute]]:
    """Return the reader of `POST /v1/rerank` or `POST /v2/rerank`.

    Cohere is recognised by the end of its base URL, and called with the client's version. Others have one rerank route.
    """

    def read(body: bytes, context: RequestContext, routes: Routes) -> tuple[Call, ModelRoute]:
        request = read_json(body)
        route = routes.find(request.model, CallKind.RERANK)
        query = request.require("query", STRING, OBJECT)  # an object if images are ranked
        documents = request.require("documents", ARRAY)
        base = route.provider.base_url
        root = next((base.removesuffix(end) for end in COHERE_ENDS if base.endswith(end)), None)
        url = f"{base}/rerank" if root is None else f"{root}/{version}/rerank"
        encoded = request.encode(model=route.upstream_model)
        return context.build_call(CallKind.RERANK, route, url, encoded, input_bytes=len(query) + len(documents))

    return read
