"""Tells which calls of a bill have no known price or an estimated usage, and the command that lists them."""

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, cast

from hero_broker.admin_plane.errors import CODES
from hero_broker.cli.backend import Backend
from hero_broker.cli.notices import counted
from hero_broker.cli.report_view import BillView
from hero_broker.client import Query, QueryFilter, RpcError, methods, models
from hero_broker.client.methods import Dimension
from hero_broker.core.errors import TooWide

MAX_MODELS = 5
MAX_READ = 100_000  # calls that are read one by one for a hint; more would take seconds


def unpriced_models(backend: Backend, query: Query[Any], bill: BillView) -> Counter[str]:
    """Return the models of a bill's calls without a known price, each with the number of these calls.

    Empty if there are none, or if the broker cannot group the calls by model: the window is too wide for that.
    """
    if not bill.totals.unpriced_requests:
        return Counter()
    if "model" in bill.dimensions and not bill.more:
        at = bill.dimensions.index("model")
        return _counter((line.names[at], line.totals.unpriced_requests) for line in bill.lines)
    report = _ask(backend, query, ["model"], _filter_of(query))
    return Counter() if report is None else _counter((one.group["model"], one.unpriced_requests) for one in report.data)


def estimated_usd(backend: Backend, query: Query[Any], bill: BillView) -> Decimal | None:
    """Return the cost of a bill's calls whose usage is an estimate; None if the broker cannot sum them."""
    if not bill.totals.estimated_requests or bill.totals.requests > MAX_READ:
        return None
    report = _ask(backend, query, [], {**_filter_of(query), "usage_source": "estimated"})
    return None if report is None else report.totals.total_cost_usd


def _filter_of(query: Query[Any]) -> QueryFilter:
    ip: str | None = query.params.get("ip")
    return {"ip": ip} if ip is not None else cast("QueryFilter", query.params.get("filter") or {})


def _ask(
    backend: Backend, query: Query[Any], group_by: list[Dimension], filters: QueryFilter
) -> models.UsageReport | None:
    """Return a report of the window of a query; None if the broker says that the window is too wide for it."""
    window = query.params.get("since"), query.params.get("until")
    try:
        return backend.call(methods.usage(group_by, *window, filter=filters or None))
    except RpcError as error:
        if error.code == CODES[TooWide].rpc:
            return None
        raise


def _counter(pairs: Iterable[tuple[str | None, int]]) -> Counter[str]:
    models: Counter[str] = Counter()
    for model, count in pairs:
        if count:
            models[model or "-"] += count
    return models


def describe(models: Counter[str]) -> str:
    """Return the models with the most calls, such as `a (2 requests), b (1 request)`."""
    named = ", ".join(f"{model} ({counted(count, 'request')})" for model, count in models.most_common(MAX_MODELS))
    others = len(models) - MAX_MODELS
    return f"{named} and {counted(others, 'other model')}" if others > 0 else named


def command_that_lists(condition: str, options: Sequence[tuple[str, str | None]]) -> str:
    """Return the command that lists the calls of a condition, with those of the options that have a value."""
    words = ["hero-broker", "requests", "--where", condition]
    for option, value in options:
        words += [] if value is None else [option, value]
    return shlex.join(words)
