"""The outermost middleware: gives each request its id and source IP, and turns errors into responses."""

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hero_broker.core.addresses import UNKNOWN
from hero_broker.core.errors import BrokerError, InternalError, OriginRefused
from hero_broker.core.ids import RequestIds
from hero_broker.edge.allowed_clients import AllowedClients
from hero_broker.edge.errors import OPENAI_ERRORS, ErrorShapes, send_error
from hero_broker.edge.origins import Origins, answer_preflight, check_single, is_preflight
from hero_broker.edge.plain_connection import PlainConnection, ResponseAborted
from hero_broker.edge.response_channel import Headers, ResponseChannel
from hero_broker.edge.source_ip import SourceIp
from hero_broker.util.timeouts import wait_at_most

# Without this limit, a client that stops in the middle of its body would hold its slot for all of `body_timeout_s`.
BODY_PAUSE_S = 15.0

_OPENAI_EVERYWHERE = ErrorShapes({})

log = logging.getLogger(__name__)


class EdgeMiddleware:
    """Plain ASGI middleware: sets `state.request_id`, `.headers`, `.client` and `.caller`.

    It responds to errors in the shape of the path's wire, in `state.error_shape` unless it is OpenAI's. It runs under
    any ASGI server, and faster under one that sets `state.connection`, as `server.http1.protocol` does. A server must
    take the peer's address from the socket alone.
    """

    def __init__(
        self,
        app: ASGIApp,
        source_ip: SourceIp,
        allowed: AllowedClients,
        origins: Origins,
        error_shapes: ErrorShapes = _OPENAI_EVERYWHERE,
    ) -> None:
        self._app = app
        self._source_ip = source_ip
        self._allowed = allowed
        self._origins = origins
        self._error_shapes = error_shapes
        self._ids = RequestIds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request, and add `x-request-id` to its response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        if "connection" not in state:
            await self._serve_plain(scope, receive, send)
            return
        request_id = self._ids.next()
        state["request_id"] = request_id
        state["headers"] = headers = dict(scope["headers"])
        state["client"] = client = ResponseChannel(state["connection"], send, request_id)
        shape = OPENAI_ERRORS
        if scope["path"].startswith(self._error_shapes.roots):
            shape = state["error_shape"] = self._error_shapes.of(scope["path"])
            client.headers = [(name, request_id.encode()) for name in shape.id_headers]
        cors_headers: Headers = ()
        try:
            if b"origin" in headers or b"sec-fetch-site" in headers:
                check_single(scope["headers"])
                cors_headers = self._origins.check(scope["method"], scope["path"], headers)
                client.headers = (*client.headers, *cors_headers)
            state["caller"] = caller = self._source_ip.resolve(scope.get("client"), scope["headers"], scope["path"])
            self._allowed.check(caller, scope["path"])
            if cors_headers and is_preflight(scope["method"], headers):
                await answer_preflight(headers, client.send)
            else:
                await self._app(scope, _bound_body_pauses(receive), client.send)
        except BrokerError as error:
            if isinstance(error, OriginRefused):
                self._origins.log_refused(headers, scope["client"][0] if scope.get("client") else UNKNOWN)
            if client.has_begun:
                raise
            await send_error(error, client.send, shape, request_id)
        except Exception:  # the ASGI boundary: the client gets no internal detail
            log.exception("edge: a request failed", extra={"request_id": request_id})
            if client.has_begun:
                raise
            await send_error(InternalError("The broker failed."), client.send, shape, request_id)
        finally:
            # `client` has `send`, which has the scope. A reference cycle per request costs a GC pause each second.
            del state["client"]

    async def _serve_plain(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = PlainConnection(receive)
        scope["state"]["connection"] = connection
        try:
            await self(scope, connection.receive, send)
        finally:
            connection.stop()
        if connection.is_broken_off:
            raise ResponseAborted


def _bound_body_pauses(receive: Receive) -> Receive:
    """Wrap `receive`, to raise TimeoutError if the body pauses for longer than `BODY_PAUSE_S`."""
    is_complete = False

    async def receive_in_time() -> Message:
        nonlocal is_complete
        if is_complete:  # from here on, `receive` waits for the client to disconnect
            return await receive()
        message = await wait_at_most(BODY_PAUSE_S, _next(receive))
        is_complete = not message.get("more_body", False)
        return message

    return receive_in_time


async def _next(receive: Receive) -> Message:
    return await receive()
