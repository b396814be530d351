"""Starts in odd surroundings: each ends with a code that is documented and names the cause, or it serves."""

import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

import httpx
import pytest

from tests import forked

CHECK = ["check-config"]
SERVE = ["serve", "--fake", "--listen", "127.0.0.1:0"]
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
UNREACHED = "http://127.0.0.1:1"
POSTGRESQL = "postgresql://user:hidden@127.0.0.1:1/ledger"
WITHIN_S = 30

# Python without the PostgreSQL driver, as it is where the extra is not installed.
NO_DRIVER = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "psycopg":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
"""


def started(command: Sequence[str]) -> list[str]:
    """Return a command as the words of a program, which starts in a process of its own and is not forked."""
    return [sys.executable, "-m", "hero_broker", *command]


def in_shell(script: str, command: Sequence[str]) -> list[str]:
    """Return a command as the last step of a shell's script, in which it is `"$@"`."""
    return ["sh", "-c", script, "sh", *started(command)]


def become_nobody() -> None:
    """Become a user without a name, who has no rights of root; where the tests do not run as root, an unlisted one.

    What a command imports late is imported before: it may lie where that user may not read.
    """
    for late in ("encodings.idna", "encodings.utf_8_sig"):
        import_module(late)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(54321)
        os.setuid(54321)
    else:
        pwd.getpwuid = _unlisted


def _unlisted(number: int) -> pwd.struct_passwd:
    raise KeyError(number)


def surroundings(folder: Path, environ: Mapping[str, str | None]) -> dict[str, str]:
    """Return the variables of a command; one that is None is not set."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_API_KEYS"))}
    every = {**kept, "HERO_BROKER_STATE_DIR": str(folder / "state"), **environ}
    return {name: value for name, value in every.items() if value is not None}


def end_of(folder: Path, words: Sequence[str], environ: Mapping[str, str | None]) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end."""
    return subprocess.run(
        words,
        env=surroundings(folder, environ),
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with settings files of all sorts."""
    named = '[[providers]]\nname = "pröv"\nbase_url = "http://h/v1"\n[[models]]\nname = "日本"\nprovider = "pröv"\n'
    (tmp_path / "named.toml").write_text(named, encoding="utf-8")
    (tmp_path / "marked.toml").write_text("[server]\nmax_calls = 3\n", encoding="utf-8-sig")
    (tmp_path / "postgresql.toml").write_text(f'[database]\nurl = "{POSTGRESQL}"\n')
    (tmp_path / "utf-16.toml").write_text("[server]\n", encoding="utf-16")
    (tmp_path / "binary.toml").write_bytes(b"\x00\xff\xfe\x80")
    (tmp_path / "file").touch()
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "sitecustomize.py").write_text(NO_DRIVER)
    (tmp_path / "closed").mkdir(mode=0)
    (tmp_path / "journal" / "fake").mkdir(parents=True)
    (tmp_path / "journal" / "fake" / "journal").touch()
    (tmp_path / "database" / "fake" / "hero-broker.db").mkdir(parents=True)
    (tmp_path / "lock" / "fake" / "lock").mkdir(parents=True)
    return tmp_path


GONE = 'mkdir gone && cd gone && rmdir ../gone && exec "$@"'
HOMELESS = {"HOME": None, "XDG_STATE_HOME": None, "HERO_BROKER_STATE_DIR": None}
WITHOUT = {"PYTHONPATH": "without"}
EXTRA = "pip install 'hero-broker[postgres]'"


@pytest.mark.parametrize(
    ("arguments", "environ", "code", "said"),
    [
        pytest.param(SERVE, {**HOMELESS, "HOME": "/proc/none"}, 3, "/proc/none/.local/state", id="no room at home"),
        pytest.param(SERVE, {"HERO_BROKER_STATE_DIR": "file"}, 2, "must be a directory", id="state is a file"),
        pytest.param(SERVE, {"HERO_BROKER_STATE_DIR": "a\udcffb"}, 2, "is UTF-8", id="state is no text"),
        pytest.param(SERVE, {"HERO_BROKER_STATE_DIR": "journal"}, 3, "the journal in", id="journal is a file"),
        pytest.param(SERVE, {"HERO_BROKER_STATE_DIR": "database"}, 3, "the database at", id="database is a folder"),
        pytest.param(SERVE, {"HERO_BROKER_STATE_DIR": "lock"}, 3, "the state directory", id="lock is a folder"),
        pytest.param([*CHECK, "--config", "marked.toml"], {}, 0, "listen", id="byte order mark"),
        pytest.param([*CHECK, "--config", "."], {}, 2, "Is a directory", id="settings are a folder"),
        pytest.param([*CHECK, "--config", "none.toml"], {}, 2, "No such file", id="no settings"),
        pytest.param([*CHECK, "--config", "file/a.toml"], {}, 2, "Not a directory", id="settings below a file"),
        pytest.param([*CHECK, "--config", "utf-16.toml"], {}, 2, "in UTF-8", id="UTF-16"),
        pytest.param([*CHECK, "--config", "binary.toml"], {}, 2, "in UTF-8", id="binary"),
        pytest.param([*SERVE, "--listen", "127.0.0.1"], {}, 2, "--listen: must be", id="listen without port"),
        pytest.param(
            [*SERVE, "--listen", "192.0.2.1:80"], {"ADMIN_TOKEN": "a"}, 3, "192.0.2.1:80", id="not our address"
        ),
        pytest.param([*SERVE, "--listen", "unix:/dev/null/a"], {}, 3, "unix:/dev/null/a", id="socket below a file"),
    ],
)
def test_start_ends_with_a_documented_code_and_its_cause(
    folder: Path, arguments: list[str], environ: dict[str, str | None], code: int, said: str
) -> None:
    ended = forked.run(arguments, surroundings(folder, environ), folder)

    assert_documented(ended, code, said)


@pytest.mark.parametrize(
    ("arguments", "environ", "code", "said"),
    [
        pytest.param(SERVE, HOMELESS, 2, "HERO_BROKER_STATE_DIR: must name", id="no home"),
        pytest.param(["usage", "--url", UNREACHED], HOMELESS, 1, "no broker answers", id="no home, usage"),
        pytest.param(
            [*SERVE, "--config", "/dev/null"],
            {"HERO_BROKER_STATE_DIR": "closed/a"},
            3,
            "denied",
            id="closed folder",
        ),
        pytest.param(
            ["usage", "--database", "sqlite:///a.db"],
            {"HERO_BROKER_STATE_DIR": "closed/a"},
            3,
            "denied",
            id="closed ledger",
        ),
        pytest.param([*CHECK, "--config", "closed/a"], {}, 2, "--config: must", id="closed settings"),
    ],
)
def test_start_of_nobody_ends_with_a_documented_code_and_its_cause(
    folder: Path, arguments: list[str], environ: dict[str, str | None], code: int, said: str
) -> None:
    ended = forked.run(arguments, surroundings(folder, environ), folder, prepare=become_nobody)

    assert_documented(ended, code, said)


@pytest.mark.parametrize(
    ("words", "environ", "code", "said"),
    [
        pytest.param(started([*SERVE, "--database", POSTGRESQL]), WITHOUT, 2, EXTRA, id="no driver, serve"),
        pytest.param(started([*CHECK, "--config", "postgresql.toml"]), WITHOUT, 2, EXTRA, id="no driver, check-config"),
        pytest.param(started(["usage", "--database", POSTGRESQL]), WITHOUT, 2, EXTRA, id="no driver, usage"),
        pytest.param(
            started(["copy-ledger", "sqlite:///a.db", POSTGRESQL]), WITHOUT, 2, EXTRA, id="no driver, copy-ledger"
        ),
        pytest.param(
            in_shell(GONE, SERVE),
            {"HERO_BROKER_STATE_DIR": "a"},
            2,
            "working directory no longer exists",
            id="nowhere, relative",
        ),
        pytest.param(in_shell(GONE, CHECK), {}, 0, "listen", id="nowhere"),
        pytest.param(
            started([*CHECK, "--config", "named.toml"]), ASCII, 0, "model     日本", id="names beyond the locale"
        ),
        pytest.param(
            started([*CHECK, "--config", "ä\udcff.toml"]), ASCII, 2, "--config: must", id="path beyond the locale"
        ),
        pytest.param(in_shell('ulimit -n 12; exec "$@"', SERVE), {}, 3, "12 files may be open", id="few descriptors"),
        pytest.param(
            in_shell('ulimit -f 0; exec "$@"', ["demo", "--once"]),
            {},
            3,
            "cannot make a folder",
            id="no room for a demo",
        ),
        pytest.param(in_shell('"$@" > /dev/full', CHECK), {}, 1, "cannot be written: No space", id="full output"),
        pytest.param(
            in_shell('"$@" > /dev/full', ["demo", "--once", "--port", "0"]),
            {},
            1,
            "cannot be written: No space",
            id="full output of a demo",
        ),
    ],
)
def test_new_process_ends_with_a_documented_code_and_its_cause(
    folder: Path, words: list[str], environ: dict[str, str | None], code: int, said: str
) -> None:
    assert_documented(end_of(folder, words, environ), code, said)


def assert_documented(ended: "subprocess.CompletedProcess[str]", code: int, said: str) -> None:
    output = ended.stdout + ended.stderr
    assert ended.returncode == code, output
    assert said in output
    assert "Traceback" not in output
    assert len(ended.stderr.splitlines()) <= 7, output
    assert "hidden" not in output


def test_port_in_use_is_3(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = forked.run(["serve", "--fake", "--listen", address], surroundings(folder, {}), folder)

    assert ended.returncode == 3
    assert ended.stderr == (
        f"hero-broker cannot start: cannot listen on {address}: another process is listening on it; "
        "choose another address with --listen, or server.listen in the settings\n"
    )


def test_port_in_use_is_named_with_the_option_of_the_demo(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = forked.run(["demo", "--once", "--port", port], surroundings(folder, {}), folder)

    assert ended.returncode == 3
    assert ended.stderr.endswith("another process is listening on it; choose another address with --port\n")


def test_address_of_another_machine_is_named(folder: Path) -> None:
    environ = surroundings(folder, {"ADMIN_TOKEN": "t"})
    ended = forked.run(["serve", "--fake", "--listen", "192.0.2.1:0"], environ, folder)

    assert ended.returncode == 3
    assert "cannot listen on 192.0.2.1:0: this machine does not have this address; choose another" in ended.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_broker_serves_though_standard_streams_are_closed(tmp_path: Path, closed: str) -> None:
    path = tmp_path / "rest.sock"
    command = in_shell(f'exec "$@" {closed}', ["serve", "--fake", "--listen", f"unix:{path}"])
    environ = {**os.environ, "HERO_BROKER_STATE_DIR": str(tmp_path / "state")}
    with subprocess.Popen(command, env=environ, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        try:
            live = _answer(path, process)
        finally:
            process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=WITHIN_S)

    assert live == 200
    assert code == 0


def _answer(path: Path, process: "subprocess.Popen[bytes]") -> int:
    """Return the status of `/health/live`, once somebody listens."""
    ends_at = time.monotonic() + WITHIN_S
    while not _is_listened_on(path):
        assert process.poll() is None
        assert time.monotonic() < ends_at
        time.sleep(0.05)
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://localhost") as client:
        return client.get("/health/live").status_code


def _is_listened_on(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "closed"),
    [
        pytest.param(CHECK, 0, ">&-", id="fine, no output"),
        pytest.param(CHECK, 0, "2>&-", id="fine, no errors"),
        pytest.param([*CHECK, "--config", "none.toml"], 2, "2>/dev/full", id="wrong settings, full"),
        pytest.param([*CHECK, "--config", "none.toml"], 2, ">&- 2>&-", id="wrong settings, neither"),
        *(
            pytest.param(["usage", "--url", UNREACHED], 1, closed, id=f"no broker, {closed}")
            for closed in (">&-", "2>&-", ">&- 2>&-", "2>/dev/full")
        ),
    ],
)
def test_exit_code_is_the_same_though_standard_streams_are_closed(
    tmp_path: Path, arguments: list[str], code: int, closed: str
) -> None:
    ended = end_of(tmp_path, in_shell(f'exec "$@" {closed}', arguments), {})

    assert ended.returncode == code
