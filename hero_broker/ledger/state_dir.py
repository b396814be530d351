"""Locks a state directory for one process."""

import fcntl
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hero_broker.core.errors import StateDirInUse, StateDirUnusable
from hero_broker.util.private_files import FILE_MODE, make_directory

log = logging.getLogger(__name__)


@contextmanager
def own_state_dir(directory: Path) -> Iterator[Path]:
    """Lock `directory` until the block ends or the process dies; create it with mode 0700 if it is missing.

    Raises:
        StateDirInUse: another process has locked the directory.
        StateDirUnusable: the directory cannot be written, or every user of the machine can write to it.
    """
    try:
        make_directory(directory)
        _check_permissions(directory)
        fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, FILE_MODE)
    except OSError as error:
        raise StateDirUnusable(f"the state directory {directory} cannot be used: {error.strerror}") from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StateDirInUse(f"another broker uses the state directory {directory}") from error
        yield directory
    finally:
        os.close(fd)


def _check_permissions(directory: Path) -> None:
    """Reject a directory in which every user could replace the ledger; warn if one other user or a group could."""
    status = directory.stat()
    mode = stat.S_IMODE(status.st_mode)
    if mode & stat.S_IWOTH:
        raise StateDirUnusable(
            f"the state directory {directory} has mode {mode:04o}: every user of this machine could change the ledger; "
            "give it mode 0700"
        )
    if status.st_uid not in (os.geteuid(), 0):
        log.warning("the state directory %s belongs to another user, who could change the ledger", directory)
    elif mode & stat.S_IWGRP:
        log.warning("the state directory %s has mode %04o: its group could change the ledger", directory, mode)
