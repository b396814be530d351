"""The rows of the ledger and of its reports."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from hero_broker.core.calls import Outcome, Verdict
from hero_broker.core.usage import UsageSource


class RequestLog(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One call as billed: a row of `request_logs` without its `seq`. Contains no prompt and no reply.

    Each call creates one; as a frozen dataclass of this width it would cost ten times as much.
    The journal stores the fields by position: add a new field at the end with a default, and move or remove none.
    """

    request_id: str
    started_at: int  # unix seconds, UTC
    ip: str
    ip_key: bytes | None  # 16 bytes, IPv4 as mapped; None for "unknown"
    peer_ip: str | None
    context: str | None
    api_key_id: str | None
    kind: str
    model: str
    provider: str
    upstream_model: str
    stream: bool
    outcome: Outcome
    http_status: int | None  # the status of the response to the client
    error_code: str | None
    input_tokens: int | None
    output_tokens: int | None
    cached_input_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    audio_input_tokens: int | None
    audio_output_tokens: int | None
    characters: int | None
    audio_ms: int | None
    search_units: int | None
    usage_source: UsageSource
    cost_nano_usd: int | None  # 1e-9 USD; None if no price is known
    cost_source: str | None  # "price" or "provider"
    price_id: str | None
    attempts: int
    duration_ms: int
    first_byte_ms: int | None


class AttemptResult(msgspec.Struct, frozen=True):
    """How a provider answered one attempt of a call."""

    provider: str
    verdict: Verdict
    status: int | None = None  # the provider's
    code: str | None = None  # as in `error_code`
    key_number: int = 0  # which of the provider's keys was used, from 1; 0 without one
    detail: str | None = None  # of a failure, for the log


class Settled(msgspec.Struct, frozen=True):
    """A call that has its row, as observers see it."""

    row: RequestLog
    attempts: Sequence[AttemptResult]  # the last one last; empty if nothing was sent


@dataclass(frozen=True, slots=True)
class PriceRecord:
    """A price that rows were priced with."""

    price_id: str  # content hash of `rates`
    rates: str  # JSON: the names and amounts of the known rates
    source: str  # where the rates were read first
    version: str  # of that source


class UsageTotals(msgspec.Struct, frozen=True, gc=False):
    """Sums over rows of the ledger."""

    requests: int = 0
    failed_requests: int = 0
    estimated_requests: int = 0
    unpriced_requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nano_usd: int = 0
    first_seen: int | None = None  # unix seconds, UTC; None if there are no rows
    last_seen: int | None = None


class IpUsage(msgspec.Struct, frozen=True, gc=False):
    """The usage of one address."""

    ip: str  # canonical text, or "unknown"
    totals: UsageTotals
    label: str | None = None  # the label of the address, or of the smallest labelled network that contains it


class ModelUsage(msgspec.Struct, frozen=True, gc=False):
    """The usage of one model."""

    model: str
    totals: UsageTotals


@dataclass(frozen=True, slots=True)
class UsageByIp:
    """Spend per address in a window."""

    items: tuple[IpUsage, ...]
    totals: UsageTotals  # of the window, not of the page
    as_of: int  # unix seconds, UTC
    more: bool
    until: int | None = None  # where the window of the following pages ends; None on the last page


@dataclass(frozen=True, slots=True)
class UsageForIp:
    """One address's spend by model in a window."""

    models: tuple[ModelUsage, ...]
    totals: UsageTotals
    as_of: int  # unix seconds, UTC
    label: str | None = None  # as in `IpUsage`


class UsageGroup(msgspec.Struct, frozen=True, gc=False):
    """The usage of one group in one bucket."""

    group: tuple[str | None, ...]  # in the order of the query's `group_by`; a prefix in CIDR notation
    key: tuple[str | None, ...]  # its sort key in the report
    start: int | None  # unix seconds: the part of the bucket that lies in the window, half-open; None without buckets
    end: int | None
    totals: UsageTotals
    label: str | None = None  # of the group's address, else of its prefix


@dataclass(frozen=True, slots=True)
class UsageReport:
    """Usage by group and bucket."""

    groups: tuple[UsageGroup, ...]
    totals: UsageTotals  # of the window, not of the page
    as_of: int  # unix seconds, UTC
    more: bool
    until: int | None = None  # where the window of the following pages ends; None on the last page


class LedgerRow(msgspec.Struct, frozen=True, gc=False):
    """A row with its position in the ledger."""

    seq: int
    row: RequestLog
    label: str | None  # of the row's address, as in `IpUsage`


@dataclass(frozen=True, slots=True)
class Rows:
    """A page of the ledger, newest first."""

    rows: tuple[LedgerRow, ...]
    left: tuple[int, int] | None  # the `seq`s that remain to be listed, half-open; None at the end
    as_of: int  # unix seconds, UTC


@dataclass(frozen=True, slots=True)
class Period:
    """A range of the ledger, billed or still unbilled. Ranges follow each other without a gap."""

    number: int  # 1, 2, …
    reference: str | None  # chosen by the operator; None for the unbilled range
    from_seq: int
    to_seq: int  # inclusive; from_seq - 1 if the range is empty
    marked_at: int | None  # unix seconds, UTC; None for the unbilled range
    totals: UsageTotals  # without first_seen and last_seen


@dataclass(frozen=True, slots=True)
class Difference:
    """A sum in the books that differs from the rows."""

    table: str  # the roll-up, or "billing_periods"
    span_s: int | None  # of the roll-up's block; 0 = all time
    begins_at: int | None  # unix seconds
    key: dict[str, str]  # the dimensions, or the period's reference
    expected: UsageTotals  # summed from the rows, or from the blocks of the next smaller span
    found: UsageTotals


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether rows, roll-ups and billing periods agree."""

    rows: int  # in the hours that were compared
    differences: int
    behind: int  # rows above the watermark whose calls ended more than a minute ago; in a copy, all of its rows
    listed: tuple[Difference, ...]  # the first differences
    as_of: int  # unix seconds, UTC


@dataclass(frozen=True, slots=True)
class CostLine:
    """One part of a call's cost: units times a rate. Amounts are exact decimals, or fractions such as "1/3"."""

    unit: str  # what is charged, such as "cached_input_tokens"
    units: str
    rate: str  # the rate's name in the settings, such as "input_per_million"
    usd: str  # the rate, in USD
    per: int  # the number of units that `usd` pays for
    amount_usd: str


@dataclass(frozen=True, slots=True)
class ExplainedRequest:
    """One row of the ledger with how its cost was computed."""

    seq: int
    row: RequestLog
    price: PriceRecord | None
    lines: tuple[CostLine, ...]  # empty if the provider reported the cost, or nothing was charged
    exact_usd: str | None  # their sum before rounding; None if no price is known
    as_of: int  # unix seconds, UTC
    label: str | None = None  # of the row's address, as in `IpUsage`
