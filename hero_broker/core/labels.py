"""Labels of addresses and networks; the longest prefix wins."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import NamedTuple

from hero_broker.core.addresses import UNKNOWN, canonical_ip, key_range, parse_ip, parse_network

Network = IPv4Network | IPv6Network

MAX_LABEL_CHARACTERS = 100

_MAPPED_BITS = 96  # of ::ffff:0:0/96, which holds the IPv4 addresses
_KEY_BYTES = 16

_Span = tuple[int, int, str | None]  # the first and the last key of a network as integers, and its label
_END: _Span = (2 ** (8 * _KEY_BYTES), 2 ** (8 * _KEY_BYTES), None)  # after the last key


@dataclass(frozen=True, slots=True)
class Label:
    """The operator's name for an address, a network, or "unknown"."""

    target: str  # in canonical form
    label: str
    set_at: int  # unix seconds, UTC


@dataclass(frozen=True, slots=True)
class LabelChanges:
    """What setting many labels changed."""

    added: tuple[Label, ...]
    changed: tuple[tuple[Label, str], ...]  # each with the label before
    unchanged: tuple[Label, ...]


class LabelRange(NamedTuple):
    """Neighbouring addresses with one label."""

    first: bytes  # the `ip_key` of the first address
    last: bytes  # and of the last
    label: str


def canonical_target(text: str) -> str:
    """Return the canonical text of an address, of a network without host bits, or of "unknown".

    A network of one address becomes that address; an IPv4-mapped network becomes an IPv4 network.

    Raises:
        ValueError: `text` is not an address, a network or "unknown".
    """
    if text == UNKNOWN:
        return text
    return canonical_ip(text) if "/" not in text else _format_network(_unmapped(parse_network(text)))


def around(target: str) -> tuple[str, ...]:
    """Return a canonical target and all networks that contain it, the smallest first, in canonical form."""
    if target == UNKNOWN:
        return (target,)
    network = ip_network(target)
    return tuple(_format_network(network.supernet(new_prefix=bits)) for bits in range(network.prefixlen, -1, -1))


class LabelIndex:
    """An index of labels by address and network."""

    def __init__(self, labels: Iterable[tuple[str, str]]) -> None:
        """Take pairs of a canonical target and its label."""
        self._exact = dict(labels)
        self._networks = {_key(ip_network(target)): label for target, label in self._exact.items() if target != UNKNOWN}
        # The prefix lengths that occur, the longest first; a lookup tries only these.
        self._lengths = {
            version: sorted({bits for of, bits, _ in self._networks if of == version}, reverse=True)
            for version in (4, 6)
        }

    def lookup(self, ip: str) -> str | None:
        """Return the label of an address in canonical form, or of "unknown"; None if it has no label."""
        exact = self._exact.get(ip)
        if exact is not None or ip == UNKNOWN or not self._networks:
            return exact
        address = parse_ip(ip)
        return self._longest(address.version, address.max_prefixlen, int(address), address.max_prefixlen)

    def lookup_network(self, network: Network | None) -> str | None:
        """Return the label of the smallest network that contains `network`; a `network` of None means "unknown"."""
        if network is None:
            return self._exact.get(UNKNOWN)
        number = int(network.network_address)
        return self._longest(network.version, network.max_prefixlen, number, network.prefixlen)

    @cached_property
    def ranges(self) -> tuple[LabelRange, ...]:
        """The ranges of addresses that have a label, ascending, without overlap; "unknown" is in none of them."""
        # The keys of IPv4 addresses are those of ::ffff:0:0/96, but no IPv6 network gives them its label.
        every_ipv4: _Span = (*_bounds(IPv4Network("0.0.0.0/0")), None)
        networks = ((ip_network(target), label) for target, label in self._exact.items() if target != UNKNOWN)
        return tuple(_innermost([every_ipv4, *((*_bounds(network), label) for network, label in networks)]))

    def _longest(self, version: int, width: int, number: int, at_most: int) -> str | None:
        for bits in self._lengths[version]:
            label = self._networks.get((version, bits, number >> (width - bits))) if bits <= at_most else None
            if label is not None:
                return label
        return None


def _innermost(spans: Iterable[_Span]) -> Iterator[LabelRange]:
    """Yield the ranges in which the innermost of nested spans has a label; of two equal spans, the later is inner."""
    around_here: list[_Span] = []
    at = 0  # all keys below it are done
    for span in [*sorted(spans, key=lambda one: (one[0], -one[1])), _END]:
        while around_here and around_here[-1][1] < span[0]:
            _, last, label = around_here.pop()
            yield from _range(at, last, label)
            at = max(at, last + 1)
        if around_here:
            yield from _range(at, span[0] - 1, around_here[-1][2])
        at = span[0]
        around_here.append(span)


def _range(first: int, last: int, label: str | None) -> Iterator[LabelRange]:
    if label is not None and first <= last:
        yield LabelRange(first.to_bytes(_KEY_BYTES), last.to_bytes(_KEY_BYTES), label)


def _bounds(network: Network) -> tuple[int, int]:
    first, last = key_range(network)
    return int.from_bytes(first), int.from_bytes(last)


def order(target: str) -> tuple[int, int, int]:
    """Return a sort key: IPv4, IPv6, "unknown"; by address within a family, and a wider network first."""
    if target == UNKNOWN:
        return (9, 0, 0)
    network = ip_network(target)
    return (network.version, int(network.network_address), network.prefixlen)


def _key(network: Network) -> tuple[int, int, int]:
    return network.version, network.prefixlen, int(network.network_address) >> network.max_prefixlen - network.prefixlen


def _format_network(network: Network) -> str:
    return str(network if network.prefixlen < network.max_prefixlen else network.network_address)


def _unmapped(network: Network) -> Network:
    first = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if first is None or network.prefixlen < _MAPPED_BITS:
        return network
    return IPv4Network((int(first), network.prefixlen - _MAPPED_BITS))
