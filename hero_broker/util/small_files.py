"""Reads files that an operator names, within a size and a time: the name may be a device or a pipe by mistake."""

import errno
import os
import select
import stat
import time
from pathlib import Path

WITHIN_S = 5.0  # for a pipe, such as a shell's `<(command)`
PIECE = 65_536


def read_small_text(path: Path, max_bytes: int, within_s: float | None = None) -> str:
    """Return the text of a file in UTF-8, without a byte order mark; a pipe may take `within_s`, else `WITHIN_S`.

    Raises:
        OSError: the file cannot be read, has more than `max_bytes`, or is a pipe that did not end in time.
        UnicodeDecodeError: the file is not UTF-8.
    """
    within_s = WITHIN_S if within_s is None else within_s
    ends_at = time.monotonic() + within_s
    # Without O_NONBLOCK, opening a pipe waits until a program writes to it.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        is_file = stat.S_ISREG(os.fstat(fd).st_mode)
        content = b""
        while True:
            # Reading a pipe before its writer has opened it would look like its end.
            if not is_file and not _is_readable(fd, ends_at - time.monotonic()):
                raise OSError(errno.ETIMEDOUT, f"it has not ended after {within_s:g} s")
            piece = os.read(fd, min(max_bytes + 1 - len(content), PIECE))
            if not piece:
                break
            content += piece
            if len(content) > max_bytes:
                raise OSError(errno.EFBIG, f"it is longer than {max_bytes} bytes")
    finally:
        os.close(fd)
    return content.decode("utf-8-sig")


def _is_readable(fd: int, within_s: float) -> bool:
    """Wait until reading returns something, or the end; return False if it does not in time."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return within_s > 0 and bool(poll.poll(within_s * 1000))
