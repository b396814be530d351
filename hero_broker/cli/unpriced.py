"""Names the models whose calls have no known price, and the command that lists the calls."""

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from hero_broker.admin_plane.errors import CODES
from hero_broker.cli.backend import Backend
from hero_broker.cli.notices import counted
from hero_broker.cli.report_view import BillView
from hero_broker.client import Query, RpcError, methods
from hero_broker.core.errors import TooWide

MAX_MODELS = 5


def unpriced_models(backend: Backend, query: Query[Any], bill: BillView) -> Counter[str]:
    """Return the models of a bill's calls without a known price, each with the number of these calls.

    Empty if there are none, or if the broker cannot group the calls by model: the window is too wide for that.
    """
    if not bill.totals.unpriced_requests:
        return Counter()
    if "model" in bill.dimensions and not bill.more:
        at = bill.dimensions.index("model")
        return _counter((line.names[at], line.totals.unpriced_requests) for line in bill.lines)
    window = query.params.get("since"), query.params.get("until")
    try:
        report = backend.call(methods.usage(["model"], *window, filter=query.params.get("filter")))
    except RpcError as error:
        if error.code == CODES[TooWide].rpc:
            return Counter()
        raise
    return _counter((item.group["model"], item.unpriced_requests) for item in report.data)


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


def command_that_lists(options: Sequence[tuple[str, str | None]]) -> str:
    """Return the command that lists the calls without a known price, with those of the options that have a value."""
    words = ["hero-broker", "requests", "--where", "cost=unpriced"]
    for option, value in options:
        words += [] if value is None else [option, value]
    return shlex.join(words)
