"""Asks all limits of a call whether they have room, and takes from all of them or from none."""

import logging
import time
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import replace

from hero_broker.core.calls import Caller
from hero_broker.core.errors import BrokerError, LimitsUnavailable, ModelNotPriced
from hero_broker.core.labels import LabelIndex
from hero_broker.limits.counters import (
    NOTHING,
    BudgetCounter,
    Counter,
    Held,
    LimitCounters,
    Matched,
    RateCounter,
    RowUsage,
    SlotCounter,
    Subject,
    TakenTokens,
    TokenRateCounter,
    Used,
    used_by,
)
from hero_broker.limits.headers import IETF, OF_REQUESTS, OF_TOKENS, OPENAI, Pairs, ietf_headers, openai_headers
from hero_broker.limits.limit import MEAN, NO_HOLD, SHADOW, USD, Dimensions, Limit
from hero_broker.limits.plan import Matcher
from hero_broker.limits.refusals import SECOND_NS, over_budget, over_tokens, refusal
from hero_broker.util.once_per_minute import OncePerMinute

NOTHING_USED = Used(0, 0, 0, 0)
SpentByLabel = dict[tuple[LimitCounters, Subject], int]  # in the units of the limits

log = logging.getLogger(__name__)


def _now() -> int:
    return int(time.time())


class Slot:
    """One call in flight, with what it holds of limits until `end`."""

    __slots__ = (
        "_admission",
        "_held",
        "_labels",
        "_of_server",
        "budgets",
        "held",
        "is_unlimited",
        "rates",
        "slots",
        "taken",
        "taken_tokens",
        "tokens",
    )

    def __init__(self, matched: Matched, admission: "Admission | None" = None) -> None:
        self._admission = admission
        self._labels = None if admission is None else admission.labels  # by which it was matched
        self._of_server, self.slots, self.rates, self.budgets, self.tokens, self.is_unlimited = matched
        self._held = self.slots
        # What it holds of budgets; None if no budget and no tokens per minute count it, or once settled.
        self.held: list[Held] | None = None
        self.taken_tokens: Sequence[TakenTokens] = ()
        self.taken: Sequence[RateCounter] | None = None  # the rates that count the call; None until it is admitted

    def release(self) -> None:
        """Free what the call holds of the server's own limits, because its client has disconnected."""
        for counter in self._of_server:
            counter.in_flight -= 1
        self._of_server = ()

    def end(self) -> None:
        """Free all that the call holds; do nothing if it is free already."""
        for counter in self._of_server:
            counter.in_flight -= 1
        for counter in self._held:
            counter.in_flight -= 1
        self._of_server = self._held = ()
        if self.held or self.taken_tokens:  # the call was not made, or has no row
            self._end_holds()

    def settle(self, row: RowUsage) -> None:
        """Count what the call used, by its row, instead of what it holds of budgets and took of tokens per minute."""
        if self.held is not None and self._admission is not None:
            self._admission.settle(self.held, row, self._labels)
            self.held = None
            if self.taken_tokens:
                self._admission.correct(self.taken_tokens, used_by(row))
                self.taken_tokens = ()

    def hold(self, slots: Sequence[SlotCounter], rates: tuple[RateCounter, ...], held: list[Held] | None) -> None:
        """Hold what further limits count of the call."""
        self.held = held
        if slots:
            for counter in slots:
                counter.in_flight += 1
            self._held = self.slots = (*self.slots, *slots)
        self.rates = rates

    def give_back(self) -> None:
        """Let no rate and no budget count the call, because it was not made."""
        for rate in self.taken or ():
            rate.give_back()
        self.taken = ()
        self._end_holds()

    def _end_holds(self) -> None:
        for held in self.held or ():
            held.end()
        if self.taken_tokens and self._admission is not None:
            self._admission.correct(self.taken_tokens, NOTHING_USED)
        self.held, self.taken_tokens = None, ()


class Admission:
    """Admits calls within limits. Use it from one event loop; nothing here waits."""

    def __init__(
        self,
        limits: Sequence[Limit],
        headers: Collection[str] = (OPENAI,),
        now_ns: Callable[[], int] = time.monotonic_ns,
        now: Callable[[], int] = _now,
    ) -> None:
        """Take the limits in the order in which they refuse, the forms of headers for callers, and the time.

        Budgets admit no call until `know_budgets` was called, and limits that look at labels none until `use_labels`.
        """
        self.limits = tuple(LimitCounters(limit) for limit in limits)
        self.now_ns, self.now = now_ns, now  # monotonic nanoseconds, unix seconds
        self._early = Matcher([one for one in self.limits if one.limit.is_early], now_ns, now)
        late = [one for one in self.limits if not one.limit.is_early]
        self._late = Matcher(late, now_ns, now) if late else None
        self._late_cached = {} if self._late is None else self._late.cached
        self.has_budgets = any(one.limit.is_budget for one in self.limits)
        self._knows_budgets = not self.has_budgets
        self._uses_context = any(
            "context" in one.limit.per or one.limit.match.context is not None for one in self.limits
        )
        self._by_label = [one for one in self.limits if one.limit.uses_label]
        self.labels: LabelIndex | None = None  # those that calls are matched by; None: they are not known yet
        self._has_budgets_by_provider = any(one.limit.is_budget and one.limit.uses_provider for one in self.limits)
        # Whether the row of a call that no budget counts now may have to be counted: its provider or label may change.
        self._settles_all = self._has_budgets_by_provider or any(one.limit.is_budget for one in self._by_label)
        self._sends_openai, self._sends_ietf = OPENAI in headers, IETF in headers
        self._warnings = OncePerMinute(clock=lambda: now_ns() / SECOND_NS)

    @property
    def is_asked_late(self) -> bool:
        """Whether calls must pass `admit`: there is a rate, or a limit that looks at the body."""
        return self._late is not None or any(not one.limit.is_of_server for one in self.limits)

    def check(self, caller: Caller) -> None:
        """Check that limits by address have room; takes nothing.

        Raises:
            RateLimitExceeded, TooManyCalls, Overloaded: a limit has none.
        """
        for counter, error in self._refusals(self._matched(caller.ip), caller.ip):
            if counter.of.limit.mode != SHADOW:
                raise error

    def enter(self, caller: Caller) -> Slot:
        """Take a slot of each limit of calls in flight by address, and look at the rates.

        Call `Slot.end` when the call is over.

        Raises:
            RateLimitExceeded, TooManyCalls, Overloaded: a limit has no room; nothing is taken.
        """
        ip = caller.ip
        matched = self._early.cached.get(ip) or self._matched(ip)
        for counter in matched.of_server:
            if counter.in_flight >= counter.amount:
                self._refuse(counter, refusal(counter, ip, self.now_ns()), matched, ip)
        if not matched.is_unlimited:
            self._enter_further(matched, ip)
        for counter in matched.of_server:
            counter.in_flight += 1
        return Slot(matched, self)

    def admit(
        self,
        slot: Slot,
        ip: str,
        context: str | None,
        model: str,
        provider: str,
        kind: str,
        started_at: int,
        may_use: Callable[[str], Used] | None,
    ) -> Sequence[tuple[bytes, bytes]]:
        """Take what the limits of a call count of it, for a call that has entered; return headers for its caller.

        `may_use` returns what the call may use, for one of `limit.HOLDS`; its cost is None if it has no known price. It
        is None for a request that uses nothing, which no budget counts.

        Raises:
            BrokerError: a limit has no room; nothing more is taken than by `enter`.
        """
        late = NOTHING
        if self._late is not None:
            key: Hashable = (ip, model, provider, kind, context) if self._uses_context else (ip, model, provider, kind)
            late = self._late_cached.get(key) or self._late.match(
                key, self._to_match(Dimensions(ip, context, model, provider, kind))
            )
        if late is NOTHING and slot.is_unlimited:
            slot.taken = ()
            if self._settles_all:
                slot.held = []
            return ()
        now_ns = self.now_ns()
        rates, full = slot.rates + late.rates, list[Counter]()
        for counter in late.slots:
            if counter.in_flight >= counter.amount:
                self._refuse_unless_shadow(counter, refusal(counter, ip, now_ns), ip)
        for rate in rates:
            if rate.wait_ns(now_ns):
                self._refuse_unless_shadow(rate, refusal(rate, ip, now_ns), ip)
                full.append(rate)
        held: list[Held] | None = [] if self._settles_all else None
        taken_tokens: Sequence[TakenTokens] = ()
        budgets, tokens = slot.budgets + late.budgets, slot.tokens + late.tokens
        if may_use is not None and (budgets or tokens):
            uses: dict[str, Used] = {}
            if tokens:
                taken_tokens, held = self._taken(tokens, ip, now_ns, may_use, uses), []
            if budgets:
                held = self._held(budgets, ip, model, started_at, may_use, uses)
        # All limits have room: from here on, nothing is refused.
        slot.taken = [rate for rate in rates if rate not in full] if full else rates
        for rate in slot.taken:
            rate.take(now_ns)
        for one in held or ():
            one.window.held += one.amount
        for some in taken_tokens:
            some.counter.take_many(now_ns, some.amount)
        slot.hold(late.slots, rates, held)
        if tokens:
            slot.tokens, slot.taken_tokens = tokens, taken_tokens
        return self.headers(slot)

    def _taken(
        self,
        tokens: Sequence[TokenRateCounter],
        ip: str,
        now_ns: int,
        may_use: Callable[[str], Used],
        uses: dict[str, Used],
    ) -> list[TakenTokens]:
        """Return what a call must take of its tokens per minute, all of which admit it."""
        taken = []
        for counter in tokens:
            hold = counter.of.limit.hold
            used = uses.get(hold)
            if used is None:
                used = uses[hold] = may_use(hold)
            amount = 0 if hold == NO_HOLD else used.amount(counter.unit)
            error = over_tokens(counter, amount, now_ns)
            if error is None:
                taken.append(TakenTokens(counter, amount, now_ns))
            else:
                self._refuse_unless_shadow(counter, error, ip)
        return taken

    def _held(
        self,
        budgets: Sequence[BudgetCounter],
        ip: str,
        model: str,
        started_at: int,
        may_use: Callable[[str], Used],
        uses: dict[str, Used],
    ) -> list[Held]:
        """Return what a call must hold of its budgets, all of which admit it."""
        held = []
        for counter in budgets:
            limit = counter.of.limit
            if not self._knows_budgets:
                if limit.mode != SHADOW:
                    raise LimitsUnavailable(
                        "The database did not say yet what is spent of a budget; try again shortly."
                    )
                continue
            used = uses.get(limit.hold)
            if used is None:
                used = uses[limit.hold] = may_use(limit.hold)
            if used.cost_nano_usd is None and limit.unit == USD and limit.mode != SHADOW:
                raise ModelNotPriced(
                    f"The model {model!r} has no known price, and a budget bounds its calls.", param="model"
                )
            window, amount = counter.at(started_at), 0 if limit.hold == NO_HOLD else used.amount(counter.unit)
            if not amount or window.spent + window.held + amount > counter.amount:
                error = over_budget(counter, window, amount, started_at)
                if error is not None:
                    self._refuse_unless_shadow(counter, error, ip)
            held.append(Held(window, counter, amount))
        return held

    def correct(self, taken: Sequence[TakenTokens], used: Used) -> None:
        """Count what a call used instead of the tokens per minute that it took."""
        now_ns = self.now_ns()
        for one in taken:
            one.correct(used.amount(one.counter.unit), now_ns)

    def settle(self, held: Sequence[Held], row: RowUsage, labels: LabelIndex | None) -> None:
        """Count a row instead of what its call held; `labels` are those by which the call was matched.

        It is counted by the budgets that match the row, by the labels as they are now.
        """
        used, has_moved = used_by(row), labels is not self.labels
        for one in held:
            may_differ = one.counter.uses_provider or (has_moved and one.counter.uses_label)
            if may_differ and not self._counts(one.counter, row):
                one.end()
            else:
                one.settle(used)
        if self._knows_budgets and (self._has_budgets_by_provider or has_moved):
            counted = {id(one.counter) for one in held}
            if self._late is not None:
                self._count_further(self._late, counted, row, used, has_moved=has_moved)
            if has_moved:
                self._count_further(self._early, counted, row, used, has_moved=True)

    def _count_further(
        self, matching: Matcher, counted: set[int], row: RowUsage, used: Used, *, has_moved: bool
    ) -> None:
        """Count a row by the budgets of its provider, or of a label, that the call did not hold anything of."""
        call = self._labelled(_dimensions(row))
        for limits in matching.limits(call):
            may_differ = limits.limit.uses_provider or (has_moved and limits.limit.uses_label)
            counter = limits.counter(call) if may_differ else None
            if isinstance(counter, BudgetCounter) and id(counter) not in counted:
                counter.at(row.started_at).spent += used.amount(counter.unit)
                matching.keep(counter)

    def _counts(self, counter: BudgetCounter, row: RowUsage) -> bool:
        call, limit = self._labelled(_dimensions(row)), counter.of.limit
        return limit.match.covers(call) and limit.subject(call) == counter.subject

    def _labelled(self, call: Dimensions) -> Dimensions:
        """Return a call with the label of its address, if limits look at labels and they are known."""
        return call if self.labels is None else call._replace(label=self.labels.lookup(call.ip))

    def _to_match(self, call: Dimensions) -> Dimensions:
        """Return a call that is about to be made with the label of its address.

        Raises:
            LimitsUnavailable: labels are not known yet, and a limit that looks at them may count the call.
        """
        for one in self._by_label if self.labels is None else ():
            if one.limit.mode != SHADOW and replace(one.limit.match, label=None).covers(call):
                raise LimitsUnavailable("The database did not say yet which label the address has; try again shortly.")
        return self._labelled(call)

    def use_labels(self, labels: LabelIndex) -> None:
        """Match calls by these labels from now on. What was counted stays where it was counted."""
        self.labels = labels
        self._early.forget()
        if self._late is not None:
            self._late.forget()

    def spent_by_label(
        self, labels: LabelIndex, at: int, spent: Iterable[tuple[int, Dimensions, Used]]
    ) -> "SpentByLabel":
        """Return what is spent of each budget that looks at labels. It changes nothing, and is safe for any thread.

        `spent` is as of `know_budgets`, for the `label_windows` of a time.
        """
        sums: SpentByLabel = {}
        budgets = [(one, one.limit.window_at(at)[0]) for one in self._by_label if one.limit.is_budget]
        for since, call, used in spent:
            known = call._replace(label=labels.lookup(call.ip))
            for one, begins in budgets:
                if begins == since and one.limit.match.covers(known):
                    key = (one, one.limit.subject(known))
                    sums[key] = sums.get(key, 0) + used.amount(one.limit.unit)
        return sums

    def move(self, labels: LabelIndex, spent: "SpentByLabel", rows: Iterable[RowUsage]) -> None:
        """Use other labels, and count by them what is spent in the present windows: `spent`, and these rows besides.

        What calls in flight hold stays with the labels by which they were matched.
        """
        self.use_labels(labels)
        begins = {one: one.limit.window_at(self.now()) for one in self._by_label if one.limit.is_budget}
        for one, (since, _) in begins.items():
            for counter in one.counters():
                if isinstance(counter, BudgetCounter):
                    counter.at(since).spent = 0
        for (one, subject), amount in spent.items():
            self._spend(one, one.of_subject(subject), begins[one][0], amount)
        for row in rows:
            call = self._labelled(_dimensions(row))
            for one, (since, until) in begins.items():
                if since <= row.started_at < until and one.limit.match.covers(call):
                    self._spend(one, one.counter(call), since, used_by(row).amount(one.limit.unit))

    def _spend(self, limits: LimitCounters, counter: Counter, since: int, amount: int) -> None:
        """Count what was spent of a budget in the window that begins at a time."""
        if isinstance(counter, BudgetCounter):
            counter.at(since).spent += amount
            (self._early if limits.limit.is_early or self._late is None else self._late).keep(counter)

    def windows(self) -> dict[int, int]:
        """Return the windows of all budgets that have the present time: their ends by their begins (unix seconds)."""
        now = self.now()
        return dict(one.limit.window_at(now) for one in self.limits if one.limit.is_budget)

    @property
    def knows_budgets(self) -> bool:
        """Whether budgets know what was spent before the start."""
        return self._knows_budgets

    @property
    def is_loaded(self) -> bool:
        """Whether labels, and what is spent of budgets, are known."""
        return self._knows_budgets and self.labels is not None

    def label_windows(self, at: int) -> dict[int, int]:
        """Return the same of the budgets that look at labels, for a time."""
        return dict(one.limit.window_at(at) for one in self._by_label if one.limit.is_budget)

    @property
    def uses_context(self) -> bool:
        """Whether a limit looks at the context of calls."""
        return self._uses_context

    @property
    def holds_mean(self) -> bool:
        """Whether a limit holds what calls use on average."""
        return any(one.limit.hold == MEAN for one in self.limits)

    @property
    def uses_labels(self) -> bool:
        """Whether a limit looks at the labels of addresses."""
        return bool(self._by_label)

    def know_budgets(self, spent: Iterable[tuple[int, Dimensions, Used]]) -> None:
        """Take what was spent before the start, and admit calls from now on.

        Each part is the begin of one of the `windows`, some calls of that window, and what they used together.
        """
        for _ in self.learn_budgets(spent):
            pass

    def learn_budgets(self, spent: Iterable[tuple[int, Dimensions, Used]]) -> Iterator[None]:
        """Do what `know_budgets` does, and yield after each part: calls that no budget counts may go on meanwhile."""
        now = self.now()
        begins = {one: one.limit.window_at(now)[0] for one in self.limits if one.limit.is_budget}
        for since, found, used in spent:
            call = self._labelled(found)
            for limits in begins:
                if begins[limits] == since and limits.limit.match.covers(call):
                    self._spend(limits, limits.counter(call), since, used.amount(limits.limit.unit))
            yield
        self._knows_budgets = True

    def headers(self, slot: Slot) -> Pairs:
        """Return the headers that tell a caller what is left of the limits of a call."""
        return self._headers(slot.slots, slot.rates, slot.tokens, self.now_ns())

    def headers_of_refused(self, slot: Slot) -> Sequence[tuple[bytes, bytes]]:
        """Return the headers for a request that has entered and was then refused; empty if it got them already."""
        return self.headers(slot) if slot.taken is None and not slot.is_unlimited else ()

    def _headers(
        self,
        slots: Sequence[SlotCounter],
        rates: Sequence[RateCounter],
        tokens: Sequence[TokenRateCounter],
        now_ns: int,
    ) -> Pairs:
        pairs: Pairs = []
        if self._sends_openai:
            pairs = openai_headers(rates, OF_REQUESTS, now_ns)
            if tokens:
                pairs += openai_headers(tokens, OF_TOKENS, now_ns)
        return pairs + ietf_headers(slots, rates, now_ns) if self._sends_ietf else pairs

    def _matched(self, ip: str) -> Matched:
        return self._early.cached.get(ip) or self._early.match(ip, self._to_match(Dimensions(ip)))

    def _refusals(self, matched: Matched, ip: str) -> Iterator[tuple[Counter, BrokerError]]:
        """Yield the counters of the limits by address that have no room, and their errors."""
        now_ns = self.now_ns()
        for counter in (*matched.of_server, *matched.slots):
            if counter.in_flight >= counter.amount:
                yield counter, refusal(counter, ip, now_ns)
        for rate in (*matched.rates, *matched.tokens):
            if rate.wait_ns(now_ns):
                yield rate, refusal(rate, ip, now_ns)
        if matched.budgets and self._knows_budgets:
            now = self.now()
            for budget in matched.budgets:
                # The model may cost nothing, which a budget of money admits.
                if budget.of.limit.unit != USD and (error := over_budget(budget, budget.at(now), 1, now)) is not None:
                    yield budget, error

    def _enter_further(self, matched: Matched, ip: str) -> None:
        """Do what `enter` does for the limits that are not the server's own."""
        for counter, error in self._refusals(matched, ip):
            if counter.of.limit.mode != SHADOW:
                self._refuse(counter, error, matched, ip)
        for slot in matched.slots:
            slot.of.would_refuse += slot.in_flight >= slot.amount
            slot.in_flight += 1

    def _refuse(self, counter: Counter, error: BrokerError, matched: Matched, ip: str) -> None:
        self._count(counter, ip)
        error.headers = (*error.headers, *self._headers(matched.slots, matched.rates, matched.tokens, self.now_ns()))
        raise error

    def _refuse_unless_shadow(self, counter: Counter, error: BrokerError, ip: str) -> None:
        if counter.of.limit.mode == SHADOW:
            counter.of.would_refuse += 1
        else:
            self._count(counter, ip)
            raise error

    def _count(self, counter: Counter, ip: str) -> None:
        """Count a refusal; log it, but for each limit and address only once a minute."""
        of = counter.of
        of.refused += 1
        if self._warnings.is_due(f"{of.limit.name} {ip}"):
            log.warning("limits: %s refuses calls of %s; %d calls since the start", of.limit.name, ip, of.refused)


def _dimensions(row: RowUsage) -> Dimensions:
    return Dimensions(row.ip, row.context, row.model, row.provider, row.kind)
