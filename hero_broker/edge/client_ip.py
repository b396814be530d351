"""From a connection's peer and its headers to the source IP, once; nothing later decides this again."""

import re
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network

from hero_broker.core.addresses import UNKNOWN, IpAddress, canonical_ip, parse_ip
from hero_broker.core.calls import Caller
from hero_broker.core.errors import InvalidRequest

MAX_CONTEXT_CHARACTERS = 128
FORWARDED_FOR = "x-forwarded-for"
FORWARDED = "forwarded"

# A closed quoted string hides separators. A quote that is never closed does not: whoever sent it would
# otherwise swallow the hop that a proxy appended after it.
_ELEMENT = re.compile(r'(?:"[^"]*"|[^,])+|(?<=,)(?=,|$)|^(?=,|$)')
_PAIR = re.compile(r'(?:"[^"]*"|[^;])+')
_BRACKETED = re.compile(r"\[([^\[\]]*)\](?::\d{1,5})?", re.ASCII)
_WITH_PORT = re.compile(r"([^:]+):\d{1,5}", re.ASCII)


class SourceIp:
    """Decides who is billed: the peer, or the nearest untrusted hop where the peer is a trusted proxy."""

    def __init__(self, trusted: Sequence[IPv4Network | IPv6Network], trust_unix: bool, header: str) -> None:
        name = header.lower()
        if name not in (FORWARDED_FOR, FORWARDED):
            raise ValueError(f"trusted header must be {FORWARDED_FOR!r} or {FORWARDED!r}, not {header!r}")
        self._trusted = tuple(trusted)
        self._trust_unix = trust_unix
        self._header = name.encode()
        self._hops_in = _forwarded_hops if name == FORWARDED else _plain_hops

    def of(self, client: tuple[str, int] | None, headers: Iterable[tuple[bytes, bytes]]) -> Caller:
        """Return the caller of a request; `client` is None on a Unix socket, header names are lower-case.

        Raises:
            InvalidRequest: X-Hero-Context is longer than 128 characters.
            ValueError: `client` has no IP address.
        """
        lines: list[str] = []
        context: str | None = None
        for name, value in headers:
            if name == self._header:
                lines.append(value.decode("latin-1"))
            elif name == b"x-hero-context" and context is None:
                context = _context(value)

        if client is not None and not self._trusted:
            return Caller(ip=canonical_ip(client[0]), peer_ip=None, context=context)
        peer = None if client is None else parse_ip(client[0])
        source = peer
        if self._trust_unix if peer is None else self._is_trusted(peer):
            hops = [hop for line in lines for hop in self._hops_in(line)]
            source = self._nearest_untrusted(peer, hops)
        ip, peer_ip = _text(source), _text(peer)
        return Caller(ip=ip, peer_ip=None if peer_ip == ip else peer_ip, context=context)

    def _nearest_untrusted(self, peer: IpAddress | None, hops: Sequence[str]) -> IpAddress | None:
        nearest = peer
        for hop in reversed(hops):
            try:
                nearest = _hop_address(hop)
            except ValueError:
                break  # what stands left of a malformed hop was vouched for by nobody
            if not self._is_trusted(nearest):
                break
        return nearest

    def _is_trusted(self, address: IpAddress) -> bool:
        return any(address in network for network in self._trusted)


def _text(address: IpAddress | None) -> str:
    return UNKNOWN if address is None else str(address)


def _context(value: bytes) -> str | None:
    decoded = value.decode("utf-8", "replace").strip()
    text = "".join(one if one.isprintable() else "\ufffd" for one in decoded)  # PostgreSQL takes no NUL
    if len(text) > MAX_CONTEXT_CHARACTERS:
        raise InvalidRequest(
            f"X-Hero-Context is longer than {MAX_CONTEXT_CHARACTERS} characters.", param="X-Hero-Context"
        )
    return text or None


def _plain_hops(line: str) -> Iterator[str]:
    yield from line.split(",")


def _forwarded_hops(line: str) -> Iterator[str]:
    """Yield the `for` of each element (RFC 7239), "" where it has none."""
    for element in _ELEMENT.findall(line):
        pairs = [pair.partition("=") for pair in _PAIR.findall(element)]
        nodes = [value for name, _, value in pairs if name.strip().lower() == "for"]
        yield nodes[0] if len(nodes) == 1 else ""


def _hop_address(hop: str) -> IpAddress:
    """Return a hop's address, without quotes, brackets and port.

    Raises:
        ValueError: the hop is malformed, or hides its address.
    """
    text = hop.strip()
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1].strip()
    if found := _BRACKETED.fullmatch(text) or _WITH_PORT.fullmatch(text):
        text = found[1]
    return parse_ip(text)
