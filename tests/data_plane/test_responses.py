"""What a client gets of a provider's error."""

import json
from typing import Any

import pytest

from hero_broker.data_plane.relay import ResponseHead
from hero_broker.data_plane.responses import (
    client_error_event,
    is_about_our_key,
    provider_error_response,
    response_head,
)
from hero_broker.kinds.chat import CHAT

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
    "member",
    [
        pytest.param({"failed_generation": '{"name": "f", "arguments": {'}, id="Groq"),
        pytest.param({"metadata": {"raw": "the reason", "provider_name": "P"}}, id="OpenRouter"),
        pytest.param({"innererror": {"content_filter_result": {"hate": {"filtered": True}}}}, id="Azure"),
        pytest.param({"status": "RESOURCE_EXHAUSTED", "details": [{"retryDelay": "7s"}]}, id="Google"),
    ],
)
def test_members_that_clients_act_on_pass(member: dict[str, object]) -> None:
    error = client_error({"error": {"message": "m", "code": 429, **member}}, 429)[1]

    assert error == {"message": "m", "type": "provider_error", "param": None, "code": "provider_429", **member}


def test_members_that_clients_act_on_have_no_key_and_are_bounded() -> None:
    key = "sk-proj-0123456789abcdefghij"
    error = client_error(
        {
            "error": {
                "message": "m",
                "metadata": {"raw": f"with sk-secret and {key}", "headers": "x"},
                "failed_generation": "x" * 100_000,
                "request": {"headers": "x"},
            }
        }
    )[1]

    assert error["metadata"] == {"raw": "with *** and ***"}
    assert not {"failed_generation", "request"} & error.keys()


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


QUOTED = "Invalid prompt: 'my invalid API key was revoked; API key not valid'. authentication_error"
GOOGLE_KEY = {
    "code": 400,
    "message": "API Key not found. Please pass a valid API key.",
    "status": "INVALID_ARGUMENT",
    "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}],
}
XAI_MESSAGE = "Incorrect API key provided: na***ys. You can obtain an API key from https://console.x.ai."

# Provider, status, body, and whether its error proves that the operator's key is refused.
PROOFS: dict[str, tuple[int, object, bool]] = {
    "OpenAI, code": (
        401,
        {"error": {"message": "no", "type": "invalid_request_error", "code": "invalid_api_key"}},
        True,
    ),
    "OpenAI, code with another status": (
        400,
        {"error": {"message": "no", "type": "invalid_request_error", "code": "invalid_api_key"}},
        True,
    ),
    "OpenAI, quoted prompt": (
        400,
        {"error": {"message": QUOTED, "type": "invalid_request_error", "param": None, "code": None}},
        False,
    ),
    "OpenAI, whole message beside invalid_request_error": (
        422,
        {"error": {"message": "Invalid API key", "type": "invalid_request_error"}},
        False,
    ),
    "OpenAI, country": (
        403,
        {"error": {"message": "no", "type": "request_forbidden", "code": "unsupported_country_region_territory"}},
        False,
    ),
    "Groq, code": (401, {"error": {"message": "Invalid API Key", "code": "invalid_api_key"}}, True),
    "Groq, tool call that quotes": (
        400,
        {"error": {"message": f"Failed to call a function. {QUOTED}", "code": "tool_use_failed"}},
        False,
    ),
    "DashScope": (400, {"code": "InvalidApiKey", "message": "Invalid API-key provided."}, True),
    "Google, reason in details": (400, [{"error": GOOGLE_KEY}], True),
    "Google, status": (500, {"error": {"code": 401, "message": "no", "status": "UNAUTHENTICATED"}}, True),
    "Google, quoted prompt": (400, [{"error": {**GOOGLE_KEY, "message": QUOTED, "details": []}}], False),
    "xAI, whole message": (400, {"code": "Client specified an invalid argument", "error": XAI_MESSAGE}, True),
    "xAI, spaces as %20": (
        400,
        {"code": "Client specified an invalid argument", "error": XAI_MESSAGE.replace(" ", "%20")},
        True,
    ),
    "xAI, quoted prompt": (400, {"code": "Client specified an invalid argument", "error": QUOTED}, False),
    "xAI, message that goes on": (
        400,
        {"error": "Incorrect API key provided: is what the prompt says, which is not a valid tool name, sorry."},
        False,
    ),
    "Anthropic, type": (400, {"type": "error", "error": {"type": "authentication_error", "message": "no"}}, True),
    "Anthropic, quoted prompt": (
        400,
        {"type": "error", "error": {"type": "invalid_request_error", "message": QUOTED}},
        False,
    ),
    "Anthropic, permission": (403, {"type": "error", "error": {"type": "permission_error", "message": "no"}}, True),
    "OpenRouter, moderation": (
        403,
        {"error": {"code": 403, "message": "Blocked", "metadata": {"reasons": ["x"], "flagged_input": "my API key"}}},
        False,
    ),
    "content policy and a token limit": (403, {"error": {"message": "content policy. token limit"}}, False),
    "content policy that quotes a key": (403, {"error": {"message": "Content policy: 'my API key is'"}}, False),
    "Azure, content filter": (403, {"error": {"code": "content_filter", "message": "no key, no credential"}}, False),
    "key without access": (403, {"error": {"message": "Your key has no access to this content."}}, True),
    "FastAPI, quoted prompt": (422, {"detail": QUOTED}, False),
    "text, quoted prompt": (400, {"error": QUOTED}, False),
    "error inside a success, code": (200, {"error": {"message": "no", "code": "invalid_api_key"}}, True),
    "error inside a success, status as code": (200, {"error": {"message": "no", "code": 401}}, True),
    "error inside a success, 403 about the request": (200, {"error": {"message": "Flagged", "code": 403}}, False),
    "error inside a success, quoted prompt": (200, {"error": {"message": QUOTED, "code": 400}}, False),
    "error inside a success, true as code": (200, {"error": {"message": "no", "code": True}}, False),
}


@pytest.mark.parametrize(("status", "body", "is_ours"), PROOFS.values(), ids=PROOFS)
def test_only_a_status_or_a_code_proves_that_our_key_is_refused(status: int, body: object, is_ours: bool) -> None:
    data = json.dumps(body).encode()

    assert is_about_our_key(status, data) is is_ours
    assert (client_error(body, status)[1]["code"] == "provider_credentials") is is_ours


EVENTS = {name: (body, is_ours) for name, (status, body, is_ours) in PROOFS.items() if status not in (401, 402, 403)}


@pytest.mark.parametrize(("body", "is_ours"), EVENTS.values(), ids=EVENTS)
def test_event_of_a_stream_is_judged_in_the_same_way(body: object, is_ours: bool) -> None:
    data = json.dumps(body).encode()

    sent = client_error_event(b"data: " + data + b"\n\n", data, [], CHAT, "id")

    assert (b"provider_credentials" in sent) is is_ours
