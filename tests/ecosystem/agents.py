"""Runs coding agents, set up as their guide says, on a task: to write a file with a command of the shell."""

import json
from dataclasses import replace
from typing import Any

from tests.ecosystem.place import Place
from tests.ecosystem.tool_guide import Lines, after, lines_of, write

COMMAND = "echo written > made.txt"
# The tools that run a command, by the names that Codex and Claude Code give them.
SHELLS = {"exec_command": {"cmd": COMMAND}, "Bash": {"command": COMMAND, "description": "Write a file"}}


def codex(place: Place) -> str:
    """Let Codex do the task with a provider of its settings, and return its last words."""
    return _codex(place, lines_of("Codex", place)[0])


def codex_built_in(place: Place) -> str:
    """Let Codex do the task with its own provider, which tries a WebSocket first, and return its last words."""
    with_provider, built_in = lines_of("Codex", place)
    write(Lines("json", json.dumps({"OPENAI_API_KEY": "any"}), "~/.codex/auth.json"), place)  # as `codex login` does
    return _codex(place, replace(built_in, file=with_provider.file))


def claude_code(place: Place) -> dict[str, Any]:
    """Let Claude Code do the task, and return what it prints of its end, which may be an error."""
    (exports,) = lines_of("Claude Code", place)
    command = [place.node_command("claude_code", "claude"), "--print", "Write the file.", "--output-format", "json"]
    printed = place.run(
        after(exports, [*command, "--dangerously-skip-permissions"]),
        statuses=(0, 1),
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        IS_SANDBOX="1",  # else it refuses to run as root without asking
    )
    return dict(json.loads(printed))


def codex_refused(place: Place) -> str:
    """Let Codex try the task where it is refused, and return what it prints for people."""
    write(lines_of("Codex", place)[0], place)
    ended = place.ran(_codex_command(place), HERO_KEY="any")
    assert ended.returncode == 1, ended.stdout + ended.stderr
    return ended.stderr


def _codex(place: Place, settings: Lines) -> str:
    write(settings, place)
    return place.run(_codex_command(place), HERO_KEY="any").strip()


def _codex_command(place: Place) -> list[str]:
    command = [place.node_command("codex", "codex"), "exec", "--skip-git-repo-check"]
    return [*command, "--sandbox", "danger-full-access", "Write the file."]
