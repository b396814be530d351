"""The broker's own errors in the shape of each wire."""

import json

import pytest

from hero_broker.core import errors
from hero_broker.core.errors import BrokerError
from hero_broker.edge.errors import OPENAI_ERRORS, ErrorShapes, encode_error, error_shape

ANTHROPIC = error_shape("anthropic")
RESPONSES = error_shape("responses")
SHAPES = ErrorShapes({"/v1/chat/completions": "openai", "/v1/messages": "anthropic"})


class PaymentRequired(BrokerError):
    """A budget is spent."""

    status = 402


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (errors.InvalidRequest("no"), "invalid_request_error"),
        (errors.Unauthorized("no"), "authentication_error"),
        (PaymentRequired("no"), "billing_error"),
        (errors.ClientRefused("no"), "permission_error"),
        (errors.ModelNotFound("no"), "not_found_error"),
        (errors.MethodNotAllowed("GET", "/", "POST"), "invalid_request_error"),
        (errors.BodyTimeout("no"), "timeout_error"),
        (errors.BodyTooLarge("no"), "request_too_large"),
        (errors.UnsupportedMedia("no"), "invalid_request_error"),
        (errors.TooManyCalls("no"), "rate_limit_error"),
        (errors.InternalError("no"), "api_error"),
        (errors.ProviderRefused("no"), "api_error"),
        (errors.Overloaded("no"), "overloaded_error"),
        (errors.ProviderTimeout("no"), "timeout_error"),
    ],
)
def test_anthropics_type_follows_from_the_status(error: BrokerError, name: str) -> None:
    status, headers, body = encode_error(error, ANTHROPIC, "id-1")

    assert status == error.status
    assert json.loads(body) == {
        "type": "error",
        "error": {"type": name, "message": error.message},
        "request_id": "id-1",
    }
    assert dict(headers)[b"content-length"] == str(len(body)).encode()
    assert dict(headers)[b"x-should-retry"] == (b"true" if error.may_retry else b"false")


def test_client_is_told_when_to_try_again_only_if_that_may_help() -> None:
    spent = errors.BudgetExceeded("no", retry_after_s=86_400)
    reserved = errors.BudgetReserved("no")

    assert b"retry-after" not in dict(encode_error(spent)[1])
    assert dict(encode_error(reserved)[1])[b"retry-after"] == b"2"


def test_error_event_has_a_name_on_anthropics_wire_alone() -> None:
    error = errors.ProviderBrokeOff("no")

    assert ANTHROPIC.event(error, "i") == b"event: error\ndata: %s\n\n" % ANTHROPIC.body(error, "i")
    assert OPENAI_ERRORS.event(error, "i") == b"data: %s\n\n" % OPENAI_ERRORS.body(error, "i")
    assert json.loads(OPENAI_ERRORS.body(error, "i"))["error"]["code"] == "stream_broke_off"


@pytest.mark.parametrize(
    ("latest", "replaces", "number"),
    [
        (b'{"type":"a","sequence_number":7}', False, 8),
        (b'{"type":"a","sequence_number":7}', True, 7),
        (b'{"type":"a"}', False, 0),
        (b'{"type":"a"}', True, 0),
        (b'{"sequence_number":"7"}', False, 0),
        (b"[DONE]", False, 0),
        (b"", False, 0),
    ],
)
def test_error_event_of_responses_is_flat_and_nested_and_has_a_number(
    latest: bytes, replaces: bool, number: int
) -> None:
    event = RESPONSES.event(errors.ProviderBrokeOff("no"), "i", latest, replaces=replaces)

    head, data, end = event.partition(b"data: ")[0], *event.partition(b"data: ")[2].split(b"\n\n", 1)
    assert (head, end) == (b"event: error\n", b"")
    members = {"code": "stream_broke_off", "message": "no", "param": None}
    assert json.loads(data) == {
        "type": "error",
        **members,
        "error": {"type": "provider_error", **members},
        "sequence_number": number,
    }


def test_error_of_responses_before_a_stream_has_openais_shape() -> None:
    error = errors.ProviderBrokeOff("no")

    assert RESPONSES.body(error, "i") == OPENAI_ERRORS.body(error, "i")
    assert RESPONSES.id_headers == OPENAI_ERRORS.id_headers


@pytest.mark.parametrize(
    ("path", "is_anthropics"),
    [
        ("/v1/messages", True),
        ("/v1/messages/count_tokens", True),
        ("/v1/messages/unknown/below", True),
        ("/v1/messagesome", False),
        ("/v1/chat/completions", False),
        ("/v1", False),
        ("", False),
    ],
)
def test_shape_follows_from_the_path(path: str, is_anthropics: bool) -> None:
    assert SHAPES.of(path) is (ANTHROPIC if is_anthropics else OPENAI_ERRORS)
    assert ErrorShapes({}).of(path) is OPENAI_ERRORS
    assert not path.startswith(ErrorShapes({}).roots)
