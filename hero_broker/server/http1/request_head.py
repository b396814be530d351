"""Rejects request heads that a proxy in front of the broker could parse differently (request smuggling)."""

from collections.abc import Sequence

from hero_broker.core.errors import InvalidRequest, UnreadableRequest, UpgradeRefused

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 100
MAX_LENGTH_DIGITS = 18  # of a content-length; Python refuses to read numbers of thousands of digits
CHECKED_HEADERS = frozenset({b"host", b"transfer-encoding", b"expect", b"content-length"})
VERSIONS = ("1.1", "1.0")


class RequestHead:
    """The headers of one request that decide whether its head is accepted, and how its body comes."""

    __slots__ = ("_encoding", "_hosts", "content_length", "expects_continue")

    def __init__(self) -> None:
        self._hosts = 0
        self.content_length = 0  # 0 if it is unknown or has more than `MAX_LENGTH_DIGITS`
        self._encoding: bytes | None = None
        self.expects_continue = False

    def add_header(self, name: bytes, value: bytes) -> None:
        """Record one of `CHECKED_HEADERS`."""
        if name == b"host":
            self._hosts += 1
        elif name == b"content-length":
            self.content_length = int(value) if value.isdigit() and len(value) <= MAX_LENGTH_DIGITS else 0
        elif name == b"expect":
            self.expects_continue = value.lower() == b"100-continue"
        else:
            self._encoding = value.lower() if self._encoding is None else b"more than one line"

    def check(self, target: bytes, version: str) -> None:
        """Return if the head is accepted.

        Raises:
            InvalidRequest: two parsers could read this head as different requests.
        """
        if version not in VERSIONS:
            raise unreadable_request("The HTTP version must be 1.1 or 1.0.")
        if target[:1] != b"/" or b"#" in target:
            raise unreadable_request("The target must be a path, with or without a query.")
        if self._hosts > 1 or (version == "1.1" and not self._hosts):
            raise unreadable_request("There must be exactly one Host header.")
        if self._encoding is not None and (version != "1.1" or self._encoding != b"chunked"):
            raise unreadable_request("The only accepted transfer encoding is chunked, in HTTP/1.1.")


def check_upgrade(method: bytes, version: str, headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Return if a request that offers an upgrade may be served without it.

    Raises:
        InvalidRequest: the method is CONNECT; what follows its head is not a request's body.
        UpgradeRefused: the client wants a WebSocket and cannot go on without one. The connection is closed: a proxy
            that ignores the status would pass on as WebSocket data what the broker parses as a request.
    """
    if method == b"CONNECT":
        raise unreadable_request("CONNECT is not supported.")
    if version == "1.1":  # HTTP/1.0 has no Upgrade
        protocols = [
            item.strip().lower() for name, value in headers if name == b"upgrade" for item in value.split(b",")
        ]
        if any(protocol.partition(b"/")[0] == b"websocket" for protocol in protocols):
            raise UpgradeRefused


def without_upgrade(method: bytes, target: bytes, version: str, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return the bytes of a head without its Upgrade headers."""
    lines = [b"%s %s HTTP/%s" % (method, target, version.encode())]
    lines += [b"%s: %s" % header for header in headers if header[0] != b"upgrade"]
    return b"\r\n".join((*lines, b"", b""))


def unreadable_request(reason: str) -> InvalidRequest:
    """Return the error for bytes that are not an acceptable request."""
    return UnreadableRequest(f"The request cannot be read. {reason}")
