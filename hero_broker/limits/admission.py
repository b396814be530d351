"""Asks all limits of a call whether they have room, and takes from all of them or from none."""

import logging
import time
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import replace

from hero_broker.core.calls import Caller
from hero_broker.core.errors import BrokerError
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
    TakenTokens,
    TokenRateCounter,
    Used,
    WindowSum,
    used_by,
)
from hero_broker.limits.headers import IETF, OF_REQUESTS, OF_TOKENS, OPENAI, Pairs, openai_headers, rate_headers
from hero_broker.limits.limit import ENFORCE, MEAN, NO_HOLD, SHADOW, USD, Dimensions, Limit
from hero_broker.limits.plan import Matcher
from hero_broker.limits.recount import Recount, Spent, Windows, dimensions
from hero_broker.limits.refusals import (
    SECOND_NS,
    budget_unknown,
    label_unknown,
    model_not_priced,
    over_budget,
    over_tokens,
    refusal,
)
from hero_broker.limits.thresholds import warn, warn_all
from hero_broker.util.once_per_minute import OncePerMinute

NOTHING_USED = Used(0, 0, 0, 0)
PAYMENT_REQUIRED = 402

log = logging.getLogger(__name__)


def _now() -> int:
    return int(time.time())


class Slot:
    """One call in flight, with what it holds of limits until `end`."""

    __slots__ = (
        "_admission",
        "_generation",
        "_held",
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
        self._generation = 0 if admission is None else admission.generation  # of what it was matched by
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
            self._admission.settle(self.held, row, self._generation)
            self.held = None
            if self.taken_tokens:
                self._admission.correct(self.taken_tokens, used_by(row))
                self.taken_tokens = ()

    def expect_row(self) -> None:
        """Have the row of the call counted, although no limit counted it so far."""
        if self.held is None:
            self.held = []

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
        *,
        budget_status: int = PAYMENT_REQUIRED,
    ) -> None:
        """Take the limits in the order in which they refuse, the forms of headers for callers, and the time.

        `budget_status` is the status of a call that a budget has no room for, whatever other calls do: 402 or 429.

        Budgets admit no call until a `recount` of them, and limits that look at labels none until `use_labels`.
        """
        self.now_ns, self.now = now_ns, now  # monotonic nanoseconds, unix seconds
        self.limits: tuple[LimitCounters, ...] = ()
        self.labels: LabelIndex | None = None  # those that calls are matched by; None: they are not known yet
        self.generation = 0  # grows when calls are matched in another way, because labels or limits have changed
        self._early, self._late = Matcher((), now_ns, now), Matcher((), now_ns, now)
        self._recount: Recount | None = None  # while it is put in force
        self._budget_status = budget_status
        self._sends_openai, self._sends_ietf = OPENAI in headers, IETF in headers
        self._warnings = OncePerMinute(clock=lambda: now_ns() / SECOND_NS)
        self.use_limits(limits)

    def use_limits(self, limits: Sequence[Limit]) -> None:
        """Admit calls within other limits from now on; what a limit has counted stays, if it counts the same as before.

        A budget that is new admits no call until a `recount` of it.
        """
        known = {one.limit.name: one for one in self.limits}
        self.limits = tuple(_counters(known.get(limit.name), limit) for limit in limits)
        late = [one for one in self.limits if not one.limit.is_early]
        self._has_late = bool(late)
        self._uses_context = any(
            "context" in one.limit.per or one.limit.match.context is not None for one in self.limits
        )
        self._by_label = [one for one in self.limits if one.limit.uses_label]
        self._has_budgets_by_provider = any(one.limit.is_budget and one.limit.uses_provider for one in self.limits)
        # Whether the row of a call that no budget counts now may have to be counted: its provider or label may change.
        self._settles_all = self._has_budgets_by_provider or any(one.limit.is_budget for one in self._by_label)
        self._early.use([one for one in self.limits if one.limit.is_early])
        self._late.use(late)
        self._match_again()

    @property
    def is_asked_late(self) -> bool:
        """Whether calls must pass `admit`: there is a rate, or a limit that looks at the body."""
        return any(not one.limit.is_of_server for one in self.limits)

    def check(self, caller: Caller) -> None:
        """Check that limits by address have room; takes nothing.

        Raises:
            RateLimitExceeded, TooManyCalls, Overloaded: a limit has none.
        """
        for counter, error in self._refusals(self._matched(caller.ip), caller.ip):
            if counter.of.limit.mode == ENFORCE:
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
        if self._has_late:
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
                self._refuse_if_enforced(counter, refusal(counter, ip, now_ns), ip)
        for rate in rates:
            if rate.wait_ns(now_ns):
                self._refuse_if_enforced(rate, refusal(rate, ip, now_ns), ip)
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
                self._refuse_if_enforced(counter, error, ip)
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
            if not counter.of.is_known and limit.refuses_unknown:
                raise budget_unknown()
            used = uses.get(limit.hold)
            if used is None:
                used = uses[limit.hold] = may_use(limit.hold)
            if used.cost_nano_usd is None and limit.refuses_unpriced:
                raise model_not_priced(model)
            window, amount = counter.at(started_at), 0 if limit.hold == NO_HOLD else used.amount(counter.unit)
            if not amount or window.spent + window.held + amount > counter.amount:
                error = self.over_budget(counter, window, amount, started_at)
                if error is not None:
                    self._refuse_if_enforced(counter, error, ip)
            held.append(Held(window, counter, amount))
        return held

    def over_budget(self, counter: BudgetCounter, window: WindowSum, amount: int, now: int) -> BrokerError | None:
        """Return the error of a call that may use `amount` of a budget; None if the budget admits it."""
        error = over_budget(counter, window, amount, now)
        if error is not None and error.status == PAYMENT_REQUIRED:
            error.status = self._budget_status
        return error

    def correct(self, taken: Sequence[TakenTokens], used: Used) -> None:
        """Count what a call used instead of the tokens per minute that it took."""
        now_ns = self.now_ns()
        for one in taken:
            amount = used.amount(one.counter.unit)
            one.correct(amount, now_ns)
            if amount > one.amount and not one.counter.is_kept:
                # A counter that nothing was taken of seemed full when its caller left the cache.
                (self._early if one.counter.of.limit.is_early else self._late).keep_rate(one.counter)

    def settle(self, held: Sequence[Held], row: RowUsage, generation: int) -> None:
        """Count a row instead of what its call held; `generation` is that of when the call was matched.

        It is counted by the budgets that match the row, by labels and limits as they are now.
        """
        used, has_changed = used_by(row), generation != self.generation
        for one in held:
            may_differ = one.counter.uses_provider or (has_changed and one.counter.uses_label)
            if may_differ and not self._counts(one.counter, row):
                one.end()
            else:
                if one.settle(used):
                    warn(one.counter, one.window, self.now())
                if not one.amount and not one.counter.is_kept:
                    # A counter that nothing is held of seemed idle when its caller left the cache.
                    (self._early if one.counter.of.limit.is_early else self._late).keep(one.counter)
        if self._has_budgets_by_provider or has_changed:
            counted = {id(one.counter) for one in held}
            if self._has_late:
                self._count_further(self._late, counted, row, used, has_changed=has_changed)
            if has_changed:
                self._count_further(self._early, counted, row, used, has_changed=True)
        if self._recount is not None:
            self._recount.add(row)
            for one in held:
                self._recount.set_again(one.counter)

    def _count_further(
        self, matching: Matcher, counted: set[int], row: RowUsage, used: Used, *, has_changed: bool
    ) -> None:
        """Count a row by the budgets that the call did not hold anything of."""
        call = dimensions(row, self.labels)
        for limits in matching.limits(call):
            counter = limits.counter(call) if has_changed or limits.limit.uses_provider else None
            if isinstance(counter, BudgetCounter) and id(counter) not in counted:
                window = counter.at(row.started_at)
                window.spent += used.amount(counter.unit)
                if window.spent >= window.warns_at:
                    warn(counter, window, self.now())
                matching.keep(counter)
                if self._recount is not None:
                    self._recount.set_again(counter)

    def _counts(self, counter: BudgetCounter, row: RowUsage) -> bool:
        call = dimensions(row, self.labels)
        return counter.of.limit.match.covers(call) and counter.of.counter(call) is counter

    def _labelled(self, call: Dimensions) -> Dimensions:
        """Return a call with the label of its address, if limits look at labels and they are known."""
        return call if self.labels is None else call._replace(label=self.labels.lookup(call.ip))

    def _to_match(self, call: Dimensions) -> Dimensions:
        """Return a call that is about to be made with the label of its address.

        Raises:
            LimitsUnavailable: labels are not known yet, and a limit that looks at them may count the call.
        """
        for one in self._by_label if self.labels is None else ():
            if one.limit.refuses_unknown and replace(one.limit.match, label=None).covers(call):
                raise label_unknown()
        return self._labelled(call)

    def use_labels(self, labels: LabelIndex) -> None:
        """Match calls by these labels from now on. What was counted stays where it was counted."""
        self.labels = labels
        self._early.forget()
        self._late.forget()
        self._match_again()

    def _match_again(self) -> None:
        self._late_cached = self._late.cached
        self.generation += 1

    def recount(
        self, windows: Windows, spent: Spent, rows: Iterable[RowUsage], labels: LabelIndex | None
    ) -> Iterator[None]:
        """Count by these labels, if any, and take what is spent of some budgets, in place of what is counted so far.

        `spent` is what they spent in these windows, by these labels; `rows` are further rows, by which they may have
        spent more. Calls may go on whenever the iterator yields, and are admitted as before until it ends. Then the
        budgets are known.
        """
        recount = Recount(windows, spent, self.labels if labels is None else labels)
        for row in rows:
            recount.add(row)
        self._recount = recount
        return self._apply(recount, windows, labels)

    def _apply(self, recount: Recount, windows: Windows, labels: LabelIndex | None) -> Iterator[None]:
        try:
            for counter in recount.apply():
                (self._early if counter.of.limit.is_early else self._late).keep(counter)
                yield
        finally:
            self._recount = None
        if labels is not None and labels is not self.labels:
            self.use_labels(labels)
        for one in windows:
            one.is_known = True
        warn_all(windows, self.now())

    @property
    def budgets(self) -> list[LimitCounters]:
        """The limits that are budgets."""
        return [one for one in self.limits if one.limit.is_budget]

    @property
    def holds_mean(self) -> bool:
        """Whether a limit holds what calls use on average."""
        return any(one.limit.hold == MEAN for one in self.limits)

    @property
    def uses_labels(self) -> bool:
        """Whether a limit looks at the labels of addresses."""
        return bool(self._by_label)

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
        names = OF_REQUESTS if self._sends_openai else None
        if names is None and not self._sends_ietf:
            return []
        pairs = rate_headers(slots, rates, now_ns, names, sends_ietf=self._sends_ietf)
        return pairs + openai_headers(tokens, OF_TOKENS, now_ns) if tokens and self._sends_openai else pairs

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
        if matched.budgets:
            now = self.now()
            for budget in matched.budgets:
                # The model may cost nothing, which a budget of money admits.
                if (
                    budget.of.limit.unit != USD
                    and budget.of.is_known
                    and (error := self.over_budget(budget, budget.at(now), 1, now)) is not None
                ):
                    yield budget, error

    def _enter_further(self, matched: Matched, ip: str) -> None:
        """Do what `enter` does for the limits that are not the server's own."""
        for counter, error in self._refusals(matched, ip):
            if counter.of.limit.mode == ENFORCE:
                self._refuse(counter, error, matched, ip)
        for slot in matched.slots:
            slot.of.would_refuse += slot.in_flight >= slot.amount
            slot.in_flight += 1

    def _refuse(self, counter: Counter, error: BrokerError, matched: Matched, ip: str) -> None:
        self._count(counter, ip)
        error.headers = (*error.headers, *self._headers(matched.slots, matched.rates, matched.tokens, self.now_ns()))
        raise error

    def _refuse_if_enforced(self, counter: Counter, error: BrokerError, ip: str) -> None:
        mode = counter.of.limit.mode
        if mode == ENFORCE:
            self._count(counter, ip)
            raise error
        if mode == SHADOW:
            counter.of.would_refuse += 1

    def _count(self, counter: Counter, ip: str) -> None:
        """Count a refusal; log it, but for each limit and address only once a minute."""
        of = counter.of
        of.refused += 1
        if self._warnings.is_due(f"{of.limit.name} {ip}"):
            log.warning(
                "limits: %s refuses a call of %s; refused of all callers since the start: %d",
                of.limit.name,
                ip,
                of.refused,
            )


def _counters(known: LimitCounters | None, limit: Limit) -> LimitCounters:
    if known is None or not known.limit.counts_like(limit):
        return LimitCounters(limit)
    known.change(limit)
    return known
