"""The errors of the client.

ClientError
├── BrokerUnreachable  nothing answers there, or nothing that lets this machine ask
├── UnexpectedResponse      an answer that is not the contract's: a broker of another major version
└── RpcError           the broker says no; carries its code
"""


class ClientError(Exception):
    """A query that failed."""


class BrokerUnreachable(ClientError):
    """Nothing answers at the URL, or something that is no broker or does not let this machine ask."""


class UnexpectedResponse(ClientError):
    """The broker answered in a shape that this client does not know."""


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
        self.reason = reason  # and what is accepted; or why the broker did not take the question
        self.request_id = request_id  # of a fault of the broker's own, to look for in its log
        why = " ".join(part for part in (param, reason) if part)
        detail = f": {why}" if why else f" (request {request_id})" if request_id else ""
        super().__init__(f"{message}{detail}")
