"""Replaces what is spent of budgets while calls go on: after a start, and when labels, limits or periods change."""

from collections.abc import Iterator, Mapping, Sequence

from hero_broker.core.labels import LabelIndex
from hero_broker.limits.counters import BudgetCounter, LimitCounters, RowUsage, Subject, used_by
from hero_broker.limits.limit import Dimensions

Spent = dict[tuple[LimitCounters, Subject], int]  # in the units of the limits; money in nano-USD
Windows = Mapping[LimitCounters, tuple[int, int]]  # unix seconds, half-open


class Recount:
    """What is spent of some budgets in one window each, and the rows that are settled while it is put in force."""

    def __init__(self, windows: Windows, spent: Spent, labels: LabelIndex | None) -> None:
        """Take what was spent, by these labels; `spent` is changed here."""
        self._windows = windows
        self._spent = spent
        self._labels = labels
        self._changed = set[tuple[LimitCounters, Subject]]()  # to be set again
        # Of subjects without a counter of their own: what each has spent of which, and what they have together.
        self._in_shared: dict[tuple[LimitCounters, Subject], tuple[BudgetCounter, int]] = {}
        self._shared: dict[BudgetCounter, int] = {}

    def add(self, row: RowUsage) -> None:
        """Add a row, if one of the budgets counts it."""
        call = dimensions(row, self._labels)
        for one, (since, until) in self._windows.items():
            if since <= row.started_at < until and one.limit.match.covers(call):
                key = (one, one.limit.subject(call))
                self._spent[key] = self._spent.get(key, 0) + used_by(row).amount(one.limit.unit)
                self._changed.add(key)

    def set_again(self, counter: BudgetCounter) -> None:
        """Let `apply` set a counter at its end, because something was counted by the labels before."""
        if counter.of in self._windows:
            self._changed.add((counter.of, counter.subject))

    def apply(self) -> Iterator[BudgetCounter]:
        """Set all counters, and yield each, so that others may go on in between; `add` what they settle.

        What calls in flight hold stays where it is held.
        """
        for one in self._windows:
            for counter in one.counters():
                yield from self._set(one, counter.subject)
        for one, subject in list(self._spent):
            yield from self._set(one, subject)
        while self._changed:
            yield from self._set(*self._changed.pop())
        for counter, shared in self._shared.items():
            counter.at(self._windows[counter.of][0]).spent = shared

    def _set(self, one: LimitCounters, subject: Subject) -> Iterator[BudgetCounter]:
        counter = one.of_subject(subject)
        if not isinstance(counter, BudgetCounter):
            return
        spent = self._spent.get((one, subject), 0)
        if (one, subject) in self._in_shared:
            shared, before = self._in_shared.pop((one, subject))
            self._shared[shared] -= before
        if counter.subject != subject or one.is_shared(counter):
            self._in_shared[one, subject] = counter, spent
            self._shared[counter] = self._shared.get(counter, 0) + spent
        else:
            counter.at(self._windows[one][0]).spent = spent
        yield counter


def dimensions(row: RowUsage, labels: LabelIndex | None) -> Dimensions:
    """Return what limits know of a row, by these labels."""
    label = None if labels is None else labels.lookup(row.ip)
    return Dimensions(row.ip, row.context, row.model, row.provider, row.kind, label)


def windows_at(budgets: Sequence[LimitCounters], at: int) -> Windows:
    """Return the windows of budgets that have a time (unix seconds)."""
    return {one: one.limit.window_at(at) for one in budgets}
