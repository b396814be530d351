"""Second readers of addresses and of the headers that name them, written otherwise than the program's.

`hero_broker` reads by `ipaddress` and regular expressions, from the right. Here the operating system reads addresses,
and lists are read one character at a time: `from_left` by the grammar of RFC 7239, for lines that are whole, and
`from_right` by an automaton, for any line.
"""

import socket
from collections.abc import Sequence

BLANK = " \t"
TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
NEVER_PLAIN = frozenset(' \t\r\n\f\v",;=\\')  # in a value without quotes
DIGITS = frozenset("0123456789")
OBFUSCATED = TOKEN - frozenset("!#$%&'*+^`|~")
MAPPED = b"\0" * 10 + b"\xff\xff"

Pairs = list[tuple[str, str]]


class Malformed(Exception):
    """The text is not of the grammar."""


def address_bytes(text: str) -> bytes | None:
    """Return the 16 bytes of an address, IPv4 as mapped; None if `text` is none."""
    if ":" in text:  # a zone is whatever stands after the sign
        return _packed(socket.AF_INET6, text.split("%")[0])
    packed = _packed(socket.AF_INET, text)
    return None if packed is None else MAPPED + packed


def network_bits(text: str) -> tuple[bytes, int] | None:
    """Return a network's first address and the length of its prefix, of 128; None if `text` is none."""
    address, slash, length = text.partition("/")
    first = address_bytes(address)
    if first is None:
        return None
    most = 128 if ":" in address else 32
    if slash and not (length and set(length) <= DIGITS and int(length) <= most):
        return None
    bits = (int(length) if slash else most) + 128 - most
    if int.from_bytes(first, "big") & ((1 << (128 - bits)) - 1):
        return None  # a host's bits
    if ":" in address and first.startswith(MAPPED) and bits < 96:
        return None
    return first, bits


def hop_bytes(hop: str) -> bytes | None:
    """Return the 16 bytes of the address of a hop, which may have brackets and a port."""
    text = hop.strip(BLANK)
    if text.startswith("["):
        inside, bracket, rest = text[1:].partition("]")
        if not bracket or "[" in inside or (rest and not (rest[0] == ":" and _is_port(rest[1:]))):
            return None
        return address_bytes(inside)
    if text.count(":") == 1:
        text, _, port = text.partition(":")
        if not _is_port(port):
            return None
    return address_bytes(text)


def from_left(line: str) -> list[Pairs]:
    """Return the elements of a whole `Forwarded`.

    Raises:
        Malformed: the line does not follow the grammar.
    """
    return _Line(line).elements()


class _Line:
    """Recursive descent."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def elements(self) -> list[Pairs]:
        found = [self.element()]
        while self.next_is(","):
            found.append(self.element())
        if self.at < len(self.text):
            raise Malformed
        return found

    def element(self) -> Pairs:
        found: Pairs = []
        while True:
            self.skip_blank()
            if self.at < len(self.text) and self.text[self.at] not in ",;":
                found.append(self.pair())
            self.skip_blank()
            if not self.next_is(";"):
                return found

    def pair(self) -> tuple[str, str]:
        name = ""
        while self.at < len(self.text) and self.text[self.at] in TOKEN:
            name += self.text[self.at]
            self.at += 1
        if not name or not self.next_is("="):
            raise Malformed
        return name, self.quoted() if self.next_is('"') else self.plain()

    def plain(self) -> str:
        begin = self.at
        while self.at < len(self.text) and self.text[self.at] not in NEVER_PLAIN:
            self.at += 1
        if begin == self.at:
            raise Malformed
        return self.text[begin : self.at]

    def quoted(self) -> str:
        found = ""
        while self.at < len(self.text):
            if self.next_is('"'):
                return found
            if self.next_is("\\") and self.at == len(self.text):
                raise Malformed
            found += self.text[self.at]
            self.at += 1
        raise Malformed

    def next_is(self, character: str) -> bool:
        if self.text.startswith(character, self.at):
            self.at += 1
            return True
        return False

    def skip_blank(self) -> None:
        while self.at < len(self.text) and self.text[self.at] in BLANK:
            self.at += 1


def from_right(line: str) -> list[Pairs]:
    """Return the elements of any `Forwarded` from the right, up to the first that is malformed."""
    found: list[Pairs] = []
    at = len(line)
    while True:
        try:
            at, pairs = _last_element(line, at)
        except Malformed:
            return found
        found.append(pairs)
        if at == 0:
            return found
        at -= 1  # the comma


def _last_element(line: str, at: int) -> tuple[int, Pairs]:
    pairs: Pairs = []
    while True:
        at = _before_blank(line, at)
        if at > 0 and line[at - 1] not in ",;":
            at, pair = _last_pair(line, at)
            pairs.insert(0, pair)
            at = _before_blank(line, at)
        if at == 0 or line[at - 1] == ",":
            return at, pairs
        if line[at - 1] != ";":
            raise Malformed
        at -= 1


def _last_pair(line: str, end: int) -> tuple[int, tuple[str, str]]:
    at = end
    if line[at - 1] == '"':
        at = _opening_quote(line, at - 1)
        value, is_escaped = "", False
        for character in line[at + 1 : end - 1]:
            is_escaped = character == "\\" and not is_escaped
            value += "" if is_escaped else character
        if is_escaped:
            raise Malformed  # the closing quote is none
    else:
        while at > 0 and line[at - 1] not in NEVER_PLAIN:
            at -= 1
        value = line[at:end]
    if (not value and at == end) or at == 0 or line[at - 1] != "=":
        raise Malformed
    at -= 1
    name_end = at
    while at > 0 and line[at - 1] in TOKEN:
        at -= 1
    if at == name_end:
        raise Malformed
    return at, (line[at:name_end], value)


def _opening_quote(line: str, closing: int) -> int:
    """Return where the string that closes at `closing` opens: at the next quote to the left that is not escaped."""
    at = closing - 1
    while at >= 0:
        if line[at] == '"':
            before = at
            while before > 0 and line[before - 1] == "\\":
                before -= 1
            if (at - before) % 2 == 0:
                return at
        at -= 1
    raise Malformed


def _before_blank(line: str, at: int) -> int:
    while at > 0 and line[at - 1] in BLANK:
        at -= 1
    return at


def nodes(elements: Sequence[Pairs]) -> list[str | None]:
    """Return the `for` of each element; None if it has no `for`, or two."""
    found = [[value for name, value in pairs if name.lower() == "for"] for pairs in elements]
    return [each[0] if len(each) == 1 else None for each in found]


def plain_hops(lines: Sequence[str]) -> list[str]:
    """Return the hops of `X-Forwarded-For` from the right."""
    found, hop = [], ""
    for character in reversed(",".join(lines)):
        if character == ",":
            found.append(hop)
            hop = ""
        else:
            hop = character + hop
    found.append(hop)
    stripped = [each.strip(BLANK) for each in found]
    return [each[1:-1] if len(each) > 1 and each[:1] == each[-1:] == '"' else each for each in stripped]


def _packed(family: socket.AddressFamily, text: str) -> bytes | None:
    try:
        return socket.inet_pton(family, text)
    except (OSError, ValueError):
        return None


def _is_port(text: str) -> bool:
    if text.startswith("_"):
        return len(text) > 1 and set(text) <= OBFUSCATED
    return 1 <= len(text) <= 5 and set(text) <= DIGITS
