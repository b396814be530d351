"""The rows of the ledger and of its reports."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from hero_broker.core.calls import Outcome, Verdict
from hero_broker.core.usage import UsageSource


class RequestLog(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One call as billed: a row of `request_logs` without its `seq`. Contains no prompt and no reply.

    Each call creates one; as a frozen dataclass of this width it would cost ten times as much.
    The journal stores the fields by position: add a new field at the end with a default, and move or remove none.
    Columns, reports and exports are made of these fields, and the contract has their descriptions: `ROW_FIELDS`.
    """

    request_id: Annotated[str, Meta(description="UUIDv7, also in the response's x-request-id.")]
    started_at: Annotated[int, Meta(description="Unix seconds, UTC.")]
    ip: Annotated[str, Meta(description='The address that is billed, or "unknown".')]
    ip_key: Annotated[bytes | None, Meta(description='The 16 bytes of `ip`, IPv4 as mapped; null for "unknown".')]
    peer_ip: Annotated[str | None, Meta(description="The connection's address, if it differs.")]
    context: Annotated[str | None, Meta(description="The caller's own claim, from X-Hero-Context.")]
    api_key_id: Annotated[str | None, Meta(description="Always null: callers have no keys.")]
    kind: Annotated[str, Meta(description="The kind of the call.")]
    model: Annotated[str, Meta(description="The broker's name for the model.")]
    provider: Annotated[str, Meta(description="The provider that the last attempt was sent to.")]
    upstream_model: Annotated[str, Meta(description="That provider's name for the model.")]
    stream: Annotated[bool, Meta(description="Whether the client requested a stream or received one.")]
    outcome: Annotated[Outcome, Meta(description="How the call ended.")]
    http_status: Annotated[int | None, Meta(description="The status that the client received.")]
    error_code: Annotated[str | None, Meta(description="The code of what went wrong; null if nothing did.")]
    input_tokens: Annotated[int | None, Meta(description="Cached, cache-written, audio and image input included.")]
    output_tokens: Annotated[int | None, Meta(description="Reasoning, audio and image output included.")]
    cached_input_tokens: Annotated[int | None, Meta(description="Input that was read from the provider's cache.")]
    cache_write_tokens: Annotated[int | None, Meta(description="Input that was written to the provider's cache.")]
    reasoning_tokens: Annotated[int | None, Meta(description="Output that is reasoning.")]
    audio_input_tokens: Annotated[int | None, Meta(description="Input that is audio.")]
    audio_output_tokens: Annotated[int | None, Meta(description="Output that is audio.")]
    characters: Annotated[int | None, Meta(description="Characters of the text that was converted to speech.")]
    audio_ms: Annotated[int | None, Meta(description="Milliseconds of the audio that was transcribed.")]
    search_units: Annotated[int | None, Meta(description="Searches, as the provider counts them.")]
    usage_source: Annotated[UsageSource, Meta(description="Where the counts come from.")]
    cost_nano_usd: Annotated[
        int | None,
        Meta(description="Cost in 0.000000001 USD, in JSON as a string of digits; null if no price is known."),
    ]
    cost_source: Annotated[
        str | None,
        Meta(
            description='"price", "provider" if the provider reported the cost, "mixed" if the cost has several '
            'sources, "free" if the provider charges nothing for it, or "imported".'
        ),
    ]
    price_id: Annotated[str | None, Meta(description="Content hash of the rates.")]
    attempts: Annotated[int, Meta(description="Requests that were sent to providers.")]
    duration_ms: Annotated[int, Meta(description="Milliseconds from the first attempt to the end of the call.")]
    first_byte_ms: Annotated[
        int | None,
        Meta(description="Milliseconds from the first attempt to a successful response; null if there was none."),
    ]
    image_input_tokens: Annotated[int | None, Meta(description="Input that is images.")] = None
    image_output_tokens: Annotated[int | None, Meta(description="Output that is images.")] = None
    cache_write_1h_tokens: Annotated[
        int | None, Meta(description="The part of `cache_write_tokens` that is kept for an hour.")
    ] = None
    images: Annotated[int | None, Meta(description="Images that were made.")] = None
    web_searches: Annotated[int | None, Meta(description="Searches of the web that the provider made.")] = None
    file_searches: Annotated[int | None, Meta(description="Searches of uploaded files that the provider made.")] = None
    service_tier: Annotated[str | None, Meta(description="The provider's tier that served; null if unknown.")] = None
    requested_model: Annotated[
        str | None, Meta(description="The model as the client wrote it, cut to 200 characters; null if it is `model`.")
    ] = None
    first_error: Annotated[
        str | None, Meta(description="The code of the first attempt that failed; null if none did.")
    ] = None
    provider_key: Annotated[
        str | None,
        Meta(
            description="The operator's key that the provider answered to: 8 hexadecimal digits of its SHA-256; "
            "null without a key or an answer."
        ),
    ] = None
    unexplained_tokens: Annotated[
        int | None,
        Meta(
            description="Tokens that the provider's total has beyond all of its counts, and that are not billed; "
            "negative if the total is smaller; null if it explains itself."
        ),
    ] = None
    cut_counts: Annotated[
        str | None,
        Meta(
            description="The counts that the provider reported larger than the count that contains them, and that are "
            "cut to it, separated by commas; null if there are none."
        ),
    ] = None
    cost_shares: Annotated[
        str | None,
        Meta(
            description="What each price of a cost with several prices was charged for: JSON, an array of objects with "
            "`model`, `price_id` and `usage`; null if the cost is not mixed, or if the array is too long."
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class RowField:
    """A field of `RequestLog`."""

    name: str
    type: type  # of its values other than None
    is_nullable: bool
    description: str  # a sentence with the unit; empty if the field has none, which a test rejects


def row_fields(record: type[msgspec.Struct]) -> tuple[RowField, ...]:
    """Return the fields of a record in its order."""
    return tuple(_row_field(name, hint) for name, hint in get_type_hints(record, include_extras=True).items())


def _row_field(name: str, hint: Any) -> RowField:
    hint, *annotations = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    types = get_args(hint) or (hint,)
    (value_type,) = (one for one in types if one is not NoneType)
    descriptions = [one.description or "" for one in annotations if isinstance(one, Meta)]
    return RowField(name, value_type, NoneType in types, "".join(descriptions))


ROW_FIELDS = row_fields(RequestLog)  # the one list that columns, reports and exports are made of


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
class StoredResponse:
    """A response that a provider keeps, and who may refer to it: a line of `responses`."""

    response_id: str  # the provider's; it matches `RESPONSE_ID`
    owner: str  # as `owner_of` returns it
    provider: str
    provider_key: str | None  # as in `RequestLog`; the account that keeps the response
    model: str  # the broker's name
    request_id: str  # of the row
    tokens: int  # input and output of the row: what a call that continues the response reads at least
    expires_at: int  # unix seconds, UTC


# An id that can be a segment of a path as it is. It is the provider's, and a client may send any.
RESPONSE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~:=+-]{0,127}")


def owner_of(api_key_id: str | None, ip: str) -> str:
    """Return who owns what a call leaves at a provider: the caller's key, or without one its address."""
    return f"ip:{ip}" if api_key_id is None else f"key:{api_key_id}"


class PriceRecord(msgspec.Struct, frozen=True, array_like=True):
    """A price that rows were priced with.

    The journal stores the fields by position, as those of `RequestLog`.
    """

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
    cached_input_tokens: int = 0
    characters: int = 0
    audio_ms: int = 0
    search_units: int = 0
    images: int = 0
    web_searches: int = 0
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
class WindowUsage:
    """One address's usage in a window, by model."""

    since: int  # unix seconds, half-open
    until: int
    totals: UsageTotals
    models: tuple[ModelUsage, ...]  # largest spend first


@dataclass(frozen=True, slots=True)
class OwnUsage:
    """What one address used today and this month."""

    today: WindowUsage
    month: WindowUsage
    as_of: int  # unix seconds, UTC


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
    label: str | None = None  # that it is grouped by, else of the group's address, else of its prefix


@dataclass(frozen=True, slots=True)
class UsageReport:
    """Usage by group and bucket."""

    groups: tuple[UsageGroup, ...]
    totals: UsageTotals  # of the window, not of the page
    as_of: int  # unix seconds, UTC
    more: bool
    until: int | None = None  # where the window of the following pages ends; None on the last page
    has_labels_of_close: bool = False  # the labels are those that addresses had when their period was closed


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


class PeriodPart(NamedTuple):
    """Rows of a billing period: those of a range of `seq` that began in a window."""

    first_seq: int
    last_seq: int  # inclusive
    since: int | None  # unix seconds, half-open; None: no bound
    until: int | None

    def steps(self, rows: int) -> "Iterator[PeriodPart]":
        """Cut it into pieces of so many positions at most."""
        for first in range(self.first_seq, self.last_seq + 1, rows):
            yield self._replace(first_seq=first, last_seq=min(first + rows - 1, self.last_seq))


@dataclass(frozen=True, slots=True)
class Period:
    """Rows that are billed together, or those that are in no billing period yet. Each row is in one period at most."""

    number: int  # 1, 2, …
    reference: str | None  # chosen by the operator; None for what is unbilled
    from_seq: int  # of its first row
    to_seq: int  # inclusive: later rows are in later periods; from_seq - 1 if there are no rows
    marked_at: int | None  # unix seconds, UTC; None for what is unbilled
    totals: UsageTotals  # without first_seen and last_seen
    until: int | None = None  # only calls that began before it (unix seconds); None: all up to `to_seq`
    zone: str | None = None  # the time zone in which the operator gave `until`; None without it
    # Those of its calls that began before the `until` of an earlier period, and those up to `to_seq` that it leaves
    # for a later one; None without `until`.
    late_requests: int | None = None
    held_over_requests: int | None = None
    parts: tuple[PeriodPart, ...] = ()  # together its rows, without overlap; the later rows first

    @property
    def has_lines(self) -> bool:
        """Whether its sums by address and model, and the labels of then, were kept."""
        return self.until is not None


class PeriodLine(msgspec.Struct, frozen=True, gc=False):
    """The sums of one address and model in a closed period, with the label that the address had at the close."""

    ip: str
    model: str
    label: str | None
    totals: UsageTotals


@dataclass(frozen=True, slots=True)
class ClosedPeriod:
    """A period that was closed at a time, or would be."""

    period: Period  # `marked_at` is None if nothing was closed
    held_over: UsageTotals  # of calls up to `to_seq` that are in no period because they began later
    late: UsageTotals  # of its calls that began before the `until` of an earlier period
    unlabelled: UsageTotals  # of its calls from addresses without a label
    was_closed: bool  # before, by an earlier request


@dataclass(frozen=True, slots=True)
class Difference:
    """A sum in the books that differs from the rows."""

    table: str  # the roll-up, "billing_periods", "billing_lines" or "limit_usage"
    span_s: int | None  # of the roll-up's block; 0 = all time
    begins_at: int | None  # unix seconds; of a budget, the begin of its window
    key: dict[str, str]  # the dimensions, the period's reference, or the limit and its subject as JSON
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
    model: str | None = None  # the provider's name for the model that is charged, if the cost has several prices


@dataclass(frozen=True, slots=True)
class ExplainedRequest:
    """One row of the ledger with how its cost was computed."""

    seq: int
    row: RequestLog
    price: PriceRecord | None  # None if the cost has several
    lines: tuple[CostLine, ...]  # empty if the provider reported the cost, or nothing was charged
    exact_usd: str | None  # their sum before rounding; None if no price is known
    as_of: int  # unix seconds, UTC
    label: str | None = None  # of the row's address, as in `IpUsage`
    period: str | None = None  # the reference of the billing period that has it; None: it is in none yet
