"""What can be asked about the ledger."""

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Literal
from zoneinfo import ZoneInfo

Bucket = Literal["hour", "day", "month"]
Network = IPv4Network | IPv6Network


class Dimension(StrEnum):
    """What usage can be grouped and filtered by."""

    IP = "ip"
    PREFIX = "prefix"
    MODEL = "model"
    PROVIDER = "provider"
    KIND = "kind"
    CONTEXT = "context"
    API_KEY_ID = "api_key_id"
    OUTCOME = "outcome"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which calls count."""

    values: dict[Dimension, str] = field(default_factory=dict)  # all but PREFIX; an address in its canonical spelling
    prefix: Network | None = None
    period: str | None = None  # the reference of a billing period


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuery:
    """Usage of a window, by dimensions and buckets of time. The window is half-open: since <= started_at < until."""

    group_by: tuple[Dimension, ...] = ()
    since: int | None = None
    until: int | None = None
    bucket: Bucket | None = None
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    filter: Filter = field(default_factory=Filter)
    prefix_bits: tuple[int, int] = (24, 64)  # of IPv4 and IPv6 addresses
    dense: bool = False  # buckets without calls too
    limit: int = 10_000
    # The last group that was seen: its bucket's start (0 without buckets), its cost and its place in the order.
    after: tuple[int, int, tuple[str | None, ...]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsQuery:
    """Rows of the ledger, newest first, as they stood when the first page was asked for."""

    since: int | None = None
    until: int | None = None
    filter: Filter = field(default_factory=Filter)
    limit: int = 100
    left: tuple[int, int] | None = None  # the `seq`s that are still to be listed, half-open; None: all
