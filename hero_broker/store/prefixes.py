"""Groups addresses by prefix in SQL: the leading bits of `ip_key` as hexadecimal text.

The text is the address family ("4" or "6") and the hexadecimal digits of the prefix, the last one rounded down. It is
empty for callers without an address. `network` parses it.
"""

from ipaddress import IPv4Network, IPv6Network
from typing import Any

from sqlalchemy import ColumnElement, case, func, literal

_MAPPED = "0" * 20 + "F" * 4  # how the hexadecimal key of an IPv4 address begins
_DIGITS = "0123456789ABCDEF"


def prefix_column(dialect: str, ip_key: ColumnElement[Any], lengths: tuple[int, int]) -> ColumnElement[str]:
    """Return the column of a key's prefix; `lengths` are its bits for IPv4 and for IPv6."""
    is_sqlite = dialect == "sqlite"
    digits = func.hex(ip_key) if is_sqlite else func.upper(func.encode(ip_key, "hex"))
    find = func.instr if is_sqlite else func.strpos
    v4, v6 = lengths
    return case(
        (ip_key.is_(None), ""),
        (func.substr(digits, 1, 24) == _MAPPED, _leading("4", find, func.substr(digits, 25), v4)),
        else_=_leading("6", find, digits, v6),
    )


def _leading(family: str, find: Any, digits: ColumnElement[str], bits: int) -> ColumnElement[str]:
    whole, rest = divmod(bits, 4)
    text: ColumnElement[str] = literal(family).concat(func.substr(digits, 1, whole))
    if not rest:
        return text
    mask = 0xF << (4 - rest) & 0xF
    rounded = "".join(_DIGITS[value & mask] for value in range(16))
    return text.concat(func.substr(rounded, find(_DIGITS, func.substr(digits, whole + 1, 1)), 1))


def network(prefix: str, lengths: tuple[int, int]) -> IPv4Network | IPv6Network | None:
    """Parse a prefix into its network; None for the empty prefix."""
    if not prefix:
        return None
    family, digits = prefix[0], prefix[1:]
    if family == "4":
        return IPv4Network((int(digits.ljust(8, "0"), 16), lengths[0]))
    return IPv6Network((int(digits.ljust(32, "0"), 16), lengths[1]))
