"""Names the reason why a request to a provider failed."""

import errno
import os
import re
import ssl
from collections.abc import Iterator

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from hero_broker.core.errors import (
    ProviderBadAnswer,
    ProviderDns,
    ProviderError,
    ProviderRefused,
    ProviderReset,
    ProviderTimeout,
    ProviderTls,
)

# What aiohttp raises if a provider fails, and if a connection is lost.
FAILURES = (TimeoutError, aiohttp.ClientError, HttpProcessingError)
DISCONNECTS = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)

_INCOMPLETE = "The provider's response is incomplete."
_RESETS = frozenset({errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE})
# The status of the final response; interim responses, each of which ends with an empty line, may come before it.
_FINAL_STATUS = re.compile(
    rb"(?:HTTP/1\.[01] 1(?!01)\d\d[^\n]*\n(?:(?!\r?\n)[^\n]*\n)*\r?\n)*HTTP/1\.[01] (101|[2-9]\d\d)"
)


def body_error(error: Exception) -> ProviderError:
    if isinstance(error, TimeoutError):
        return ProviderTimeout("The provider did not answer in time.")
    return ProviderError(_INCOMPLETE)


def has_final_status(first_bytes: bytes) -> bool:
    """Return whether the first bytes of a response contain its status."""
    return _FINAL_STATUS.match(first_bytes) is not None


def error_status(error: Exception) -> int | None:
    """Return the error status of a response whose head is incomplete or malformed; None if there is no such status."""
    status_line = _FINAL_STATUS.match(_first_bytes(error))
    if status_line is None:
        return None
    status = int(status_line.group(1))
    return status if 400 <= status < 600 else None


def no_response_error(error: Exception, *, is_sent: bool) -> ProviderError:
    """Return the reason why no head of a response was read.

    A provider may charge for a response that we could not read or did not wait for. So a provider counts as not reached
    only if not a byte of a response arrived and the time was not over.
    """
    if isinstance(error, TimeoutError):
        return ProviderTimeout("The provider did not answer in time.", may_charge=is_sent)
    causes = list(_causes(error))
    if any(isinstance(cause, HttpProcessingError) for cause in causes):
        return ProviderBadAnswer("The provider's response is not valid HTTP.", may_charge=True)
    if _first_bytes(error):
        return ProviderError(_INCOMPLETE, may_charge=True)
    for cause in causes:
        if isinstance(cause, aiohttp.ClientConnectorDNSError):
            return ProviderDns("The host name of the provider could not be resolved.", detail=cause.os_error.strerror)
    faults = [cause for cause in causes if isinstance(cause, ssl.SSLError)]
    if faults:
        detail = getattr(faults[-1], "verify_message", None) or faults[-1].reason
        return ProviderTls("The TLS connection to the provider failed.", detail=detail)
    numbers = [cause.errno for cause in causes if isinstance(cause, OSError) and cause.errno]
    detail = os.strerror(numbers[-1]) if numbers and numbers[-1] > 0 else None
    if errno.ECONNREFUSED in numbers:
        return ProviderRefused("The provider's host refuses connections.", detail=detail)
    if errno.ETIMEDOUT in numbers:
        return ProviderTimeout("The provider did not answer in time.", detail=detail, may_charge=is_sent)
    if is_sent or not _RESETS.isdisjoint(numbers):
        return ProviderReset("The provider closed the connection without a response.", detail=detail)
    return ProviderError("The provider could not be reached.", detail=detail)


def _first_bytes(error: Exception) -> bytes:
    """Return the first bytes of the response during which `error` occurred."""
    return next((data for cause in _causes(error) if (data := cause.__dict__.get("first_bytes"))), b"")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
