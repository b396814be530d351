"""Writes files whole: a reader sees the old content or the new one, never a part."""

import errno
import os
from contextlib import suppress
from pathlib import Path

MODE = 0o666  # less the umask


def write_whole(path: Path, content: bytes, mode: int = MODE) -> None:
    """Write a file, and replace an existing one; if that fails, the existing one stays as it is.

    The file gets `mode`, less the umask, also if it replaces one with another.

    Raises:
        OSError: the file cannot be written, or `path` is a device, a pipe or a directory.
    """
    target = path.resolve()  # of a link, the file that it leads to
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "it is not a regular file")
    part = target.with_name(f".hero-broker-{os.getpid()}.part")  # short: the longest names would have no room for more
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except OSError:
        with suppress(OSError):
            part.unlink()
        raise
