"""Converts parameters, and checks what the contract's schemas cannot express."""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from hero_broker.core.addresses import UNKNOWN, canonical_ip, parse_network
from hero_broker.core.errors import InvalidParams
from hero_broker.core.labels import canonical_target
from hero_broker.core.money import MAX_EXACT_DIGITS, exact_decimal
from hero_broker.core.queries import Dimension, Filter, Network

_MONTH = re.compile("([1-9][0-9]{3})-(0[1-9]|1[0-2])")
PRICED = "priced"  # the other value of `filter.cost` is "unpriced"
LATEST_S = 253_370_764_800  # the beginning of the year 9999; in milliseconds, a day of 1978


def check_window(since: int | None, until: int | None, *, is_frozen: bool = False) -> None:
    """Refuse a window that ends before it begins, or that is not in seconds; a cursor's `is_frozen` and may end late.

    Raises:
        InvalidParams: `since` is later than `until`, or one of them is later than the year 9998.
    """
    for name, at in (("since", since), ("until", until)):
        if at is not None and at > LATEST_S and not is_frozen:
            raise InvalidParams(name, "must be unix time in seconds, not in milliseconds, before the year 9999")
    if since is not None and until is not None and since > until:
        raise InvalidParams("since", "must not be later than until")


def parse_address(text: str, param: str = "ip", prefix: str = "") -> str:
    """Return an address in the spelling under which it is billed.

    Raises:
        InvalidParams: the string is not an IP address.
    """
    try:
        return text if text == UNKNOWN else canonical_ip(text)
    except ValueError as error:
        raise InvalidParams(param, f'{prefix}must be an IPv4 or IPv6 address, or "unknown"') from error


def parse_zone(name: str | None) -> ZoneInfo:
    """Return an IANA time zone; UTC for None.

    Raises:
        InvalidParams: no time zone has this name.
    """
    try:
        return ZoneInfo("UTC" if name is None else name)
    except (KeyError, ValueError, OSError) as error:  # a directory's name is an OSError
        raise InvalidParams("tz", "must be an IANA time zone, such as Europe/Berlin") from error


def parse_filter(members: Mapping[str, Any] | None) -> Filter:
    """Return the filter of a query.

    Raises:
        InvalidParams: the address or the prefix is malformed.
    """
    values = {name: value for name, value in (members or {}).items() if value is not None}
    prefix, period, cost = (values.pop(name, None) for name in ("prefix", "period", "cost"))
    if "ip" in values:
        values["ip"] = parse_address(values["ip"], "filter", "ip: ")
    dimensions = {Dimension(name): value for name, value in values.items()}
    return Filter(
        values=dimensions,
        prefix=None if prefix is None else _parse_network(prefix),
        period=period,
        is_priced=None if cost is None else cost == PRICED,
    )


def _parse_network(text: str) -> Network:
    try:
        return parse_network(text)
    except ValueError as error:
        reason = "prefix: must be a network without host bits, such as 192.0.2.0/24 or 2001:db8::/32"
        raise InvalidParams("filter", reason) from error


def parse_name(param: str, text: str) -> str:
    """Return a name that the operator gives: a billing period's, or a label.

    Raises:
        InvalidParams: the name begins or ends with a space, or is not printable.
    """
    if text != text.strip() or not text.isprintable():
        raise InvalidParams(param, "must be printable, without spaces at its ends")
    return text


def check_month_end(reference: str, until: int, zone: ZoneInfo) -> None:
    """Refuse to close under the name of a month what does not end with that month.

    Raises:
        InvalidParams: `reference` has the form of a month, and `until` is not the end of that month in `zone`.
    """
    month = _MONTH.fullmatch(reference)
    if month is None:
        return
    year, number = int(month[1]), int(month[2])
    end = int(datetime(year + number // 12, number % 12 + 1, 1, tzinfo=zone).timestamp())
    if until != end:
        reason = f"must be {end}, the end of {reference} in {zone.key}; close another time under a name of another form"
        raise InvalidParams("until", reason)


def parse_amount(amount: float) -> Decimal:
    """Return an amount of money, tokens or requests.

    Raises:
        InvalidParams: it has more digits than a JSON number keeps.
    """
    try:
        return exact_decimal(repr(amount))
    except ValueError as error:
        raise InvalidParams("amount", f"must be a number of at most {MAX_EXACT_DIGITS} digits") from error


def parse_target(text: str) -> str:
    """Return a label's target in its canonical spelling.

    Raises:
        InvalidParams: the target is neither an address nor a network.
    """
    try:
        return canonical_target(text)
    except ValueError as error:
        raise InvalidParams(
            "target",
            'must be an address, a network without host bits such as 192.0.2.0/24 or 2001:db8::/32, or "unknown"',
        ) from error
