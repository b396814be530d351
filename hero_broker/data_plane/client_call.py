"""A client's call: who asks what. For each target it becomes an `Attempt`."""

from collections.abc import Iterable

import msgspec

from hero_broker.core.calls import Attempt, Caller, UploadBody
from hero_broker.kinds.kind import Kind, Request
from hero_broker.providers.routes import Route, Target

# The client's headers that are forwarded to a provider; none decides where a request goes or who pays there.
REQUEST_HEADERS = frozenset({b"http-referer", b"idempotency-key", b"openai-beta", b"x-title"})
MAX_REQUESTED_MODEL = 200  # characters of a model's name, as the client wrote it, in a row
MAX_REQUEST_HEADER_BYTES = 1024  # of a header's value; longer ones are dropped


class RequestContext(msgspec.Struct, frozen=True):
    """What is known of a request before its body is read."""

    request_id: str
    caller: Caller
    started_at: int  # unix seconds, UTC
    headers: tuple[tuple[str, str], ...] = ()  # those that are forwarded


class ClientCall(msgspec.Struct, frozen=True):
    """One client request to a model, read and checked; no provider has been chosen yet."""

    context: RequestContext
    kind: Kind
    path: str  # on which it came
    request: Request
    upload: UploadBody | None = None  # the body of a form, rewritten for the first target

    def attempt(self, route: Route, target: Target) -> Attempt:
        """Encode the call for a target of its model's route."""
        context, request = self.context, self.request
        return Attempt(
            request_id=context.request_id,
            kind=self.kind.name,
            model=route.model,
            provider=target.provider.name,
            upstream_model=target.upstream_model,
            url=self.kind.url(self.path, target),
            body=self.kind.encode(request, target) if self.upload is None else self.upload,
            caller=context.caller,
            started_at=context.started_at,
            stream=request.stream,
            wants_usage=request.wants_usage,
            headers=context.headers,
            input_bytes=request.input_bytes,
            characters=request.characters,
            requested_model=None if request.model == route.model else request.model[:MAX_REQUESTED_MODEL],
        )


def forwarded_headers(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    """Return the headers that are forwarded to a provider."""
    return tuple(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in headers
        if name in REQUEST_HEADERS and len(value) <= MAX_REQUEST_HEADER_BYTES
    )
