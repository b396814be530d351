"""An event of many megabytes, kept in the pieces in which it came, beside a short JSON that says the same.

The last event of OpenAI's Responses repeats the whole response, with all images in it. To join and parse it would hold
up all other calls, so most of its long strings are left out of what is parsed.
"""

import re

MIN_LONG_BYTES = 256 * 1024  # a shorter event is kept and parsed whole
KEPT_BYTES = 4 * 1024  # the most that one piece adds to the string that goes on in it; the names of members are shorter

# What may be the first part of a character, the rest of which comes with the next piece: some bytes of UTF-8, a part of
# an escape, or the first of two escapes that are one character. A whole character of two or three bytes matches too.
_BROKEN_CHARACTER = re.compile(
    rb"(?:[\xc2-\xf4][\x80-\xbf]{0,2}"
    rb"|\\(?:u(?:[0-9A-Fa-f]{0,3}|[dD][89abAB][0-9A-Fa-f]{2}(?:\\(?:u[0-9A-Fa-f]{0,3})?)?))?)\Z"
)
BROKEN_BYTES = len(rb"\ud83d\ude0")  # the longest of them
_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_STRING_REST = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)


class LongEvent:
    """One event, while its pieces come and after."""

    __slots__ = ("_held", "_in_string", "_outline", "pieces", "size")

    def __init__(self, piece: bytes) -> None:
        """Begin with the first piece of an event, up to the whole of it."""
        self.pieces: list[bytes] = []
        self.size = 0  # bytes
        self._outline: list[bytes] = []
        self._held = b""  # the beginning of a character, at the end of the latest piece
        self._in_string = False  # the next piece goes on with a string
        self.add(piece)

    def add(self, piece: bytes) -> None:
        """Add the next piece; the time that this takes does not depend on those before it."""
        self.pieces.append(piece)
        self.size += len(piece)
        rest = self._held + piece
        whole = _whole_bytes(rest)
        rest, self._held = rest[:whole], rest[whole:]
        if self._in_string:
            end = _string_end(rest)
            if end <= KEPT_BYTES:
                self._outline.append(rest[:end])
            rest = rest[end:]
        if rest:
            self._outline.append(rest)
            quotes = (_ESCAPE.sub(b"", rest) if b"\\" in rest else rest).count(b'"')
            self._in_string ^= quotes % 2 == 1

    def outline(self) -> bytes:
        """Return the event without parts of its long strings; it is the same JSON otherwise, if it is JSON at all."""
        return b"".join([*self._outline, self._held])

    def whole(self) -> bytes:
        """Return the event as it came."""
        return b"".join(self.pieces)

    @property
    def last_bytes(self) -> bytes:
        """The last bytes, at least two if there are as many."""
        return b"".join(self.pieces[-2:])[-2:] if len(self.pieces[-1]) < 2 else self.pieces[-1][-2:]


def _string_end(rest: bytes) -> int:
    """Return where the string ends that `rest` goes on with: at its quote, or at the end of `rest`."""
    quote = rest.find(b'"')
    if quote == -1 or b"\\" not in rest:
        return len(rest) if quote == -1 else quote
    match = _STRING_REST.match(rest)
    return 0 if match is None else match.end()


def _whole_bytes(piece: bytes) -> int:
    """Return how many bytes of a piece are whole characters; an escape is one."""
    broken = _BROKEN_CHARACTER.search(piece, max(0, len(piece) - BROKEN_BYTES))
    while broken is not None:
        at = broken.start()
        if piece[at : at + 1] != b"\\" or (at - len(piece[:at].rstrip(b"\\"))) % 2 == 0:
            return at
        broken = _BROKEN_CHARACTER.search(piece, at + 1)  # another escape ends in this backslash
    return len(piece)
