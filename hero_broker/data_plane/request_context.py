"""What is known of a request before its body is read; with the body it becomes a `Call`."""

from collections.abc import Iterable

import msgspec

from hero_broker.core.calls import Call, Caller, CallKind, UploadBody
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
        kind: CallKind,
        route: ModelRoute,
        url: str,
        body: bytes | UploadBody,
        *,
        input_bytes: int,
        stream: bool = False,
        wants_usage: bool = False,
        characters: int | None = None,
    ) -> tuple[Call, ModelRoute]:
        """Build the call from the request and its body; return it with the route that serves it."""
        call = Call(
            request_id=self.request_id,
            kind=kind,
            model=route.model,
            provider=route.provider.name,
            upstream_model=route.upstream_model,
            url=url,
            body=body,
            caller=self.caller,
            started_at=self.started_at,
            stream=stream,
            wants_usage=wants_usage,
            headers=self.headers,
            input_bytes=input_bytes,
            characters=characters,
        )
        return call, route


def forwarded_headers(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    """Return the headers that are forwarded to a provider."""
    return tuple(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in headers
        if name in REQUEST_HEADERS and len(value) <= MAX_REQUEST_HEADER_BYTES
    )
