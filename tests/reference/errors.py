"""The page of the errors, and the tree at the head of `core.errors`, made from its classes."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from hero_broker.admin_plane.errors import CODES
from hero_broker.core import errors
from hero_broker.core.errors import BrokerError, QueryError

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "errors.md"
SOURCE = Path(errors.__file__)

Kind = TypeVar("Kind")

HEAD = """# Errors

## Calls

Errors have OpenAI's body, `{"error": {"message", "type", "param", "code"}}`, also for unknown paths and unreadable JSON.
On `/v1/messages` and all paths below it they have Anthropic's body, `{"type": "error", "error": {"type", "message"}, "request_id"}`, and in a stream they are the event `error`. The status gives the type: 401 `authentication_error`, 402 `billing_error`, 403 `permission_error`, 404 `not_found_error`, 408 and 504 `timeout_error`, 413 `request_too_large`, 429 `rate_limit_error`, 503 `overloaded_error`, any other from 500 on `api_error`, and else `invalid_request_error`. `request-id` is the same as `x-request-id`; the provider's own is in `x-upstream-request-id`.
On `/v1/responses` and below it, an error of the broker in a stream is the event `error`: it has `code`, `message` and `param` both beside `type` and in `error`, and the next `sequence_number`.
A request there that needs what belongs to the operator's account is refused with 400 `unsupported_parameter`. If the caller has no stored response of the `previous_response_id`, or it cannot be continued with the model, the code is `previous_response_not_found`; in a path, an unknown id is 404 `not_found`.
`x-should-retry` says whether a retry can help; 429 and 503 have `retry-after`.
A provider's own error keeps its status if clients can use it (otherwise it becomes 502), and its message with the provider's keys redacted. Of its other members, those that clients act on pass: `failed_generation`, `innererror`, `status`, `details`, and `raw`, `provider_name`, `reasons` and `flagged_input` of `metadata`. The `error_code` of its row is `provider_` and the status, as in `provider_429`.
On `/v1/messages` and `/v1/responses`, and below them, a provider's error passes with its status, 529 included, and its body of at most 1 MiB, without what looks like a key or an id of the operator's account. The `error_code` of a stream that ends with an error event is the type of that error on Anthropic's paths, and its code on those of Responses.
A response with status 200 that is an error is treated alike: a whole response becomes a 502, an event of a stream is forwarded with the keys redacted.
An error about the broker's own key or account is not forwarded: the client gets `provider_credentials`. The row has the status, or `provider_credentials` if the status does not show the cause.
Rows of failed calls may also have `provider_dns`, `provider_refused`, `provider_tls`, `provider_reset`, `provider_timeout` and `provider_unreachable` (below), `provider_bad_answer` (the response is not HTTP, cannot be parsed, or has an unsupported content coding), `provider_bad_stream` (an event of more than 8 MiB, or of Responses or Messages of more than `responses.max_event_bytes`), `provider_answer_too_long`, and `stream_broke_off`. A successful call may have `zero_usage` (the provider reports no input tokens) or `refusal` (the model refused before it wrote anything, and the provider charges nothing).

| Status | `type` | `code` | When | A retry may help |
| --- | --- | --- | --- | --- |
"""
ADMIN = """
## The admin plane

REST responses have the same body; JSON-RPC responses have the number.
For -32602 `data` is `{"param", "reason"}`: the parameter, and the accepted form.
For -32005 it is `{"reason"}`, one word for programs: `reference_taken`, `not_later`, `already_billed`, or `try_again` if others change the same at that moment.
For -32603 it is `{"request_id"}`; the event in the broker's log has the same id.
For -32700, -32600, -32601 and -32001 it is `{"reason"}`: why the body is not JSON, why the request or the batch is invalid, the methods whose names are most like the unknown one, or whether a token is missing or wrong.


| JSON-RPC | REST | `code` | When |
| --- | --- | --- | --- |
| -32700 | 400 | `invalid_parameter` | The body is not JSON (RFC 8259), or a member is given twice. |
| -32601 | 404 | `not_found` | The method or path does not exist. |
| -32600 | 405, 408, 413, 415 | as a call's | The request or the batch is invalid, or HTTP refuses the request before its body is parsed. |
| -32001 | 401 | `unauthorized` | The request has no admin token, or a wrong one. |
"""


def page() -> str:
    """Return the page."""
    calls = [error for error in _classes(BrokerError) if error is not BrokerError]
    text = HEAD + "".join(
        f"| {error.status} | `{error.type}` | {_code(error.code)} | {_when(error)} | {'yes' if error.may_retry else 'no'} |\n"
        for error in sorted(calls, key=lambda error: error.status)
    )
    text += ADMIN + "".join(
        f"| {codes.rpc} | {codes.status} | `{codes.code}` | {_when(error)} |\n" for error, codes in CODES.items()
    )
    return text + "| -32603 | 500 | `internal_error` | An error in the broker itself. |\n"


def source() -> str:
    """Return the source of `core.errors` with the tree of its classes."""
    return re.sub(
        r"^Exception\n.*?(?=\n\n)", lambda _: tree(), SOURCE.read_text(), count=1, flags=re.DOTALL | re.MULTILINE
    )


def tree() -> str:
    """Return the tree of the classes, as the docstring of `core.errors` draws it."""
    return "\n".join(["Exception", *_branches(Exception, "")])


def _branches(base: type[Exception], indent: str) -> Iterator[str]:
    below = [one for one in _classes(Exception) if one.__base__ is base]
    for error in below:
        is_last = error is below[-1]
        name = f"{indent}{'└── ' if is_last else '├── '}{error.__name__}"
        yield f"{name:<34}{_answer(error)}".rstrip()
        yield from _branches(error, f"{indent}{'    ' if is_last else '│   '}")


def _answer(error: type[Exception]) -> str:
    if issubclass(error, BrokerError) and error is not BrokerError:
        return f"{error.status} {error.code or ''}"
    codes = CODES.get(error) if issubclass(error, QueryError) else None
    if codes is not None:
        return f"{codes.status} {codes.code}"
    return _when(error)


def _classes(base: type[Kind]) -> list[type[Kind]]:
    return [error for _, error in inspect.getmembers(errors, inspect.isclass) if issubclass(error, base)]


def _code(code: str | None) -> str:
    return "" if code is None else f"`{code}`"


def _when(error: type[Exception]) -> str:
    return " ".join((error.__doc__ or "").split())
