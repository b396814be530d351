"""The errors of the client.

ClientError
├── BrokerUnreachable   no broker answers at the URL, or it refuses this machine's address
├── UnexpectedResponse  the result has another shape: the broker's contract has another major version
└── RpcError            the broker refused the query, or failed; carries the code
"""


class ClientError(Exception):
    """A query that failed."""


class BrokerUnreachable(ClientError):
    """No broker answers at the URL, or it refuses this machine's address."""


class UnexpectedResponse(ClientError):
    """The broker's result has a shape that this client does not know."""


CONFLICT = -32005


class RpcError(ClientError):
    """The broker refused a query, or failed. Codes: docs/reference/errors.md."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        param: str | None = None,
        reason: str | None = None,
        request_id: str | None = None,
    ) -> None:
        self.code = code
        self.message = message
        self.param = param  # which parameter is bad, for -32602
        # The accepted form, or why the broker refused the query; for -32005 one word for what `message` says.
        self.reason = reason
        self.request_id = request_id  # of a fault of the broker's own, to look for in its log
        why = "" if code == CONFLICT else " ".join(part for part in (param, reason) if part)
        detail = f": {why}" if why else f" (request {request_id})" if request_id else ""
        super().__init__(f"{message}{detail}")
