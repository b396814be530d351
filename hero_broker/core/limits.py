"""What operators and callers see of limits, as the admin plane shows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class LimitState:
    """A limit in force, and how often it refused since the start."""

    name: str
    unit: str
    amount: int  # of the unit; money in nano-USD
    window: str | None  # None for calls in flight
    tz: str | None  # of a budget
    hold: str | None  # of a budget
    burst: int | None  # of a limit of requests per minute
    match: Mapping[str, str]
    per: tuple[str, ...]
    mode: str
    source: str  # "file", "rpc" or "server"
    warn_at: tuple[Decimal, ...]  # parts of a budget, rising
    on_exceed: str | None  # whether a stream is cut; None unless what it holds grows with its output
    unpriced: str | None  # whether calls without a price are refused; None unless the unit is USD
    on_limits_unavailable: str | None  # "refuse" or "allow"; None if it always knows what it counts
    description: str
    subjects: int  # counters in memory
    refused: int  # calls, and streams that were cut
    would_refuse: int  # calls, in shadow mode
    overshoots: int  # calls that used more of a budget than was held for them
    warned: int  # thresholds that subjects have reached, each once in a window


@dataclass(frozen=True, slots=True)
class SubjectState:
    """What one subject has used of a limit; amounts in the unit of the limit, money in nano-USD."""

    subject: Mapping[str, str | None]  # the value of each dimension in `per`
    used: int  # of a budget what is spent, else the calls in flight, or the requests of the burst
    held: int  # of a budget, for calls in flight
    remaining: int  # never negative
    window_start: int | None  # unix seconds, UTC; of a budget
    window_end: int | None  # None too for a budget that never ends
    granted: int = 0  # of a budget, beyond its amount
    warnings: tuple[Decimal, ...] = ()  # the thresholds of `warn_at` that are reached


@dataclass(frozen=True, slots=True)
class OwnLimit:
    """What a caller sees of a limit that counts its calls; amounts are None unless the counter is the caller's own."""

    name: str
    unit: str
    window: str | None  # None for calls in flight
    tz: str | None  # of a budget
    calls: Mapping[str, str]  # which of the caller's calls it counts: by context, model, provider or kind
    amount: int | None  # of the unit, with what is granted; money in nano-USD
    used: int | None  # as of a `SubjectState`
    held: int | None
    remaining: int | None
    window_start: int | None  # unix seconds, UTC; of a budget
    window_end: int | None  # None too for a budget that never ends


@dataclass(frozen=True, slots=True)
class LimitDefinition:
    """A limit as it was set while a broker ran."""

    name: str
    definition: str  # canonical JSON: an object with the keys of `[[limits]]`, without the name
    set_at: int  # unix seconds, UTC


@dataclass(frozen=True, slots=True)
class Grant:
    """What one subject of a budget may use beyond its amount."""

    grant_id: int  # 1, 2, …
    name: str  # of the limit
    subject: Mapping[str, str | None]  # the value of each dimension in `per`, as in a `SubjectState`
    unit: str  # of the limit when the grant was made
    amount: int  # of the unit; money in nano-USD; above 0
    granted_at: int  # unix seconds, UTC
    until: int | None  # unix seconds, not included; None: for ever
    reason: str

    def is_in_force(self, at: int) -> bool:
        """Return whether it has not ended at a time (unix seconds)."""
        return self.until is None or at < self.until


@dataclass(frozen=True, slots=True)
class DefinedLimit:
    """A limit as it is defined, with its grants in force."""

    name: str
    source: str  # "file", "rpc" or "server"
    description: str | None  # as a sentence; None if this broker cannot use the definition
    definition: LimitDefinition | None  # None unless it was set over RPC
    grants: tuple[Grant, ...]


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call that nobody makes yet, to ask what limits would do with it."""

    ip: str  # canonical, or "unknown"
    model: str  # as a client names it
    kind: str | None = None  # None: that of the model, or a chat
    context: str | None = None
    body_bytes: int = 0  # of what the model reads; characters of a text that is spoken
    max_output_tokens: int | None = None  # None: the request does not bound its output


@dataclass(frozen=True, slots=True)
class Refusal:
    """The error that a caller would get."""

    status: int  # of HTTP
    code: str
    message: str
    retry_after_s: int | None


@dataclass(frozen=True, slots=True)
class LimitDecision:
    """What a limit that matches a call would do with it."""

    name: str
    unit: str
    mode: str  # only "enforce" refuses
    refusal: Refusal | None  # None: it has room
    needed: int | None = None  # what the call would take, in the unit; None if it has no known price
    amount: int | None = None  # of the limit, without what is granted
    state: SubjectState | None = None  # None if its counter is not known yet


@dataclass(frozen=True, slots=True)
class ExplainedAdmission:
    """What limits would do with a call now."""

    model: str
    provider: str
    kind: str
    label: str | None  # of the address, as limits see it
    decisions: tuple[LimitDecision, ...]  # in the order of the limits
    refused_by: LimitDecision | None  # the first that would refuse it; None: the call is admitted
