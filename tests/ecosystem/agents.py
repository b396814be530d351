"""Runs coding agents on a task: to write a file with a command of the shell."""

import json
from pathlib import Path
from typing import Any

from tests.ecosystem.place import Place

COMMAND = "echo written > made.txt"
# The tools that run a command, by the names that Codex and Claude Code give them.
SHELLS = {"exec_command": {"cmd": COMMAND}, "Bash": {"command": COMMAND, "description": "Write a file"}}
CONTEXT = "task 7"

_CODEX = """\
model = "gpt-5-codex"
model_provider = "broker"

[model_providers.broker]
name = "broker"
base_url = "{url}/v1"
env_key = "BROKER_KEY"
wire_api = "responses"
http_headers = {{ "X-Hero-Context" = "{context}" }}
"""
_CODEX_BUILT_IN = """\
model = "gpt-5-codex"
openai_base_url = "{url}/v1"
"""


def codex(place: Place) -> str:
    """Let Codex do the task with a provider of its settings, and return its last words."""
    return _codex(place, _CODEX)


def codex_built_in(place: Place) -> str:
    """Let Codex do the task with its own provider, which tries a WebSocket first, and return its last words."""
    settings = _settings(place, _CODEX_BUILT_IN)
    (settings.parent / "auth.json").write_text(json.dumps({"OPENAI_API_KEY": "any"}))
    return _codex(place, _CODEX_BUILT_IN)


def claude_code(place: Place) -> dict[str, Any]:
    """Let Claude Code do the task, and return what it prints of its end, which may be an error."""
    words = [place.node_command("claude_code", "claude"), "--print", "Write the file.", "--model", "claude-sonnet-4-5"]
    printed = place.run(
        [*words, "--output-format", "json", "--dangerously-skip-permissions"],
        statuses=(0, 1),
        ANTHROPIC_CUSTOM_HEADERS=f"X-Hero-Context: {CONTEXT}",
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        IS_SANDBOX="1",  # else it refuses to run as root without asking
    )
    return dict(json.loads(printed))


def _codex(place: Place, settings: str) -> str:
    _settings(place, settings)
    command = [place.node_command("codex", "codex"), "exec", "--skip-git-repo-check"]
    return place.run([*command, "--sandbox", "danger-full-access", "Write the file."], BROKER_KEY="any").strip()


def _settings(place: Place, text: str) -> Path:
    path = place.directory / ".codex" / "config.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text.format(url=place.running.url, context=CONTEXT))
    return path
