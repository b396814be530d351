"""How many connections the process has descriptors for."""

import resource

# Database, journal, log, listeners and event loop; and connections that are accepted in one go beyond the limit, each
# to be closed at once.
RESERVED = 384
NOFILE_TARGET = 65_536  # a connection takes memory, too


def raise_nofile_limit() -> int:
    """Raise the process's soft limit of open files as far as it may be and is of use; return what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = NOFILE_TARGET if hard == resource.RLIM_INFINITY else min(hard, NOFILE_TARGET)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed if soft == resource.RLIM_INFINITY else min(max(soft, allowed), NOFILE_TARGET)


def max_connections(open_files: int, max_calls: int, max_drains: int) -> int:
    """Return how many clients may be connected, such that every call of theirs finds the descriptors that it needs.

    A call may need two beside its client's: its provider's connection, and the file of its upload; a drain needs one.
    """
    left = open_files - RESERVED - max_drains
    return max(1, left - 2 * max_calls if left >= 3 * max_calls else left // 3)
