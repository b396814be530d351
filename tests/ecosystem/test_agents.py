"""Codex and Claude Code do a task through the broker, and every call of theirs is one row."""

from tests.ecosystem import agents
from tests.ecosystem.agent_provider import DONE, Work
from tests.ecosystem.place import Place


def test_codex_writes_a_file_and_each_call_is_one_row(agents_place: Place, work: Work) -> None:
    work.tools = agents.SHELLS

    said = agents.codex(agents_place)

    assert said == DONE
    assert (agents_place.directory / "made.txt").read_text() == "written\n"
    assert agents_place.rows() == work.books
    assert [(row.kind, row.stream) for row in work.books] == [("responses", True)] * 2
    assert agents_place.contexts() == ["codex"] * 2


def test_codex_with_its_own_provider_goes_on_without_a_websocket(agents_place: Place, work: Work) -> None:
    work.tools = agents.SHELLS

    said = agents.codex_built_in(agents_place)

    assert said == DONE
    assert (agents_place.directory / "made.txt").read_text() == "written\n"
    assert agents_place.rows() == work.books
    assert [(row.kind, row.stream) for row in work.books] == [("responses", True)] * 2


def test_claude_code_writes_a_file_and_each_call_is_one_row(agents_place: Place, work: Work) -> None:
    work.tools = agents.SHELLS

    ended = agents.claude_code(agents_place)

    assert (ended["result"], ended["is_error"]) == (DONE, False)
    assert (agents_place.directory / "made.txt").read_text() == "written\n"
    assert agents_place.rows() == work.books
    assert [(row.kind, row.stream) for row in work.books] == [("messages", True)] * 2
    assert agents_place.contexts() == ["claude-code"] * 2
