"""Parses IP addresses and networks, and writes them in canonical form."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

UNKNOWN = "unknown"  # a caller on a Unix socket

IpAddress = IPv4Address | IPv6Address


def parse_ip(text: str) -> IpAddress:
    """Parse an address. Drops a zone id; returns IPv4 for an IPv4-mapped IPv6 address.

    Raises:
        ValueError: `text` is not an address.
    """
    before_zone = text.partition("%")[0]
    address = ip_address(before_zone if ":" in before_zone else text)  # IPv4 has no zones
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """Parse a network in CIDR notation.

    Raises:
        ValueError: `text` is not a network, or has host bits or a zone id (dropping that would change the network).
    """
    if "%" in text:
        raise ValueError(f"{text!r} has a zone id")
    return ip_network(text)


@lru_cache(maxsize=4096)
def canonical_ip(text: str) -> str:
    """Return the canonical text of an address (RFC 5952), under which it is stored and looked up.

    Raises:
        ValueError: `text` is not an address.
    """
    return str(parse_ip(text))


@lru_cache(maxsize=4096)
def ip_key(ip: str) -> bytes | None:
    """Return 16 bytes that sort addresses by prefix, with IPv4 as IPv4-mapped; None for "unknown"."""
    if ip == UNKNOWN:
        return None
    return _key(parse_ip(ip))


def key_range(network: IPv4Network | IPv6Network) -> tuple[bytes, bytes]:
    """Return the keys of a network's first and last address; all its other addresses have keys between them."""
    first, last = network.network_address, network.broadcast_address
    return _key(first), _key(last)


def _key(address: IpAddress) -> bytes:
    return b"\0" * 10 + b"\xff\xff" + address.packed if isinstance(address, IPv4Address) else address.packed
