"""What the methods of the contract answer: one class for each of its schemas, with the same names.

Members that a newer broker adds are ignored, and texts that name one of several things are plain texts, so that an
older client understands a newer broker. Times are unix seconds, UTC. Sums are exact: USD are Decimal.
"""

from decimal import Decimal

import msgspec


class BilledTotals(msgspec.Struct, frozen=True, kw_only=True):
    """What is counted and paid, without when."""

    requests: int  # calls
    failed_requests: int  # calls that ended as provider_error, interrupted or internal_error
    estimated_requests: int  # calls whose usage is an estimate
    unpriced_requests: int  # calls without a known price
    input_tokens: int  # input tokens, cached ones included
    output_tokens: int  # output tokens
    total_tokens: int  # input and output tokens
    total_cost_usd: Decimal  # USD, in plain decimal notation
    total_cost_nano_usd: str  # the same sum in 0.000000001 USD, as digits


class UsageTotals(BilledTotals, frozen=True, kw_only=True):
    """Sums over calls."""

    first_seen: int | None  # unix seconds of the earliest call, or None
    last_seen: int | None  # unix seconds of the latest call, or None


class IpUsage(UsageTotals, frozen=True, kw_only=True):
    """What one address used."""

    ip: str
    label: str | None  # the operator's name for the address, or for the smallest network around it that has one


class ModelUsage(UsageTotals, frozen=True, kw_only=True):
    """What was used of one model."""

    model: str


class UsageByIp(msgspec.Struct, frozen=True, kw_only=True):
    """Spend per address."""

    data: tuple[IpUsage, ...]
    totals: UsageTotals
    as_of: int
    next_cursor: str | None


class IpModels(msgspec.Struct, frozen=True, kw_only=True):
    """One address's spend by model."""

    ip: str
    label: str | None  # the operator's name for the address, or for the smallest network around it that has one
    totals: UsageTotals
    models: tuple[ModelUsage, ...]


class UsageForIp(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `billing.usage_for_ip`."""

    data: IpModels
    as_of: int


class Rollups(msgspec.Struct, frozen=True, kw_only=True):
    """How far the sums are that reports are answered from."""

    generation: int  # counts how often they were made anew
    folded_seq: int  # calls up to this position are in them; reports add the rest
    rebuilt_seq: int | None  # how far the next generation is; None where none is being made


class Duty(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the broker does by itself, again and again."""

    duty: str
    status: str  # of its last attempt: ok or failing
    failing_since: int | None  # unix seconds of the first failure of those that follow each other, or None
    last_error: str | None  # why it last failed, with SQLSTATE or SQLite's name for it, or None
    failures: int  # failed attempts since the start


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the ledger."""

    # ok; degraded: calls are served, but a duty fails, rows wait for long, or some were rejected; unavailable: refused
    status: str
    store: str  # whether the database took the last rows
    journal_pending: int  # rows that the database does not have yet
    journal_oldest_pending_s: float | None  # seconds for which the first of them has waited, or None
    journal_open_calls: int  # calls in flight
    journal_bytes: int  # bytes that the journal's segments take
    rejected_rows: int  # rows that the database did not take for a value in them: on no bill, kept in a file
    disk_free_bytes: int  # bytes free where the state directory is
    rollups: Rollups | None  # as the writer last left them; None until it has folded once
    duties: tuple[Duty, ...]  # what the broker does by itself, again and again, and whether it fails


class Info(msgspec.Struct, frozen=True, kw_only=True):
    """What runs there."""

    name: str
    version: str
    models: int


class CostLine(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a call's cost: units times a rate."""

    unit: str  # what was charged
    units: str  # how much of it
    rate: str  # the rate's name, as in the settings
    usd: str  # the rate in USD
    per: int  # units that the rate is for
    amount_usd: str  # units x usd / per, exact: a decimal, or a fraction such as 1/3


class CostExplained(msgspec.Struct, frozen=True, kw_only=True):
    """How a call's cost came about."""

    source: str | None
    price_source: str | None  # where the rates were read
    price_version: str | None  # of that source
    lines: tuple[CostLine, ...]
    exact_usd: str | None  # the sum of the lines, before it was rounded
    rounding: str


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One call, as billed."""

    seq: int  # position in the ledger, in commit order
    request_id: str  # UUIDv7, also in the answer's x-request-id
    started_at: int  # unix seconds, UTC
    ip: str  # the address that is billed, or "unknown"
    peer_ip: str | None  # the connection's address, where it differs
    context: str | None  # the caller's own claim, from X-Hero-Context
    api_key_id: str | None
    kind: str
    model: str
    provider: str
    upstream_model: str
    stream: bool
    outcome: str
    http_status: int | None  # what the client was answered
    error_code: str | None
    input_tokens: int | None  # cached, cache-written and audio input included
    output_tokens: int | None  # reasoning and audio output included
    cached_input_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    audio_input_tokens: int | None
    audio_output_tokens: int | None
    characters: int | None  # of the text that was spoken
    audio_ms: int | None  # milliseconds of the audio that was heard
    search_units: int | None
    usage_source: str
    cost_usd: Decimal | None  # USD, in plain decimal notation; None where no price is known
    cost_nano_usd: str | None  # the same in 0.000000001 USD, as digits
    cost_source: str | None  # "price", or "provider" where the provider named the cost
    price_id: str | None  # content hash of the rates
    attempts: int
    duration_ms: int
    first_byte_ms: int | None
    label: str | None  # the operator's name for the address, or for the smallest network around it that has one


class ExplainedRequest(Request, frozen=True, kw_only=True):
    """One call, with how its cost came about."""

    cost: CostExplained


class RequestAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `billing.request`."""

    data: ExplainedRequest
    as_of: int  # unix seconds of the answer


class UsageGroup(UsageTotals, frozen=True, kw_only=True):
    """What one group used in one bucket."""

    # A member for each name of group_by; a prefix in CIDR notation; None where a call had none.
    group: dict[str, str | None]
    # Unix seconds: where the part of the bucket begins that lies in the window; null without buckets.
    bucket_start: int | None
    bucket_end: int | None  # unix seconds: where it ends, itself not included
    label: str | None  # the operator's name for the group's address, else for its prefix; None where it has neither


class UsageReport(msgspec.Struct, frozen=True, kw_only=True):
    """Usage by group and bucket."""

    data: tuple[UsageGroup, ...]
    totals: UsageTotals
    as_of: int
    next_cursor: str | None


class RequestsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Calls, newest first."""

    data: tuple[Request, ...]
    as_of: int
    next_cursor: str | None


class Unbilled(msgspec.Struct, frozen=True, kw_only=True):
    """What is in no billing period yet."""

    from_seq: int  # the first position that is in no period
    to_seq: int  # the last of the ledger; from_seq - 1 where nothing is unbilled
    totals: BilledTotals


class UnbilledAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `billing.unbilled`."""

    data: Unbilled
    as_of: int


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """A billing period."""

    number: int  # 1, 2, … in the order of the ledger
    reference: str  # the operator's own name for it
    from_seq: int  # the first position; the period before ends at from_seq - 1
    to_seq: int  # the last position
    marked_at: int  # unix seconds, UTC
    totals: BilledTotals


class PeriodAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `billing.mark_billed`."""

    data: Period
    as_of: int


class PeriodsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `billing.periods`."""

    data: tuple[Period, ...]
    as_of: int


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A place where the books do not agree."""

    table: str  # where the wrong sums stand
    span_s: int | None  # seconds of the block; 0 = all time; None for a period
    begins_at: int | None  # unix seconds: where the block begins
    key: dict[str, str]  # whose sums they are
    expected: UsageTotals
    found: UsageTotals


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the books agree."""

    ok: bool  # whether nothing differs, and the sums are not behind
    rows: int  # calls of the hours that were compared; those that are in no sum yet are added to reports one by one
    differences: int
    behind: int  # calls that ended more than a minute ago and are in no sum yet: nothing was compared with them
    listed: tuple[Difference, ...]  # the first 100 differences


class VerifyAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `billing.verify`."""

    data: Verification
    as_of: int


class Rebuild(msgspec.Struct, frozen=True, kw_only=True):
    """Whether sums are being made anew."""

    rebuilding: bool


class RebuildAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `billing.rebuild`."""

    data: Rebuild
    as_of: int


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Rates that are known, in USD; `audio_minimum_s` in seconds."""

    input_per_million: str | None = None
    output_per_million: str | None = None
    cached_input_per_million: str | None = None
    cache_write_per_million: str | None = None
    reasoning_per_million: str | None = None
    audio_input_per_million: str | None = None
    audio_output_per_million: str | None = None
    characters_per_million: str | None = None
    audio_per_minute: str | None = None
    audio_minimum_s: str | None = None
    per_thousand_searches: str | None = None
    per_request: str | None = None


class ModelPrice(msgspec.Struct, frozen=True, kw_only=True):
    """What a model costs now."""

    rates: Rates
    source: str | None  # where they were read
    version: str | None  # of that source
    varies: bool  # whether other rates hold at other times or for longer contexts


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model that may be asked for."""

    model: str  # what a client asks for
    aliases: tuple[str, ...]  # other names of it
    kind: str | None  # what calls may ask for it; None for a model of the price list, which does not tell: any
    provider: str
    upstream_model: str  # the provider's name for it
    configured: bool  # by the settings; false for a model that only the price list knows
    # What it costs now, in the first tier of its context lengths; None where no price is known.
    price: ModelPrice | None


class ModelsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `models.list`."""

    data: tuple[Model, ...]


class ProviderHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How a provider has answered since the broker started."""

    status: str  # by the last call; unused where there was none
    answered: int  # calls answered with success, or refused by the client's fault
    failed: int  # calls for which it was unreachable, broke off, was too late, or answered 5xx, 401, 403 or 429
    last_answered_at: int | None  # unix seconds, UTC
    last_failed_at: int | None  # unix seconds, UTC
    last_error_code: str | None  # as in the rows of the ledger


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """A provider that is configured."""

    provider: str
    base_url: str
    api_keys: int  # how many; they take turns
    stream_usage: bool  # whether it is asked for the usage of streams
    models: int  # that the settings name
    listed_models: int  # that only the price list knows
    health: ProviderHealth


class ProvidersAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `providers.list`."""

    data: tuple[Provider, ...]


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """The operator's name for an address or a network."""

    target: str  # an address, a network, or "unknown", in its canonical spelling
    label: str
    set_at: int  # unix seconds, UTC


class LabelAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `labels.set` and `labels.remove`."""

    data: Label
    as_of: int


class LabelsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `labels.list`."""

    data: tuple[Label, ...]
    as_of: int
