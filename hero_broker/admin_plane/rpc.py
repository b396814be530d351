"""`POST /rpc`: JSON-RPC 2.0 through jsonrpcserver, behind an adapter that checks each member of a batch alone."""

import json
import logging
import math
from functools import partial
from typing import Any

import msgspec
from jsonrpcserver import Error, Result, Success, async_dispatch_to_serializable
from starlette.types import Receive, Scope, Send

from hero_broker.admin_plane.contract import Contract
from hero_broker.admin_plane.methods import METHODS, Admin, answer
from hero_broker.core.errors import AdminError, InvalidParams

MAX_BODY_BYTES = 1024 * 1024
MAX_BATCH = 100
MEDIA_TYPES = ("application/json", "application/json-rpc")

log = logging.getLogger(__name__)


class Rpc:
    """The ASGI endpoint of the admin plane's JSON-RPC."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin
        self._contract = Contract(admin.document)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        headers = dict(scope["headers"])
        if scope["method"] != "POST":
            await _send(send, 405, _error(None, -32600, "Invalid Request"), (b"allow", b"POST"))
            return
        kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        encoding = headers.get(b"content-encoding", b"identity").lower()
        if kind.decode("latin-1") not in MEDIA_TYPES or encoding != b"identity":
            await _send(send, 415, _error(None, -32600, "Invalid Request"))
            return
        body = bytearray()
        while True:
            message = await receive()
            body += message.get("body", b"")
            if len(body) > MAX_BODY_BYTES:
                await _send(send, 413, _error(None, -32600, "Invalid Request"))
                return
            if not message.get("more_body", False):
                break
        told = await self._answer(bytes(body), scope["state"]["request_id"])
        await _send(send, 204 if told is None else 200, told)

    async def _answer(self, body: bytes, request_id: str) -> Any:
        try:
            asked = json.loads(body.decode(), parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_unique)
        except (ValueError, RecursionError):
            return _error(None, -32700, "Parse error")
        if not isinstance(asked, list):
            return await self._member(asked, request_id)
        if not 1 <= len(asked) <= MAX_BATCH:
            return _error(None, -32600, "Invalid Request")
        told = [await self._member(member, request_id) for member in asked]
        return [one for one in told if one is not None] or None

    async def _member(self, member: Any, request_id: str) -> Any:
        if not _is_request(member):
            return _error(None, -32600, "Invalid Request")
        if member["method"] not in METHODS:
            return _error(_encoded_id(member["id"]), -32601, "Method not found") if "id" in member else None
        params = member.get("params", [])

        async def method() -> Result:
            return await self._call(member["method"], params, request_id)

        envelope = {key: member[key] for key in ("jsonrpc", "method", "id") if key in member}
        told = await async_dispatch_to_serializable(
            "", {member["method"]: method}, deserializer=partial(_given, envelope), validator=_accept
        )
        return {**told, "id": _encoded_id(member["id"])} if isinstance(told, dict) else None

    async def _call(self, name: str, params: list[Any] | dict[str, Any], request_id: str) -> Result:
        try:
            told = await answer(self._admin, self._contract, name, params)
            return Success(msgspec.Raw(told))
        except InvalidParams as error:
            return Error(error.rpc_code, error.message, {"param": error.param, "reason": error.reason})
        except AdminError as error:
            return Error(error.rpc_code, error.message)
        except Exception:  # the RPC boundary: the caller learns the request id and nothing else
            log.exception("rpc: request %s failed", request_id)
            return Error(-32603, "Internal error", {"request_id": request_id})


def _encoded_id(identifier: str | float | None) -> msgspec.Raw:
    # An id may hold a lone surrogate, which is JSON only as an escape.
    return msgspec.Raw(json.dumps(identifier).encode())


def _given(envelope: dict[str, Any], _text: str) -> dict[str, Any]:
    return envelope


def _accept(_request: object) -> None:
    return None


def _is_request(member: Any) -> bool:
    if not isinstance(member, dict) or member.get("jsonrpc") != "2.0" or not isinstance(member.get("method"), str):
        return False
    identifier = member.get("id")
    if isinstance(identifier, bool) or not isinstance(identifier, str | int | float | None):
        return False
    return isinstance(member.get("params", []), list | dict)


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError("a number is out of range")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice")
    return members


def _error(identifier: Any, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "error": {"code": code, "message": message}, "id": identifier}


async def _send(send: Send, status: int, told: Any, *headers: tuple[bytes, bytes]) -> None:
    body = b"" if told is None else msgspec.json.encode(told)
    if told is not None:
        headers = (*headers, (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})
