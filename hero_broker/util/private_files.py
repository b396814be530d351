"""Directories and files that no other user of the machine may read."""

import os
import stat
from contextlib import suppress
from pathlib import Path

DIRECTORY_MODE, FILE_MODE = 0o700, 0o600


def make_directory(path: Path, mode: int = DIRECTORY_MODE) -> None:
    """Create a directory and its missing parents with `mode`, whatever the umask is. Existing ones stay as they are.

    Raises:
        OSError: the directory cannot be created, or `path` is not a directory.
    """
    missing = [path]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    # Not `mkdir(parents=True)`, which gives the parents the rights that the umask leaves.
    for one in reversed(missing):
        one.mkdir(mode=mode, exist_ok=True)


def make_file(path: Path) -> None:
    """Create an empty file that only its owner may access; an existing file is left as it is.

    Raises:
        OSError: the file cannot be created.
    """
    # O_EXCL: opening and closing an existing SQLite file would drop the locks that this process has on it.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE_MODE))


def is_open_to_all(path: Path) -> bool:
    """Return whether every user of the machine may read the file: its mode and all folders above it permit that."""
    try:
        file = path.resolve()
        is_reachable = all(folder.stat().st_mode & stat.S_IXOTH for folder in file.parents)
        return is_reachable and bool(file.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
