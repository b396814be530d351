"""Simple options have the values that Typer gives them; it reads all others."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from hero_broker.cli.plain_options import plain_command, plain_values
from hero_broker.cli.serve import serve


def typers_values(arguments: list[str]) -> dict[str, Any]:
    """Return the values that Typer gives to `serve`, without those that the arguments leave at their default."""
    app = typer.Typer(add_completion=False)
    app.command()(serve)
    context = typer.main.get_command(app).make_context("serve", list(arguments))
    return {name: value for name, value in context.params.items() if value not in (None, (), False)}


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([], id="none"),
        pytest.param(["--fake", "--insecure-dev"], id="flags"),
        pytest.param(["--listen", "127.0.0.1:0", "--listen=unix:/run/hb.sock"], id="repeated"),
        pytest.param(["--database=sqlite:///a=b.db", "--fake"], id="equals sign in the value"),
        pytest.param(["--config", __file__], id="file"),
    ],
)
def test_simple_options_have_the_values_that_typer_gives(arguments: list[str]) -> None:
    assert plain_values(serve, arguments) == typers_values(arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--help"], id="help"),
        pytest.param(["--fak"], id="unknown option"),
        pytest.param(["--fake=yes"], id="value of a flag"),
        pytest.param(["--fake", "--fake"], id="flag twice"),
        pytest.param(["--database", "a", "--database", "b"], id="option twice"),
        pytest.param(["--listen"], id="no value"),
        pytest.param(["--listen="], id="empty value"),
        pytest.param(["--listen", "--fake"], id="option in place of a value"),
        pytest.param(["127.0.0.1:0"], id="argument"),
        pytest.param(["--", "--fake"], id="end of options"),
        pytest.param(["--config", "/no/such/file"], id="no file"),
        pytest.param(["--config", "/"], id="directory"),
    ],
)
def test_other_options_are_left_to_typer(arguments: list[str]) -> None:
    assert plain_values(serve, arguments) is None
    assert plain_command("serve", serve, arguments) is None


def test_every_option_of_serve_can_be_simple(tmp_path: Path) -> None:
    path = str(tmp_path / "hb.toml")
    Path(path).touch()
    simple = ["--config", path, "--listen", "a", "--database", "b", "--fake", "--insecure-dev"]

    values = plain_values(serve, simple)

    assert values is not None
    assert values.keys() == set(serve.__annotations__) - {"return"}


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--database", "no URL"], ["--database=no URL"]])
def test_exit_code_and_message_are_those_of_typers_command(arguments: list[str]) -> None:
    def run(*program: str) -> tuple[int, str]:
        ended = subprocess.run([sys.executable, *program, *arguments], capture_output=True, text=True, timeout=60)
        return ended.returncode, ended.stderr

    typers = "from hero_broker.cli import cli; cli()"

    assert run("-m", "hero_broker", "serve") == run("-c", typers, "serve")


@pytest.mark.slow
def test_serve_imports_neither_pydantic_nor_rich() -> None:
    script = (
        "import sys\n"
        "from hero_broker.cli import main\n"
        "sys.argv[1:] = ['serve', '--fake', '--database', 'no URL']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as ended:\n"
        "    assert ended.code == 2\n"
        "assert 'hero_broker.server.run' in sys.modules\n"
        "assert {'pydantic', 'rich'} & sys.modules.keys() == set()\n"
    )

    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.mark.slow
def test_garbage_is_collected_once_a_broker_runs_or_cannot_start() -> None:
    script = (
        "import gc, sys\n"
        "from hero_broker.cli import main, runner\n"
        "sys.argv[1:] = ['serve', '--fake', '--database', 'no URL']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit:\n"
        "    assert gc.isenabled()\n"
        "gc.disable()\n"
        "runner.tune_process()\n"
        "assert gc.isenabled()\n"
    )

    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
