"""Queries that reports answer, with all their parameters."""

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Literal
from zoneinfo import ZoneInfo

Bucket = Literal["hour", "day", "week", "month", "quarter"]
Network = IPv4Network | IPv6Network


NO_PERIOD = ""  # as the period of a filter


class Dimension(StrEnum):
    """A field that usage can be grouped and filtered by."""

    IP = "ip"
    PREFIX = "prefix"
    LABEL = "label"
    MODEL = "model"
    PROVIDER = "provider"
    KIND = "kind"
    CONTEXT = "context"
    API_KEY_ID = "api_key_id"
    OUTCOME = "outcome"
    USAGE_SOURCE = "usage_source"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which calls a query includes."""

    # Without PREFIX; an address in canonical form; an empty LABEL means addresses without one.
    values: dict[Dimension, str] = field(default_factory=dict)
    prefix: Network | None = None
    period: str | None = None  # the reference of a billing period; `NO_PERIOD`: calls that are in none yet
    is_priced: bool | None = None  # only calls whose cost is known, or only those whose cost is not


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
    dense: bool = False  # include buckets without calls
    limit: int = 10_000
    is_open: bool = False  # a later page of a query without `until`: this one's `until` is where the first page ended
    # The last group of the page before: its bucket's start (0 without buckets), its cost and its sort key.
    after: tuple[int, int, tuple[str | None, ...]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsQuery:
    """Rows of the ledger, newest first, as they were when the first page was requested."""

    since: int | None = None
    until: int | None = None
    filter: Filter = field(default_factory=Filter)
    limit: int = 100
    left: tuple[int, int] | None = None  # the `seq`s that remain to be listed, half-open; None: all
