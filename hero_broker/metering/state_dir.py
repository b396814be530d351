"""One owner of a state directory: an exclusive lock for the life of the process."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class StateDirInUse(Exception):
    """Another broker holds this state directory."""


@contextmanager
def owned(directory: Path) -> Iterator[Path]:
    """Hold `directory`, made 0700 if it is not there, until the block ends or the process dies.

    Raises:
        StateDirInUse: another process holds it.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StateDirInUse(f"another broker uses the state directory {directory}") from error
        yield directory
    finally:
        os.close(fd)
