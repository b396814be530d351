"""The message for a path without a route says what works instead."""

import pytest

from hero_broker.data_plane.not_served import BASE_URL, HINTS, NOT_STORED, not_found_message
from hero_broker.kinds.registry import KIND_BY_PATH


@pytest.mark.parametrize("start", HINTS)
@pytest.mark.parametrize("prefix", ["/v1", "/v1/v1", "/openai/v1", "/openai", ""])
def test_path_that_is_not_served_has_its_hint(start: str, prefix: str) -> None:
    for path in (f"{prefix}{start}", f"{prefix}{start}/more"):
        assert not_found_message(path) == f"There is no route {path}. {HINTS[start]}"


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/api/chat", "/api"),
        ("/v1beta/models/gemini-2.5-flash:streamGenerateContent", "/v1beta"),
        ("/v1/messages/batches", "/messages/batches"),
        ("/v1/fine_tuning/jobs", "/fine_tuning"),
    ],
)
def test_path_of_a_known_tool_has_the_hint_for_it(path: str, hint: str) -> None:
    assert not_found_message(path).endswith(HINTS[hint])


@pytest.mark.parametrize(
    "path", ["/v1/responses/resp_1", "/responses/resp_1/input_items", "/v1/responses/resp_1/cancel"]
)
def test_id_of_a_response_is_unknown(path: str) -> None:
    assert not_found_message(path) == f"There is no route {path}. {NOT_STORED}"


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/", "/v1/chat", "/v1/responsesx", "/x/v1/responses/resp_1", "/v1/none"]
)
def test_other_path_is_answered_with_the_base_url(path: str) -> None:
    assert not_found_message(path) == f"There is no route {path}. {BASE_URL}"


@pytest.mark.parametrize("path", ["/rpc/", "/billing/none", "/admin/responses"])
def test_admin_path_has_no_hint_about_calls(path: str) -> None:
    assert not_found_message(path) == f"There is no route {path}."


def test_message_does_not_repeat_a_long_path() -> None:
    assert len(not_found_message("/api/" + "a" * 60_000)) < 500


def test_what_a_hint_says_is_not_served_is_not_served() -> None:
    assert [start for start in HINTS if f"/v1{start}" in KIND_BY_PATH] == []


def test_what_hints_name_is_served() -> None:
    named = {word.rstrip(".:,") for hint in HINTS.values() for word in hint.split() if word.startswith("/v1/")}

    assert named <= set(KIND_BY_PATH)
    assert named
