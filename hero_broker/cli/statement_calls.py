"""Reads the calls of statements: their usage by address and model, and the same usage by day and model."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from hero_broker.admin_plane.errors import CODES
from hero_broker.cli.backend import Backend
from hero_broker.client import QueryFilter, RpcError, methods, models
from hero_broker.client.clients import every_page
from hero_broker.client.methods import Dimension
from hero_broker.core.addresses import UNKNOWN
from hero_broker.core.errors import TooWide
from hero_broker.core.records import UsageTotals
from hero_broker.dashboard.statement import StatementDay, StatementLine
from hero_broker.reports.totals import sum_totals

MAX_READINGS = 5  # of calls that change while they are read


class UnequalSums(Exception):
    """The usage by address and the usage by day have different sums."""


@dataclass(frozen=True, slots=True)
class CallSelection:
    """Which calls are read, and how."""

    zone: ZoneInfo  # of days
    filter: QueryFilter
    since: int | None = None  # unix seconds, UTC; included
    until: int | None = None  # not included
    by_label: bool = False  # whether each label has a statement of its own


@dataclass(frozen=True, slots=True)
class StatementCalls:
    """What the calls of one statement used."""

    lines: tuple[StatementLine, ...]
    days: tuple[StatementDay, ...] | None  # None if the calls are too many to add up by day


def read_calls(backend: Backend, selection: CallSelection) -> tuple[list[StatementCalls], str]:
    """Return the calls of each statement in the order of labels, and whose labels they have, as `UsageReport.labels`.

    The lines and the days are two queries, because their product may be millions of cells. Calls may be recorded and
    labels may change between the two: both are sent again until their sums are equal.

    Raises:
        UnequalSums: the sums differ in each of `MAX_READINGS` readings, or in the first one of a period's lines, which
            never change.
    """
    for _ in range(MAX_READINGS):
        lines, labels = _read_lines(backend, selection)
        days = _read_days(backend, selection)
        if days is None:
            return [StatementCalls(tuple(lines[label]), None) for label in sorted(lines)], labels
        if _sums(lines) == _sums(days):
            return [StatementCalls(tuple(lines[label]), tuple(days[label])) for label in sorted(lines)], labels
        if labels == "close":
            break
    raise UnequalSums


def _sums(usage: dict[str, list[StatementLine]] | dict[str, list[StatementDay]]) -> dict[str, UsageTotals]:
    return {label: sum_totals([one.totals for one in some]) for label, some in usage.items()}


def _read_lines(backend: Backend, selection: CallSelection) -> tuple[dict[str, list[StatementLine]], str]:
    """Return the usage by address and model for each label, for "" if all have one statement; and whose labels."""
    query = methods.usage(["ip", "model"], selection.since, selection.until, filter=selection.filter or None)
    lines: defaultdict[str, list[StatementLine]] = defaultdict(list)
    labels = ""
    for page in every_page(backend.call, query):
        labels = page.labels
        for group in page.data:
            line = StatementLine(group.group["ip"] or UNKNOWN, group.label, _model(group), _totals(group))
            lines[(line.label or "") if selection.by_label else ""].append(line)
    return lines, labels


def _read_days(backend: Backend, selection: CallSelection) -> dict[str, list[StatementDay]] | None:
    """Return the usage by day and model for each label, as `_read_lines`; None if the query is too wide."""
    by: list[Dimension] = ["label", "model"] if selection.by_label else ["model"]
    zone = selection.zone
    query = methods.usage(by, selection.since, selection.until, "day", zone.key, selection.filter or None)
    days: defaultdict[str, list[StatementDay]] = defaultdict(list)
    try:
        for page in every_page(backend.call, query):
            for group in page.data:
                day = datetime.fromtimestamp(group.bucket_start or 0, zone).date()
                days[group.group.get("label") or ""].append(StatementDay(day, _model(group), _totals(group)))
    except RpcError as error:
        if error.code == CODES[TooWide].rpc:
            return None
        raise
    return days


def _model(group: models.UsageGroup) -> str:
    return group.group["model"] or "-"


def _totals(group: models.UsageGroup) -> UsageTotals:
    counts = {name: getattr(group, name) for name in UsageTotals.__struct_fields__ if name != "cost_nano_usd"}
    return UsageTotals(**counts, cost_nano_usd=int(group.total_cost_nano_usd))
