"""Prepares standard input, output and error, whatever state the process started with."""

import io
import os
import sys
from contextlib import suppress
from typing import TextIO


def prepare() -> None:
    """Open those that are closed, so that no file or socket gets their number, and make any text writable.

    Output to a pipe or file is UTF-8 in every locale; a character that the terminal's encoding lacks is escaped.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: this one
    sys.stdin = sys.stdin or _null("r")
    sys.stdout = sys.stdout or _null("w")
    sys.stderr = sys.stderr or _null("w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            encoding = stream.encoding if stream.isatty() else "utf-8"
            if (stream.encoding, stream.errors) != (encoding, "backslashreplace"):
                stream.reconfigure(encoding=encoding, errors="backslashreplace")


def flush() -> None:
    """Flush output; what cannot be written is discarded, and does not change the exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            discard(stream)


def discard(stream: TextIO) -> None:
    """Discard what a stream has buffered, and all later output."""
    with suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def _null(mode: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.FileIO(os.devnull, mode), encoding="utf-8")
