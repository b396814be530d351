"""One caller, one spelling: addresses in canonical form."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

UNKNOWN = "unknown"  # a caller on a Unix socket

IpAddress = IPv4Address | IPv6Address


def parse_ip(text: str) -> IpAddress:
    """Return the address that `text` spells, without zone id, IPv4-mapped IPv6 as IPv4.

    Raises:
        ValueError: `text` is no address.
    """
    before_zone = text.partition("%")[0]
    address = ip_address(before_zone if ":" in before_zone else text)  # IPv4 has no zones
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """Return the network that `text` spells.

    Raises:
        ValueError: `text` is no network, has host bits, or a zone id, without which it would be another network.
    """
    if "%" in text:
        raise ValueError(f"{text!r} has a zone id")
    return ip_network(text)


@lru_cache(maxsize=4096)
def canonical_ip(text: str) -> str:
    """Return the one spelling under which an address is stored and looked up (RFC 5952).

    Raises:
        ValueError: `text` is no address.
    """
    return str(parse_ip(text))


@lru_cache(maxsize=4096)
def ip_key(ip: str) -> bytes | None:
    """Return 16 bytes that order addresses by prefix, IPv4 as mapped; None for "unknown"."""
    if ip == UNKNOWN:
        return None
    return _key(parse_ip(ip))


def key_range(network: IPv4Network | IPv6Network) -> tuple[bytes, bytes]:
    """Return the keys of a network's first and last address; every other lies between."""
    first, last = network.network_address, network.broadcast_address
    return _key(first), _key(last)


def _key(address: IpAddress) -> bytes:
    return b"\0" * 10 + b"\xff\xff" + address.packed if isinstance(address, IPv4Address) else address.packed
