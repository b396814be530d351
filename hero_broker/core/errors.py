"""The errors of the broker; the edge turns them into answers.

Exception
├── AdminError                    An error of an admin method: a JSON-RPC code, an HTTP status and a code.
│   ├── BodyTooLate               408 -32600
│   ├── BodyTooLong               413 -32600
│   ├── Conflict                  409 -32005
│   ├── InvalidParams             400 -32602
│   ├── NotRecorded               404 -32004
│   ├── StoreUnavailable          503 -32002
│   ├── TooWide                   400 -32003
│   ├── Unauthorized              401 -32001
│   └── UnsupportedContent        415 -32600
├── BrokerError                   A refusal or failure that has an OpenAI-shaped answer.
│   ├── ClientRefused             403 address_not_allowed
│   ├── InternalError             500 internal_error
│   ├── InvalidRequest            400
│   │   ├── BodyTooLarge          413 request_too_large
│   │   ├── ClientLeft            499 client_disconnected
│   │   ├── HeadTooLarge          431 head_too_large
│   │   ├── MethodNotAllowed      405 method_not_allowed
│   │   ├── NotFound              404 not_found
│   │   │   ├── ModelNotFound     404 model_not_found
│   │   │   └── ModelNotPriced    404 model_not_priced
│   │   ├── UnsupportedMedia      415 unsupported_media_type
│   │   └── UpgradeRefused        426 upgrade_refused
│   ├── LedgerUnavailable         503 ledger_unavailable
│   ├── OriginRefused             403 origin_not_allowed
│   ├── Overloaded                503 overloaded
│   ├── ProviderError             502 provider_unreachable
│   │   ├── ProviderBadAnswer     502 provider_bad_answer
│   │   ├── ProviderCredentials   502 provider_credentials
│   │   ├── ProviderDns           502 provider_dns
│   │   ├── ProviderRefused       502 provider_refused
│   │   ├── ProviderReset         502 provider_reset
│   │   ├── ProviderTimeout       504 provider_timeout
│   │   └── ProviderTls           502 provider_tls
│   └── TooManyCalls              429 too_many_calls
├── DatabaseUnusable              The file is no ledger, or one of another version of the program; it is unchanged.
└── RowsRejected                  The store refuses a value in one of these rows; a retry would fail too.

A `DatabaseUnusable` keeps a broker from starting, and a command from reading a ledger; no client gets it.
"""

from typing import ClassVar


class BrokerError(Exception):
    """A refusal or failure that has an OpenAI-shaped answer."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: str | None = None
    retry_after_s: ClassVar[int | None] = None
    may_retry: ClassVar[bool] = False  # False is said to SDKs, which otherwise repeat 429 and 5xx by themselves

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code is not None:
            self.code = code


class InvalidRequest(BrokerError):
    """The client's request cannot be understood."""

    status = 400
    type = "invalid_request_error"


class ClientLeft(InvalidRequest):
    """The client left before its request was complete."""

    status = 499
    code = "client_disconnected"


class UnsupportedMedia(InvalidRequest):
    """The body's content type or encoding is not accepted."""

    status = 415
    code = "unsupported_media_type"


class BodyTooLarge(InvalidRequest):
    """The body is longer than the settings allow."""

    status = 413
    code = "request_too_large"


class HeadTooLarge(InvalidRequest):
    """The request's head is longer than any that is read."""

    status = 431
    code = "head_too_large"


class MethodNotAllowed(InvalidRequest):
    """The path is there, for other methods."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, method: str, path: str, allow: str) -> None:
        super().__init__(f"{method} is not allowed on {path}; use {allow}.")
        self.allow = allow


class UpgradeRefused(InvalidRequest):
    """The client wants a WebSocket."""

    status = 426
    code = "upgrade_refused"

    def __init__(self) -> None:
        super().__init__(
            "WebSockets are not served here; send the request without Upgrade, with stream: true for events."
        )


class NotFound(InvalidRequest):
    """No such path."""

    status = 404
    code = "not_found"


class ModelNotFound(NotFound):
    """No configured model has this name."""

    code = "model_not_found"


class ModelNotPriced(NotFound):
    """No price is known for the model, and `billing.unpriced` is "refuse"."""

    code = "model_not_priced"


class ClientRefused(BrokerError):
    """The caller's address is not among the allowed clients."""

    status = 403
    type = "permission_error"
    code = "address_not_allowed"


class OriginRefused(BrokerError):
    """A web page asks, and its origin is not among the allowed origins."""

    status = 403
    type = "permission_error"
    code = "origin_not_allowed"


class TooManyCalls(BrokerError):
    """As many calls of the caller's address are in flight as the settings allow one address."""

    status = 429
    type = "rate_limit_error"
    code = "too_many_calls"
    retry_after_s = 1
    may_retry = True


class Overloaded(BrokerError):
    """As many calls are in flight as the settings allow all addresses together."""

    status = 503
    code = "overloaded"
    retry_after_s = 1
    may_retry = True


class LedgerUnavailable(BrokerError):
    """The ledger has no room, so that the call could not be billed."""

    status = 503
    code = "ledger_unavailable"
    retry_after_s = 5
    may_retry = True


class ProviderError(BrokerError):
    """The provider broke off, or could not be reached for a reason that has no code of its own."""

    status = 502
    type = "provider_error"
    code = "provider_unreachable"
    may_retry = True

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        detail: str | None = None,
        may_charge: bool = False,
    ) -> None:
        """Take what the client is told, and what the operator is told besides.

        `may_charge`: the provider has begun to answer, or had the whole request and time to work on it.
        """
        super().__init__(message, param=param, code=code)
        self.detail = detail  # the system's words for the cause; for the log alone
        self.may_charge = may_charge


class ProviderDns(ProviderError):
    """The name of the provider's host was not found."""

    code = "provider_dns"


class ProviderRefused(ProviderError):
    """The provider's host refused the connection."""

    code = "provider_refused"


class ProviderTls(ProviderError):
    """There is no TLS connection to the provider: its certificate is not valid, or it speaks no TLS."""

    code = "provider_tls"


class ProviderReset(ProviderError):
    """The provider closed the connection without a byte of an answer."""

    code = "provider_reset"


class ProviderTimeout(ProviderError):
    """The provider did not answer in time."""

    status = 504
    code = "provider_timeout"


class ProviderBadAnswer(ProviderError):
    """The provider's answer is not readable."""

    code = "provider_bad_answer"


class ProviderCredentials(ProviderError):
    """The provider refused the broker's own key or account, which is for its operator to mend."""

    code = "provider_credentials"
    may_retry = False


class InternalError(BrokerError):
    """A fault of the broker's own."""

    code = "internal_error"


class DatabaseUnusable(Exception):
    """The file is no ledger, or one of another version of the program; it is unchanged."""


class RowsRejected(Exception):
    """The store refuses a value in one of these rows; a retry would fail too."""


class AdminError(Exception):
    """An error of an admin method: a JSON-RPC code, an HTTP status and a code."""

    rpc_code: ClassVar[int] = -32603
    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class UnsupportedContent(AdminError):
    """The body's content type or encoding is not accepted: browsers send others to any site that a page names."""

    rpc_code = -32600
    status = 415
    code = "unsupported_media_type"


class BodyTooLong(AdminError):
    """The body is longer than any question."""

    rpc_code = -32600
    status = 413
    code = "request_too_large"


class BodyTooLate(AdminError):
    """The body did not arrive within `server.body_timeout_s`."""

    rpc_code = -32600
    status = 408
    code = "body_timeout"


class InvalidParams(AdminError):
    """A parameter is missing, unknown or out of bounds."""

    rpc_code = -32602
    status = 400
    code = "invalid_parameter"

    def __init__(self, param: str, reason: str) -> None:
        super().__init__("Invalid params")
        self.param = param
        self.reason = reason


class Unauthorized(AdminError):
    """No admin token, or a wrong one."""

    rpc_code = -32001
    status = 401
    code = "unauthorized"


class StoreUnavailable(AdminError):
    """The database does not answer."""

    rpc_code = -32002
    status = 503
    code = "store_unavailable"


class TooWide(AdminError):
    """The window is too wide for the grouping, or the answer took too long."""

    rpc_code = -32003
    status = 400
    code = "too_wide"


class NotRecorded(AdminError):
    """Nothing of this name is in the ledger."""

    rpc_code = -32004
    status = 404
    code = "not_found"


class Conflict(AdminError):
    """What is recorded already says otherwise."""

    rpc_code = -32005
    status = 409
    code = "conflict"
