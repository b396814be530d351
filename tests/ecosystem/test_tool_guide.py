"""The lines of docs/how-to/set-up-your-tool.md work as they stand: calls are answered and billed."""

import re

import pytest

from tests.ecosystem.agent_provider import DONE, Work
from tests.ecosystem.place import CLIENTS, Place, Row
from tests.ecosystem.tool_guide import PAGE, after, lines_of, write

# The packages of the page that the tests install in one version.
PINNED = re.compile(
    r"(?<![\w/@])(@openai/codex|@anthropic-ai/claude-code|opencode-ai|@continuedev/cli|aider-chat|@qwen-code/qwen-code|"
    r"@anthropic-ai/sdk|@langchain/openai|@langchain/anthropic|ai|openai-agents|pydantic-ai-slim|litellm)"
    r'(?:"?: "|(?:\[.*\])?==)(\d+\.\d+\.\d+)'
)


@pytest.mark.parametrize(
    ("tool", "client", "kinds"),
    [
        ("OpenAI's clients", "openai_python", ["responses"]),
        ("Anthropic's clients", "anthropic_python", ["messages"]),
        ("LangChain", "langchain", ["responses", "messages"]),
        ("OpenAI Agents", "openai_agents", ["responses"]),
        ("Pydantic AI", "pydantic_ai", ["responses", "messages"]),
    ],
)
def test_python_lines_print_the_answers(
    agents_place: Place, work: Work, tool: str, client: str, kinds: list[str]
) -> None:
    lines = lines_of(tool, agents_place)
    (code,) = (one for one in lines if one.kind == "python")
    command = [agents_place.python(client), "-c", code.text]

    printed = agents_place.run(after(lines[0], command) if lines[0].kind == "sh" else command)

    assert printed == f"{DONE}\n" * len(kinds)
    assert [row.kind for row in work.books] == kinds
    assert agents_place.rows() == work.books
    assert agents_place.contexts() == [code.context] * len(kinds)


@pytest.mark.parametrize(
    ("tool", "client", "kinds"),
    [
        ("OpenAI's clients", "openai_node", ["responses"]),
        ("Anthropic's clients", "anthropic_node", ["messages"]),
        ("AI SDK", "ai_sdk", ["responses", "messages"]),
    ],
)
def test_javascript_lines_print_the_answers(
    agents_place: Place, work: Work, tool: str, client: str, kinds: list[str]
) -> None:
    (code,) = (one for one in lines_of(tool, agents_place) if one.kind == "js")
    (agents_place.directory / "node_modules").symlink_to(agents_place.installed / client / "node_modules")
    (agents_place.directory / "ask.mjs").write_text(code.text)

    printed = agents_place.run(["node", "ask.mjs"])

    assert printed == f"{DONE}\n" * len(kinds)
    assert [row.kind for row in work.books] == kinds
    assert agents_place.rows() == work.books
    assert agents_place.contexts() == [code.context] * len(kinds)


def test_java_lines_print_the_answer(agents_place: Place, work: Work) -> None:
    (code,) = lines_of("Java", agents_place)
    write(code, agents_place)

    printed = agents_place.run(["java", "-XX:TieredStopAtLevel=1", str(code.file)])

    assert DONE in printed
    assert agents_place.rows() == work.books
    assert len(work.books) == 1
    assert agents_place.contexts() == [code.context]


def test_lines_of_llamaindex_print_the_answer(place: Place) -> None:
    (code,) = lines_of("LlamaIndex", place)

    printed = place.run([place.python("llama_index"), "-c", code.text])

    assert printed == "Hello\n"
    assert place.rows() == [Row("chat", "fake-chat", 1_380, {"input_tokens": 1, "output_tokens": 1})]
    assert place.contexts() == [code.context]


def test_anthropics_client_takes_the_context_from_the_environment(agents_place: Place, work: Work) -> None:
    agents_place.run(
        ["node", str(agents_place.installed / "anthropic_node" / "calls.mjs"), "message"],
        ANTHROPIC_CUSTOM_HEADERS="X-Hero-Context: from the environment",
    )

    assert agents_place.rows() == work.books
    assert agents_place.contexts() == ["from the environment"]


def test_page_names_the_versions_that_are_installed() -> None:
    pinned = [
        match
        for folder in (CLIENTS, CLIENTS.parent / "more" / "clients")
        for path in [*folder.glob("*/package.json"), *folder.glob("*/requirements.txt")]
        for match in PINNED.findall(path.read_text())
    ]
    page = PAGE.read_text()

    assert len(pinned) == 13
    assert [(name, version) for name, version in pinned if version not in page] == []
