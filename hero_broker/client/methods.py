"""The methods of the contract as typed queries; a client sends them, alone or as a batch.

Parameters and their order are the contract's. A window is half-open, in unix seconds UTC: `since` counts, `until` does
not. Parameters that are None are left out.
Generated from `openrpc.json` by `python -m tests.reference`.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Literal, TypedDict

from hero_broker.client import models
from hero_broker.client.query import Query as Query
from hero_broker.client.query import build_query

Dimension = Literal[
    "ip", "prefix", "label", "model", "provider", "kind", "context", "api_key_id", "outcome", "usage_source"
]
Bucket = Literal["hour", "day", "week", "month", "quarter"]
FocusVersion = Literal["1.2"]
KindOfCall = Literal["chat", "completion", "embedding", "tts", "stt", "rerank", "moderation", "messages", "responses"]


class QueryFilter(TypedDict, total=False):
    """Which calls count; a call must match all members."""

    ip: str | None  # An address, or "unknown".
    # A network, such as 192.0.2.0/24 or 2001:db8::/32. An IPv6 network that contains ::ffff:0:0/96 contains IPv4
    # callers.
    prefix: str | None
    label: str | None  # A label, as reports show it for an address; an empty string selects the addresses without one.
    model: str | None
    provider: str | None
    kind: str | None  # One of chat, completion, embedding, tts, stt, rerank, moderation, messages, responses.
    context: str | None  # The caller's own claim, from X-Hero-Context.
    api_key_id: str | None
    outcome: str | None  # One of ok, provider_error, client_disconnected, interrupted, internal_error.
    usage_source: str | None  # Where the counts of a call come from. One of reported, estimated, none.
    # The reference of a billing period; selects its calls, whenever they started. If billing.close closed it, labels
    # are those of the close. An empty string selects the calls that are in no period yet.
    period: str | None
    # priced: only calls whose cost is known. unpriced: only those for which no price was known, which reports count as
    # 0 USD in unpriced_requests. One of priced, unpriced.
    cost: str | None


class LimitSubjectValues(TypedDict, total=False):
    """A subject of a limit, or a part of it: a value for dimensions that the limit has counters by. None for another
    dimension counts as absent.
    """

    ip: str | None  # An address, or "unknown".
    prefix: str | None  # A network of the width of the limit's prefixes, or "unknown".
    label: str | None  # A label; an empty string stands for addresses without one.
    context: str | None  # The caller's own claim; None grants to calls without one.
    model: str | None
    provider: str | None
    kind: str | None  # One of chat, completion, embedding, tts, stt, rerank, moderation, messages, responses.


class NewLimitMatch(TypedDict, total=False):
    """Which calls a limit counts: those that agree with every member. Without members, all calls."""

    ip: str | None  # An address, or "unknown".
    network: str | None  # A network without host bits, such as 192.0.2.0/24 or 2001:db8::/32.
    label: str | None  # The label of the address.
    context: str | None  # The caller's own claim, from X-Hero-Context.
    model: str | None
    provider: str | None  # The name of a provider in the settings.
    kind: str | None  # One of chat, completion, embedding, tts, stt, rerank, moderation, messages, responses.
    exclude: tuple[str, ...] | None  # Addresses and networks whose calls are not counted.


class NewLimit(TypedDict, total=False):
    """A limit with the keys of a table [[limits]] in the settings file, except its name. unit and amount are required,
    and window unless the unit is "concurrent". None for a key counts as absent.
    """

    # What is counted; "concurrent" are calls in flight. One of usd, tokens, input_tokens, output_tokens, requests,
    # concurrent.
    unit: str | None
    # Of the unit, in a window; above 0. USD have at most 9 decimal places; other units are whole.
    amount: Decimal | None
    window: str | None  # One of minute, hour, day, week, month, billing_period, ever.
    tz: str | None  # The IANA time zone of the windows of a budget; UTC if absent.
    # What a call sets aside of a budget, or of tokens per minute; "safe" if absent. One of safe, worst, mean, none.
    hold: str | None
    burst: int | None  # How many requests or tokens of a minute may come at once; the amount if absent.
    match: NewLimitMatch | None  # Which calls are counted; all if absent.
    per: tuple[str, ...] | None  # What has a counter of its own; one counter for all calls if absent or empty.
    prefix_v4: int | None  # The bits of IPv4 prefixes in per; 32 if absent.
    prefix_v6: int | None  # The bits of IPv6 prefixes in per; 64 if absent.
    # "shadow" counts what it would refuse; "warn" only warns at warn_at; both refuse nothing. "enforce" if absent. One
    # of enforce, shadow, warn.
    mode: str | None
    # The parts of a budget at which the broker warns, rising and above 0; none if absent.
    warn_at: tuple[float, ...] | None
    # Whether a stream is cut when its output needs more than is left; "finish" if absent. One of finish, cut.
    on_exceed: str | None
    # Whether calls without a known price are refused, with the unit "usd"; "refuse" if absent. One of refuse, allow.
    unpriced: str | None
    # Whether calls are refused while the broker does not know what is spent of a budget, or the labels of addresses;
    # "refuse" if absent. One of refuse, allow.
    on_limits_unavailable: str | None
    shared: bool | None  # Must be false with a PostgreSQL database: each broker counts its own calls alone.


def discover() -> Query[dict[str, Any]]:
    """Describe these methods.

    Returns this document, which is also at GET /openrpc.json.
    """
    return build_query("rpc.discover", dict[str, Any])


def usage_by_ip(
    since: int | None = None, until: int | None = None, limit: int | None = None, cursor: str | None = None
) -> Query[models.UsageByIp]:
    """Spend per address.

    Sums calls by the address that made them, largest spend first, then by ip. The totals cover the whole window, not
    only the page. Pages are read one after another from a ledger that grows: a call that is recorded between two pages
    may move an address across them, and changes the totals. To list exactly, take one page of 10,000 addresses or a
    window that has been over for longer than any call takes. GET /billing/usage with Accept: text/csv or
    application/x-ndjson streams all addresses.

    Args:
        since: Unix seconds; calls that started at or after it.
        until: Unix seconds; calls that started before it.
        limit: The maximum number of addresses; 10,000 if absent.
        cursor: The next_cursor of the previous page.
    """
    return build_query("billing.usage_by_ip", models.UsageByIp, since=since, until=until, limit=limit, cursor=cursor)


def usage_for_ip(ip: str, since: int | None = None, until: int | None = None) -> Query[models.UsageForIp]:
    """One address's spend by model.

    For an address without usage, the totals are zero and the array of models is empty. GET /billing/usage/{ip} with
    Accept: text/csv or application/x-ndjson streams its models.

    Args:
        ip: An address in any spelling, or "unknown" for callers on a Unix socket.
        since: Unix seconds; calls that started at or after it.
        until: Unix seconds; calls that started before it.
    """
    return build_query("billing.usage_for_ip", models.UsageForIp, ip=ip, since=since, until=until)


def usage(
    group_by: Sequence[Dimension],
    since: int | None = None,
    until: int | None = None,
    bucket: Bucket | None = None,
    tz: str | None = None,
    filter: QueryFilter | None = None,  # noqa: A002 - the contract's word
    limit: int | None = None,
    cursor: str | None = None,
    prefix_v4: int | None = None,
    prefix_v6: int | None = None,
    dense: bool | None = None,
) -> Query[models.UsageReport]:
    """Usage by any dimension, over time.

    Sums calls by any of their dimensions, and by hours, days, weeks, months or quarters of a time zone: by bucket, then
    largest spend first, then by group. The window may be of any length when calls are grouped by nothing, by ip, by
    prefix, by label, by ip and model, by label and model, by api_key_id, by api_key_id and model, or by any of model,
    provider and kind; also by bucket, except for hours in a zone whose offset is not whole hours. Other reports read
    single calls, and their window is at most 31 days. Labels are those of now, whatever the window; only for a closed
    period, which the filter names, they are those of its close. Pages are read one after another from a ledger that
    grows: a call that is recorded between two pages may move a group across them, and changes the totals. To list
    exactly, take one page of 10,000 groups, a closed period, or a window that has been over for longer than any call
    takes. GET /billing/report with Accept: text/csv or application/x-ndjson streams all groups.

    Args:
        group_by: The dimensions to group by; an empty array returns only the totals.
        since: Unix seconds; calls that started at or after it.
        until: Unix seconds; calls that started before it.
        bucket: One sum for each hour, day, week (from Monday), month or quarter; no buckets if absent.
        tz: The IANA time zone of the buckets; UTC if absent.
        filter: Which calls count; all if absent.
        limit: The maximum number of groups; 10,000 if absent.
        cursor: The next_cursor of the previous page; the other parameters must then be absent or unchanged.
        prefix_v4: Bits of an IPv4 prefix; 24 if absent.
        prefix_v6: Bits of an IPv6 prefix; 64 if absent.
        dense: Whether to list buckets without calls too, for each group that has calls in the window.
    """
    return build_query(
        "billing.usage",
        models.UsageReport,
        group_by=list(group_by),
        since=since,
        until=until,
        bucket=bucket,
        tz=tz,
        filter=filter,
        limit=limit,
        cursor=cursor,
        prefix_v4=prefix_v4,
        prefix_v6=prefix_v6,
        dense=dense,
    )


def requests(
    since: int | None = None,
    until: int | None = None,
    filter: QueryFilter | None = None,  # noqa: A002 - the contract's word
    limit: int | None = None,
    cursor: str | None = None,
) -> Query[models.RequestsPage]:
    """The calls themselves.

    Lists rows of the ledger, newest first, as of the first page's request: later rows are not included, and no row is
    missing or repeated. If few calls match, a page may hold fewer rows than the limit, even zero, and still have a
    next_cursor. GET /billing/requests with Accept: text/csv or application/x-ndjson streams all of them.

    Args:
        since: Unix seconds; calls that started at or after it.
        until: Unix seconds; calls that started before it.
        filter: Which calls to list; all if absent.
        limit: The maximum number of rows; 100 if absent.
        cursor: The next_cursor of the previous page; the other parameters must then be absent or unchanged.
    """
    return build_query(
        "billing.requests", models.RequestsPage, since=since, until=until, filter=filter, limit=limit, cursor=cursor
    )


def request(request_id: str) -> Query[models.RequestAnswer]:
    """One request, and how its cost was computed.

    Returns each unit that was charged, its rate, their product, the exact sum and the source of the price. A row is
    available within a second of the response.

    Args:
        request_id: The x-request-id of the response.
    """
    return build_query("billing.request", models.RequestAnswer, request_id=request_id)


def me(tz: str | None = None) -> Query[models.OwnUsageAnswer]:
    """What the caller's own address used, and what is left of its limits.

    Answers for the address that sends the request, today and this month of a time zone. GET /v1/usage needs no admin
    token, serves every address that may call, and admits 60 requests a minute of each address, 10 at once. Callers
    behind one NAT or proxy share an address. Rows are counted within a second of the response. Limits that refuse
    nothing are left out.

    Args:
        tz: The IANA time zone of today and of this month; UTC if absent. Windows of limits are in their own.
    """
    return build_query("billing.me", models.OwnUsageAnswer, tz=tz)


def my_request(request_id: str) -> Query[models.OwnRequestAnswer]:
    """One call of the caller's own address, and how its cost was computed.

    Returns what billing.request returns, without what is the operator's alone: the position in the ledger, the proxy,
    the keys and ids of prices, the first failed attempt, the label and the billing period. GET /v1/usage/{request_id}
    needs no admin token, and serves the address that made the call; others get the same 404 as for an unknown id. A row
    is available within a second of the response.

    Args:
        request_id: The x-request-id of the response.
    """
    return build_query("billing.my_request", models.OwnRequestAnswer, request_id=request_id)


def unbilled(until: int | None = None) -> Query[models.UnbilledAnswer]:
    """Calls in no billing period yet.

    Sums the calls that are in no billing period yet; with until, those of them that began before it, which
    billing.close would bill. Without until, to_seq is what billing.mark_billed takes.

    Args:
        until: Unix seconds; calls that began before it. All if absent.
    """
    return build_query("billing.unbilled", models.UnbilledAnswer, until=until)


def mark_billed(reference: str, to_seq: int) -> Query[models.PeriodAnswer]:
    """Record a billing period by position.

    Records all calls up to to_seq that are in no period yet under the operator's reference, whenever they began. To
    bill a month, use billing.close. Each call is in exactly one period, a late one in the period that was open when it
    was recorded. A repeated request with the same reference and to_seq changes nothing and returns the same result.

    Args:
        reference: The operator's own name for the period, such as a number of the batch; unique.
        to_seq: The last position of the period.
    """
    return build_query("billing.mark_billed", models.PeriodAnswer, reference=reference, to_seq=to_seq)


def close(reference: str, until: int, tz: str | None = None, dry_run: bool | None = None) -> Query[models.CloseAnswer]:
    """Close a month.

    Records the calls that began before until, are in the ledger now, and are in no period yet, under the operator's
    reference: a month is closed by the first second of the next one. Calls that began later stay for a later period,
    and calls that are recorded later belong to the next period, even if they began before until. The period keeps its
    sums by address and model, and the labels that addresses have now. until grows from period to period. A reference in
    the form of a month, such as 2026-11, needs the end of that month in tz; other names may close at any time. A
    repeated request with the same reference and until changes nothing and returns the same period.

    Args:
        reference: The operator's own name for the period, such as 2026-11; unique.
        until: Unix seconds; calls that began before it. It must have passed.
        tz: The IANA time zone in which until is meant, for statements; UTC if absent.
        dry_run: Return what would be closed, and record nothing; false if absent.
    """
    return build_query("billing.close", models.CloseAnswer, reference=reference, until=until, tz=tz, dry_run=dry_run)


def periods() -> Query[models.PeriodsAnswer]:
    """All billing periods.

    Lists the periods, oldest first.
    """
    return build_query("billing.periods", models.PeriodsAnswer)


def verify(since: int | None = None, until: int | None = None) -> Query[models.VerifyAnswer]:
    """Verify that the sums match the calls.

    Adds up all calls of the window's hours and compares the result with the roll-ups that reports read; without a
    window, with the billing periods and the counters of budgets too. Reads every row, in short steps.

    Args:
        since: Unix seconds; the hour that contains it and later hours.
        until: Unix seconds; earlier hours.
    """
    return build_query("billing.verify", models.VerifyAnswer, since=since, until=until)


def rebuild() -> Query[models.RebuildAnswer]:
    """Rebuild the roll-ups.

    Rebuilds the sums that reports read from all calls, beside the sums in use, and then replaces those. Reports stay
    exact meanwhile; system.health shows the progress. A rebuild in progress is not restarted.
    """
    return build_query("billing.rebuild", models.RebuildAnswer)


def focus(
    period: str | None = None, since: int | None = None, until: int | None = None, version: FocusVersion | None = None
) -> Query[models.FocusAnswer]:
    """Calls as a FOCUS file.

    Exports a billing period or a window in the FinOps Open Cost and Usage Specification (FOCUS) 1.2, as CSV: one line a
    day, address, model, unit, provider and price. Days are those of UTC, or of the zone of a closed period. The sum of
    BilledCost is the cost of the calls, to 0.000000001 USD. Labels are those of now, or of the period's close. GET
    /billing/focus with Accept: text/csv streams the file, and has no limit of lines.

    Args:
        period: The reference of a billing period; since and until must then be absent.
        since: Unix seconds; calls that started at or after it.
        until: Unix seconds; calls that started before it.
        version: The version of FOCUS; 1.2 if absent.
    """
    return build_query("billing.focus", models.FocusAnswer, period=period, since=since, until=until, version=version)


def list_models() -> Query[models.ModelsAnswer]:
    """Models and their prices.

    Lists the models that clients may request: those of the settings, then those that are only in the price list. Rates
    are the current ones, in USD.
    """
    return build_query("models.list", models.ModelsAnswer)


def list_prices(model: str | None = None) -> Query[models.PricesAnswer]:
    """The prices in force.

    Lists what calls cost now: a line for the ordinary price of each model that clients may request, in the order of
    models.list, then one for each tier of service for which the model has other rates. Each rate has its source.
    `lists` are the public price lists in force.

    Args:
        model: Only the prices of this model: its name, an alias, or provider/model. If no model has the name, the error
            is -32004.
    """
    return build_query("prices.list", models.PricesAnswer, model=model)


def refresh_prices(price_list: str | None = None, dry_run: bool | None = None) -> Query[models.PriceChangesAnswer]:
    """Put a newer price list in force.

    Takes a price list of genai-prices without a restart: the given one, else the one of the file that
    billing.price_list of the settings names, else the one of the package as it is installed now. A given list is
    checked as a whole, and is kept in the broker's state directory: it stays in force after a restart, until
    prices.refresh is called again. Calls that have begun keep the prices with which they began. Prices of the settings
    are not changed. With dry_run, or if there is an error, nothing changes. Brokers that share a database are refreshed
    one by one.

    Args:
        price_list: The file data.json or data_slim.json as genai-prices publishes it, compressed with gzip and encoded
            in base64; at most 10,000,000 bytes before. Without it, the list of the settings or of the installed package
            is taken.
        dry_run: Return what would change, and change nothing; false if absent.
    """
    return build_query("prices.refresh", models.PriceChangesAnswer, price_list=price_list, dry_run=dry_run)


def list_providers() -> Query[models.ProvidersAnswer]:
    """Providers and their health.

    Lists the providers, and how they have responded to this broker since it started. Keys are counted, and never
    returned.
    """
    return build_query("providers.list", models.ProvidersAnswer)


def set_label(target: str, label: str) -> Query[models.LabelAnswer]:
    """Name an address or a network.

    Reports show the label beside the address; if several networks that contain it have one, the smallest counts.
    Replaces an existing label of the target. At most 10,000 labels.

    Args:
        target: An address in any spelling, a network without host bits, or "unknown".
        label: Printable characters, without leading or trailing spaces.
    """
    return build_query("labels.set", models.LabelAnswer, target=target, label=label)


def set_many_labels(csv: str) -> Query[models.LabelChangesAnswer]:
    """Name many addresses and networks at once.

    Takes the text of a CSV file, and sets all of its labels or, if one line has a fault, none. Labels of other targets
    stay. Setting the same labels again changes nothing. At most 10,000 labels.

    Args:
        csv: Lines of a target and its label, each target once. The first line may be the header target,label; the
            separator is a comma, a semicolon or a tab.
    """
    return build_query("labels.set_many", models.LabelChangesAnswer, csv=csv)


def list_labels() -> Query[models.LabelsAnswer]:
    """All labels.

    Lists IPv4, IPv6, then "unknown"; each by address, wider networks first.
    """
    return build_query("labels.list", models.LabelsAnswer)


def get_label(target: str) -> Query[models.LabelAnswer]:
    """One label.

    Returns the label that reports show for a target: of an address, its own or that of the smallest network around it;
    of a network, its own or that of the smallest network that contains it. If there is none, the error is -32004.

    Args:
        target: An address in any spelling, a network without host bits, or "unknown".
    """
    return build_query("labels.get", models.LabelAnswer, target=target)


def remove_label(target: str) -> Query[models.LabelAnswer]:
    """Remove a label.

    Returns the label that was removed.

    Args:
        target: The target of the label: an address in any spelling, a network without host bits, or "unknown".
    """
    return build_query("labels.remove", models.LabelAnswer, target=target)


def list_limits() -> Query[models.LimitsAnswer]:
    """Limits in force.

    Lists the limits of the settings file and those of its [server], and those that were set while the broker runs, in
    the order in which they refuse, and how often each has refused or warned since the start.
    """
    return build_query("limits.list", models.LimitsAnswer)


def status_limit(
    name: str, limit: int | None = None, subject: LimitSubjectValues | None = None
) -> Query[models.LimitStatusAnswer]:
    """What is used of a limit.

    Lists the subjects of a limit that have used most of it: what is spent of a budget in its present window and what is
    held for calls in flight, else the calls in flight, or the requests or tokens per minute. Of subjects that have used
    nothing, only those with grants are listed, and the one that subject names in full, if the limit may count its
    calls.

    Args:
        name: The name of the limit.
        limit: The maximum number of subjects; 100 if absent.
        subject: Lists only the subjects with these values; all if absent.
    """
    return build_query("limits.status", models.LimitStatusAnswer, name=name, limit=limit, subject=subject)


def get_limit(name: str) -> Query[models.DefinedLimitAnswer]:
    """How a limit is defined.

    Returns the definition of a limit that was set, the limit as a sentence, and its grants in force.

    Args:
        name: The name of the limit.
    """
    return build_query("limits.get", models.DefinedLimitAnswer, name=name)


def set_limit(name: str, definition: NewLimit) -> Query[models.DefinedLimitAnswer]:
    """Set a limit.

    Sets a limit while the broker runs, in place of one that was set under the same name. It is stored in the ledger's
    database, so it is kept over restarts, and brokers that share the database have it too. A limit of the settings
    file, or of [server], cannot be changed here. At most 1,000 limits, those of the settings file included.

    Args:
        name: 1 to 64 letters, digits, dots, hyphens and underscores of ASCII.
        definition: What the limit bounds, and for whom.
    """
    return build_query("limits.set", models.DefinedLimitAnswer, name=name, definition=definition)


def remove_limit(name: str) -> Query[models.DefinedLimitAnswer]:
    """Remove a limit.

    Removes a limit that was set, and ends its grants; returns the limit as it was. If it is set again later, it has no
    grants. A limit of the settings file, or of [server], cannot be removed here.

    Args:
        name: The name of the limit.
    """
    return build_query("limits.remove", models.DefinedLimitAnswer, name=name)


def grant_limit(
    name: str, amount: Decimal, reason: str, subject: LimitSubjectValues | None = None, until: int | None = None
) -> Query[models.LimitGrantAnswer]:
    """Grant more of a budget.

    Lets one subject of a budget use more than the amount, until a time or for ever; several grants add up. The limit
    may be of the settings file. A grant is kept with its reason, and cannot be changed, but limits.revoke ends it;
    limits.get lists those in force. At most 10,000 grants in force.

    Args:
        name: The name of a budget.
        amount: How much more, in the unit of the limit, above 0. USD have at most 9 decimal places; other units are
            whole.
        reason: Printable characters, without leading or trailing spaces.
        subject: Who may use more: a value for each dimension that the limit has counters by. May be absent if it has
            one counter for all calls.
        until: Unix seconds, in the future; the grant ends there. For ever if absent.
    """
    return build_query(
        "limits.grant", models.LimitGrantAnswer, name=name, amount=amount, reason=reason, subject=subject, until=until
    )


def revoke_limit(grant_id: int) -> Query[models.LimitGrantAnswer]:
    """End a grant.

    Ends a grant now: what it added to a budget is gone, and calls that are in flight go on. The grant is kept with its
    reason; its until becomes now. What was spent of it stays spent.

    Args:
        grant_id: The number of a grant in force; limits.get has it.
    """
    return build_query("limits.revoke", models.LimitGrantAnswer, grant_id=grant_id)


def explain_limit(
    ip: str,
    model: str,
    kind: KindOfCall | None = None,
    context: str | None = None,
    body_bytes: int | None = None,
    max_output_tokens: int | None = None,
) -> Query[models.ExplainedAdmissionAnswer]:
    """What limits would do with a call.

    Returns which limits match a call of an address now, what the call would take or hold of each, what its subject has
    used, and whether each would admit it. Nothing is sent, taken or noted. Only limits are looked at: other rules may
    refuse the call, such as that of a model without a price.

    Args:
        ip: The address that calls, in any spelling, or "unknown".
        model: The model, as clients name it.
        kind: The kind of the call; that of the model if absent, or "chat" if it has none.
        context: The caller's own claim, from X-Hero-Context.
        body_bytes: The bytes of what the model reads, or the characters of a text that is spoken; 0 if absent.
        max_output_tokens: The bound on the output that the request has; none if absent.
    """
    return build_query(
        "limits.explain",
        models.ExplainedAdmissionAnswer,
        ip=ip,
        model=model,
        kind=kind,
        context=context,
        body_bytes=body_bytes,
        max_output_tokens=max_output_tokens,
    )


def health() -> Query[models.Health]:
    """State of the ledger.

    Returns whether the store accepts rows, and how many wait in the journal.
    """
    return build_query("system.health", models.Health)


def info() -> Query[models.Info]:
    """Name and version of the broker.

    Returns the name, the version and the number of models.
    """
    return build_query("system.info", models.Info)
