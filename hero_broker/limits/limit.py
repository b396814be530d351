"""What a limit is: which calls it counts, by what it counts them, and how many of them it admits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from ipaddress import ip_network
from typing import NamedTuple
from zoneinfo import ZoneInfo

from hero_broker.core.addresses import UNKNOWN, parse_ip
from hero_broker.core.calendar import buckets
from hero_broker.core.labels import Network
from hero_broker.core.queries import Bucket

REQUESTS, CONCURRENT = "requests", "concurrent"
USD, TOKENS, INPUT_TOKENS, OUTPUT_TOKENS = "usd", "tokens", "input_tokens", "output_tokens"
UNITS = (USD, TOKENS, INPUT_TOKENS, OUTPUT_TOKENS, REQUESTS, CONCURRENT)
MINUTE, BILLING_PERIOD, EVER = "minute", "billing_period", "ever"
CALENDAR: tuple[Bucket, ...] = ("hour", "day", "week", "month")
WINDOWS = (MINUTE, *CALENDAR, BILLING_PERIOD, EVER)
# How much is set aside while a call runs: what it can cost at most, what it is likely to cost at most, what calls cost
# on average, or nothing.
WORST, SAFE, MEAN, NO_HOLD = "worst", "safe", "mean", "none"
HOLDS = (SAFE, WORST, MEAN, NO_HOLD)
ENFORCE, SHADOW, WARN = "enforce", "shadow", "warn"
MODES = (ENFORCE, SHADOW, WARN)
FINISH, CUT = "finish", "cut"
ENDS = (FINISH, CUT)
REFUSE, ALLOW = "refuse", "allow"
CHOICES = (REFUSE, ALLOW)  # of calls without a price, and while it is not known what is spent
SUBJECTS = ("ip", "prefix", "label", "context", "model", "provider", "kind")  # what a limit may have counters by
PREFIX_V4, PREFIX_V6 = 32, 64  # bits of the prefixes that `per` counts by, unless the limit says otherwise
MAX_AMOUNT = 1_000_000  # of requests per minute, and of calls in flight
MAX_TOKENS_PER_MINUTE = 10**9
MAX_UNITS = 10**15  # of tokens or requests in a longer window
MAX_USD = 1_000_000_000
MAX_LIMITS = 1000  # without those of `[server]`
MAX_NAME_CHARACTERS = 64
FILE, RPC, SERVER = "file", "rpc", "server"  # where a limit comes from: `[[limits]]`, `limits.set`, or `[server]`
MAX_EXCEPTED = 100  # addresses and networks
MAX_THRESHOLDS = 10  # of a budget
MAX_THRESHOLD = 10  # times its amount
SERVER_LIMITS = PER_ADDRESS, ALL_CALLS = ("server.max_calls_per_address", "server.max_calls")  # settings, and names
# What may change while counters stay as they are.
_WITHOUT_COUNTERS = (
    "amount",
    "burst",
    "mode",
    "hold",
    "warn_at",
    "on_exceed",
    "unpriced",
    "on_limits_unavailable",
    "is_set",
)
_KNOWN_LATE = ("context", "model", "provider", "kind")  # the body is read before limits look at these


class Dimensions(NamedTuple):
    """What limits know of a call."""

    ip: str  # canonical, or "unknown"
    context: str | None = None
    model: str | None = None
    provider: str | None = None  # of the first target of the model's route
    kind: str | None = None
    label: str | None = None  # of the address; None if no limit looks at labels, too


@dataclass(frozen=True, slots=True)
class LimitMatch:
    """Which calls a limit counts: those that agree with every field that is set."""

    ip: str | None = None
    network: Network | None = None
    context: str | None = None
    model: str | None = None
    provider: str | None = None
    kind: str | None = None
    label: str | None = None
    excepted: tuple[Network, ...] = ()  # no call from these agrees; single addresses are networks, too

    def covers(self, call: Dimensions) -> bool:
        """Return whether a call agrees; "unknown" is in no network."""
        return self.covers_address(call.ip) and all(
            wanted is None or wanted == value
            for wanted, value in (
                (self.context, call.context),
                (self.model, call.model),
                (self.provider, call.provider),
                (self.kind, call.kind),
                (self.label, call.label),
            )
        )

    def covers_address(self, ip: str) -> bool:
        """Return whether some calls of an address may agree."""
        if self.excepted and ip != UNKNOWN and any(parse_ip(ip) in network for network in self.excepted):
            return False
        if self.network is not None and (ip == UNKNOWN or parse_ip(ip) not in self.network):
            return False
        return self.ip is None or self.ip == ip


EVERY_CALL = LimitMatch()
END_OF_TIME = 2**62


UTC = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound on the calls that match it, with one counter for each subject: each value of the dimensions in `per`."""

    name: str
    unit: str  # one of `UNITS`
    amount: int  # of the unit in a window, or of calls in flight; money in nano-USD
    match: LimitMatch = EVERY_CALL
    per: tuple[str, ...] = ()  # of `SUBJECTS`; empty: one counter for all calls
    burst: int = 0  # how many requests or tokens of a minute may come at once; else 0
    mode: str = ENFORCE  # SHADOW: it counts what it would refuse, and refuses nothing; WARN: it only warns
    prefix_v4: int = PREFIX_V4
    prefix_v6: int = PREFIX_V6
    window: str = MINUTE  # one of `WINDOWS`; without a meaning for calls in flight
    zone: ZoneInfo = UTC  # of the windows of a calendar
    hold: str = SAFE  # one of `HOLDS`
    # Parts of a budget, rising: the broker warns once when so much of it is spent.
    warn_at: tuple[Decimal, ...] = ()
    on_exceed: str = FINISH  # or CUT: a stream ends when its output needs more than the budget has
    unpriced: str = REFUSE  # or ALLOW: under a limit of money, a call without a known price costs 0
    on_limits_unavailable: str = REFUSE  # or ALLOW: it admits calls while it does not know what is spent, or labels
    # Whether it is a setting of `[server]`: a slot of it is free as soon as the client has disconnected, because drains
    # have a bound of their own.
    is_of_server: bool = field(default=False, kw_only=True)
    is_set: bool = field(default=False, kw_only=True)  # over RPC, and not in the settings file

    @property
    def source(self) -> str:
        """Where it comes from: `FILE`, `RPC` or `SERVER`."""
        return SERVER if self.is_of_server else RPC if self.is_set else FILE

    @property
    def is_early(self) -> bool:
        """Whether the caller's address decides, so that the limit is asked before the body is read."""
        return not any(name in self.per or getattr(self.match, name) is not None for name in _KNOWN_LATE)

    @property
    def is_budget(self) -> bool:
        """Whether it bounds what calls use in a window of the calendar, or ever."""
        return self.unit != CONCURRENT and self.window != MINUTE

    @property
    def is_token_rate(self) -> bool:
        """Whether it bounds the tokens per minute."""
        return self.window == MINUTE and self.unit in (TOKENS, INPUT_TOKENS, OUTPUT_TOKENS)

    @property
    def grows(self) -> bool:
        """Whether what a stream holds of it grows with the output."""
        return self.is_budget and self.unit in (USD, TOKENS, OUTPUT_TOKENS) and self.hold != NO_HOLD

    @property
    def refuses_unknown(self) -> bool:
        """Whether it refuses calls while it does not know what is spent, or the label of an address."""
        return self.mode == ENFORCE and self.on_limits_unavailable == REFUSE

    @property
    def refuses_unpriced(self) -> bool:
        """Whether it refuses calls without a known price."""
        return self.unit == USD and self.mode == ENFORCE and self.unpriced == REFUSE

    @property
    def uses_provider(self) -> bool:
        """Whether the counter of a call depends on its provider, which may change while the call runs."""
        return "provider" in self.per or self.match.provider is not None

    @property
    def uses_label(self) -> bool:
        """Whether the counter of a call depends on the label of its address, which may change while the call runs."""
        return "label" in self.per or self.match.label is not None

    @property
    def has_end(self) -> bool:
        """Whether the windows of a budget end at a time that is known before."""
        return self.window in CALENDAR

    def window_at(self, at: int) -> tuple[int, int]:
        """Return the window of a budget that has a time: both in unix seconds, and half-open.

        What a billing period has is known from the ledger, not from times: all times are in one window.
        """
        for bucket in CALENDAR:
            if bucket == self.window:
                return next(buckets(bucket, self.zone, at, at + 1))
        return 0, END_OF_TIME

    def counts_like(self, other: "Limit") -> bool:
        """Return whether the counters of another limit are right for this one, too."""
        return (
            self.is_budget == other.is_budget
            and replace(self, **{name: getattr(other, name) for name in _WITHOUT_COUNTERS}) == other
            and (self.is_budget or self.unit == CONCURRENT or (self.amount, self.burst) == (other.amount, other.burst))
        )

    @property
    def is_own(self) -> bool:
        """Whether each counter is of one address, so that its caller may know its numbers."""
        return "ip" in self.per or self.match.ip is not None

    def subject(self, call: Dimensions) -> tuple[str | None, ...]:
        """Return the subject that a call is counted under."""
        return self.values(self.per, call)

    def values(self, names: Sequence[str], call: Dimensions) -> tuple[str | None, ...]:
        """Return some dimensions of a call, of `SUBJECTS`."""
        return tuple(self._prefix(call.ip) if name == "prefix" else getattr(call, name) for name in names)

    def _prefix(self, ip: str) -> str:
        if ip == UNKNOWN:
            return ip
        address = parse_ip(ip)
        bits = self.prefix_v4 if address.version == 4 else self.prefix_v6
        return str(ip_network((address, bits), strict=False))


def window_text(limit: Limit) -> str:
    """Return how often the amount of a budget is there, such as "a month"."""
    if limit.window == EVER:
        return "for ever"
    return f"{'an' if limit.window == 'hour' else 'a'} {limit.window.replace('_', ' ')}"


def faults_of(limit: Limit) -> Iterator[tuple[str, str]]:
    """Yield what is wrong between the fields of a limit: a field, and what it must be."""
    if len(set(limit.per)) < len(limit.per):
        yield "per", "must not have a word twice"
    if "context" in limit.per and "ip" not in limit.per:
        yield (
            "per",
            'must have "ip" beside "context": a caller chooses its context, so each new one would be a new counter',
        )
    if "ip" in limit.per and "prefix" in limit.per:
        yield "per", 'must have "ip" or "prefix", not both'
    if limit.match.ip is not None and limit.match.network is not None:
        yield "match", 'must have "ip" or "network", not both'
    if limit.match.ip is not None and limit.match.excepted:
        yield "match", 'must not have "exclude" beside "ip"'
    if len(limit.match.excepted) > MAX_EXCEPTED:
        yield "match", f'must have at most {MAX_EXCEPTED} addresses and networks in "exclude"'
    if limit.on_exceed == CUT and not limit.grows:
        yield "on_exceed", 'needs with "cut" a budget of "usd", "tokens" or "output_tokens" whose hold is not "none"'
    if limit.on_limits_unavailable == ALLOW and not (limit.is_budget or limit.uses_label):
        yield "on_limits_unavailable", 'needs with "allow" a budget, or a limit that looks at labels'
    if limit.warn_at and not limit.is_budget:
        yield "warn_at", "needs a window longer than a minute"
    if limit.mode == WARN and not limit.warn_at:
        yield "mode", 'needs warn_at with "warn"'


def network_text(network: Network) -> str:
    """Return a network as operators write it: one of a single address without the length of its prefix."""
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def server_limits(max_calls: int, max_calls_per_address: int) -> tuple[Limit, Limit]:
    """Return `server.max_calls_per_address` and `server.max_calls` as limits."""
    share = min(max_calls, max_calls_per_address)
    return (
        Limit(PER_ADDRESS, CONCURRENT, share, per=("ip",), is_of_server=True),
        Limit(ALL_CALLS, CONCURRENT, max_calls, is_of_server=True),
    )
