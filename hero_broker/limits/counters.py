"""The counters of limits, in memory: calls in flight, requests and tokens per minute, and what is spent of budgets."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from itertools import islice
from typing import NamedTuple, Protocol
from weakref import WeakSet, WeakValueDictionary

from hero_broker.limits.limit import (
    CONCURRENT,
    INPUT_TOKENS,
    NO_HOLD,
    OUTPUT_TOKENS,
    REQUESTS,
    TOKENS,
    USD,
    Dimensions,
    Limit,
)

MINUTE_NS = 60_000_000_000
MAX_DEBT_NS = 60 * MINUTE_NS
MAX_SUBJECTS = 100_000  # of one limit; further ones share a counter
NEVER = 2**127  # more than anything that is spent
MAX_OWN = 1_000  # of one limit and address; further subjects of the address share a counter
OTHERS = "others"  # the values of a counter that subjects share

Subject = tuple[str | None, ...]


class SlotCounter:
    """The calls in flight of one subject."""

    __slots__ = ("__weakref__", "amount", "in_flight", "of", "siblings", "subject")
    siblings: "WeakSet[Counter]"

    def __init__(self, of: "LimitCounters", subject: Subject) -> None:
        self.of = of
        self.subject = subject
        self.amount = of.limit.amount
        self.in_flight = 0


class RateCounter:
    """The requests per minute of one subject, by the generic cell rate algorithm (GCRA).

    It keeps one integer: when the next request would come if all came evenly. A request may be early by `burst - 1`
    distances. Times are monotonic nanoseconds times the amount, so that the distance of two requests is an integer.
    """

    __slots__ = ("__weakref__", "_due", "_early", "amount", "is_kept", "of", "siblings", "subject")
    siblings: "WeakSet[Counter]"

    def __init__(self, of: "LimitCounters", subject: Subject) -> None:
        self.of = of
        self.subject = subject
        self.amount = of.limit.amount
        self._early = (of.limit.burst - 1) * MINUTE_NS
        self._due = 0
        self.is_kept = False  # while `plan.Matcher` keeps it although no cached caller has it

    def wait_ns(self, now_ns: int) -> int:
        """Return how long until a request is admitted; 0 if it is admitted now."""
        early = self._due - now_ns * self.amount - self._early
        return -(-early // self.amount) if early > 0 else 0

    def take(self, now_ns: int) -> None:
        """Count a request that is admitted now."""
        now = now_ns * self.amount
        self._due = (self._due if self._due > now else now) + MINUTE_NS

    def give_back(self) -> None:
        """Undo a `take` of a request that was not made."""
        self._due -= MINUTE_NS

    def remaining(self, now_ns: int) -> int:
        """Return how many requests would be admitted now."""
        ahead = self._due - now_ns * self.amount
        return (self._early - (ahead if ahead > 0 else 0)) // MINUTE_NS + 1

    def state(self, now_ns: int) -> tuple[int, int]:
        """Return `remaining`, and how far the next request is ahead in nanoseconds times the amount, at least 0."""
        ahead = self._due - now_ns * self.amount
        if ahead <= 0:
            return self._early // MINUTE_NS + 1, 0
        return (self._early - ahead) // MINUTE_NS + 1, ahead

    def full_ns(self, now_ns: int) -> int:
        """Return how long until a whole burst is admitted again."""
        ahead = self._due - now_ns * self.amount
        return -(-ahead // self.amount) if ahead > 0 else 0

    def next_ns(self, now_ns: int) -> int:
        """Return how long until one more request is admitted than now; 0 if a whole burst is."""
        ahead = self._due - now_ns * self.amount
        return -(-(ahead % MINUTE_NS or MINUTE_NS) // self.amount) if ahead > 0 else 0


class TokenRateCounter(RateCounter):
    """The tokens per minute of one subject: a `RateCounter` that a call takes many of, and corrects at its end."""

    __slots__ = ("unit",)

    def __init__(self, of: "LimitCounters", subject: Subject) -> None:
        super().__init__(of, subject)
        self.unit = of.limit.unit

    def wait_for_ns(self, now_ns: int, tokens: int) -> int:
        """Return how long until a call that may use as many tokens is admitted; 0 if it is admitted now."""
        early = max(0, self._due - now_ns * self.amount) + (tokens - 1) * MINUTE_NS - self._early
        return -(-early // self.amount) if early > 0 else 0

    def take_many(self, now_ns: int, tokens: int) -> None:
        """Count the tokens that a call may use."""
        self._due = max(self._due, now_ns * self.amount) + tokens * MINUTE_NS

    def correct(self, now_ns: int, taken_ns: int, tokens: int) -> None:
        """Count tokens that a call used beyond those that it took, or give back (below 0) those that it did not use.

        Nothing is given back once a whole burst has been admitted again since they were taken: it would be a second
        burst. However many tokens a provider reports, a call is admitted again within `MAX_DEBT_NS`.
        """
        if tokens > 0:
            self.take_many(now_ns, tokens)
            self._due = min(self._due, (now_ns + MAX_DEBT_NS) * self.amount + self._early)
        elif (now_ns - taken_ns) * self.amount < self._early + MINUTE_NS:
            self._due += tokens * MINUTE_NS


class Used(NamedTuple):
    """What a call used, what it may use, or what several used together."""

    cost_nano_usd: int | None  # None: it has no known price
    input_tokens: int
    output_tokens: int
    requests: int = 1

    def amount(self, unit: str) -> int:
        """Return it in the unit of a budget; a cost that is not known is 0."""
        if unit == USD:
            return self.cost_nano_usd or 0
        if unit == TOKENS:
            return self.input_tokens + self.output_tokens
        return {INPUT_TOKENS: self.input_tokens, OUTPUT_TOKENS: self.output_tokens, REQUESTS: self.requests}[unit]


class WindowSum:
    """What one subject has spent of a budget in one window, and what is held for its calls in flight."""

    __slots__ = ("begins", "ends", "held", "spent", "warned", "warns_at")

    def __init__(self, begins: int, ends: int) -> None:
        self.begins = begins  # unix seconds; `ends` is not included
        self.ends = ends
        self.spent = 0
        self.held = 0
        self.warned = 0  # thresholds, as of `thresholds.warn`
        self.warns_at = NEVER  # what is spent when the next threshold is reached


class BudgetCounter:
    """What one subject has spent of a budget, by window.

    There is no reset: a call is counted in the window that has its begin, whenever it ends. The latest window is kept,
    and one before it: so a clock that goes back finds what was spent in the window before. If it goes back further, the
    sum of that window begins at 0.
    """

    __slots__ = (
        "__weakref__",
        "_before",
        "_latest",
        "amount",
        "is_kept",
        "of",
        "siblings",
        "subject",
        "unit",
        "uses_label",
        "uses_provider",
    )
    siblings: "WeakSet[Counter]"

    def __init__(self, of: "LimitCounters", subject: Subject) -> None:
        self.of = of
        self.subject = subject
        self.amount = of.limit.amount + of.grants.get(subject, 0)
        self.unit = of.limit.unit
        self.uses_provider = of.limit.uses_provider
        self.uses_label = of.limit.uses_label
        self._latest = self._before = WindowSum(0, 0)
        self.is_kept = False  # as of a `RateCounter`

    def at(self, started_at: int) -> WindowSum:
        """Return the sum of the window in which a call began (unix seconds)."""
        latest, before = self._latest, self._before
        if latest.begins <= started_at < latest.ends:
            return latest
        if before.begins <= started_at < before.ends:
            return before
        window = WindowSum(*self.of.limit.window_at(started_at))
        if thresholds := self.of.limit.warn_at:
            window.warns_at = self.part(thresholds[0])
        if window.begins > latest.begins:
            self._latest, self._before = window, latest
        else:
            self._before = window
        return window

    def use_amount(self, amount: int) -> None:
        """Take another amount. Thresholds that it moves above what is spent will be reached again."""
        self.amount = amount
        thresholds = self.of.limit.warn_at
        for window in (self._latest, self._before):
            reached = sum(window.spent >= self.part(one) for one in thresholds)
            window.warned = min(window.warned, reached)
            rest = thresholds[window.warned :]
            window.warns_at = self.part(rest[0]) if rest else NEVER

    def part(self, threshold: Decimal) -> int:
        """Return the least that must be spent to reach a threshold, exactly."""
        if not self.amount:
            return NEVER
        numerator, denominator = threshold.as_integer_ratio()
        return -(-self.amount * numerator // denominator)

    def is_idle(self, now: int) -> bool:
        """Return whether nothing would be lost with it: no call holds anything, and its windows are over or unspent."""
        return all(
            not one.held and (not one.spent or now >= one.ends + (one.ends - one.begins))
            for one in (self._latest, self._before)
        )


Counter = SlotCounter | RateCounter | BudgetCounter


class Held(NamedTuple):
    """What a call holds of one budget."""

    window: WindowSum
    counter: BudgetCounter
    amount: int

    def end(self) -> None:
        """Hold it no longer."""
        self.window.held -= self.amount

    def settle(self, used: Used) -> bool:
        """Count what the call used instead of what was held for it; return whether `thresholds.warn` is due."""
        window, counter, held = self
        amount = used.amount(counter.unit)
        window.held -= held
        window.spent = spent = window.spent + amount
        if amount > held and counter.of.limit.hold != NO_HOLD:
            counter.of.overshoots += 1
        return spent >= window.warns_at


class TakenTokens(NamedTuple):
    """What a call took of the tokens per minute of one subject."""

    counter: TokenRateCounter
    amount: int
    taken_ns: int  # monotonic

    def correct(self, used: int, now_ns: int) -> None:
        """Count as many tokens instead."""
        self.counter.correct(now_ns, self.taken_ns, used - self.amount)


class RowUsage(Protocol):
    """What settles a call: the members of its row that budgets look at."""

    @property
    def ip(self) -> str: ...
    @property
    def context(self) -> str | None: ...
    @property
    def model(self) -> str: ...
    @property
    def provider(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def started_at(self) -> int: ...
    @property
    def input_tokens(self) -> int | None: ...
    @property
    def output_tokens(self) -> int | None: ...
    @property
    def cost_nano_usd(self) -> int | None: ...


def used_by(row: RowUsage) -> Used:
    """Return what a row counts for budgets, as reports sum it."""
    return Used(row.cost_nano_usd, row.input_tokens or 0, row.output_tokens or 0)


class HeaderTexts(NamedTuple):
    """What the headers of a limit always say."""

    limit: Limit
    policy: str  # its item of `RateLimit-Policy`
    state: str  # the begin of its item of `RateLimit`
    amount: bytes


class LimitCounters:
    """A limit with its counters, and how often it refused."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.is_known = not limit.is_budget  # whether a budget knows what was spent before the start
        self.grants: Mapping[Subject, int] = {}  # what subjects may spend besides the amount
        self.refused = 0  # calls, since the start
        self.would_refuse = 0  # in shadow mode
        self.shared = 0  # how often a subject had to share a counter with others
        self.overshoots = 0  # calls that used more of a budget than was held for them
        self.warned = 0  # thresholds that subjects have reached, each once in a window
        self.header_texts: HeaderTexts | None = None  # once `headers` has made them
        self._make: type[SlotCounter | RateCounter | BudgetCounter] = RateCounter
        if limit.is_budget:
            self._make = BudgetCounter
        elif limit.is_token_rate:
            self._make = TokenRateCounter
        elif limit.unit == CONCURRENT:
            self._make = SlotCounter
        # A counter lives as long as a cached caller or a call in flight refers to it, or as `plan.Matcher` keeps it.
        self._counters: WeakValueDictionary[Subject, Counter] = WeakValueDictionary()
        self._common: Counter | None = None
        # If an address may have several counters, they are found by it; each of them keeps the set of all.
        self._at_ip = limit.per.index("ip") if "ip" in limit.per and len(limit.per) > 1 else None
        self._of_ip: WeakValueDictionary[str | None, WeakSet[Counter]] = WeakValueDictionary()
        self._shared_at_ip = WeakSet[Counter]()

    def change(self, limit: Limit) -> None:
        """Take another amount, mode or hold; the counters stay."""
        self.limit = limit
        self._use_amounts()

    def grant(self, grants: Mapping[Subject, int]) -> None:
        """Take what subjects may spend besides the amount of the budget."""
        if grants != self.grants:
            self.grants = grants
            self._use_amounts()

    def _use_amounts(self) -> None:
        for counter in self.counters():
            amount = self.limit.amount + self.grants.get(counter.subject, 0)
            if isinstance(counter, BudgetCounter):
                counter.use_amount(amount)
            else:
                counter.amount = amount

    @property
    def subjects(self) -> int:
        """The number of counters in memory."""
        return len(self._counters)

    def counters(self) -> list[Counter]:
        """Return the counters in memory."""
        return [*self._counters.values(), *([] if self._common is None else [self._common])]

    def counter(self, call: Dimensions) -> Counter:
        """Return the counter of a call that the limit matches."""
        return self.of_subject(self.limit.subject(call))

    def of_subject(self, subject: Subject) -> Counter:
        """Return the counter of a subject."""
        counter = self._counters.get(subject)
        if counter is None:
            if len(self._counters) >= MAX_SUBJECTS:
                return self._shared_counter()
            if self._at_ip is not None and len(self._of_ip.get(subject[self._at_ip], ())) >= MAX_OWN:
                return self._shared_counter_at(self._at_ip, subject[self._at_ip])
            counter = self._new(subject)
        return counter

    def _new(self, subject: Subject) -> Counter:
        counter = self._counters[subject] = self._make(self, subject)
        if self._at_ip is not None:
            ip = subject[self._at_ip]
            counter.siblings = self._of_ip.get(ip) or WeakSet()
            counter.siblings.add(counter)
            self._of_ip[ip] = counter.siblings
        return counter

    def is_shared(self, counter: Counter) -> bool:
        """Return whether several subjects share a counter."""
        return counter is self._common or counter in self._shared_at_ip

    def is_own(self, counter: Counter) -> bool:
        """Return whether a counter counts calls of one address alone, so that its caller may know its numbers."""
        return self.limit.is_own and counter is not self._common

    def own_counters(self, ip: str) -> list[Counter] | None:
        """Return the counters that count only calls of an address, at most `MAX_OWN`; None if others may share them.

        If the address has none yet, one is returned that has counted nothing.
        """
        per = self.limit.per
        if not self.limit.is_own:
            return None
        if per == ("ip",):
            counter = self._counters.get((ip,))
            own = [] if counter is None else [counter]
        else:  # without "ip" in `per`, all are of the only address that the limit matches
            every = self._counters.values() if self._at_ip is None else self._of_ip.get(ip, ())
            own = list(islice(every, MAX_OWN))
        if own:
            return own
        if self._common is not None:  # it may count this address, too
            return None
        return [self._make(self, tuple(ip if name == "ip" else None for name in per))]

    def unused(self, subjects: Iterable[Subject]) -> list[Counter]:
        """Return counters that have counted nothing, of those subjects that have none; they are not kept.

        None are returned if the subjects may share one, or if it is not known yet what was spent.
        """
        if self._common is not None or not self.is_known:
            return []
        return [self._make(self, subject) for subject in subjects if subject not in self._counters]

    def _shared_counter(self) -> Counter:
        self.shared += 1
        if self._common is None:
            self._common = self._make(self, (OTHERS,) * len(self.limit.per))
        return self._common

    def _shared_counter_at(self, at_ip: int, ip: str | None) -> Counter:
        """Return the counter that an address has for all its further subjects: it cannot use up those of others."""
        self.shared += 1
        subject = tuple(ip if number == at_ip else OTHERS for number in range(len(self.limit.per)))
        counter = self._counters.get(subject) or self._new(subject)
        self._shared_at_ip.add(counter)
        return counter


class Matched(NamedTuple):
    """The counters of the limits that match a call."""

    of_server: tuple[SlotCounter, ...]
    slots: tuple[SlotCounter, ...]
    rates: tuple[RateCounter, ...]
    budgets: tuple[BudgetCounter, ...]
    tokens: tuple[TokenRateCounter, ...]
    is_unlimited: bool  # but for the server's own limits


NOTHING = Matched((), (), (), (), (), is_unlimited=True)  # no limit matches
