"""Which heads are read, of those that the parser takes: only such as every proxy before the broker reads alike."""

from collections.abc import Sequence

from hero_broker.core.errors import InvalidRequest, UnreadableRequest, UpgradeRefused

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 100
WATCHED = frozenset({b"host", b"transfer-encoding", b"expect"})
VERSIONS = ("1.1", "1.0")


class RequestHead:
    """What was seen of a head that decides whether it is read."""

    __slots__ = ("_encoding", "_hosts", "expects_continue")

    def __init__(self) -> None:
        self._hosts = 0
        self._encoding: bytes | None = None
        self.expects_continue = False

    def saw(self, name: bytes, value: bytes) -> None:
        """Take note of one of the headers `WATCHED`."""
        if name == b"host":
            self._hosts += 1
        elif name == b"expect":
            self.expects_continue = value.lower() == b"100-continue"
        else:
            self._encoding = value.lower() if self._encoding is None else b"more than one line"

    def check(self, target: bytes, version: str) -> None:
        """Return if a request with this head is read.

        Raises:
            InvalidRequest: two readers could take it for different requests.
        """
        if version not in VERSIONS:
            raise unreadable_request("HTTP/1.1 is spoken here.")
        if target[:1] != b"/" or b"#" in target:
            raise unreadable_request("The target must be a path, with a query or without.")
        if self._hosts > 1 or (version == "1.1" and not self._hosts):
            raise unreadable_request("There must be one Host.")
        if self._encoding is not None and (version != "1.1" or self._encoding != b"chunked"):
            raise unreadable_request("The only transfer encoding is chunked, with HTTP/1.1.")


def check_upgrade(method: bytes, version: str, headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Return if a request that offers another protocol is read as if it offered none.

    Raises:
        InvalidRequest: the method is CONNECT, whose body is no body of a request.
        UpgradeRefused: a WebSocket is wanted, whose client cannot go on without one. Its connection is closed: a proxy
            that looks at no status would pass on as a WebSocket what is read here as a request.
    """
    if method == b"CONNECT":
        raise unreadable_request("CONNECT is refused.")
    if version == "1.1":  # HTTP/1.0 has no Upgrade
        wanted = [one.strip().lower() for name, value in headers if name == b"upgrade" for one in value.split(b",")]
        if any(one.partition(b"/")[0] == b"websocket" for one in wanted):
            raise UpgradeRefused


def without_upgrade(method: bytes, target: bytes, version: str, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return a head that was read, without what its client offered."""
    lines = [b"%s %s HTTP/%s" % (method, target, version.encode())]
    lines += [b"%s: %s" % header for header in headers if header[0] != b"upgrade"]
    return b"\r\n".join((*lines, b"", b""))


def unreadable_request(reason: str) -> InvalidRequest:
    """Return the refusal of what is no request."""
    return UnreadableRequest(f"The request cannot be read. {reason}")
