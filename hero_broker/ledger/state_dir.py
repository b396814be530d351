"""One owner of a state directory: an exclusive lock for the life of the process."""

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
    """Hold `directory`, made 0700 if it is not there, until the block ends or the process dies.

    Raises:
        StateDirInUse: another process holds it.
        StateDirUnusable: nothing can be written in it, or everybody can write in it.
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
    """Refuse a directory in which everybody may replace the ledger; warn of one in which somebody else may."""
    found = directory.stat()
    mode = stat.S_IMODE(found.st_mode)
    if mode & stat.S_IWOTH:
        raise StateDirUnusable(
            f"the state directory {directory} has mode {mode:04o}: every user of this machine could change the ledger; "
            "give it mode 0700"
        )
    if found.st_uid not in (os.geteuid(), 0):
        log.warning("the state directory %s belongs to another user, who could change the ledger", directory)
    elif mode & stat.S_IWGRP:
        log.warning("the state directory %s has mode %04o: its group could change the ledger", directory, mode)
