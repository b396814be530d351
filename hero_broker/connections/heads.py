"""Which heads are read, of those that the parser takes: only such as every proxy before the broker reads alike."""

from hero_broker.core.errors import InvalidRequest

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 100
WATCHED = frozenset({b"host", b"transfer-encoding", b"expect"})
VERSIONS = ("1.1", "1.0")


class Head:
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
            self._encoding = value.lower()

    def check(self, target: bytes, version: str, *, is_upgrade: bool) -> None:
        """Return if a request with this head is read.

        Raises:
            InvalidRequest: two readers could take it for different requests.
        """
        if version not in VERSIONS:
            raise unreadable("HTTP/1.1 is spoken here.")
        if is_upgrade:  # the parser would take the body for what follows the request
            raise unreadable("No other protocol is spoken here: CONNECT and Upgrade are refused.")
        if target[:1] != b"/" or b"#" in target:
            raise unreadable("The target must be a path, with a query or without.")
        if self._hosts > 1 or (version == "1.1" and not self._hosts):
            raise unreadable("There must be one Host.")
        if self._encoding is not None and (version != "1.1" or self._encoding != b"chunked"):
            raise unreadable("The only transfer encoding is chunked, with HTTP/1.1.")


def unreadable(reason: str) -> InvalidRequest:
    """Return the refusal of what is no request."""
    return InvalidRequest(f"The request cannot be read. {reason}", code="unreadable_request")
