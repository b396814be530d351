"""What the edge knows of a request before its body is read."""

from collections.abc import Iterable

import msgspec

from hero_broker.core.calls import Call, Caller, CallKind, UploadBody
from hero_broker.providers.routes import ModelRoute

# Of a client's headers, those that go on to a provider; none decides where a request goes or who pays there.
REQUEST_HEADERS = frozenset({b"http-referer", b"idempotency-key", b"openai-beta", b"x-title"})
MAX_REQUEST_HEADER_BYTES = 1024  # bytes of the value of one of them; a longer one is not passed on


class RequestContext(msgspec.Struct, frozen=True):
    """A request that has come, without its body."""

    request_id: str
    caller: Caller
    started_at: int  # unix seconds, UTC
    headers: tuple[tuple[str, str], ...] = ()  # those that may go on

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
        """Return the request as a call, once its body is read, and who serves it."""
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


def passed_headers(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    """Return the headers that may go on to a provider."""
    return tuple(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in headers
        if name in REQUEST_HEADERS and len(value) <= MAX_REQUEST_HEADER_BYTES
    )
