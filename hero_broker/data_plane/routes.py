"""OpenAI-shaped routes: a request is read, admitted, exchanged and answered."""

import asyncio
from collections.abc import Callable

from starlette.types import Receive, Scope, Send

from hero_broker.core.calls import Call
from hero_broker.core.clock import Clock
from hero_broker.core.errors import BodyTooLarge, InvalidRequest, NotFound, UnsupportedMedia
from hero_broker.data_plane.exchange import Exchange, Head, Relay
from hero_broker.data_plane.readers import Arrival, read_chat, read_embedding
from hero_broker.edge.admission import Admission
from hero_broker.providers.routing import ModelRoute, Routes

Reader = Callable[[bytes, Arrival, Routes], tuple[Call, ModelRoute]]

READERS: dict[str, Reader] = {"/v1/chat/completions": read_chat, "/v1/embeddings": read_embedding}


class DataPlane:
    """The ASGI endpoint of every call."""

    def __init__(
        self,
        exchange: Exchange,
        routes: Routes,
        admission: Admission,
        clock: Clock,
        max_body_bytes: int,
        timeout_s: float,
    ) -> None:
        self._exchange = exchange
        self._routes = routes
        self._admission = admission
        self._clock = clock
        self._max_body_bytes = max_body_bytes
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call. Raises BrokerError for the edge to answer, before anything is sent."""
        if scope["method"] != "POST":
            raise NotFound(f"There is no {scope['method']} {scope['path']} here; use POST.")
        caller = scope["state"]["caller"]
        with self._admission.slot():
            arrival = Arrival(scope["state"]["request_id"], caller, self._clock.now())
            body = await self._read(scope, receive)
            call, route = READERS[scope["path"]](body, arrival, self._routes)
            relay = self._exchange.start(call, route.provider)
            watch = asyncio.create_task(_watch(receive, relay), name="client watch")
            try:
                await _send_all(relay, send)
            finally:
                relay.leave()
                watch.cancel()

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        headers = dict(scope["headers"])
        kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        if kind != b"application/json":
            raise UnsupportedMedia("The content type must be application/json.")
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise UnsupportedMedia("The body must not be compressed.")
        too_long = BodyTooLarge(f"The body must be at most {self._max_body_bytes} bytes long.")
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._max_body_bytes:
            raise too_long
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise InvalidRequest("The client left before its request was complete.")
                    chunks.append(message.get("body", b""))
                    size += len(chunks[-1])
                    if size > self._max_body_bytes:
                        raise too_long
                    if not message.get("more_body", False):
                        return b"".join(chunks)
        except TimeoutError as error:
            raise InvalidRequest("The body did not arrive in time.", code="body_timeout") from error


async def _watch(receive: Receive, relay: Relay) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
    relay.leave()


async def _send_all(relay: Relay, send: Send) -> None:
    gone = asyncio.create_task(relay.left(), name="client left")
    feed = asyncio.create_task(_feed(relay, send), name="client feed")
    try:
        await asyncio.wait((gone, feed), return_when=asyncio.FIRST_COMPLETED)
        if feed.done():
            feed.result()
    finally:
        gone.cancel()
        feed.cancel()


async def _feed(relay: Relay, send: Send) -> None:
    head: Head | None = None
    async for item in relay.items():
        if isinstance(item, Head):
            head = item
            await send({"type": "http.response.start", "status": item.status, "headers": list(item.headers)})
        else:
            await send({"type": "http.response.body", "body": item, "more_body": True})
    if head is not None:
        await send({"type": "http.response.body", "body": b"", "more_body": False})
