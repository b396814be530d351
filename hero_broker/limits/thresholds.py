"""Warns once in each window when so much of a budget is spent that one of its thresholds is reached."""

import logging
from collections.abc import Iterable
from decimal import Decimal

from hero_broker.limits.counters import NEVER, BudgetCounter, LimitCounters, WindowSum
from hero_broker.limits.limit import Limit
from hero_broker.limits.refusals import amount_text, subject_text

log = logging.getLogger(__name__)


def warn(counter: BudgetCounter, window: WindowSum, now: int) -> None:
    """Log the thresholds that are reached since the last warning, if the window has the present time.

    Call it when `spent` is `warns_at` or more, and when the amount of the counter has changed.
    """
    if not window.begins <= now < window.ends:
        return
    of, thresholds = counter.of, counter.of.limit.warn_at
    for threshold in thresholds[window.warned :]:
        if window.spent < counter.part(threshold):
            break
        window.warned += 1
        of.warned += 1
        log.warning("limits: %s", _reached(of.limit, counter, window, threshold))
    rest = thresholds[window.warned :]
    window.warns_at = counter.part(rest[0]) if rest else NEVER


def warn_all(limits: Iterable[LimitCounters], now: int) -> None:
    """Do so for all counters of these limits."""
    for one in limits:
        for counter in one.counters() if one.limit.warn_at else ():
            if isinstance(counter, BudgetCounter):
                warn(counter, counter.at(now), now)


def percent(threshold: Decimal) -> str:
    """Return a threshold as people write it: `80 %`."""
    return f"{(threshold * 100).normalize():f} %"


def _reached(limit: Limit, counter: BudgetCounter, window: WindowSum, threshold: Decimal) -> str:
    who = subject_text(limit, counter) or "all together"
    spent, amount = amount_text(limit, window.spent), amount_text(limit, counter.amount)
    return f"{limit.name}: {percent(threshold)} is reached for {who}, with {spent} of {amount} spent"
