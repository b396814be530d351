"""Standard input, output and error as a command needs them, whatever it was started with."""

import io
import os
import sys
from contextlib import suppress
from typing import TextIO


def complete() -> None:
    """Open what is closed of the three, so that no file or socket takes its number; let no text fail to be written.

    What is piped is UTF-8, whatever the locale; on a terminal a character that it lacks is shown by its number.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    sys.stdin = sys.stdin or _null("r")
    sys.stdout = sys.stdout or _null("w")
    sys.stderr = sys.stderr or _null("w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            encoding = stream.encoding if stream.isatty() else "utf-8"
            if (stream.encoding, stream.errors) != (encoding, "backslashreplace"):
                stream.reconfigure(encoding=encoding, errors="backslashreplace")


def settle() -> None:
    """Write what is left; what cannot be written is dropped, and does not change the exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            drop(stream)


def drop(stream: TextIO) -> None:
    """Let what a stream still holds, and all that follows, go nowhere."""
    with suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def _null(mode: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.FileIO(os.devnull, mode), encoding="utf-8")
