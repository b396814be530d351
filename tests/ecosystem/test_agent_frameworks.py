"""Frameworks at their own defaults, over Responses and Messages: each call of a loop with a tool is one row."""

import pytest

from tests.ecosystem.agent_provider import DONE, Work, tokens
from tests.ecosystem.place import Place

LOOK = {"look": {"place": "here"}}
FOUND = "nothing in here"


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize("name", ["text", "stream"])
def test_text_of_the_ai_sdk_is_one_row(agents_place: Place, work: Work, provider: str, name: str) -> None:
    answer = agents_place.call_node("ai_sdk", f"{provider}_{name}")

    assert answer == {"text": DONE, "tokens": tokens(work)}
    assert agents_place.rows() == work.books
    assert [row.kind for row in work.books] == [{"openai": "responses", "anthropic": "messages"}[provider]]


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_loop_of_the_ai_sdk_is_a_row_for_each_call(agents_place: Place, work: Work, provider: str) -> None:
    work.tools = LOOK

    assert agents_place.call_node("ai_sdk", f"{provider}_loop") == {"text": DONE, "results": [FOUND]}
    assert agents_place.rows() == work.books
    assert len(work.books) == 2


def test_object_of_the_ai_sdk_is_one_row(agents_place: Place, work: Work) -> None:
    assert agents_place.call_node("ai_sdk", "openai_object") == DONE
    assert agents_place.rows() == work.books
    assert len(work.books) == 1


@pytest.mark.parametrize("name", ["run", "stream"])
def test_run_of_openais_agents_is_a_row_for_each_call(agents_place: Place, work: Work, name: str) -> None:
    work.tools = LOOK

    assert agents_place.call("openai_agents", name) == {"text": DONE, "tokens": tokens(work)}
    assert agents_place.rows() == work.books
    assert [(row.kind, row.stream) for row in work.books] == [("responses", name == "stream")] * 2


@pytest.mark.parametrize("name", ["run", "stream"])
@pytest.mark.parametrize(
    ("model", "kind"), [("openai:gpt-5-codex", "responses"), ("anthropic:claude-sonnet-4-5", "messages")]
)
def test_run_of_pydantic_ai_is_a_row_for_each_call(
    agents_place: Place, work: Work, model: str, kind: str, name: str
) -> None:
    work.tools = LOOK

    assert agents_place.call("pydantic_ai", model, name) == {"text": DONE, "tokens": tokens(work)}
    assert agents_place.rows() == work.books
    assert [row.kind for row in work.books] == [kind] * 2


@pytest.mark.parametrize(("name", "kind"), [("codex", "responses"), ("claude", "messages")])
def test_loop_of_langchain_is_a_row_for_each_call(agents_place: Place, work: Work, name: str, kind: str) -> None:
    work.tools = LOOK

    assert agents_place.call("langchain", name) == {"text": DONE, "results": [FOUND]}
    assert agents_place.rows() == work.books
    assert [row.kind for row in work.books] == [kind] * 2


@pytest.mark.parametrize("name", ["codex_stream", "claude_stream"])
def test_stream_of_langchain_is_one_row(agents_place: Place, work: Work, name: str) -> None:
    assert agents_place.call("langchain", name) == DONE
    assert agents_place.rows() == work.books
    assert [row.stream for row in work.books] == [True]
