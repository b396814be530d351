"""What a client gets of a provider's error."""

import json
from typing import Any

import pytest

from hero_broker.data_plane.relay import ResponseHead
from hero_broker.data_plane.responses import provider_error_response, response_head

OPENAI = {
    "message": "too long",
    "type": "invalid_request_error",
    "param": "messages",
    "code": "context_length_exceeded",
}


def client_error(
    body: object, status: int = 400, headers: dict[str, str] | None = None
) -> tuple[ResponseHead, dict[str, Any]]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head, answer = provider_error_response(status, headers or {}, data, ["sk-secret"])
    assert isinstance(head, ResponseHead)
    assert isinstance(answer, bytes)
    return head, json.loads(answer)["error"]


def test_openais_members_pass() -> None:
    assert client_error({"error": OPENAI})[1] == OPENAI


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"message": "flat"}, "flat"),
        ({"error": "a text"}, "a text"),
        ({"detail": "of another"}, "of another"),
        ({"detail": [{"loc": ["body"]}]}, "The provider responded with status 400."),
        ([], "The provider responded with status 400."),
        (b"<html>", "The provider responded with status 400."),
        (b"[" * 100_000, "The provider responded with status 400."),
        ({"error": {"message": 5, "code": 7}}, "The provider responded with status 400."),
    ],
)
def test_other_shapes_are_read_as_far_as_they_go(body: object, message: str) -> None:
    error = client_error(body)[1]

    assert (error["message"], error["type"], error["code"]) == (message, "provider_error", "provider_400")


def test_keys_are_taken_out_and_length_is_bounded() -> None:
    error = client_error({"error": {"message": "key sk-secret " + "x" * 5000, "code": "sk-secret"}})[1]

    assert "sk-secret" not in json.dumps(error)
    assert len(error["message"]) == 1000


@pytest.mark.parametrize(
    ("status", "passed"),
    [(400, 400), (401, 502), (403, 502), (404, 404), (429, 429), (500, 502), (503, 503), (302, 502)],
)
def test_status_passes_where_it_is_harmless(status: int, passed: int) -> None:
    assert client_error({}, status)[0].status == passed


@pytest.mark.parametrize(
    ("value", "passes"),
    [("7", True), ("Wed, 21 Oct 2026 07:28:00 GMT", True), ("soon", False), ("7\r\nx: y", False), ("", False)],
)
def test_retry_after_passes_where_it_is_one(value: str, passes: bool) -> None:
    headers = dict(client_error({}, 429, {"retry-after": value})[0].headers)

    assert headers.get(b"retry-after") == (value.encode() if passes else None)


@pytest.mark.parametrize(
    ("kind", "length", "is_set"),
    [
        ("text/event-stream", None, True),
        ("text/event-stream; charset=utf-8", None, True),
        ("text/event-stream", "5", False),
        ("application/json", None, False),
        ("audio/mpeg", None, False),
    ],
)
def test_stream_of_events_asks_a_proxy_not_to_hold_it_back(kind: str, length: str | None, is_set: bool) -> None:
    headers = dict(response_head(200, {"content-type": kind, "x-accel-buffering": "yes"}, length).headers)

    assert headers.get(b"x-accel-buffering") == (b"no" if is_set else None)


def test_headers_with_control_characters_do_not_pass() -> None:
    bad = "a\r\nx-injected: 1"
    head = response_head(
        200, {"content-type": f"text/event-stream{bad}", "openai-version": bad, "content-disposition": "a"}
    )

    assert head.headers == ((b"content-type", b"application/json"), (b"content-disposition", b"a"))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (
            401,
            {"error": {"message": "Incorrect API key provided: sk-x. You can find your API key at https://a.example."}},
        ),
        (401, b"<html>"),
        (402, {"error": {"message": "Insufficient credits. Add more at https://b.example."}}),
        (403, {}),
        (403, {"error": {"message": "Your key has no access to this content."}}),
        (400, {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: xa***."}),
        (400, [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}}]),
        (400, {"error": {"message": "API key expired. Please renew the API key."}}),
        (404, {"error": {"message": "no", "code": "invalid_api_key"}}),
        (500, {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}),
        (200, {"error": {"message": "Invalid API Key", "code": "x"}}),
    ],
)
def test_callers_are_never_told_that_a_key_is_wrong_that_is_the_operators(status: int, body: object) -> None:
    head, error = client_error(body, status)

    assert (head.status, error["code"]) == (502, "provider_credentials")
    assert (b"x-should-retry", b"false") in head.headers
    assert "operator" in error["message"]
    assert not {"example", "credits", "valid", "renew", "Incorrect"} & set(error["message"].replace(".", " ").split())


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (403, "Your input was flagged by moderation."),
        (403, "Country, region, or territory not supported"),
        (400, "Missing required parameter: 'tools[0].function.parameters.api_key'."),
        (429, "Rate limit reached for requests"),
    ],
)
def test_callers_are_told_what_is_wrong_with_their_own_request(status: int, message: str) -> None:
    assert client_error({"error": {"message": message}}, status)[1]["message"] == message
