"""Directories and files that no other user of the machine may read."""

import os
import stat
from contextlib import suppress
from pathlib import Path

DIRECTORY_MODE, FILE_MODE = 0o700, 0o600


def make_directory(path: Path, mode: int = DIRECTORY_MODE) -> None:
    """Make a directory, and each above it that is not there, with `mode` whatever the umask is; leave what is there.

    Raises:
        OSError: it cannot be made, or something else is at this path.
    """
    missing = [path]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for one in reversed(
        missing
    ):  # not by mkdir(parents=True), which gives those above the rights that the umask leaves
        one.mkdir(mode=mode, exist_ok=True)


def make_file(path: Path) -> None:
    """Make an empty file for its owner alone, where there is none.

    Raises:
        OSError: it cannot be made.
    """
    with suppress(
        FileExistsError
    ):  # opening and closing an SQLite file would drop the locks that this process has on it
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE_MODE))


def is_open_to_all(path: Path) -> bool:
    """Return whether every user of the machine may read the file: its own mode and all folders above it allow it."""
    try:
        found = path.resolve()
        above = all(folder.stat().st_mode & stat.S_IXOTH for folder in found.parents)
        return above and bool(found.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
