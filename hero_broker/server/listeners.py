"""Opens listening sockets, on TCP and on Unix sockets."""

import contextlib
import errno
import logging
import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path

from hero_broker.core.errors import ListenError
from hero_broker.settings import TcpListen, UnixListen
from hero_broker.util.private_files import make_directory

BACKLOG = 128
# How much of a response the kernel buffers beyond the client's receive window. By default it buffers megabytes and asks
# for more only when a third has left, which takes minutes if the client reads slowly.
UNSENT_BYTES = 32 * 1024

_REASONS = {
    errno.EADDRINUSE: "another process is listening on it",
    errno.EADDRNOTAVAIL: "this machine does not have this address",
    errno.EACCES: "this user may not, as a port below 1024 needs a privilege and a socket a directory to write in",
}

log = logging.getLogger(__name__)


def open_listener(listen: TcpListen | UnixListen) -> socket.socket:
    """Return a listening socket; `[::]` accepts IPv4 too, a Unix socket has mode 0660.

    Raises:
        ListenError: the address is in use or not on this machine, or another kind of file has the path.
    """
    try:
        if isinstance(listen, UnixListen):
            return _open_unix(listen.path)
        family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
        opened = socket.socket(family, socket.SOCK_STREAM)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
            if family is socket.AF_INET6:
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if listen.host == "::" else 1)
            opened.bind((listen.host, listen.port))
            opened.listen(BACKLOG)
        except OSError:
            opened.close()
            raise
    except OSError as error:
        raise ListenError(f"cannot listen on {listen}: {_REASONS.get(error.errno or 0, error.strerror)}") from error
    return opened


def open_listeners(listens: Sequence[TcpListen | UnixListen]) -> list[socket.socket]:
    """Return a listening socket for each; skip `[::1]`, with a warning, if the machine has no IPv6.

    Raises:
        ListenError: one of the addresses cannot be listened on; all sockets are closed.
    """
    opened: list[socket.socket] = []
    try:
        for listen in listens:
            if isinstance(listen, TcpListen) and listen.host == "::1" and len(listens) > 1 and not _has_ipv6():
                log.warning("not listening on %s: this machine has no IPv6", listen)
            else:
                opened.append(open_listener(listen))
    except ListenError:
        for listener in opened:
            listener.close()
        raise
    return opened


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _open_unix(path: Path) -> socket.socket:
    if path.exists():
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise ListenError(f"cannot listen on unix:{path}: the path exists and is not a socket")
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(ConnectionRefusedError):
            probe.connect(str(path))
            raise ListenError(f"cannot listen on unix:{path}: another process is listening on it")
        path.unlink()
    make_directory(path.parent, 0o750)
    opened = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o117)
    try:
        opened.bind(str(path))
    finally:
        os.umask(mask)
    opened.listen(BACKLOG)
    return opened
