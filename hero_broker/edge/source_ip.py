"""Decides a request's source IP from its peer and headers; nothing later decides it again."""

import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network

from hero_broker.core.addresses import UNKNOWN, IpAddress, canonical_ip, parse_ip
from hero_broker.core.calls import Caller
from hero_broker.core.errors import InvalidRequest
from hero_broker.util.once_per_minute import OncePerMinute

MAX_CONTEXT_CHARACTERS = 128
FORWARDED_FOR = "x-forwarded-for"
FORWARDED = "forwarded"
REAL_IP = "x-real-ip"
PROBES = "/health/"  # a proxy requests these for itself, without the header

# Headers in which proxies name their client. Warnings list those that came.
_ADDRESS_HEADERS = frozenset(
    {
        FORWARDED_FOR.encode(),
        FORWARDED.encode(),
        REAL_IP.encode(),
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"true-client-ip",
        b"cf-connecting-ip",
    }
)
_CONTEXT = b"x-hero-context"
_OF_INTEREST = _ADDRESS_HEADERS | {_CONTEXT}  # one look-up per header is quicker than two comparisons

# RFC 7239, section 4, read backwards: one element up to the comma before it. In a quoted string, a quote after an odd
# number of backslashes is escaped. Unquoted values may contain colons and brackets, because some proxies do not quote
# them as the RFC demands. The quantifiers are possessive, so a long header is read in linear time.
_TOKEN = r"[\w!#$%&'*+\-.^`|~]++"  # noqa: S105  # HTTP's token
_PLAIN = r'[^\s"\\,;=]++'
_QUOTED = r'"(?:\\\\)*+(?:[^"\\]\\*+|"\\(?:\\\\)*+)*+"'
_OPTIONAL_PAIR = rf"(?:(?:{_QUOTED}|{_PLAIN})={_TOKEN})?+"
_ELEMENT_BACKWARDS = re.compile(
    rf"([ \t]*+{_OPTIONAL_PAIR}(?:[ \t]*+;[ \t]*+{_OPTIONAL_PAIR})*+[ \t]*+)(,|\Z)", re.ASCII
)
_PAIR = re.compile(rf'({_TOKEN})=("(?:[^"\\]|\\.)*+"|{_PLAIN})', re.ASCII)
_ESCAPED = re.compile(r"\\(.)")
_BRACKETED = re.compile(r"\[([^\[\]]*)\](?::(?:\d{1,5}|_[\w.-]+))?", re.ASCII)
_WITH_PORT = re.compile(r"([^:]+):(?:\d{1,5}|_[\w.-]+)", re.ASCII)

log = logging.getLogger(__name__)


class SourceIp:
    """Decides who is billed: the peer, or the nearest untrusted hop if the peer is a trusted proxy."""

    def __init__(
        self,
        trusted: Sequence[IPv4Network | IPv6Network],
        trust_unix: bool,
        header: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        name = header.lower()
        if name not in _HOPS_IN:
            raise ValueError(f"the trusted header must be one of {', '.join(_HOPS_IN)}, not {header!r}")
        self._trusted = tuple(trusted)
        self._trust_unix = trust_unix
        self._header = name.encode()
        self._hops_in = _HOPS_IN[name]
        self._warnings = OncePerMinute(clock=clock)

    def resolve(self, client: tuple[str, int] | None, headers: Iterable[tuple[bytes, bytes]], path: str = "") -> Caller:
        """Return the caller of a request. `client` is None on a Unix socket; header names are lower-case.

        Two mistakes of an operator are warned of once a minute: a trusted peer that sends no header naming its client,
        and another peer that sends one. Both are billed themselves.

        Raises:
            InvalidRequest: X-Hero-Context is longer than 128 characters.
            ValueError: `client` has no IP address.
        """
        lines: list[str] = []
        context: str | None = None
        names_an_address = False
        for name, value in headers:
            if name in _OF_INTEREST:
                if name == _CONTEXT:
                    context = _parse_context(value) if context is None else context
                    continue
                names_an_address = True
                if name == self._header:
                    lines.append(value.decode("latin-1"))

        if client is not None and not self._trusted:
            ip = canonical_ip(client[0])
            if names_an_address:
                self._warn_of_untrusted(ip, headers)
            return Caller(ip=ip, peer_ip=None, context=context)
        peer = None if client is None else parse_ip(client[0])
        source = peer
        if self._trust_unix if peer is None else self._is_trusted(peer):
            source = self._nearest_untrusted(peer, self._hops_in(lines))
            if source is peer and not path.startswith(PROBES):
                self._warn_of_trusted(_ip_text(peer), headers)
        elif names_an_address:
            self._warn_of_untrusted(_ip_text(peer), headers)
        ip, peer_ip = _ip_text(source), _ip_text(peer)
        return Caller(ip=ip, peer_ip=None if peer_ip == ip else peer_ip, context=context)

    def _nearest_untrusted(self, peer: IpAddress | None, hops: Iterable[str]) -> IpAddress | None:
        """Return the first untrusted address of `hops`, the last proxy's first; `peer` itself if none is readable."""
        nearest = peer
        for hop in hops:
            try:
                nearest = _hop_address(hop)
            except ValueError:
                break  # no trusted proxy vouches for what is left of a malformed hop
            if not self._is_trusted(nearest):
                break
        return nearest

    def _warn_of_trusted(self, peer: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
        if self._warnings.is_due(peer):
            log.warning(
                "edge: %s is in server.trusted_proxies, but sent no %s that names its client, so it is billed itself;"
                " it sent %s; server.trusted_header names the header that is read",
                _peer_name(peer),
                self._header.decode(),
                _address_headers(headers) or "no other header with an address",
            )

    def _warn_of_untrusted(self, peer: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
        if self._warnings.is_due(peer):
            log.warning(
                "edge: %s sent %s, but is not in server.trusted_proxies, so it is billed itself;"
                " if it is a proxy of yours, add it there, and set server.trusted_header to the header that it sends",
                _peer_name(peer),
                _address_headers(headers),
            )

    def _is_trusted(self, address: IpAddress) -> bool:
        return any(address in network for network in self._trusted)


def _ip_text(address: IpAddress | None) -> str:
    return UNKNOWN if address is None else str(address)


def _peer_name(peer: str) -> str:
    return "a Unix socket" if peer == UNKNOWN else peer


def _address_headers(headers: Iterable[tuple[bytes, bytes]]) -> str:
    return ", ".join(sorted({name.decode("latin-1") for name, _ in headers if name in _ADDRESS_HEADERS}))


def _parse_context(value: bytes) -> str | None:
    decoded = value.decode("utf-8", "replace").strip()
    # PostgreSQL takes no NUL.
    text = "".join(character if character.isprintable() else "\ufffd" for character in decoded)
    if len(text) > MAX_CONTEXT_CHARACTERS:
        raise InvalidRequest(
            f"X-Hero-Context is longer than {MAX_CONTEXT_CHARACTERS} characters.", param="X-Hero-Context"
        )
    return text or None


def _plain_hops(lines: Sequence[str]) -> Iterator[str]:
    """Yield the hops of `X-Forwarded-For` from the right."""
    for line in reversed(lines):
        for part in reversed(line.split(",")):
            hop = part.strip(" \t")
            yield hop[1:-1] if len(hop) >= 2 and hop[0] == hop[-1] == '"' else hop


def _forwarded_hops(lines: Sequence[str]) -> Iterator[str]:
    """Yield the `for` of each element (RFC 7239) from the right, "" if it has none, up to a malformed element.

    The line is read backwards, because a client may leave a quote open. From the left, the first quote that a proxy
    appends would close it. Backwards, nothing to the left of an element can change it.
    """
    backwards = ",".join(lines)[::-1]
    at = 0
    while match := _ELEMENT_BACKWARDS.match(backwards, at):
        nodes = [value for name, value in _PAIR.findall(match[1][::-1]) if name.lower() == "for"]
        yield _unquoted(nodes[0]) if len(nodes) == 1 else ""
        if not match[2]:
            return
        at = match.end()


def _unquoted(value: str) -> str:
    return _ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value


def _only_hop(lines: Sequence[str]) -> Iterator[str]:
    """Yield the address of `X-Real-IP`. Proxies never append to it, so of two lines neither is trusted."""
    if len(lines) == 1:
        yield lines[0]


_HOPS_IN: dict[str, Callable[[Sequence[str]], Iterator[str]]] = {
    FORWARDED_FOR: _plain_hops,
    FORWARDED: _forwarded_hops,
    REAL_IP: _only_hop,
}


def _hop_address(hop: str) -> IpAddress:
    """Return a hop's address, without brackets and port.

    Raises:
        ValueError: the hop is malformed or hides its address.
    """
    text = hop.strip(" \t")
    if match := _BRACKETED.fullmatch(text) or _WITH_PORT.fullmatch(text):
        text = match[1]
    return parse_ip(text)
