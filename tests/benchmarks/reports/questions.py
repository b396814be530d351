"""The queries of every candidate, and the plain SQL that answers them."""

from dataclasses import dataclass
from typing import Final

from tests.benchmarks.reports.rows import DAY_S
from tests.benchmarks.reports.windows import Window

PAGE = 10_000  # addresses

# A group and its sums: requests, failed, estimated and unpriced ones, input and output tokens, cost, first and last
# `started_at`.
Line = tuple[str, int, int, int, int, int, int, int, int, int]
COST: Final = 7

_SUMS = """
    count(*),
    count(*) FILTER (WHERE outcome IN ('provider_error', 'interrupted', 'internal_error')),
    count(*) FILTER (WHERE usage_source = 'estimated'),
    count(*) - count(cost_nano_usd),
    coalesce(sum(input_tokens), 0),
    coalesce(sum(output_tokens), 0),
    coalesce(sum(cost_nano_usd), 0) AS cost,
    min(started_at),
    max(started_at)
"""


@dataclass(frozen=True, slots=True)
class ByIp:
    """Who spent most."""

    window: Window
    limit: int = PAGE


@dataclass(frozen=True, slots=True)
class ForIp:
    """One address by model."""

    ip: str
    window: Window


@dataclass(frozen=True, slots=True)
class By:
    """Everything by one column, or by day (UTC)."""

    column: str
    window: Window


DAY = "day"
Question = ByIp | ForIp | By


def sql(question: Question, collation: str = "") -> str:
    """Return the question as one GROUP BY over the rows, largest cost first; texts are ordered by their bytes."""
    limit = f" LIMIT {question.limit}" if isinstance(question, ByIp) else ""
    key = _key(question)
    order = f"ORDER BY cost DESC, {key}{collation}{limit}"
    return f"SELECT {key}, {_SUMS} FROM request_logs{_where(question)} GROUP BY {key} {order}"


def _key(question: Question) -> str:
    match question:
        case ByIp():
            return "ip"
        case ForIp():
            return "model"
        case By():
            return f"CAST(started_at - started_at % {DAY_S} AS VARCHAR)" if question.column == DAY else question.column


def _where(question: Question) -> str:
    window = question.window
    bounds = [f"ip = '{question.ip}'"] if isinstance(question, ForIp) else []
    if window.since is not None:
        bounds.append(f"started_at >= {window.since}")
    if window.until is not None:
        bounds.append(f"started_at < {window.until}")
    return f" WHERE {' AND '.join(bounds)}" if bounds else ""
