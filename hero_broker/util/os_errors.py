"""Describes errors of the operating system without the names of files."""

import errno


def describe(error: OSError) -> str:
    """Return the name of the error and its sentence, such as "ENOSPC: No space left on device"."""
    return f"{errno.errorcode.get(error.errno or 0, 'OSError')}: {error.strerror}"
