"""The errors of the broker; the edge turns them into responses.

Exception
├── BrokerError                   A refusal or failure that becomes a response, in the shape of the path's wire.
│   ├── BudgetExceeded            402 budget_exceeded
│   ├── BudgetReserved            429 budget_reserved
│   ├── ClientRefused             403 address_not_allowed
│   ├── HostRefused               403 host_not_allowed
│   ├── InternalError             500 internal_error
│   │   └── Interrupted           500 interrupted
│   ├── InvalidRequest            400
│   │   ├── BodyTimeout           408 body_timeout
│   │   ├── BodyTooLarge          413 request_too_large
│   │   ├── ClientLeft            499 client_disconnected
│   │   ├── HeadTooLarge          431 head_too_large
│   │   ├── MethodNotAllowed      405 method_not_allowed
│   │   ├── NotFound              404 not_found
│   │   │   ├── ModelNotFound     404 model_not_found
│   │   │   ├── ModelNotPriced    404 model_not_priced
│   │   │   └── SelfServiceOff    404 self_service_off
│   │   ├── UnreadableRequest     400 unreadable_request
│   │   ├── UnsupportedMedia      415 unsupported_media_type
│   │   └── UpgradeRefused        426 upgrade_refused
│   ├── LedgerUnavailable         503 ledger_unavailable
│   ├── LimitsUnavailable         503 limits_unavailable
│   ├── OriginRefused             403 origin_not_allowed
│   ├── Overloaded                503 overloaded
│   ├── ProviderError             502 provider_unreachable
│   │   ├── ProviderAnswerTooLong 502 provider_answer_too_long
│   │   ├── ProviderBadAnswer     502 provider_bad_answer
│   │   ├── ProviderBadStream     502 provider_bad_stream
│   │   ├── ProviderBrokeOff      502 stream_broke_off
│   │   ├── ProviderCredentials   502 provider_credentials
│   │   ├── ProviderDns           502 provider_dns
│   │   ├── ProviderRefused       502 provider_refused
│   │   ├── ProviderReset         502 provider_reset
│   │   ├── ProviderTimeout       504 provider_timeout
│   │   └── ProviderTls           502 provider_tls
│   ├── RateLimitExceeded         429 rate_limit_exceeded
│   ├── RequestExceedsLimit       402 request_exceeds_limit
│   ├── RequestExceedsRate        429 request_exceeds_limit
│   ├── TooManyCalls              429 too_many_calls
│   └── Unauthorized              401 unauthorized
├── CannotStart                   A broker cannot start, or a command cannot open a ledger: exit code 3.
│   ├── DatabaseUnusable          The file is no ledger, or one of another version of the program; it is unchanged.
│   ├── JournalUnreadable         A segment of the journal is of another version, or is no segment; it is unchanged.
│   ├── JournalUnusable           The journal cannot be written: a full or read-only disk, or another owner.
│   ├── ListenError               An address of `server.listen` cannot be listened on.
│   ├── PriceListUnreadable       The price list that the broker was given is damaged or unreadable; it is unchanged.
│   ├── StateDirInUse             Another broker holds this state directory.
│   └── StateDirUnusable          The state directory cannot be written, or every user may write in it.
├── JournalFull                   The journal has no room for another call; the call must not be made.
└── QueryError                    A query or a change of the ledger failed; `admin_plane.errors` has the codes.
    ├── Conflict                  409 conflict
    ├── InvalidParams             400 invalid_parameter
    ├── NotRecorded               404 not_found
    ├── StoreUnavailable          503 store_unavailable
    └── TooWide                   400 too_wide

A `CannotStart` ends a command with exit code 3; no client gets it.
"""


class BrokerError(Exception):
    """A refusal or failure that becomes a response, in the shape of the path's wire."""

    status: int = 500
    type: str = "server_error"
    code: str | None = None
    retry_after_s: int | None = None
    may_retry: bool = False  # False stops SDKs, which otherwise repeat 429 and 5xx by themselves
    headers: tuple[tuple[bytes, bytes], ...] = ()  # beside those that every error has

    def __init__(
        self, message: str, *, param: str | None = None, code: str | None = None, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code is not None:
            self.code = code
        if retry_after_s is not None:
            self.retry_after_s = retry_after_s


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


class UnreadableRequest(InvalidRequest):
    """Two HTTP parsers could read the request differently."""

    code = "unreadable_request"


class BodyTimeout(InvalidRequest):
    """The body did not arrive within `server.body_timeout_s`."""

    status = 408
    code = "body_timeout"


class BodyTooLarge(InvalidRequest):
    """The body is longer than this route accepts."""

    status = 413
    code = "request_too_large"


class HeadTooLarge(InvalidRequest):
    """The request's head is longer than the broker accepts, or has too many headers."""

    status = 431
    code = "head_too_large"


class MethodNotAllowed(InvalidRequest):
    """The path exists, but does not allow this method."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, method: str, path: str, allow: str) -> None:
        super().__init__(f"{method} is not allowed on {path}; use {allow}.")
        self.headers = ((b"allow", allow.encode()),)


class UpgradeRefused(InvalidRequest):
    """The client wants a WebSocket."""

    status = 426
    code = "upgrade_refused"
    headers = ((b"upgrade", b"HTTP/1.1"), (b"connection", b"upgrade"))  # RFC 9110, 15.5.22: the protocol that is served

    def __init__(self) -> None:
        super().__init__(
            "WebSockets are not served here; send the request without Upgrade, with stream: true for events."
        )


class NotFound(InvalidRequest):
    """No such path."""

    status = 404
    code = "not_found"


class ModelNotFound(NotFound):
    """No model of this name serves calls of this kind."""

    code = "model_not_found"


class ModelNotPriced(NotFound):
    """No price is known for the model, and `billing.unpriced` is "refuse" or a budget bounds the call."""

    code = "model_not_priced"


class SelfServiceOff(NotFound):
    """Callers cannot ask for their own usage, because `limiting.self_service` is "off"."""

    code = "self_service_off"


class Unauthorized(BrokerError):
    """The request has no admin token, or a wrong one."""

    status = 401
    type = "permission_error"
    code = "unauthorized"
    headers = ((b"www-authenticate", b"Bearer"),)


class HostRefused(BrokerError):
    """In dev mode the `Host` must be a loopback name or address."""

    status = 403
    type = "permission_error"
    code = "host_not_allowed"


class ClientRefused(BrokerError):
    """The caller's address is not among the allowed clients."""

    status = 403
    type = "permission_error"
    code = "address_not_allowed"


class OriginRefused(BrokerError):
    """A web page sent the request, and its origin is not among the allowed origins."""

    status = 403
    type = "permission_error"
    code = "origin_not_allowed"


class RateLimitExceeded(BrokerError):
    """A limit of requests or tokens per minute is reached."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    may_retry = True


class BudgetReserved(BrokerError):
    """What is left of a budget is set aside for calls that are running."""

    status = 429
    type = "rate_limit_error"
    code = "budget_reserved"
    retry_after_s = 2
    may_retry = True


class BudgetExceeded(BrokerError):
    """A budget is spent, or what is left of it does not cover the call; 429 if `limiting.budget_status` says so."""

    status = 402
    type = "insufficient_quota"
    code = "budget_exceeded"


class RequestExceedsLimit(BrokerError):
    """The call alone may use more than a whole budget; 429 if `limiting.budget_status` says so."""

    status = 402
    type = "insufficient_quota"
    code = "request_exceeds_limit"


class RequestExceedsRate(BrokerError):
    """The call alone may use more tokens than a limit of tokens per minute admits at once."""

    status = 429
    type = "rate_limit_error"
    code = "request_exceeds_limit"


class LimitsUnavailable(BrokerError):
    """The database did not say yet what is spent of a budget, or which label an address has."""

    status = 503
    code = "limits_unavailable"
    retry_after_s = 5
    may_retry = True


class TooManyCalls(BrokerError):
    """The caller's address has reached `server.max_calls_per_address`, or a limit of calls in flight is reached."""

    status = 429
    type = "rate_limit_error"
    code = "too_many_calls"
    retry_after_s = 1
    may_retry = True


class Overloaded(BrokerError):
    """All addresses together have reached `server.max_calls`."""

    status = 503
    code = "overloaded"
    retry_after_s = 1
    may_retry = True


class LedgerUnavailable(BrokerError):
    """The ledger cannot take another call, so the call could not be billed."""

    status = 503
    code = "ledger_unavailable"
    retry_after_s = 5
    may_retry = True


class ProviderError(BrokerError):
    """The provider broke off its response, or could not be reached, for a reason that has no code of its own."""

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
        """Take the client's message, and `detail`, which only the operator's log shows.

        `may_charge`: the provider has begun to respond, or had the whole request and time to work on it.
        """
        super().__init__(message, param=param, code=code)
        self.detail = detail  # the system's words for the cause; for the log alone
        self.may_charge = may_charge


class ProviderDns(ProviderError):
    """The name of the provider's host does not resolve."""

    code = "provider_dns"


class ProviderRefused(ProviderError):
    """The provider's host refused the connection."""

    code = "provider_refused"


class ProviderTls(ProviderError):
    """The TLS handshake with the provider failed: its certificate is not valid, or it does not speak TLS."""

    code = "provider_tls"


class ProviderReset(ProviderError):
    """The provider closed the connection before the first byte of a response."""

    code = "provider_reset"


class ProviderTimeout(ProviderError):
    """The provider did not respond in time."""

    status = 504
    code = "provider_timeout"


class ProviderBadAnswer(ProviderError):
    """The provider's response cannot be parsed."""

    code = "provider_bad_answer"


class ProviderBadStream(ProviderError):
    """The provider sent an event that is too long."""

    code = "provider_bad_stream"


class ProviderBrokeOff(ProviderError):
    """The provider ended a stream of events before it was complete."""

    code = "stream_broke_off"


class ProviderAnswerTooLong(ProviderError):
    """The provider's response is longer than `server.max_answer_bytes`."""

    code = "provider_answer_too_long"


class ProviderCredentials(ProviderError):
    """The provider refused the broker's own key or account, which only the broker's operator can correct."""

    code = "provider_credentials"
    may_retry = False


class InternalError(BrokerError):
    """A fault of the broker's own."""

    code = "internal_error"


class Interrupted(InternalError):
    """The broker stops before the call is over."""

    code = "interrupted"


class CannotStart(Exception):
    """A broker cannot start, or a command cannot open a ledger: exit code 3."""


class DatabaseUnusable(CannotStart):
    """The file is no ledger, or one of another version of the program; it is unchanged."""


class JournalUnreadable(CannotStart):
    """A segment of the journal is of another version, or is no segment; it is unchanged."""


class JournalUnusable(CannotStart):
    """The journal cannot be written: a full or read-only disk, or another owner."""


class ListenError(CannotStart):
    """An address of `server.listen` cannot be listened on."""


class StateDirInUse(CannotStart):
    """Another broker holds this state directory."""


class StateDirUnusable(CannotStart):
    """The state directory cannot be written, or every user may write in it."""


class PriceListUnreadable(CannotStart):
    """The price list that the broker was given is damaged or unreadable; it is unchanged."""


class JournalFull(Exception):
    """The journal has no room for another call; the call must not be made."""


class QueryError(Exception):
    """A query or a change of the ledger failed; `admin_plane.errors` has the codes."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidParams(QueryError):
    """A parameter is missing, unknown or out of bounds."""

    def __init__(self, param: str, reason: str) -> None:
        super().__init__("Invalid params")
        self.param = param
        self.reason = reason


class StoreUnavailable(QueryError):
    """The database does not respond."""


class TooWide(QueryError):
    """The window is too wide for the grouping, or the query took too long."""


class NotRecorded(QueryError):
    """There is no call, billing period, label or model of this name."""


class Conflict(QueryError):
    """The change contradicts what the ledger already records."""

    def __init__(self, message: str, reason: str) -> None:
        """Take the message for people, and for programs the reason: one word that stays the same."""
        super().__init__(message)
        self.reason = reason
