"""More lines of docs/how-to/set-up-your-tool.md: those of tools that take longer to install."""

import pytest

from tests.ecosystem.agent_provider import DONE, Work
from tests.ecosystem.place import Place
from tests.ecosystem.tool_guide import after, lines_of, write

FAKE_RATES = (590, 790)  # nano-USD of a token that comes in, and of one that goes out


def assert_billed(place: Place, work: Work, kind: str, context: str) -> None:
    """Check that the calls of a tool were of this kind and have their rows; those of chats are the fake provider's."""
    rows = place.rows()

    assert {row.kind for row in rows} == {kind}
    assert set(place.contexts()) == {context}
    if kind != "chat":
        assert rows == work.books
    for row in rows:
        assert (row.usage_source, row.outcome) == ("reported", "ok")
        if kind == "chat":
            tokens = (row.units["input_tokens"], row.units["output_tokens"])
            assert row.cost_nano_usd == sum(rate * count for rate, count in zip(FAKE_RATES, tokens, strict=True))


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("openai/gpt-5-codex", "responses"),
        ("anthropic/claude-sonnet-4-5", "messages"),
        ("hero/fake-chat", "chat"),
    ],
)
def test_opencode_calls_each_wire(agents_place: Place, work: Work, model: str, kind: str) -> None:
    (settings,) = lines_of("opencode", agents_place)
    write(settings, agents_place)

    printed = agents_place.run(
        [agents_place.node_command("opencode", "opencode"), "run", "--model", model, "Hello"],
        OPENCODE_DISABLE_MODELS_FETCH="1",
        OPENCODE_DISABLE_AUTOUPDATE="1",
    )

    assert ("Hello" if kind == "chat" else DONE) in printed
    assert_billed(agents_place, work, kind, settings.context)


@pytest.mark.parametrize(
    ("provider", "model", "kind"),
    [
        ("openai", "gpt-5-codex", "responses"),
        ("anthropic", "claude-sonnet-4-5", "messages"),
        ("openai", "fake-chat", "chat"),
    ],
)
def test_continue_calls_each_wire(agents_place: Place, work: Work, provider: str, model: str, kind: str) -> None:
    (settings,) = lines_of("Continue", agents_place)
    write(settings, agents_place)
    path = agents_place.directory / str(settings.file)
    changed = path.read_text().replace("provider: openai", f"provider: {provider}").replace("gpt-5-codex", model)
    path.write_text(changed)

    printed = agents_place.run(
        [agents_place.node_command("continue_cli", "cn"), "--config", path.name, "--print", "Hello"]
    )

    assert ("Hello" if kind == "chat" else DONE) in printed
    assert_billed(agents_place, work, kind, settings.context)


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("openai/gpt-5-codex", "responses"),
        ("anthropic/claude-sonnet-4-5", "messages"),
        ("openai/fake-chat", "chat"),
    ],
)
def test_aider_calls_each_wire(agents_place: Place, work: Work, model: str, kind: str) -> None:
    settings, exports = lines_of("aider", agents_place)
    write(settings, agents_place)
    chosen = [] if model in exports.text else ["--model", model]
    command = [str(agents_place.installed / "aider" / "bin" / "aider"), *chosen, "--message", "Hello", "--yes-always"]

    agents_place.run(after(exports, [*command, "--no-git", "--no-check-update", "--no-analytics"]))

    assert_billed(agents_place, work, kind, settings.context)


def test_qwen_code_calls_chat_completions(agents_place: Place, work: Work) -> None:
    (settings,) = lines_of("Qwen Code", agents_place)
    write(settings, agents_place)

    printed = agents_place.run([agents_place.node_command("qwen_code", "qwen"), "--prompt", "Hello"])

    assert "Hello" in printed
    assert_billed(agents_place, work, "chat", settings.context)


def test_lines_of_litellm_print_the_answers(agents_place: Place, work: Work) -> None:
    (code,) = lines_of("LiteLLM", agents_place)

    printed = agents_place.run([agents_place.python("litellm"), "-c", code.text], LITELLM_LOCAL_MODEL_COST_MAP="True")

    assert printed == f"{DONE}\n" * 2
    assert [row.kind for row in work.books] == ["responses", "messages"]
    assert agents_place.rows() == work.books
    assert agents_place.contexts() == [code.context] * 2
