"""Encodes failed queries: the JSON-RPC code, and the HTTP status and code of a REST route."""

from collections.abc import Mapping
from typing import NamedTuple

from hero_broker.core.errors import (
    BrokerError,
    Conflict,
    InvalidParams,
    NotRecorded,
    QueryError,
    StoreUnavailable,
    TooWide,
)

RETRY_AFTER_S = 5  # seconds, when the store does not respond


class Codes(NamedTuple):
    """The codes of one kind of error."""

    rpc: int
    status: int
    code: str


INTERNAL_ERROR = Codes(-32603, 500, "internal_error")
INVALID_REQUEST = -32600  # also of what HTTP refuses: 405, 408, 413, 415
UNAUTHORIZED = -32001  # `edge.admin_auth` refuses before a method is known

CODES: Mapping[type[QueryError], Codes] = {
    InvalidParams: Codes(-32602, 400, "invalid_parameter"),
    StoreUnavailable: Codes(-32002, 503, "store_unavailable"),
    TooWide: Codes(-32003, 400, "too_wide"),
    NotRecorded: Codes(-32004, 404, "not_found"),
    Conflict: Codes(-32005, 409, "conflict"),
}


def codes(error: QueryError) -> Codes:
    """Return the codes of an error; those of an internal error if it has none."""
    return CODES.get(type(error), INTERNAL_ERROR)


def rpc_error(error: QueryError) -> tuple[int, str, Mapping[str, str]]:
    """Return the code, the message and the data of an error in JSON-RPC; the data is empty if it has none."""
    data = {}
    if isinstance(error, InvalidParams):
        data = {"param": error.param, "reason": error.reason}
    elif isinstance(error, Conflict):
        data = {"reason": error.reason}
    return codes(error).rpc, error.message, data


class RestError(BrokerError):
    """A failed query as a REST route answers it."""

    def __init__(self, error: QueryError) -> None:
        message, param = error.message, None
        if isinstance(error, InvalidParams):
            message, param = f"{error.param}: {error.reason}", error.param
        super().__init__(message, param=param)
        _, self.status, self.code = codes(error)
        if self.status < 500:
            self.type = "invalid_request_error"
        if isinstance(error, StoreUnavailable):
            self.retry_after_s, self.may_retry = RETRY_AFTER_S, True
