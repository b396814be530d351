"""JSON-RPC 2.0 through jsonrpcserver, behind an adapter that checks and answers each member of a batch alone."""

import json
import logging
from functools import partial
from typing import Any, NamedTuple

import msgspec
from jsonrpcserver import Error, Result, Success, async_dispatch_to_serializable

from hero_broker.admin_plane import strict_json
from hero_broker.admin_plane.admin import Admin
from hero_broker.admin_plane.contract import Contract
from hero_broker.admin_plane.errors import INTERNAL_ERROR, rpc_error
from hero_broker.admin_plane.registry import METHODS, dispatch
from hero_broker.core.calls import Caller
from hero_broker.core.errors import QueryError
from hero_broker.util.nearest import did_you_mean, nearest

MAX_BATCH = 100

log = logging.getLogger(__name__)


class InvalidBatch(Exception):
    """The body is neither a request nor a batch; `answer` is the error response, in JSON."""

    def __init__(self, answer: bytes) -> None:
        super().__init__(answer)
        self.answer = answer


class ParsedBatch(NamedTuple):
    """The members of a batch, or one request; none of them is checked yet."""

    members: list[Any]
    is_batch: bool


def _error(code: int, message: str, encoded_id: bytes = b"null", reason: str | None = None) -> bytes:
    error_body: dict[str, object] = {"code": code, "message": message}
    if reason is not None:
        error_body["data"] = {"reason": reason}
    return msgspec.json.encode({"jsonrpc": "2.0", "error": error_body, "id": msgspec.Raw(encoded_id)})


def unread(reason: str) -> bytes:
    """Return the response to a request that is refused as a whole, such as by HTTP before its body is read."""
    return _error(-32600, "Invalid Request", reason=reason)


_WRONG_SIZE = unread(f"A batch must have 1 to {MAX_BATCH} members.")


def parse_batch(body: bytes) -> ParsedBatch:
    """Return the members of a request body.

    Raises:
        InvalidBatch: the body is not JSON, or a batch that is empty or has more than `MAX_BATCH` members.
    """
    try:
        message = strict_json.decode(body)
    except strict_json.InvalidJson as error:
        raise InvalidBatch(_error(-32700, "Parse error", reason=f"The body is not JSON: {error}.")) from error
    if not isinstance(message, list):
        return ParsedBatch([message], is_batch=False)
    if not 1 <= len(message) <= MAX_BATCH:
        raise InvalidBatch(_WRONG_SIZE)
    return ParsedBatch(message, is_batch=True)


def expects_response(member: Any) -> bool:
    """Return whether a member gets a response: all but well-formed notifications do."""
    return _fault(member) is not None or "id" in member


class RpcDispatcher:
    """Calls the contract's methods for the members of a batch."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin
        self._contract = Contract(admin.document)

    async def dispatch(self, member: Any, request_id: str, caller: Caller) -> bytes | None:
        """Return the response in JSON, also for an invalid request; None after a notification was carried out."""
        fault = _fault(member)
        if fault is not None:
            return unread(fault)
        # An id may hold a lone surrogate, which is JSON only as an escape.
        encoded_id = json.dumps(member.get("id")).encode()
        method_of = METHODS.get(member["method"])
        if method_of is None or (method_of.is_own and not self._admin.has_self_service):
            reason = _no_such_method(member["method"])
            return _error(-32601, "Method not found", encoded_id, reason) if "id" in member else None
        params = member.get("params", [])

        async def method() -> Result:
            return await self._call(member["method"], params, request_id, caller)

        envelope = {key: member[key] for key in ("jsonrpc", "method", "id") if key in member}
        response = await async_dispatch_to_serializable(
            "", {member["method"]: method}, deserializer=partial(_parse_params, envelope), validator=_accept
        )
        return msgspec.json.encode({**response, "id": msgspec.Raw(encoded_id)}) if isinstance(response, dict) else None

    async def _call(self, name: str, params: list[Any] | dict[str, Any], request_id: str, caller: Caller) -> Result:
        try:
            result = await dispatch(self._admin, self._contract, name, params, caller)
            return Success(msgspec.Raw(result))
        except QueryError as error:
            code, message, data = rpc_error(error)
            return Error(code, message, data) if data else Error(code, message)
        except Exception:  # the RPC boundary: the caller learns the request id and nothing else
            log.exception("rpc: a request failed", extra={"request_id": request_id})
            return Error(INTERNAL_ERROR.rpc, "Internal error", {"request_id": request_id})


def _parse_params(envelope: dict[str, Any], _text: str) -> dict[str, Any]:
    return envelope


def _accept(_request: object) -> None:
    return None


def _no_such_method(name: str) -> str:
    if name in METHODS:
        return 'The settings have limiting.self_service = "off".'
    question = did_you_mean(nearest(name, METHODS))
    return f"No method has this name; {question or 'rpc.discover describes the methods.'}"


def _fault(member: Any) -> str | None:
    """Return why a member is no request; None if it is one."""
    if not isinstance(member, dict):
        return "A request must be an object."
    if member.get("jsonrpc") != "2.0":
        return 'jsonrpc must be "2.0".'
    if not isinstance(member.get("method"), str):
        return "method must be a string."
    identifier = member.get("id")
    if isinstance(identifier, bool) or not isinstance(identifier, str | int | float | None):
        return "id must be a string, a number or null."
    if not isinstance(member.get("params", []), list | dict):
        return "params must be an array or an object."
    return None
