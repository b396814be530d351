"""Warns of limits that bound nobody."""

from collections.abc import Iterator, Sequence
from ipaddress import IPv6Network, ip_network

from hero_broker.core.addresses import UNKNOWN
from hero_broker.core.labels import Network
from hero_broker.limits.limit import CONCURRENT, ENFORCE, Limit, LimitMatch, network_text

# A machine in such a network can take a new address for each call: privacy addresses are of a /64, and in an overlay
# such as Mycelium a new key is a new address.
_FREE_ADDRESSES_BITS = 64
_OF_ONE_LINK = ip_network("fe80::/10")  # addresses that only neighbours have


def doubts_about(
    limits: Sequence[Limit], allowed_clients: Sequence[Network], max_calls: int, max_calls_per_address: int
) -> Iterator[str]:
    """Yield a sentence for each limit that no call can reach, or that a caller evades with another address."""
    for limit in limits:
        places = _places(limit, allowed_clients)
        if not places and limit.match.ip != UNKNOWN:
            yield f"limits.{limit.name}: no address that may call is in its match, so the limit bounds nobody"
            continue
        for one in limit.match.excepted:
            if not any(_inner(one, place) for place in places):
                yield f"limits.{limit.name}: no call comes from {network_text(one)}, so the exception does nothing"
        key, bound = "max_calls", max_calls
        if limit.is_own and max_calls_per_address < max_calls:
            key, bound = "max_calls_per_address", max_calls_per_address
        if limit.unit == CONCURRENT and limit.amount >= bound:
            yield f"limits.{limit.name}: server.{key} is {bound}, so the limit is never reached"
        free = [place for place in places if _has_free_addresses(place)]
        if {"ip", "prefix"} & set(limit.per) and free and not any(_is_pool(other, limit) for other in limits):
            yield (
                f"limits.{limit.name}: addresses of {' and '.join(map(str, free))} cost nothing, and each new one has "
                f"a counter of its own; add a limit without per for the network beside it"
            )


def _places(limit: Limit, allowed_clients: Sequence[Network]) -> list[Network]:
    """Return the networks from which calls can come that a limit counts; empty if there are none."""
    match = limit.match
    own = ip_network(match.ip) if match.ip not in (None, UNKNOWN) else match.network
    if own is None:
        return [place for place in allowed_clients if not _is_excepted(place, match)]
    inner = (_inner(own, allowed) for allowed in allowed_clients)
    return [place for place in dict.fromkeys(inner) if place is not None and not _is_excepted(place, match)]


def _is_excepted(place: Network, match: LimitMatch) -> bool:
    """Return whether a limit counts no call from a network."""
    return any(_inner(place, one) == place for one in match.excepted)


def _inner(one: Network, other: Network) -> Network | None:
    """Return the smaller of two networks if they overlap."""
    if one.version != other.version or not one.overlaps(other):
        return None
    return one if one.prefixlen >= other.prefixlen else other


def _has_free_addresses(network: Network) -> bool:
    is_wide = isinstance(network, IPv6Network) and network.prefixlen <= _FREE_ADDRESSES_BITS
    return is_wide and not network.subnet_of(_OF_ONE_LINK)  # type: ignore[arg-type]


def _is_pool(other: Limit, limit: Limit) -> bool:
    """Return whether `other` bounds all callers of `limit` together, in the same unit."""
    if other.unit != limit.unit or other.mode != ENFORCE or {"ip", "prefix", "context"} & set(other.per):
        return False
    wide, narrow = other.match, limit.match
    if any(
        not _is_excepted(one, narrow) and (narrow.network is None or _inner(one, narrow.network) is not None)
        for one in wide.excepted
    ):
        return False
    is_around = wide.network is None or (
        narrow.network is not None and _inner(wide.network, narrow.network) == narrow.network
    )
    names = ("label", "context", "model", "provider", "kind")
    return wide.ip is None and is_around and all(getattr(wide, name) in (None, getattr(narrow, name)) for name in names)
