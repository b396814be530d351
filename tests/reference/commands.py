"""The page of the commands, generated from the command line itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hero_broker.cli.main import COMMANDS, load_command

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "commands.md"

HEAD = """# Commands

Every command has `--help`, with examples.
Tables have frames and colours on a terminal, and are plain columns of full width elsewhere; `NO_COLOR` is honoured.
If the terminal is too narrow for a table, a row takes two lines, and `requests` leaves columns out; addresses, names and sums are never cut.
Piped output is UTF-8 in every locale.
`hero-broker --install-completion` teaches your shell to complete commands, options, methods and groupings.

Commands that query a broker take `--url` (or `HERO_BROKER_URL`; `unix:PATH` for a Unix socket) and `--token` (or `ADMIN_TOKEN`, or `HERO_SECRET`).
Without `--url` they query the address at which the local settings listen: the file that `HERO_BROKER_CONFIG` names, or `hero-broker.toml` in the working directory.
With `--database` they read reports directly from a ledger, whether its broker runs or not, and change nothing.
Its URL is printed to standard error, with the full path.
A command that reads a ledger needs no provider's key, and not the settings file.
A relative path is in the state directory, `HERO_BROKER_STATE_DIR`; the ledger of `serve --fake` is `sqlite:///fake/hero-broker.db`.

## Exit codes

| Code | Means |
| --- | --- |
| 0 | success |
| 1 | failed: no broker answers, it refused, or a check found an error |
| 2 | wrong settings, options or parameters; all errors in the settings are printed |
| 3 | a broker cannot start, or a ledger cannot be opened |
"""


def page() -> str:
    """Return the page."""
    return HEAD + "".join(
        f"\n{section}"
        for command in COMMANDS
        for section in _sections(load_command(command), f"hero-broker {command.name}")
    )


def _sections(command: Any, called: str) -> Iterator[str]:
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from _sections(inner, f"{called} {name}")
    else:
        yield _section(command, called)


def _section(command: Any, called: str) -> str:
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [param for param in command.params if param.param_type_name == "option" and param.name != "help"]
    usage = " ".join([called, *(_argument(param) for param in arguments)])
    text = f"## `{usage}`\n\n{command.help.strip()}\n"
    rows = [f"| `{_argument(param)}` | {_meaning(param)} |\n" for param in arguments]
    rows += [f"| {_names(param)} | {_meaning(param)} |\n" for param in options]
    if rows:
        text += "\n| | |\n| --- | --- |\n" + "".join(rows)
    return text


def _argument(param: Any) -> str:
    name = param.metavar or param.name.upper()
    return name if param.required or name.startswith("[") else f"[{name}]"


def _names(param: Any) -> str:
    value = "" if param.is_flag else f" {param.metavar or param.name.upper()}"
    return ", ".join(f"`{name}{value}`" for name in param.opts)


def _meaning(param: Any) -> str:
    meaning = (param.help or "").replace("|", "\\|")
    default = param.default
    if default in (None, False, ()) or callable(default):
        return str(meaning)
    return f"{meaning} Default: `{default}`."
