"""Listening sockets on TCP and in the file system."""

import contextlib
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
# What the kernel holds of an answer beyond what the client's machine has room for. By its own measure it holds
# megabytes, of which it asks for more when a third is gone: minutes, with a client that reads slowly.
UNSENT_BYTES = 32 * 1024

log = logging.getLogger(__name__)


def open_listener(listen: TcpListen | UnixListen) -> socket.socket:
    """Return a listening socket; `[::]` takes IPv4 too, a Unix socket has mode 0660.

    Raises:
        ListenError: the address is in use, or not ours, or the path is no socket.
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
        raise ListenError(f"cannot listen on {listen}: {error.strerror}") from error
    return opened


def open_listeners(listens: Sequence[TcpListen | UnixListen]) -> list[socket.socket]:
    """Return a listening socket for each; `[::1]` is left out, with a warning, where the machine has no IPv6.

    Raises:
        ListenError: as `open_listener`; then none is left open.
    """
    opened: list[socket.socket] = []
    try:
        for listen in listens:
            if isinstance(listen, TcpListen) and listen.host == "::1" and len(listens) > 1 and not _has_ipv6():
                log.warning("not listening on %s: this machine has no IPv6", listen)
            else:
                opened.append(open_listener(listen))
    except ListenError:
        for one in opened:
            one.close()
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
            raise ListenError(f"cannot listen on unix:{path}: there is something else at this path")
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(ConnectionRefusedError):
            probe.connect(str(path))
            raise ListenError(f"cannot listen on unix:{path}: another process listens there")
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
