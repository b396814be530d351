"""Random walks over an `Admission`: calls begin, end and are given back while clock, labels and providers change.

After each step, what every limit says is compared with the calls in flight and the rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hero_broker.core.errors import BrokerError
from hero_broker.core.labels import LabelIndex
from hero_broker.limits import plan
from hero_broker.limits.admission import Admission, Slot
from hero_broker.limits.counters import LimitCounters, Used
from hero_broker.limits.limit import CONCURRENT, Dimensions, Limit, LimitMatch
from hero_broker.limits.recount import Spent, Windows, windows_at
from hero_broker.limits.states import LimitStates
from tests.limits.known import subjects_of
from tests.limits.test_budgets import Now, Row, admission, begin

DAY_S = 86_400
BEGINS = 1_792_800_000  # 2026-10-24T00:00Z: a day before a clock change in Brussels, a week before the end of a month
BRUSSELS, KOLKATA = ZoneInfo("Europe/Brussels"), ZoneInfo("Asia/Kolkata")
LIMITS = (
    Limit("own", "usd", 12, per=("ip",), window="day", zone=BRUSSELS),
    Limit("all", "usd", 30, window="day", zone=KOLKATA),
    Limit("month", "tokens", 60, per=("prefix",), prefix_v4=31, window="month", zone=BRUSSELS),
    Limit("model", "usd", 25, LimitMatch(model="m"), ("ip", "model"), window="week", zone=BRUSSELS),
    Limit("calls", "requests", 40, window="ever"),
    Limit("lab", "usd", 15, LimitMatch(label="lab"), window="day", zone=BRUSSELS),
    Limit("each", "usd", 15, per=("label",), window="day", zone=KOLKATA),
    Limit("each-model", "usd", 15, LimitMatch(model="m"), ("label",), window="day", zone=BRUSSELS),
    Limit("provider", "usd", 20, LimitMatch(provider="q"), window="day", zone=BRUSSELS),
    Limit("each-provider", "usd", 20, per=("provider", "kind"), window="day", zone=BRUSSELS),
    Limit("unheld", "usd", 10, per=("ip",), window="day", zone=BRUSSELS, hold="none"),
    Limit("at-once", CONCURRENT, 4, per=("ip",)),
    Limit("at-once-model", CONCURRENT, 5, per=("model",)),
    Limit("rate", "tokens", 1, per=("ip",), burst=10_000),
)
EXTRA = Limit("extra", "usd", 1, LimitMatch(kind="chat"), ("model",), window="day", zone=BRUSSELS)
ENDED = object()
# What is spent of these never exceeds the amount if no call costs more than it holds: no change of labels, and no other
# provider, brings them costs.
BOUNDED = tuple(
    one for one in LIMITS if one.is_budget and one.hold != "none" and not one.uses_label and not one.uses_provider
)
ADDRESSES = ("10.0.0.1", "10.0.0.2", "10.0.0.3", "unknown")
LABELS = st.lists(
    st.tuples(st.sampled_from(ADDRESSES[:3]), st.sampled_from(["lab", "office"])), unique_by=lambda x: x[0]
)

Subject = tuple[str | None, ...]


@dataclass(frozen=True)
class Call:
    """A call in flight."""

    slot: Slot
    call: Dimensions  # with the label by which it was matched
    bound: int  # what it may use of money, and of tokens
    started_at: int
    changes: int  # of limits before it began


@dataclass(frozen=True)
class Move:
    """Labels that were read, and what is spent by them; they are not in force yet."""

    labels: LabelIndex
    windows: Windows
    spent: Spent
    counted: int  # rows


class Walk(RuleBasedStateMachine):
    """Calls within `LIMITS`; costs never exceed holds unless `may_exceed`."""

    def __init__(self) -> None:
        super().__init__()
        self.now = Now()
        self.now.at = BEGINS
        self.admitting: Admission = admission(*LIMITS, now=self.now)
        self.states = LimitStates(self.admitting)
        self.labels = LabelIndex([])
        self.admitting.use_labels(self.labels)
        self.open: list[Call] = []
        self.rows: list[Row] = []
        self.move: Move | None = None
        self.moving: Iterator[None] | None = None  # while the labels of `move` are put in force
        self.extra: Limit | None = None
        self.changes = 0  # of limits
        self.may_exceed = False

    @initialize(may_exceed=st.booleans())
    def choose(self, may_exceed: bool) -> None:
        self.may_exceed = may_exceed

    @rule(
        ip=st.sampled_from(ADDRESSES),
        model=st.sampled_from(["m", "n"]),
        provider=st.sampled_from(["p", "q"]),
        bound=st.integers(1, 9),
        late_s=st.sampled_from([0, 0, 40_000]),
    )
    def begin(self, ip: str, model: str, provider: str, bound: int, late_s: int) -> None:
        """Begin a call; its body may have come so slowly that it began in another window."""
        started_at = self.now.at - late_s
        used = Used(bound, bound, 0)
        before = self.counted()
        try:
            slot = begin(self.admitting, ip=ip, model=model, provider=provider, at=started_at, used=used)
        except BrokerError:
            assert self.counted() == before  # a refused call takes from no limit
            return
        call = Dimensions(ip, None, model, provider, "chat", self.labels.lookup(ip))
        self.open.append(Call(slot, call, bound, started_at, self.changes))
        for limit in BOUNDED:
            begins, ends = limit.window_at(self.now.at)
            if limit.match.covers(call) and begins <= started_at < ends:
                assert sum(self.counted()[limit.name][limit.subject(call)]) <= limit.amount

    @precondition(lambda self: self.open)
    @rule(data=st.data(), cost=st.integers(0, 12), provider=st.sampled_from([None, None, "p", "q"]))
    def settle(self, data: st.DataObject, cost: int, provider: str | None) -> None:
        """End a call by its row; another provider than the first may have answered it."""
        one = self.take(data)
        cost = cost if self.may_exceed else min(cost, one.bound)
        row = Row(
            cost,
            one.call.ip,
            None,
            one.call.model or "",
            provider or one.call.provider or "",
            started_at=one.started_at,
            input_tokens=cost,
        )
        self.rows.append(row)
        one.slot.settle(row)
        one.slot.end()

    @precondition(lambda self: self.open)
    @rule(data=st.data(), is_given_back=st.booleans())
    def end(self, data: st.DataObject, is_given_back: bool) -> None:
        """End a call that has no row."""
        one = self.take(data)
        if is_given_back:
            one.slot.give_back()
        one.slot.end()

    @rule(seconds=st.sampled_from([1, 1_800, 30_000, DAY_S, 3 * DAY_S]))
    def pass_time(self, seconds: int) -> None:
        self.now.at += seconds

    @precondition(lambda self: self.move is None)
    @rule(pairs=LABELS)
    def read_labels(self, pairs: list[tuple[str, str]]) -> None:
        """Add up what is spent by other labels; calls go on meanwhile."""
        labels = LabelIndex(pairs)
        windows = windows_at([one for one in self.admitting.budgets if one.limit.uses_label], self.now.at)
        self.move = Move(labels, windows, self.spent(windows, labels), len(self.rows))

    @precondition(lambda self: self.move is not None and self.moving is None)
    @rule()
    def begin_to_use_labels(self) -> None:
        """Begin to put the labels in force that were read, unless a window has ended since."""
        move = self.move
        assert move is not None
        if windows_at(list(move.windows), self.now.at) == move.windows:
            self.moving = self.admitting.recount(move.windows, move.spent, self.rows[move.counted :], move.labels)
        else:
            self.move = None

    @precondition(lambda self: self.moving is not None)
    @rule(steps=st.integers(1, 9))
    def go_on_to_use_labels(self, steps: int) -> None:
        """Set some counters; the labels are in force with the last."""
        move, moving = self.move, self.moving
        assert move is not None
        assert moving is not None
        for _ in range(steps):
            if next(moving, ENDED) is ENDED:
                self.labels, self.move, self.moving = move.labels, None, None
                if windows_at(list(move.windows), self.now.at) != move.windows:
                    self.recount(list(move.windows))
                break

    @precondition(lambda self: self.moving is None)
    @rule(amount=st.one_of(st.none(), st.integers(1, 30)))
    def change_limits(self, amount: int | None) -> None:
        """Let a budget come, change or go, while calls are in flight."""
        is_new = self.extra is None
        self.extra = None if amount is None else replace(EXTRA, amount=amount)
        self.changes += is_new
        others = [one.limit for one in self.admitting.limits if one.limit.name != EXTRA.name]
        self.admitting.use_limits(others if self.extra is None else [*others, self.extra])
        for one in self.open:
            one.slot.expect_row()
        self.recount([one for one in self.admitting.budgets if not one.is_known])

    def recount(self, budgets: list[LimitCounters]) -> None:
        """Add up what is spent of some budgets."""
        windows = windows_at(budgets, self.now.at)
        for _ in self.admitting.recount(windows, self.spent(windows, self.labels), [], None):
            pass

    def spent(self, windows: Windows, labels: LabelIndex) -> Spent:
        """Return what the rows so far have spent."""
        sums: Spent = {}
        for row in self.rows:
            call = Dimensions(row.ip, None, row.model, row.provider, row.kind, labels.lookup(row.ip))
            for one, (since, until) in windows.items():
                if since <= row.started_at < until and one.limit.match.covers(call):
                    key = (one, one.limit.subject(call))
                    cost = row.cost_nano_usd or 0
                    sums[key] = sums.get(key, 0) + Used(cost, cost, 0).amount(one.limit.unit)
        return sums

    @invariant()
    def counters_agree_with_calls_and_rows(self) -> None:
        counted = self.counted()
        for limit in self.limits:
            if self.moving is None or not limit.uses_label:
                assert counted[limit.name] == self.expected(limit), limit.name
        if not self.may_exceed:
            assert all(max(map(sum, counted[limit.name].values()), default=0) <= limit.amount for limit in BOUNDED)

    def take(self, data: st.DataObject) -> Call:
        return self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))

    def counted(self) -> dict[str, dict[Subject, tuple[int, int]]]:
        """Return what limits say that is used and held, by limit and subject."""
        return {
            limit.name: {
                tuple(one.subject.values()): (one.used, one.held)
                for one in subjects_of(self.states, limit.name, 100, {})[1]
                if (one.used, one.held) != (0, 0)
            }
            for limit in self.limits
        }

    @property
    def limits(self) -> tuple[Limit, ...]:
        return LIMITS if self.extra is None else (*LIMITS, self.extra)

    def expected(self, limit: Limit) -> dict[Subject, tuple[int, int]]:
        """Return the same by the calls in flight and the rows."""
        sums: dict[Subject, tuple[int, int]] = {}

        def add(call: Dimensions, used: int, held: int) -> None:
            if limit.match.covers(call):
                before = sums.get(limit.subject(call), (0, 0))
                sums[limit.subject(call)] = before[0] + used, before[1] + held

        begins, ends = limit.window_at(self.now.at) if limit.is_budget else (0, 2**62)
        for one in self.open:
            if limit.unit == CONCURRENT:
                add(one.call, 1, 0)
            elif limit.is_token_rate:
                add(one.call, one.bound, 0)
            elif (
                limit.hold != "none"
                and begins <= one.started_at < ends
                and (limit.name != EXTRA.name or one.changes == self.changes)
            ):
                add(one.call, 0, 1 if limit.unit == "requests" else one.bound)
        for row in self.rows if limit.unit != CONCURRENT else ():
            if begins <= row.started_at < ends:
                call = Dimensions(row.ip, None, row.model, row.provider, row.kind, self.labels.lookup(row.ip))
                add(call, 1 if limit.unit == "requests" else row.cost_nano_usd or 0, 0)
        return {subject: sum_ for subject, sum_ in sums.items() if sum_ != (0, 0)}


@pytest.mark.slow
@pytest.mark.parametrize("most_cached", [2, 10_000], ids=["full cache", "cache with room"])
def test_limits_agree_with_calls_and_rows_after_every_step(monkeypatch: pytest.MonkeyPatch, most_cached: int) -> None:
    monkeypatch.setattr(plan, "MAX_CACHED", most_cached)

    run_state_machine_as_test(Walk, settings=settings(max_examples=15, stateful_step_count=50, deadline=None))
