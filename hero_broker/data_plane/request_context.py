"""What is known of a request besides its body; with the body it becomes a `Call`."""

from collections.abc import Iterable

import msgspec

from hero_broker.core.calls import Call, Caller, UploadBody
from hero_broker.kinds.kind import Kind, Request
from hero_broker.providers.routes import ModelRoute

# The client's headers that are forwarded to a provider; none decides where a request goes or who pays there.
REQUEST_HEADERS = frozenset({b"http-referer", b"idempotency-key", b"openai-beta", b"x-title"})
MAX_REQUEST_HEADER_BYTES = 1024  # of a header's value; longer ones are dropped


class RequestContext(msgspec.Struct, frozen=True):
    """A request without its body."""

    request_id: str
    caller: Caller
    started_at: int  # unix seconds, UTC
    headers: tuple[tuple[str, str], ...] = ()  # those that are forwarded

    def build_call(
        self,
        kind: Kind,
        path: str,
        request: Request,
        route: ModelRoute,
        upload: UploadBody | None = None,
    ) -> Call:
        """Build the call of a request that came on `path`, for the route that serves it; `upload` is a form's body."""
        return Call(
            request_id=self.request_id,
            kind=kind.name,
            model=route.model,
            provider=route.provider.name,
            upstream_model=route.upstream_model,
            url=kind.url(path, route),
            body=kind.encode(request, route) if upload is None else upload,
            caller=self.caller,
            started_at=self.started_at,
            stream=request.stream,
            wants_usage=request.wants_usage,
            headers=self.headers,
            input_bytes=request.input_bytes,
            characters=request.characters,
        )


def forwarded_headers(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    """Return the headers that are forwarded to a provider."""
    return tuple(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in headers
        if name in REQUEST_HEADERS and len(value) <= MAX_REQUEST_HEADER_BYTES
    )
