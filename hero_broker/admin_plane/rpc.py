"""`POST /rpc`: JSON-RPC over HTTP. Each response of a batch is sent alone, so that memory never holds them all."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from starlette.types import Receive, Scope, Send

from hero_broker.admin_plane import jsonrpc
from hero_broker.admin_plane.admin import Admin
from hero_broker.core.calls import Caller
from hero_broker.core.errors import ClientLeft

MAX_BODY_BYTES = 1024 * 1024
MEDIA_TYPES = ("application/json", "application/json-rpc")

_POST_ALONE = jsonrpc.unread("Requests must use POST.")
_NO_JSON = jsonrpc.unread(f"The content type must be {MEDIA_TYPES[0]}, without an encoding.")
_TOO_LATE = jsonrpc.unread("The body did not arrive in time.")
_TOO_LONG = jsonrpc.unread(f"The body must be at most {MAX_BODY_BYTES} bytes long.")


class RpcEndpoint:
    """The ASGI endpoint of the admin plane's JSON-RPC."""

    def __init__(self, admin: Admin, body_timeout_s: float = 60) -> None:
        """Set the methods' dependencies and the timeout of a request body."""
        self._members = jsonrpc.RpcDispatcher(admin)
        self._body_timeout_s = body_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; end quietly if the client leaves."""
        headers = dict(scope["headers"])
        if scope["method"] != "POST":
            await _send(send, 405, _POST_ALONE, (b"allow", b"POST"))
            return
        kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        if (
            kind.decode("latin-1") not in MEDIA_TYPES
            or headers.get(b"content-encoding", b"identity").lower() != b"identity"
        ):
            await _send(send, 415, _NO_JSON)
            return
        try:
            async with asyncio.timeout(self._body_timeout_s):
                body = await _body(receive)
        except TimeoutError:
            await _send(send, 408, _TOO_LATE)
            return
        except ClientLeft:
            return
        if len(body) > MAX_BODY_BYTES:
            await _send(send, 413, _TOO_LONG)
            return
        try:
            batch = jsonrpc.parse_batch(body)
        except jsonrpc.InvalidBatch as refused:
            await _send(send, 200, refused.answer)
            return
        request_id, caller = scope["state"]["request_id"], scope["state"]["caller"]
        if not batch.is_batch:
            response = await self._members.dispatch(batch.members[0], request_id, caller)
            await _send(send, 204 if response is None else 200, response)
            return
        left = asyncio.create_task(_wait_for_disconnect(receive))
        try:
            with suppress(OSError):  # of sending: the client has left
                await self._batch(batch.members, request_id, caller, left, send)
        finally:
            left.cancel()

    async def _batch(
        self, members: Sequence[Any], request_id: str, caller: Caller, left: asyncio.Task[None], send: Send
    ) -> None:
        """Answer members one after another until the client has left.

        Members do not run concurrently: each may occupy one of the few threads that read the ledger for a minute, and
        a response that waits to be sent takes memory. A member that has started is finished.
        """
        count = sum(
            map(jsonrpc.expects_response, members)
        )  # known before the first of them is answered, and so the status
        if count:
            head = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 200, "headers": head})
        before = b"["
        for member in members:
            if left.done():
                return
            if jsonrpc.expects_response(member):
                # Sending waits until the client has taken most of what was sent: of the member before, too.
                await send({"type": "http.response.body", "body": before, "more_body": True})
                before = b","
            response = await self._members.dispatch(member, request_id, caller)
            if response is not None:
                await send({"type": "http.response.body", "body": response, "more_body": True})
        if count:
            await send({"type": "http.response.body", "body": b"]"})
        else:
            await _send(send, 204, None)


async def _body(receive: Receive) -> bytes:
    """Return a request's body; of one that is too long, hardly more than is accepted.

    Raises:
        ClientLeft: the client left before the body was complete; the part that arrived may look complete.
    """
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft("The client left before its request was complete.")
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES or not message.get("more_body", False):
            return bytes(body)


async def _wait_for_disconnect(receive: Receive) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        continue


async def _send(send: Send, status: int, body: bytes | None, *headers: tuple[bytes, bytes]) -> None:
    if body is not None:
        headers = (*headers, (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body or b""})
