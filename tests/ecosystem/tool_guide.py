"""Follows docs/how-to/set-up-your-tool.md as its readers do, with tools that are installed already."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.ecosystem.place import Place

PAGE = Path(__file__).parent.parent.parent / "docs" / "how-to" / "set-up-your-tool.md"
_LINES = re.compile(r"(?:^`(?P<file>[\w./~]+)`:\n\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```", re.DOTALL | re.MULTILINE)
_CONTEXT = re.compile(r"X-Hero-Context\W+([\w-]+)")
_CHAT_MODEL = "gpt-4.1-mini"  # of tools that call Chat Completions; the fake provider's stands for it


@dataclass(frozen=True, slots=True)
class Lines:
    """What the page says to write or run."""

    kind: str  # sh, python, toml, …
    text: str
    file: str | None  # whose content it is

    @property
    def context(self) -> str:
        """The context that its calls have."""
        found = _CONTEXT.search(self.text)
        assert found, self.text
        return found[1]


def lines_of(tool: str, place: Place) -> list[Lines]:
    """Return the lines of a tool's section, with the URL of the place's broker."""
    section = PAGE.read_text().partition(f"\n## {tool}\n")[2].partition("\n## ")[0]
    section = section.replace("http://HOST:33850", place.running.url).replace(_CHAT_MODEL, "fake-chat")
    found = [Lines(one["kind"], one["text"], one["file"]) for one in _LINES.finditer(section)]
    assert found, tool
    return found


def write(lines: Lines, place: Place) -> None:
    """Write a file of the page into the place's directory, which is the home too."""
    assert lines.file
    path = place.directory / lines.file.removeprefix("~/")
    path.parent.mkdir(exist_ok=True)
    path.write_text(lines.text)


def after(exports: Lines, command: list[str]) -> list[str]:
    """Return a command that runs with the variables that the lines export."""
    assert exports.kind == "sh"
    return ["bash", "-euc", f'{exports.text}exec "$@"', "bash", *command]
