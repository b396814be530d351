"""Reads subjects of limits that operators name, and spells them as counters do."""

from collections.abc import Mapping

from hero_broker.core.addresses import UNKNOWN, canonical_ip, parse_ip, parse_network
from hero_broker.core.errors import InvalidParams
from hero_broker.limits.limit import Limit

_OF_ADDRESS = ("ip", "prefix")
_MAY_LACK = ("label", "context")  # a call may have none


def canonical_subject(limit: Limit, subject: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return a subject of a limit with its values as counters have them, in the order of the limit's `per`.

    A None outside of `per` counts as absent; an empty label is of addresses without one.

    Raises:
        InvalidParams: it has other members than `per`, or a value that no counter can have.
    """
    given = {name for name, value in subject.items() if value is not None or name in limit.per}
    if given != set(limit.per):
        names = f"exactly the members {', '.join(limit.per)}" if limit.per else "no members"
        raise InvalidParams("subject", f"must have {names}, as the limit has counters by them")
    return {name: _canonical(limit, name, subject[name]) for name in limit.per}


def part_of_subject(limit: Limit, values: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return values of a subject with which some counters of a limit are selected, as counters have them.

    None counts as absent; an empty label selects the subjects without one.

    Raises:
        InvalidParams: the limit has no counters by a member, or no counter can have a value.
    """
    given = {name: value for name, value in values.items() if value is not None}
    if not given.keys() <= set(limit.per):
        names = f"members among {', '.join(limit.per)}" if limit.per else "no members"
        raise InvalidParams("subject", f"must have {names}, as the limit has counters by them")
    return {name: _canonical(limit, name, value) for name, value in given.items()}


def may_count(limit: Limit, subject: Mapping[str, str | None]) -> bool:
    """Return whether some calls of a subject, with its values as counters have them, agree with a limit's `match`."""
    match = limit.match
    if not all(getattr(match, name) in (None, value) for name, value in subject.items() if name not in _OF_ADDRESS):
        return False
    if "ip" in subject:
        return match.covers_address(subject["ip"] or UNKNOWN)
    prefix = subject.get("prefix")
    if prefix is None:
        return True
    if prefix == UNKNOWN:
        return match.covers_address(UNKNOWN)
    network = parse_network(prefix)
    if any(network.version == one.version and network.subnet_of(one) for one in match.excepted):  # type: ignore[arg-type]
        return False
    if match.network is not None:
        return network.overlaps(match.network)
    return match.ip is None or (match.ip != UNKNOWN and parse_ip(match.ip) in network)


def _canonical(limit: Limit, name: str, value: str | None) -> str | None:
    if value is None:
        if name not in _MAY_LACK:
            raise InvalidParams("subject", f"{name}: must be a string")
        return None
    if name == "label":
        return value or None
    if value == UNKNOWN or name not in ("ip", "prefix"):
        return value
    try:
        return canonical_ip(value) if name == "ip" else _canonical_prefix(limit, value)
    except ValueError as error:
        forms = {
            "ip": f'an IPv4 or IPv6 address, or "{UNKNOWN}"',
            "prefix": f"a network of /{limit.prefix_v4}, an IPv6 network of /{limit.prefix_v6}, both without host bits"
            f', or "{UNKNOWN}"',
        }
        raise InvalidParams("subject", f"{name}: must be {forms[name]}") from error


def _canonical_prefix(limit: Limit, text: str) -> str:
    """Return a network of the width of a limit's prefixes.

    Raises:
        ValueError: it is not one.
    """
    network = parse_network(text)
    if network.prefixlen != (limit.prefix_v4 if network.version == 4 else limit.prefix_v6):
        raise ValueError(text)
    return str(network)
