"""Lets an admission know what was spent of its budgets before, and asks what is spent of them."""

import asyncio
from collections.abc import Iterable, Mapping

from hero_broker.core.labels import LabelIndex
from hero_broker.core.limits import LimitState, SubjectState
from hero_broker.limits.admission import Admission
from hero_broker.limits.counters import LimitCounters, Used
from hero_broker.limits.limit import Dimensions
from hero_broker.limits.recount import Spent, windows_at
from hero_broker.limits.states import LimitStates


def know(
    admission: Admission,
    groups: Iterable[tuple[int, Dimensions, Used]] = (),
    labels: LabelIndex | None = None,
    some: Iterable[LimitCounters] | None = None,
) -> None:
    """Recount all budgets, or some: each group has the begin of a window, calls in it, and what they used together."""
    budgets = list(admission.budgets if some is None else some)
    windows = windows_at(budgets, admission.now())
    names = admission.labels if labels is None else labels
    spent: Spent = {}
    for since, found, used in groups:
        call = found._replace(label=None if names is None else names.lookup(found.ip))
        for one in budgets:
            if windows[one][0] == since and one.limit.match.covers(call):
                key = (one, one.limit.subject(call))
                spent[key] = spent.get(key, 0) + used.amount(one.limit.unit)
    for _ in admission.recount(windows, spent, [], labels):
        pass


def subjects_of(
    states: LimitStates, name: str, most: int, values: Mapping[str, str | None]
) -> tuple[LimitState, list[SubjectState]]:
    """Return a limit, and the subjects that have used most of it."""
    return asyncio.run(states.subjects(name, most, values))
