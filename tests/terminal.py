"""Commands as they look on a terminal."""

import os
import pty
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.forked import STDERR, STDIN, STDOUT, Forked


def on_terminal(command: Sequence[str], environ: Mapping[str, str], columns: int = 100, typed: str = "") -> str:
    """Return what a command that succeeds writes to a terminal of so many columns, escape sequences included.

    `typed` is what it reads; the terminal shows it too.

    `hero-broker` itself is forked.
    """
    inherited = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    variables = {**inherited, "COLUMNS": str(columns), "TERM": "xterm-256color", **environ}
    ours, theirs = pty.openpty()
    process: Forked | subprocess.Popen[bytes]
    if command[0] == "hero-broker":
        streams = {STDIN: theirs, STDOUT: theirs, STDERR: theirs}
        process = Forked(command[1:], variables, Path.cwd(), streams)
    else:
        process = subprocess.Popen(command, env=variables, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    os.write(ours, typed.encode())
    written = b""
    while piece := _read(ours):
        written += piece
    os.close(ours)
    assert process.wait(timeout=30) == 0, written.decode()
    return written.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # how Linux says that nobody is left on the other side
        return b""
