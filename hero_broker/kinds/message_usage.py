"""Reads what responses of Anthropic's Messages report; `kinds.messages` has the rest of the format.

The usage of a stream comes in parts: `message_start` has the input and a placeholder for the output, `message_delta`
the output so far, and whatever else has changed. Every member that an event reports replaces the earlier one.
Source: https://platform.claude.com/docs/en/build-with-claude/streaming.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec
from msgspec.structs import replace

from hero_broker.core.usage import MAX_UNITS, Usage
from hero_broker.kinds.counts import ImplausibleError, count, details
from hero_broker.kinds.report import (
    NOTHING,
    Report,
    UsageDetails,
    UsageShare,
    load_leniently,
    provider_cost,
    short_name,
)
from hero_broker.kinds.texts import mapping, sequence
from hero_broker.kinds.usage_dialect import cut_to_wholes

START = "message_start"
FAST = "fast"  # the value of `speed`, and the name of its tier
REFUSAL = "refusal"  # the value of `stop_reason`
# The types of entries in `iterations`. Sources: compaction,
# https://platform.claude.com/docs/en/build-with-claude/compaction; fallbacks, of which only the last one is described
# by the other counts, and attempts without output are free,
# https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback.
MESSAGE, FALLBACK = "message", "fallback_message"


class _Reply(msgspec.Struct):
    """The members of a whole response, or of an event's data, that may report something."""

    type: object = None
    message: object = None  # of `message_start`: what a whole response has
    delta: object = None  # of `message_delta`
    model: object = None
    content: msgspec.Raw = msgspec.Raw(b"null")
    stop_reason: object = None
    usage: object = None
    error: object = None


_DECODER = msgspec.json.Decoder(_Reply, float_hook=Decimal)
_NO_CONTENT = (b"[]", b"null")


def read_message_report(data: bytes, earlier: Report = NOTHING) -> Report:
    """Return what a whole response or an event reports, together with `earlier`, the stream's report before it."""
    reply = _decode(data)
    if reply is None:
        return earlier
    is_start = reply.type == START
    message = mapping(reply.message) if is_start else {}
    before = earlier.details or UsageDetails()
    reported = mapping(message.get("usage") if is_start else reply.usage)
    members = {**before.members, **{name: value for name, value in reported.items() if value is not None}}
    placeholder = members.pop("output_tokens", None) if is_start else None
    content = bytes(reply.content)
    stop_reason = mapping(reply.delta).get("stop_reason") or reply.stop_reason
    report = Report(
        # An earlier cost is that of earlier counts.
        cost_usd=provider_cost(reported) if reported else earlier.cost_usd,
        is_object=True,
        is_error=isinstance(reply.error, dict | str) and bool(reply.error),
        has_choices=content not in _NO_CONTENT,
        service_tier=FAST if members.get("speed") == FAST else short_name(members.get("service_tier")),
        answered_model=short_name(message.get("model")) or short_name(reply.model),
        details=replace(before, has_refused=before.has_refused or (stop_reason == REFUSAL and content in _NO_CONTENT)),
    )
    try:
        return _with_usage(report, members, count(placeholder) or before.least_output_tokens)
    except ImplausibleError:  # what was known before this event stays known, and the rest is estimated
        return replace(report, cost_usd=earlier.cost_usd)


def _with_usage(report: Report, members: Mapping[str, object], least_output_tokens: int) -> Report:
    """Return the report with the usage of all members; it is partial if a side of it is missing.

    Raises:
        ImplausibleError: a count is no plausible number.
    """
    usage, cut_parts = cut_to_wholes(_usage(members))
    has_refused = report.details is not None and report.details.has_refused
    if usage.input_tokens is None or usage.output_tokens is None:
        # Some servers report an input of 0 at the start, and the true one at the end.
        partial = replace(usage, input_tokens=usage.input_tokens or None)
        has_counts = least_output_tokens > 0 or partial != Usage()
        return replace(
            report,
            cost_usd=None if has_counts else report.cost_usd,  # the cost of a part of the call is not the call's
            details=UsageDetails(members, partial, least_output_tokens, (), has_refused),
        )
    usage, shares, unexplained = _with_iterations(usage, members)
    return replace(
        report,
        usage=usage,
        cut_parts=cut_parts,
        unexplained_tokens=unexplained,
        details=UsageDetails(members, None, 0, shares, has_refused),
    )


def _usage(members: Mapping[str, object]) -> Usage:
    """Return the usage of a response, or of an iteration. Anthropic's three counts of the input are disjoint.

    Raises:
        ImplausibleError: a count is no plausible number.
    """
    fresh, cached = count(members.get("input_tokens")), count(members.get("cache_read_input_tokens"))
    written = count(members.get("cache_creation_input_tokens"))
    split = details(members, "cache_creation")
    for_5m, for_1h = count(split.get("ephemeral_5m_input_tokens")), count(split.get("ephemeral_1h_input_tokens"))
    if written is None and (for_5m, for_1h) != (None, None):
        written = (for_5m or 0) + (for_1h or 0)
    parts = (fresh, cached, written)
    read = None if parts == (None, None, None) else sum(part or 0 for part in parts)
    if (read or 0) > MAX_UNITS:
        raise ImplausibleError
    return Usage(
        input_tokens=read,
        output_tokens=count(members.get("output_tokens")),
        cached_input_tokens=cached,
        cache_write_tokens=written,
        # The end of a stream may correct the sum of both, but not the part that is kept for an hour.
        cache_write_1h_tokens=None if for_1h is None else min(for_1h, written or 0),
        reasoning_tokens=count(details(members, "output_tokens_details").get("thinking_tokens")),
        web_searches=count(details(members, "server_tool_use").get("web_search_requests")),
    )


def _with_iterations(usage: Usage, members: Mapping[str, object]) -> tuple[Usage, tuple[UsageShare, ...], int]:
    """Return the usage of all iterations, their shares, and the tokens by which they contradict the other counts.

    If they do so, the other counts alone are the usage.

    Raises:
        ImplausibleError: a count is no plausible number.
    """
    entries = [entry for item in sequence(members.get("iterations")) if (entry := mapping(item))]
    if not entries:
        return usage, (), 0
    shares = [UsageShare(short_name(entry.get("model")), cut_to_wholes(_usage(entry))[0]) for entry in entries]
    described = _described(entries)
    total = sum_of(shares[at].usage for at in described)
    if _tokens(total) != _tokens(usage):
        return usage, (), sum(_tokens(total)) - sum(_tokens(usage))
    attempts = (MESSAGE, FALLBACK)
    charged = [
        share
        for at, (entry, share) in enumerate(zip(entries, shares, strict=True))
        if at in described or share.usage.output_tokens or entry.get("type", MESSAGE) not in attempts
    ]
    searched = Usage(web_searches=usage.web_searches)  # the other counts have those of all iterations
    if len(charged) == 1:
        return usage, (), 0
    charged = [UsageShare(share.model, replace(share.usage, web_searches=None)) for share in charged]
    charged.append(UsageShare(shares[described[-1]].model if described else None, searched))
    whole = sum_of(share.usage for share in charged)
    if sum(_tokens(whole)) > MAX_UNITS:
        raise ImplausibleError
    return whole, tuple(charged), 0


def _described(entries: Sequence[Mapping[str, object]]) -> list[int]:
    """Return the positions of the iterations that the other counts describe: the last fallback, else all messages."""
    fallbacks = [at for at, entry in enumerate(entries) if entry.get("type") == FALLBACK]
    return fallbacks[-1:] or [at for at, entry in enumerate(entries) if entry.get("type", MESSAGE) == MESSAGE]


def _tokens(usage: Usage) -> tuple[int, int]:
    return usage.input_tokens or 0, usage.output_tokens or 0


def sum_of(usages: Iterable[Usage]) -> Usage:
    """Return the sum of usages; a unit is None if none of them has it."""
    totals: dict[str, int] = {}
    for usage in usages:
        for name in Usage.__struct_fields__:
            value: int | None = getattr(usage, name)
            if value is not None:
                totals[name] = totals.get(name, 0) + value
    return Usage(**totals)


def _decode(data: bytes) -> _Reply | None:
    """Parse JSON, if need be as leniently as other parsers do; None if it is not a JSON object even so."""
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, ArithmeticError, RecursionError):
        pass
    reply = load_leniently(data)
    if not isinstance(reply, dict):
        return None
    content = msgspec.Raw(b"[1]" if reply.get("content") else b"[]")
    names = ("type", "message", "delta", "model", "stop_reason", "usage", "error")
    return _Reply(content=content, **{name: reply.get(name) for name in names})
