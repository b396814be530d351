"""Transcription forms → Call."""

from collections.abc import Callable
from pathlib import Path

from hero_broker.core.calls import Call, CallKind
from hero_broker.core.errors import InvalidRequest
from hero_broker.data_plane.multipart import FormRewriter, parse_boundary
from hero_broker.data_plane.request_context import RequestContext
from hero_broker.data_plane.upload import Upload
from hero_broker.providers.routes import ModelRoute, Routes

STREAM_WORDS = {"true": True, "1": True, "false": False, "0": False, "": False}


class SttRequest:
    """One `POST /v1/audio/transcriptions` or `/v1/audio/translations`, while its form arrives."""

    def __init__(self, content_type: bytes, routes: Routes, directory: Path, max_bytes: int) -> None:
        """Prepare to read the form.

        Raises:
            InvalidRequest: the content type names no boundary, or is not well-formed.
        """
        self._route: ModelRoute | None = None
        self._find_route: Callable[[str], ModelRoute] = lambda model: routes.find(model, CallKind.STT)
        self.upload = Upload(FormRewriter(parse_boundary(content_type), self._upstream_model), directory, max_bytes)

    def _upstream_model(self, model: str) -> str:
        self._route = self._find_route(model)
        return self._route.upstream_model

    def call(self, path: str, declared_bytes: int, context: RequestContext) -> tuple[Call, ModelRoute]:
        """Return the call, once the upload is ready; `path` is below the provider's base URL.

        Raises:
            InvalidRequest: `model` is missing, or `stream` is neither true nor false.
        """
        route = self._route
        if route is None:
            raise InvalidRequest("'model' is missing.", param="model")
        stream = STREAM_WORDS.get(self.upload.fields.get("stream", "").lower())
        if stream is None:
            raise InvalidRequest("'stream' must be true or false.", param="stream")
        size = self.upload.length or declared_bytes
        url = route.provider.base_url + path
        return context.build_call(CallKind.STT, route, url, self.upload, input_bytes=size, stream=stream)
