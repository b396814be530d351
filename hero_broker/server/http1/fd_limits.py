"""Computes how many connections the process has file descriptors for."""

import resource

# For the database, journal, log, listeners and event loop, and for connections that one accept loop takes beyond the
# limit, which are closed at once.
RESERVED = 384
NOFILE_TARGET = 65_536  # not more, because each connection takes memory


def raise_nofile_limit() -> int:
    """Raise the soft limit of open files to the hard one, at most `NOFILE_TARGET`; return the result."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = NOFILE_TARGET if hard == resource.RLIM_INFINITY else min(hard, NOFILE_TARGET)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed if soft == resource.RLIM_INFINITY else min(max(soft, allowed), NOFILE_TARGET)


def max_connections(open_files: int, max_calls: int, max_drains: int) -> int:
    """Return how many clients may connect without any call running out of file descriptors.

    A call may need two besides its client's: one for the provider's connection, one for an upload's file. A drain needs
    one.
    """
    left = open_files - RESERVED - max_drains
    return max(1, left - 2 * max_calls if left >= 3 * max_calls else left // 3)
