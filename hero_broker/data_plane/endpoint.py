"""The ASGI endpoint of all calls: admits a request, reads its body, and starts its exchange."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from starlette.types import Receive, Scope, Send

from hero_broker.core.calls import Caller
from hero_broker.core.clock import Clock
from hero_broker.core.errors import (
    BodyTimeout,
    BodyTooLarge,
    BrokerError,
    ClientLeft,
    MethodNotAllowed,
    UnsupportedMedia,
)
from hero_broker.data_plane.checks import EarlyCheck
from hero_broker.data_plane.client_call import (
    REQUEST_HEADERS,
    ClientCall,
    RequestContext,
    forwarded_headers,
    forwarded_query,
    with_fallbacks,
)
from hero_broker.data_plane.content_encoding import RequestDecoder, check_encoding, encoded_bound
from hero_broker.data_plane.cost_headers import WANT, wants_cost
from hero_broker.data_plane.exchange import Exchange
from hero_broker.data_plane.form_request import FormRequest
from hero_broker.data_plane.path_spellings import check_deployment
from hero_broker.data_plane.stored_responses import StoredResponses
from hero_broker.edge.response_channel import ResponseChannel
from hero_broker.kinds.json_body import read_json
from hero_broker.kinds.kind import Kind
from hero_broker.kinds.registry import KIND_BY_PATH, KINDS, LOOK_UP_KINDS
from hero_broker.limits.admission import Admission, Slot
from hero_broker.providers.routes import Routes
from hero_broker.util.timeouts import wait_at_most

JSON_TYPE = b"application/json"


class DataPlane:
    """The ASGI endpoint of every call."""

    def __init__(
        self,
        exchange: Exchange,
        routes: Routes,
        admission: Admission,
        clock: Clock,
        max_body_bytes: int,
        max_audio_bytes: int,
        timeout_s: float,
        uploads: Path,
        default_models: Mapping[str, str],
        stored: StoredResponses,
        *,
        early_checks: Sequence[EarlyCheck] = (),
    ) -> None:
        """Join what a call needs.

        `early_checks` decide in their order, before the body is read and after the limits by address.
        `uploads` is the directory of large uploads in progress; `default_models` has the model of requests that name
        none, by kind. `stored` finds the responses that requests continue.
        """
        self._exchange = exchange
        self._routes = routes
        self._admission = admission
        self._early_checks = tuple(early_checks)
        self._clock = clock
        self._max_body_bytes = max_body_bytes
        self._max_audio_bytes = max_audio_bytes
        self._timeout_s = timeout_s
        self._uploads = uploads
        self._default_models = {name: "" for name, kind in KINDS.items() if kind.may_omit_model} | {**default_models}
        self._stored = stored

    async def __call__(self, scope: Scope, receive: Receive, _send: Send) -> None:
        """Serve one call.

        Raises:
            BrokerError: the call is refused, and nothing has been sent; the edge responds.
        """
        path = scope["path"]
        if scope["method"] != "POST":
            raise MethodNotAllowed(scope["method"], path, "POST")
        state = scope["state"]
        client: ResponseChannel = state["client"]
        caller: Caller = state["caller"]
        slot = self._admission.enter(caller)
        try:
            for check in self._early_checks:
                check(caller)
            headers: Mapping[bytes, bytes] = state["headers"]
            kind = KIND_BY_PATH.get(path) or LOOK_UP_KINDS[path]
            forwarded: tuple[tuple[str, str], ...] = ()
            # Few requests have such headers, and building the list takes longer than to see that there are none.
            if kind.request_headers or not REQUEST_HEADERS.isdisjoint(headers):
                forwarded = forwarded_headers(scope["headers"], kind.request_headers, kind.request_header_prefixes)
            is_cost_wanted = WANT in headers and wants_cost(headers[WANT])
            context = RequestContext(state["request_id"], caller, self._clock.now(), forwarded, is_cost_wanted)
            encoding = None
            if b"content-encoding" in headers:  # only the scope has a second line of this header
                encoding = check_encoding(scope["headers"], may_compress=not kind.takes_form)
            deployment: str | None = state.get("deployment")
            if kind.takes_form:
                await self._serve_upload(kind, path, deployment, headers, context, receive, client, slot)
            else:
                body = client.connection.take_body()
                if body is None or headers.get(b"content-type") != JSON_TYPE:  # else nothing is left to check
                    self.check_json_head(headers)
                if encoding is not None:
                    body = await self._in_time(self._decode(body, receive, encoding))
                elif body is None:
                    body = await self._in_time(self._read(receive))
                elif len(body) > self._max_body_bytes:
                    raise _body_too_large(self._max_body_bytes)
                members = read_json(body, deployment or self._default_models.get(kind.name))
                is_look_up = path in LOOK_UP_KINDS
                request = kind.read_look_up(members) if is_look_up else kind.read(members)
                if deployment is not None:
                    check_deployment(request.model, deployment)
                if request.storage is None or request.storage.previous is None:
                    route = self._routes.find(request.model, kind.name)
                else:
                    request, route = await self._stored.continued(request, kind, caller)
                if request.fallbacks:
                    request = with_fallbacks(request, route, self._routes)
                changes = kind.changes_requests
                query = forwarded_query(scope["query_string"], kind.query_names) if changes else None
                call = ClientCall(context, kind, path, request, None, query)
                if is_look_up:
                    await self._exchange.look_up(call, route, client, slot)
                else:
                    await self._exchange.start(call, route, client, slot)
        except BrokerError:
            client.headers = (*client.headers, *self._admission.headers_of_refused(slot))
            raise
        finally:
            slot.end()

    def check_json_head(self, headers: Mapping[bytes, bytes]) -> None:
        """Check the head of a request whose body is JSON; names are lower-case.

        Raises:
            UnsupportedMedia: the content type is not JSON, or the body's encoding is not accepted.
            BodyTooLarge: the body will be too large.
        """
        max_bytes = self._max_body_bytes
        if b"content-encoding" in headers and check_encoding(headers.items(), may_compress=True) is not None:
            max_bytes = encoded_bound(max_bytes)
        _check_head(headers, JSON_TYPE, max_bytes)

    async def _serve_upload(
        self,
        kind: Kind,
        path: str,
        deployment: str | None,
        headers: Mapping[bytes, bytes],
        context: RequestContext,
        receive: Receive,
        client: ResponseChannel,
        slot: Slot,
    ) -> None:
        declared_bytes = _check_head(headers, b"multipart/form-data", self._max_audio_bytes)
        form = FormRequest(
            kind, headers[b"content-type"], self._routes, self._uploads, self._max_audio_bytes, deployment
        )
        # A long upload gets one timeout for each `max_body_bytes`, as the same bytes in several bodies would.
        timeout_s = self._timeout_s * (1 + declared_bytes // self._max_body_bytes)
        reading = asyncio.create_task(form.upload.receive(receive, timeout_s), name="upload")
        async with AsyncExitStack() as unless_started:
            unless_started.push_async_callback(form.upload.close)
            unless_started.callback(reading.cancel)
            await form.upload.ready()
            call, route = form.call(path, declared_bytes, context)
            exchange = self._exchange.start(call, route, client, slot)
            unless_started.pop_all()  # the call closes its upload itself
        await exchange
        await reading

    async def _in_time(self, reading: Coroutine[Any, Any, bytes]) -> bytes:
        try:
            return await wait_at_most(self._timeout_s, reading)
        except TimeoutError as error:
            raise BodyTimeout("The body did not arrive in time.") from error

    async def _read(self, receive: Receive) -> bytes:
        chunks: list[bytes] = []
        size, has_more = 0, True
        while has_more:
            chunk, has_more = await _receive_chunk(receive)
            chunks.append(chunk)
            size += len(chunk)
            if size > self._max_body_bytes:
                raise _body_too_large(self._max_body_bytes)
        return b"".join(chunks)

    async def _decode(self, body: bytes | None, receive: Receive, encoding: bytes) -> bytes:
        """Return the decoded body; `body` is the whole one if all of it has arrived."""
        decoder = RequestDecoder(encoding, self._max_body_bytes)
        size, has_more = 0, True
        while has_more:
            chunk, has_more = (body, False) if body is not None else await _receive_chunk(receive)
            size += len(chunk)
            await decoder.feed(chunk)
            if decoder.is_too_large or size > encoded_bound(self._max_body_bytes):
                raise _body_too_large(self._max_body_bytes)
        return decoder.finish()


async def _receive_chunk(receive: Receive) -> tuple[bytes, bool]:
    """Return the next piece of a request's body, and whether more follow.

    Raises:
        ClientLeft: the client left before the end.
    """
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientLeft("The client left before its request was complete.")
    return message.get("body", b""), message.get("more_body", False)


def _check_head(headers: Mapping[bytes, bytes], content_type: bytes, max_bytes: int) -> int:
    """Check a request's head before its body is read; return `content-length`, 0 if the head has none.

    Raises:
        UnsupportedMedia: the content type is not `content_type`.
        BodyTooLarge: `content-length` is more than `max_bytes`.
    """
    if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != content_type:
        raise UnsupportedMedia(f"The content type must be {content_type.decode()}.")
    length = headers.get(b"content-length", b"0")
    declared_bytes = int(length) if length.isdigit() else 0
    if declared_bytes > max_bytes:
        raise _body_too_large(max_bytes)
    return declared_bytes


def _body_too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body must be at most {max_bytes} bytes long.")
