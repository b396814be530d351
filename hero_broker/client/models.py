"""Results of the contract's methods: one class for each of its schemas, with the same names.

Members that a newer broker adds are ignored, and enumerations are plain strings, so that an
older client understands a newer broker. Times are unix seconds, UTC. Sums are exact: USD are Decimal.
Generated from `openrpc.json` by `python -m tests.reference`.
"""

from decimal import Decimal

import msgspec


class BilledTotals(msgspec.Struct, frozen=True, kw_only=True):
    """Counts and cost, without times."""

    requests: int  # Calls.
    failed_requests: int  # Calls that ended as provider_error, interrupted or internal_error.
    estimated_requests: int  # Calls whose usage is an estimate.
    unpriced_requests: int  # Calls without a known price.
    input_tokens: int  # Input tokens, cached ones included.
    output_tokens: int  # Output tokens.
    total_tokens: int  # Input and output tokens.
    cached_input_tokens: int  # Input tokens that were read from the providers' caches.
    characters: int  # Characters of texts that were converted to speech.
    audio_ms: int  # Milliseconds of audio that were transcribed.
    search_units: int  # Searches of reranks, as the providers count them.
    images: int  # Images that were made.
    web_searches: int  # Searches of the web that the providers made.
    total_cost_usd: Decimal  # USD, in plain decimal notation.
    total_cost_nano_usd: str  # The same sum in 0.000000001 USD, as a string of digits.


class UsageTotals(BilledTotals, frozen=True, kw_only=True):
    """Sums over calls."""

    first_seen: int | None  # Unix seconds of the earliest call, or None.
    last_seen: int | None  # Unix seconds of the latest call, or None.


class IpUsage(UsageTotals, frozen=True, kw_only=True):
    """Usage of one address."""

    ip: str
    label: str | None  # The operator's name for the address, or for the smallest network with a label that contains it.


class UsageByIp(msgspec.Struct, frozen=True, kw_only=True):
    """Spend per address."""

    data: tuple[IpUsage, ...]
    totals: UsageTotals
    as_of: int
    next_cursor: str | None


class ModelUsage(UsageTotals, frozen=True, kw_only=True):
    """Usage of one model."""

    model: str


class IpModels(msgspec.Struct, frozen=True, kw_only=True):
    """One address's spend by model."""

    ip: str
    label: str | None  # The operator's name for the address, or for the smallest network with a label that contains it.
    totals: UsageTotals
    models: tuple[ModelUsage, ...]


class UsageForIp(msgspec.Struct, frozen=True, kw_only=True):
    """The result of billing.usage_for_ip."""

    data: IpModels
    as_of: int


class UsageGroup(UsageTotals, frozen=True, kw_only=True):
    """Usage of one group in one bucket."""

    # A member for each name of group_by; a prefix in CIDR notation; None if a call had no value, or its address no
    # label.
    group: dict[str, str | None]
    bucket_start: int | None  # Unix seconds of the start of the bucket's part within the window; None without buckets.
    bucket_end: int | None  # Unix seconds of its end, exclusive.
    # The label that the group is grouped by, else the operator's name for its address, else for its prefix; None if it
    # has none of them.
    label: str | None


class UsageReport(msgspec.Struct, frozen=True, kw_only=True):
    """Usage by group and bucket."""

    data: tuple[UsageGroup, ...]
    totals: UsageTotals
    as_of: int
    next_cursor: str | None
    # Whose labels the report has: those of now, or, for the calls of a period that billing.close closed, those of the
    # close. One of now, close.
    labels: str


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One call, as billed."""

    seq: int  # Position in the ledger, in commit order.
    request_id: str  # UUIDv7, also in the response's x-request-id.
    started_at: int  # Unix seconds, UTC.
    ip: str  # The address that is billed, or "unknown".
    peer_ip: str | None  # The connection's address, if it differs.
    context: str | None  # The caller's own claim, from X-Hero-Context.
    api_key_id: str | None  # Always None: callers have no keys.
    # The kind of the call. One of chat, completion, embedding, tts, stt, rerank, moderation, messages, responses.
    kind: str
    model: str  # The broker's name for the model.
    provider: str  # The provider that the last attempt was sent to.
    upstream_model: str  # That provider's name for the model.
    stream: bool  # Whether the client requested a stream or received one.
    outcome: str  # How the call ended. One of ok, provider_error, client_disconnected, interrupted, internal_error.
    http_status: int | None  # The status that the client received.
    error_code: str | None  # The code of what went wrong; None if nothing did.
    input_tokens: int | None  # Cached, cache-written, audio and image input included.
    output_tokens: int | None  # Reasoning, audio and image output included.
    cached_input_tokens: int | None  # Input that was read from the provider's cache.
    cache_write_tokens: int | None  # Input that was written to the provider's cache.
    reasoning_tokens: int | None  # Output that is reasoning.
    audio_input_tokens: int | None  # Input that is audio.
    audio_output_tokens: int | None  # Output that is audio.
    characters: int | None  # Characters of the text that was converted to speech.
    audio_ms: int | None  # Milliseconds of the audio that was transcribed.
    search_units: int | None  # Searches, as the provider counts them.
    usage_source: str  # Where the counts come from. One of reported, estimated, none.
    cost_usd: Decimal | None  # USD, in plain decimal notation; None if no price is known.
    cost_nano_usd: str | None  # Cost in 0.000000001 USD, in JSON as a string of digits; None if no price is known.
    # "price", "provider" if the provider reported the cost, "mixed" if the cost has several sources, "free" if the
    # provider charges nothing for it, or "imported".
    cost_source: str | None
    price_id: str | None  # Content hash of the rates.
    attempts: int  # Requests that were sent to providers.
    duration_ms: int  # Milliseconds from the first attempt to the end of the call.
    first_byte_ms: int | None  # Milliseconds from the first attempt to a successful response; None if there was none.
    image_input_tokens: int | None  # Input that is images.
    image_output_tokens: int | None  # Output that is images.
    cache_write_1h_tokens: int | None  # The part of `cache_write_tokens` that is kept for an hour.
    images: int | None  # Images that were made.
    web_searches: int | None  # Searches of the web that the provider made.
    file_searches: int | None  # Searches of uploaded files that the provider made.
    service_tier: str | None  # The provider's tier that served; None if unknown.
    requested_model: str | None  # The model as the client wrote it, cut to 200 characters; None if it is `model`.
    first_error: str | None  # The code of the first attempt that failed; None if none did.
    # The operator's key that the provider answered to: 8 hexadecimal digits of its SHA-256; None without a key or an
    # answer.
    provider_key: str | None
    # Tokens that the provider's total has beyond all of its counts, and that are not billed; negative if the total is
    # smaller; None if it explains itself.
    unexplained_tokens: int | None
    # The counts that the provider reported larger than the count that contains them, and that are cut to it, separated
    # by commas; None if there are none.
    cut_counts: str | None
    # What each price of a cost with several prices was charged for: JSON, an array of objects with `model`, `price_id`
    # and `usage`; None if the cost is not mixed, or if the array is too long.
    cost_shares: str | None
    label: str | None  # The operator's name for the address, or for the smallest network with a label that contains it.


class RequestsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Calls, newest first."""

    data: tuple[Request, ...]
    as_of: int
    next_cursor: str | None


class CostLine(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a call's cost: units times a rate."""

    unit: str  # The unit that was charged.
    units: str  # The number of units.
    rate: str  # The rate's name, as in the settings.
    usd: str  # The rate in USD.
    per: int  # The number of units that the rate is for.
    amount_usd: str  # units x usd / per, exact: a decimal, or a fraction such as 1/3.
    # The provider's name for the model that was charged, if the cost has several prices; None if it has one.
    model: str | None


class CostExplained(msgspec.Struct, frozen=True, kw_only=True):
    """How a call's cost was computed."""

    source: str | None
    price_source: str | None  # The source of the rates.
    price_version: str | None  # The version of that source.
    lines: tuple[CostLine, ...]
    exact_usd: str | None  # The sum of the lines, before rounding.
    rounding: str


class ExplainedRequest(Request, frozen=True, kw_only=True):
    """One call, with how its cost was computed."""

    period: str | None  # The reference of the billing period that has the call; None if it is in none yet.
    cost: CostExplained


class RequestAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of billing.request."""

    data: ExplainedRequest
    as_of: int  # Unix seconds of the response.


class WindowUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller's address used in a window."""

    since: int  # Unix seconds; calls that started at or after it.
    until: int  # Unix seconds; calls that started before it.
    totals: UsageTotals
    models: tuple[ModelUsage, ...]  # Largest spend first.


class OwnLimit(msgspec.Struct, frozen=True, kw_only=True):
    """A limit that counts calls of the caller. Amounts are in its unit; they are None if others are counted together
    with the caller, or if the broker does not know yet what was spent before its start.
    """

    name: str
    # What is counted; "concurrent" are calls in flight. One of usd, tokens, input_tokens, output_tokens, requests,
    # concurrent.
    unit: str
    # "minute", "hour", "day", "week", "month", "billing_period" or "ever"; None for calls in flight.
    window: str | None
    tz: str | None  # The time zone of the windows of a budget.
    calls: dict[str, str]  # Which of the caller's calls are counted: by context, model, provider and kind. Empty: all.
    amount: Decimal | None  # What the limit admits, with what is granted.
    # Of a budget what is spent in the window, else the calls in flight, or the requests that are missing from a whole
    # burst.
    used: Decimal | None
    held: Decimal | None  # Set aside of a budget for calls in flight.
    remaining: Decimal | None  # Never negative.
    window_start: int | None  # Unix seconds, UTC; None unless the limit is a budget.
    window_end: int | None  # Unix seconds, UTC; None unless the limit is a budget that ends.


class OwnUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller's address used, and what is left of its limits."""

    ip: str  # The address that is billed, or "unknown" for callers on a Unix socket.
    today: WindowUsage
    month: WindowUsage
    limits: tuple[OwnLimit, ...]  # Those that may refuse a call of this address, in the order in which they refuse.


class OwnUsageAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of billing.me."""

    data: OwnUsage
    as_of: int  # Unix seconds of the response.


class OwnRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One call of the caller's address, with how its cost was computed."""

    request_id: str  # UUIDv7, also in the response's x-request-id.
    started_at: int  # Unix seconds, UTC.
    ip: str  # The address that is billed, or "unknown".
    context: str | None  # The caller's own claim, from X-Hero-Context.
    api_key_id: str | None  # Always None: callers have no keys.
    # The kind of the call. One of chat, completion, embedding, tts, stt, rerank, moderation, messages, responses.
    kind: str
    model: str  # The broker's name for the model.
    provider: str  # The provider that the last attempt was sent to.
    upstream_model: str  # That provider's name for the model.
    stream: bool  # Whether the client requested a stream or received one.
    outcome: str  # How the call ended. One of ok, provider_error, client_disconnected, interrupted, internal_error.
    http_status: int | None  # The status that the client received.
    error_code: str | None  # The code of what went wrong; None if nothing did.
    input_tokens: int | None  # Cached, cache-written, audio and image input included.
    output_tokens: int | None  # Reasoning, audio and image output included.
    cached_input_tokens: int | None  # Input that was read from the provider's cache.
    cache_write_tokens: int | None  # Input that was written to the provider's cache.
    reasoning_tokens: int | None  # Output that is reasoning.
    audio_input_tokens: int | None  # Input that is audio.
    audio_output_tokens: int | None  # Output that is audio.
    characters: int | None  # Characters of the text that was converted to speech.
    audio_ms: int | None  # Milliseconds of the audio that was transcribed.
    search_units: int | None  # Searches, as the provider counts them.
    usage_source: str  # Where the counts come from. One of reported, estimated, none.
    cost_usd: Decimal | None  # USD, in plain decimal notation; None if no price is known.
    cost_nano_usd: str | None  # Cost in 0.000000001 USD, in JSON as a string of digits; None if no price is known.
    # "price", "provider" if the provider reported the cost, "mixed" if the cost has several sources, "free" if the
    # provider charges nothing for it, or "imported".
    cost_source: str | None
    attempts: int  # Requests that were sent to providers.
    duration_ms: int  # Milliseconds from the first attempt to the end of the call.
    first_byte_ms: int | None  # Milliseconds from the first attempt to a successful response; None if there was none.
    image_input_tokens: int | None  # Input that is images.
    image_output_tokens: int | None  # Output that is images.
    cache_write_1h_tokens: int | None  # The part of `cache_write_tokens` that is kept for an hour.
    images: int | None  # Images that were made.
    web_searches: int | None  # Searches of the web that the provider made.
    file_searches: int | None  # Searches of uploaded files that the provider made.
    service_tier: str | None  # The provider's tier that served; None if unknown.
    requested_model: str | None  # The model as the client wrote it, cut to 200 characters; None if it is `model`.
    # Tokens that the provider's total has beyond all of its counts, and that are not billed; negative if the total is
    # smaller; None if it explains itself.
    unexplained_tokens: int | None
    # The counts that the provider reported larger than the count that contains them, and that are cut to it, separated
    # by commas; None if there are none.
    cut_counts: str | None
    cost: CostExplained


class OwnRequestAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of billing.my_request."""

    data: OwnRequest
    as_of: int  # Unix seconds of the response.


class Unbilled(msgspec.Struct, frozen=True, kw_only=True):
    """The calls in no billing period yet."""

    from_seq: int  # The position of the first such call; for information.
    to_seq: int  # The last position of the ledger; from_seq - 1 if all calls are in a period.
    totals: BilledTotals


class UnbilledAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of billing.unbilled."""

    data: Unbilled
    as_of: int


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """A billing period: calls that are billed together. Each call is in one period at most."""

    number: int  # 1, 2, … in the order in which they were recorded.
    reference: str  # The operator's own name for the period.
    from_seq: int  # The position of its first call; for information.
    to_seq: int  # The last position: calls that were recorded later are in later periods.
    # Unix seconds; only calls that began before it, because billing.close closed the period. Null: billing.mark_billed
    # recorded it, with all calls up to to_seq that were in no period.
    until: int | None
    tz: str | None  # The IANA time zone that was given with until.
    marked_at: int | None  # Unix seconds, UTC; None in a dry run of billing.close for a period that is not closed yet.
    # Calls of the period that began before the until of an earlier period, and were recorded after it was closed; None
    # without until.
    late_requests: int | None
    # Calls up to to_seq that began at or after until, when the period was closed: a later period has them; None without
    # until.
    held_over_requests: int | None
    totals: BilledTotals


class PeriodAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of billing.mark_billed."""

    data: Period
    as_of: int


class ClosedPeriod(msgspec.Struct, frozen=True, kw_only=True):
    """A period that billing.close closed, or would close; of its calls, those that are late and those from addresses
    without a label; and the calls that it leaves for a later period.
    """

    period: Period
    late: BilledTotals
    held_over: BilledTotals
    unlabelled: BilledTotals
    # Calls of this broker that began before until and are not in the ledger yet: a later period has them.
    open_calls: int
    # Whether open_calls includes all brokers of the ledger. False with PostgreSQL, which other brokers may share: look
    # at journal_pending and journal_open_calls of each of them.
    sees_all_journals: bool
    dry_run: bool  # Whether nothing was recorded.
    already_closed: bool  # Whether the period was closed by an earlier request: this one changed nothing.


class CloseAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of billing.close."""

    data: ClosedPeriod
    as_of: int


class PeriodsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of billing.periods."""

    data: tuple[Period, ...]
    as_of: int


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Sums that do not match their calls."""

    # The table with the wrong sums. One of usage_by_model, usage_by_key_model, usage_by_ip, usage_by_ip_model,
    # billing_periods, billing_lines, limit_usage.
    table: str
    span_s: int | None  # Seconds of the block; 0 = all time; None for a period.
    # Unix seconds of the block's start, or of the window's start for the counter of a budget; None for a period.
    begins_at: int | None
    # The dimensions of the sums, with their values; `reference` of a period; `limit` and `subject` (JSON) of a budget's
    # counter.
    key: dict[str, str]
    expected: UsageTotals
    found: UsageTotals


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the sums match the calls."""

    ok: bool  # Whether there are no differences.
    rows: int  # Calls of the hours that were compared; reports add calls that are in no sum yet one by one.
    differences: int
    # Calls that ended more than a minute ago and are in no sum yet, so they were not compared; reports add them one by
    # one. In a copy that no broker has opened yet these are all calls; in a broker's ledger, updating the sums is
    # catching up, or fails: system.health shows which.
    behind: int
    listed: tuple[Difference, ...]  # The first 100 differences.


class VerifyAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of billing.verify."""

    data: Verification
    as_of: int


class Rebuild(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the sums are being rebuilt."""

    rebuilding: bool


class RebuildAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of billing.rebuild."""

    data: Rebuild
    as_of: int


class FocusExport(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the FinOps Open Cost and Usage Specification (FOCUS)."""

    version: str  # The version of the specification.
    rows: int  # Lines below the header.
    # The file: UTF-8, lines that end with CRLF. A string that a spreadsheet would compute has an apostrophe before it.
    csv: str


class FocusAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of billing.focus."""

    data: FocusExport
    as_of: int


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """USD as exact decimals, for the rates that are known; seconds for audio_minimum_s, a number for gpus."""

    input_per_million: str | None = None
    output_per_million: str | None = None
    cached_input_per_million: str | None = None
    cache_write_per_million: str | None = None
    reasoning_per_million: str | None = None
    audio_input_per_million: str | None = None
    audio_output_per_million: str | None = None
    cache_write_1h_per_million: str | None = None
    image_input_per_million: str | None = None
    image_output_per_million: str | None = None
    characters_per_million: str | None = None
    audio_per_minute: str | None = None
    audio_minimum_s: str | None = None
    per_thousand_searches: str | None = None
    web_searches_per_thousand: str | None = None
    file_searches_per_thousand: str | None = None
    per_image: str | None = None
    per_request: str | None = None
    per_second: str | None = None
    per_gpu_second: str | None = None
    gpus: str | None = None


class ModelPrice(msgspec.Struct, frozen=True, kw_only=True):
    """The current price of a model."""

    rates: Rates
    source: str | None  # The source of the rates.
    version: str | None  # The version of that source.
    varies: bool  # Whether other rates apply at other times or for longer contexts.


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model that clients may request."""

    model: str  # The name that clients request.
    aliases: tuple[str, ...]  # Its other names.
    # The kind of calls that the model accepts; None for a model of the price list, which does not say: any. One of
    # chat, completion, embedding, tts, stt, rerank, moderation.
    kind: str | None
    provider: str
    upstream_model: str  # The provider's name for it.
    configured: bool  # Whether the settings name the model; false if it is only in the price list.
    price: ModelPrice | None  # The current price, in the first tier of its context lengths; None if no price is known.


class ModelsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of models.list."""

    data: tuple[Model, ...]


class PriceRate(msgspec.Struct, frozen=True, kw_only=True):
    """A rate of a price in force, and where it was read."""

    rate: str  # The settings' name of it, such as input_per_million.
    value: str  # USD as an exact decimal; seconds for audio_minimum_s, a number for gpus.
    source: str | None  # The source of the rate: settings, or usually a URL.
    # The version of that source: settings, or a price list with its version or date, and × with the provider's
    # price_factor.
    version: str | None


class PriceInForce(msgspec.Struct, frozen=True, kw_only=True):
    """What calls of a model cost now, in the first tier of its context lengths."""

    model: str  # As clients request it.
    provider: str
    upstream_model: str  # The provider's name for it.
    tier: str | None  # The tier of service in which the provider serves the calls; None for the ordinary one.
    rates: tuple[PriceRate, ...]  # The rates that are known, by name; empty if no price is known.
    varies: bool  # Whether other rates apply at other times or for longer contexts.


class PriceList(msgspec.Struct, frozen=True, kw_only=True):
    """A public price list in force."""

    name: str  # genai-prices, or supplement for the one that is part of the broker.
    # The version of its package, or the day and the SHA-256 of the list that prices.refresh was given or that the
    # settings name; None for the supplement.
    version: str | None
    # The day from which the newest of its prices in force holds, ISO 8601; the list has no date of its own. For the
    # supplement, the newest day on which a price was checked.
    newest_price: str | None
    taken_at: int | None  # Unix seconds, UTC: when the broker read this list; None for the installed one.


class PricesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of prices.list."""

    data: tuple[PriceInForce, ...]
    lists: tuple[PriceList, ...]  # In the order in which they are searched.


class ModelMove(msgspec.Struct, frozen=True, kw_only=True):
    """A name of a model that goes to another provider with another price list."""

    model: str  # The name by which clients call it.
    before: str  # The provider.
    after: str  # The provider.


class RateChange(msgspec.Struct, frozen=True, kw_only=True):
    """A rate of a model that is another one with another price list, and when it applies."""

    rate: str  # The settings' name of it, such as input_per_million.
    tier: str | None  # The tier of service for which it applies; None for the ordinary one.
    # The least input tokens of the calls for which it applies; None if it applies from the first token.
    from_input_tokens: int | None
    since: int | None  # Unix seconds, UTC: it applies to calls that begin then or later; None if at any time.
    # The times of the UTC day between which it applies, the end excluded, such as 00:30:00-16:30:00; None if at any
    # time.
    daily: str | None
    before: str | None  # USD as an exact decimal, seconds for audio_minimum_s; None if there was none.
    after: str | None  # As before; None if there is none any more.


class ModelPriceChange(msgspec.Struct, frozen=True, kw_only=True):
    """A model whose price became another one with another price list. The rates are counted at any time, in any tier of
    service and for any length of the context.
    """

    model: str  # The name by which clients call it.
    provider: str
    # added if it had no price before, removed if it has none now: it may not be served any more. One of added, removed,
    # changed.
    change: str
    rates_added: int
    rates_removed: int
    rates_changed: int
    # The rates that differ: those from or to 0 first, then by their relative change, the largest first, then those
    # removed, then those added.
    rates: tuple[RateChange, ...]


class PriceChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What this broker's prices become with another price list."""

    rates_added: int  # Of all models that this broker serves, as the next two.
    rates_removed: int
    rates_changed: int
    models_removed: int  # How many models are not served any more.
    moves: tuple[ModelMove, ...]  # The models that go to another provider, by name.
    # The models whose prices change, in the order of their first rates: the largest relative changes first.
    models: tuple[ModelPriceChange, ...]
    lists: tuple[PriceList, ...]  # The public price lists that are in force then.
    dry_run: bool  # Whether nothing was changed.


class PriceChangesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of prices.refresh."""

    data: PriceChanges
    as_of: int


class RejectedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that a provider rejects."""

    number: int  # Its place in api_keys, from 1; 0 for calls without a key.
    error_code: str  # The error code of the last call with it, as in the rows of the ledger.


class ProviderHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How a provider has responded since the broker started."""

    status: str  # By the last call; unused if there was no call. One of unused, ok, failing.
    answered: int  # Calls that succeeded, or that it refused through the client's fault.
    failed: int  # Calls for which it was unreachable, broke off, timed out, or returned 5xx, 401, 403 or 429.
    last_answered_at: int | None  # Unix seconds, UTC.
    last_failed_at: int | None  # Unix seconds, UTC.
    last_error_code: str | None  # The error code, as in the rows of the ledger.
    # The keys that it rejected and has not accepted since, by number; missing in the response of an older broker.
    rejected_keys: tuple[RejectedKey, ...] | None = None
    # Calls whose usage contradicted itself or its total since the broker started; missing in the response of an older
    # broker.
    usage_faults: int | None = None


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """A provider that is configured."""

    provider: str
    base_url: str
    api_keys: int  # The number of keys; they are used in turn.
    # The wires that it speaks: the formats of requests and responses over which it can be called.
    wires: tuple[str, ...]
    stream_usage: bool  # Whether the broker requests the usage of streams.
    models: int  # Models that the settings name.
    listed_models: int  # Models that are only in the price list.
    health: ProviderHealth


class ProvidersAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of providers.list."""

    data: tuple[Provider, ...]


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """The operator's name for an address or a network."""

    target: str  # An address, a network, or "unknown", in its canonical spelling.
    label: str
    set_at: int  # Unix seconds, UTC.


class LabelAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of labels.get, labels.set and labels.remove."""

    data: Label
    as_of: int


class ChangedLabel(Label, frozen=True, kw_only=True):
    """A label that replaced another one."""

    previous: str  # The label before.


class LabelChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What the lines of a file changed."""

    added: tuple[Label, ...]  # Targets that had no label.
    changed: tuple[ChangedLabel, ...]  # Targets that had another label.
    unchanged: tuple[Label, ...]  # Targets that had this label already.


class LabelChangesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of labels.set_many."""

    data: LabelChanges
    as_of: int


class LabelsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of labels.list."""

    data: tuple[Label, ...]
    as_of: int


class LimitState(msgspec.Struct, frozen=True, kw_only=True):
    """A limit in force, and how often it refused since the broker started."""

    name: str
    # What is counted; "concurrent" are calls in flight. One of usd, tokens, input_tokens, output_tokens, requests,
    # concurrent.
    unit: str
    amount: Decimal  # Of the unit.
    # "minute", "hour", "day", "week", "month", "billing_period" or "ever"; None for calls in flight.
    window: str | None
    tz: str | None  # The time zone of the windows of a budget.
    hold: str | None  # What a call sets aside of a budget, or of tokens per minute: "safe", "worst", "mean" or "none".
    burst: int | None  # How many requests or tokens may come at once; None unless the window is a minute.
    # Which calls are counted: by ip, network, label, context, model, provider and kind; "exclude" lists addresses and
    # networks that are not.
    match: dict[str, str]
    per: tuple[str, ...]  # What has a counter of its own.
    mode: str  # "shadow" and "warn" refuse nothing. One of enforce, shadow, warn.
    # "file": a table [[limits]] of the settings file; "server": a setting of [server]; "rpc": limits.set. One of file,
    # rpc, server.
    source: str
    description: str  # The limit as a sentence.
    subjects: int  # Counters in memory.
    refused: int  # Calls, and streams that were cut.
    would_refuse: int  # Calls that were not refused, because the mode is "shadow".
    overshoots: int  # Calls that used more of a budget than was held for them.
    warn_at: tuple[float, ...]  # The parts of a budget at which the broker warns, rising.
    warned: int  # Warnings: one for each subject, window and threshold that was reached.
    # Whether calls without a known price are refused: "refuse" or "allow"; None unless the unit is "usd".
    unpriced: str | None
    # Whether calls are refused while the broker does not know what is spent, or labels: "refuse" or "allow"; None for a
    # limit that always knows.
    on_limits_unavailable: str | None
    # Whether a stream is cut when its output needs more than is left: "finish" or "cut"; None unless what a stream
    # holds of the limit grows with its output.
    on_exceed: str | None


class LimitsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of limits.list."""

    data: tuple[LimitState, ...]


class LimitSubject(msgspec.Struct, frozen=True, kw_only=True):
    """What one subject has used of a limit; amounts in the unit of the limit."""

    subject: dict[str, str | None]  # The value of each dimension that the limit has counters by.
    # Of a budget what is spent in the window, else the calls in flight, or the requests or tokens that are missing from
    # a whole burst.
    used: Decimal
    held: Decimal  # Set aside of a budget for calls in flight.
    remaining: Decimal  # Never negative.
    window_start: int | None  # Unix seconds, UTC; None unless the limit is a budget.
    window_end: int | None  # Unix seconds, UTC; None unless the limit is a budget that ends.
    granted: Decimal  # Of a budget, what is granted beyond its amount.
    warnings: tuple[float, ...]  # The thresholds of warn_at that are reached.


class LimitStatusAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of limits.status."""

    limit: LimitState
    data: tuple[LimitSubject, ...]


class LimitMatch(msgspec.Struct, frozen=True, kw_only=True):
    """Which calls a limit counts: those that agree with every member. Without members, all calls."""

    ip: str | None = None  # An address, or "unknown".
    network: str | None = None  # A network without host bits, such as 192.0.2.0/24 or 2001:db8::/32.
    label: str | None = None  # The label of the address.
    context: str | None = None  # The caller's own claim, from X-Hero-Context.
    model: str | None = None
    provider: str | None = None  # The name of a provider in the settings.
    kind: str | None = None  # One of chat, completion, embedding, tts, stt, rerank, moderation, messages, responses.
    exclude: tuple[str, ...] | None = None  # Addresses and networks whose calls are not counted.


class LimitDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """A limit with the keys of a table [[limits]] in the settings file, except its name. unit and amount are required,
    and window unless the unit is "concurrent". None for a key counts as absent.
    """

    # What is counted; "concurrent" are calls in flight. One of usd, tokens, input_tokens, output_tokens, requests,
    # concurrent.
    unit: str | None = None
    # Of the unit, in a window; above 0. USD have at most 9 decimal places; other units are whole.
    amount: Decimal | None = None
    window: str | None = None  # One of minute, hour, day, week, month, billing_period, ever.
    tz: str | None = None  # The IANA time zone of the windows of a budget; UTC if absent.
    # What a call sets aside of a budget, or of tokens per minute; "safe" if absent. One of safe, worst, mean, none.
    hold: str | None = None
    burst: int | None = None  # How many requests or tokens of a minute may come at once; the amount if absent.
    match: LimitMatch | None = None  # Which calls are counted; all if absent.
    per: tuple[str, ...] | None = None  # What has a counter of its own; one counter for all calls if absent or empty.
    prefix_v4: int | None = None  # The bits of IPv4 prefixes in per; 32 if absent.
    prefix_v6: int | None = None  # The bits of IPv6 prefixes in per; 64 if absent.
    # "shadow" counts what it would refuse; "warn" only warns at warn_at; both refuse nothing. "enforce" if absent. One
    # of enforce, shadow, warn.
    mode: str | None = None
    # The parts of a budget at which the broker warns, rising and above 0; none if absent.
    warn_at: tuple[float, ...] | None = None
    # Whether a stream is cut when its output needs more than is left; "finish" if absent. One of finish, cut.
    on_exceed: str | None = None
    # Whether calls without a known price are refused, with the unit "usd"; "refuse" if absent. One of refuse, allow.
    unpriced: str | None = None
    # Whether calls are refused while the broker does not know what is spent of a budget, or the labels of addresses;
    # "refuse" if absent. One of refuse, allow.
    on_limits_unavailable: str | None = None
    shared: bool | None = None  # Must be false with a PostgreSQL database: each broker counts its own calls alone.


class LimitGrant(msgspec.Struct, frozen=True, kw_only=True):
    """What one subject of a budget may use beyond its amount."""

    grant_id: int  # Grants of all limits are numbered in the order in which they were made.
    name: str  # Of the limit.
    subject: dict[str, str | None]  # The value of each dimension that the limit has counters by.
    # Of the limit when the grant was made; a limit of another unit is not raised. One of usd, tokens, input_tokens,
    # output_tokens, requests, concurrent.
    unit: str
    amount: Decimal  # Of the unit.
    granted_at: int  # Unix seconds, UTC.
    until: int | None  # Unix seconds, UTC; not included. None: for ever. When it was revoked, if that was earlier.
    reason: str


class DefinedLimit(msgspec.Struct, frozen=True, kw_only=True):
    """A limit as it is defined, with its grants."""

    name: str
    # "file": a table [[limits]] of the settings file; "server": a setting of [server]; "rpc": limits.set. One of file,
    # rpc, server.
    source: str
    # The limit as a sentence; None if this broker cannot use the definition, and so does not apply it.
    description: str | None
    definition: LimitDefinition | None  # As it was set; None unless the source is "rpc".
    set_at: int | None  # Unix seconds, UTC; None unless the source is "rpc".
    grants: tuple[LimitGrant, ...]  # Those in force, in the order in which they were made.


class DefinedLimitAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of limits.get, limits.set and limits.remove."""

    data: DefinedLimit
    as_of: int


class LimitGrantAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of limits.grant and limits.revoke."""

    data: LimitGrant
    as_of: int


class LimitError(msgspec.Struct, frozen=True, kw_only=True):
    """The error that a caller would get."""

    status: int  # Of HTTP.
    code: str
    message: str
    retry_after_s: int | None  # Seconds; None if the response has no retry-after.


class LimitDecision(msgspec.Struct, frozen=True, kw_only=True):
    """What a limit that matches a call would do with it. Amounts are in the unit of the limit."""

    name: str
    unit: str  # One of usd, tokens, input_tokens, output_tokens, requests, concurrent.
    mode: str  # One of enforce, shadow.
    has_room: bool  # Whether it admits the call. If not, it refuses the call only if its mode is "enforce".
    error: LimitError | None  # None if it has room.
    needed: Decimal | None  # What the call would take or hold; None if it has no known price, and the unit is "usd".
    # What the limit admits, without grants; None if the broker does not know yet which label the address has.
    amount: Decimal | None
    # The subject under which the call would be counted, and what it has used; None if the broker does not know that
    # yet.
    state: LimitSubject | None


class ExplainedAdmission(msgspec.Struct, frozen=True, kw_only=True):
    """What limits would do with a call now."""

    admitted: bool
    refused_by: str | None  # The name of the first limit that refuses the call.
    error: LimitError | None  # What the caller would get; None if the call is admitted.
    model: str
    provider: str  # Of the model's first target.
    kind: str  # One of chat, completion, embedding, tts, stt, rerank, moderation, messages, responses.
    label: str | None  # Of the address; None too if no limit looks at labels.
    limits: tuple[LimitDecision, ...]  # Those that match the call, in the order of limits.list.


class ExplainedAdmissionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of limits.explain."""

    data: ExplainedAdmission


class Rollups(msgspec.Struct, frozen=True, kw_only=True):
    """The progress of the sums that reports read."""

    generation: int  # Counts the rebuilds.
    folded_seq: int  # Calls up to this position are in the sums; reports add the rest.
    rebuilt_seq: int | None  # The progress of the rebuild; None if no rebuild is running.


class Duty(msgspec.Struct, frozen=True, kw_only=True):
    """A recurring background task of the broker."""

    # store: moves rows to the database; rollups: updates the sums of reports; stored_responses: removes those that were
    # deleted or have expired; wal: empties SQLite's write-ahead log; journal_flush, journal_release: writes the journal
    # to the disk, and removes what is stored; rejected_rows: writes rows that the database rejects to their file;
    # token_counts; upstream, connections: enforce timeouts.
    duty: str
    status: str  # The result of the last attempt. One of ok, failing.
    failing_since: int | None  # Unix seconds of the first of the current consecutive failures, or None.
    # The reason of the last failure, with SQLSTATE or SQLite's error name, or None; kept after the duty works again.
    last_error: str | None
    failures: int  # Failed attempts since the start.


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the ledger."""

    # ok; degraded: calls are served, but a duty fails, rows have waited long in the journal, or some were rejected;
    # unavailable: calls are refused. One of ok, degraded, unavailable.
    status: str
    store: str  # Whether the database accepted the last rows. One of ok, refusing.
    journal_pending: int  # Rows that the database does not have yet.
    journal_oldest_pending_s: float | None  # Seconds that the oldest of them has waited, or None.
    journal_open_calls: int  # Calls in flight.
    journal_bytes: int  # Size of the journal's segments in bytes.
    # Rows that the database rejected because of a value in them: on no bill, kept in `journal/rejected.jsonl`, or in
    # the journal while that file cannot be written.
    rejected_rows: int
    disk_free_bytes: int  # Free bytes on the state directory's file system.
    rollups: Rollups | None  # Their state after the writer's last run; None until the first one.
    duties: tuple[Duty, ...]  # The broker's recurring background work, and whether it fails.


class Info(msgspec.Struct, frozen=True, kw_only=True):
    """Name and version of the broker."""

    name: str
    version: str
    models: int
