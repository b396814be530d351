"""LangChain's JavaScript packages: each call of a loop with a tool is one row."""

import pytest

from tests.ecosystem.agent_provider import DONE, Work
from tests.ecosystem.place import Place

CLIENT = "langchain_node"


@pytest.mark.parametrize(("name", "kind"), [("codex", "responses"), ("claude", "messages")])
def test_loop_is_a_row_for_each_call(agents_place: Place, work: Work, name: str, kind: str) -> None:
    work.tools = {"look": {"place": "here"}}

    assert agents_place.call_node(CLIENT, f"{name}_loop") == {"text": DONE, "results": ["nothing in here"]}
    assert agents_place.rows() == work.books
    assert [row.kind for row in work.books] == [kind] * 2


@pytest.mark.parametrize("name", ["codex", "claude"])
def test_stream_is_one_row(agents_place: Place, work: Work, name: str) -> None:
    assert agents_place.call_node(CLIENT, f"{name}_stream") == DONE
    assert agents_place.rows() == work.books
    assert [row.stream for row in work.books] == [True]
