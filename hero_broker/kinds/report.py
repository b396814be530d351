"""Parses what a provider reports of a call; implausible usage is ignored."""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated

import msgspec

from hero_broker.core.money import MAX_COST_USD
from hero_broker.core.usage import MAX_UNITS, Usage
from hero_broker.kinds.counts import ImplausibleError, count, details, json_decimal, json_integer
from hero_broker.kinds.usage_dialect import OPENAI_USAGE, UsageDialect, settle_usage

MAX_ODD_BYTES = 1024 * 1024  # of JSON that only a lenient parser accepts; if it is longer, its usage is ignored
MAX_NAME_CHARACTERS = 200  # of a tier or a model; a record of the journal has to stay short
TICKS_PER_USD = 10_000_000_000
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class UsageShare(msgspec.Struct, frozen=True, gc=False):
    """The part of a call's usage that one model had."""

    model: str | None  # the provider's name; None: the model of the call
    usage: Usage


class UsageDetails(msgspec.Struct, frozen=True):
    """What few responses report of their usage."""

    members: Mapping[str, object] = {}  # of `usage`, as the stream's events have reported them so far
    partial: Usage | None = None  # what is known if a side of the usage was not reported, and is to be estimated
    least_output_tokens: int = 0  # the estimate of the output is not below it
    shares: tuple[UsageShare, ...] = ()  # if several models had a part of the call; together they are its usage
    has_refused: bool = False  # the model refused the request; if it wrote nothing, the provider charges nothing


class Report(msgspec.Struct, frozen=True, gc=False):
    """What a response or an event reports; None if a value is missing or implausible."""

    usage: Usage | None = None
    cost_usd: Decimal | None = (
        None  # the cost that the provider reports; None too if the usage beside it is implausible
    )
    is_usage_event: bool = False  # has usage and empty `choices`
    is_object: bool = False  # is a JSON object
    is_error: bool = False  # reports that the call failed, whatever the HTTP status
    has_choices: bool = False  # the model generated output
    service_tier: str | None = None  # the provider's tier that served
    answered_model: str | None = None  # the provider's name for the model that answered
    cut_parts: tuple[str, ...] = ()  # fields of `usage` that were larger than their whole; they are cut to it
    unexplained_tokens: int = 0  # in the total beyond all parts, and not in `usage`; negative if it is too small
    details: UsageDetails | None = None
    response_id: str | None = None  # of a complete response that its provider keeps; it matches `RESPONSE_ID`


NOTHING = Report()


class WireReply(msgspec.Struct):
    """The members of a response, or of an event's data, that may report something."""

    usage: object = None
    choices: msgspec.Raw = msgspec.Raw(b"null")
    duration: object = None
    meta: object = None
    error: object = None
    service_tier: object = None
    model: object = None
    x_groq: object = None
    timings: object = None


class _Choice(msgspec.Struct):
    usage: object = None


_DECODER = msgspec.json.Decoder(WireReply, float_hook=Decimal)
_CHOICES_DECODER = msgspec.json.Decoder(list[_Choice], float_hook=Decimal)


UsageReader = Callable[[Mapping[str, object], WireReply], Usage | None]


def read_report(body: bytes, read_usage: UsageReader, dialect: UsageDialect = OPENAI_USAGE) -> Report:
    """Return the report of a JSON response, or of an event's data; `read_usage` gets its member `usage`."""
    try:
        reply = _DECODER.decode(body)
    except (msgspec.DecodeError, ArithmeticError, RecursionError):
        lenient = _parse_leniently(body)
        if lenient is None:
            return NOTHING
        reply = lenient
    reported = reply.usage if isinstance(reply.usage, dict) else _usage_elsewhere(reply)
    settled, cost_usd = None, provider_cost(reported)
    try:
        usage = read_usage(reported, reply)
        if usage is not None:
            settled = settle_usage(usage, reported, dialect)
    except ImplausibleError:
        settled = cost_usd = None
    choices = bytes(reply.choices)
    return Report(
        None if settled is None else settled.usage,
        cost_usd,
        is_usage_event=reply.usage is not None and choices == b"[]",
        is_object=True,
        is_error=isinstance(reply.error, dict | str) and bool(reply.error),
        has_choices=choices not in (b"[]", b"null"),
        service_tier=short_name(reply.service_tier),
        answered_model=short_name(reply.model),
        cut_parts=() if settled is None else settled.cut_parts,
        unexplained_tokens=0 if settled is None else settled.unexplained_tokens,
    )


def _usage_elsewhere(reply: WireReply) -> Mapping[str, object]:
    """Return the usage of a reply that has no member `usage`; empty if it has none.

    Sources: Groq's last chunk, https://github.com/groq/groq-python (`types/chat/chat_completion_chunk.py`); Moonshot's
    last chunk, in a choice, https://github.com/vercel/ai/pull/19727; the timings of llama.cpp,
    https://github.com/ggml-org/llama.cpp/issues/16048.
    """
    for_groq = details({"x_groq": reply.x_groq}, "x_groq")
    if isinstance(usage := for_groq.get("usage"), dict):
        return usage
    if (in_choice := _usage_in_choice(bytes(reply.choices))) is not None:
        return in_choice
    timings = details({"timings": reply.timings}, "timings")
    if "prompt_n" not in timings or "predicted_n" not in timings:
        return {}
    fresh, cached = timings["prompt_n"], timings.get("cache_n") or 0
    if type(fresh) is not int or type(cached) is not int:
        return {}
    return {
        "prompt_tokens": fresh + cached,
        "completion_tokens": timings["predicted_n"],
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def _usage_in_choice(choices: bytes) -> Mapping[str, object] | None:
    """Return the usage of the first choice that has one; None if none has."""
    if b'"usage"' not in choices:
        return None
    try:
        parsed = _CHOICES_DECODER.decode(choices)
    except (msgspec.DecodeError, ArithmeticError, RecursionError):
        return _first_usage(load_leniently(choices))
    return next((choice.usage for choice in parsed if isinstance(choice.usage, dict)), None)


def _first_usage(choices: object) -> Mapping[str, object] | None:
    usages = (
        (choice.get("usage") for choice in choices if isinstance(choice, dict)) if isinstance(choices, list) else ()
    )
    return next((usage for usage in usages if isinstance(usage, dict)), None)


_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_UNITS)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_CHARACTERS)]


class _InputDetails(msgspec.Struct, gc=False):
    cached_tokens: _Count | None = None
    cache_write_tokens: _Count | None = None
    audio_tokens: _Count | None = None
    image_tokens: None = None
    cache_creation_input_tokens: None = None


class _OutputDetails(msgspec.Struct, gc=False):
    reasoning_tokens: _Count | None = None
    audio_tokens: _Count | None = None
    image_tokens: None = None


class _TextUsage(msgspec.Struct, gc=False, kw_only=True):
    """Usage as OpenAI reports it, with a total; a member of another provider that counts must be null."""

    prompt_tokens: _Count
    completion_tokens: _Count = 0
    total_tokens: _Count
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    cost: None = None
    cost_in_usd_ticks: None = None
    cached_tokens: None = None
    prompt_cache_hit_tokens: None = None
    reasoning_tokens: None = None
    citation_tokens: None = None
    num_search_queries: None = None
    prompt_audio_seconds: None = None


class _TextReply(msgspec.Struct, gc=False, kw_only=True):
    model: _Name | None = None
    service_tier: _Name | None = None
    choices: msgspec.Raw = msgspec.Raw(b"null")
    usage: _TextUsage
    error: None = None


_TEXT_DECODER = msgspec.json.Decoder(_TextReply)
_NO_INPUT, _NO_OUTPUT = _InputDetails(), _OutputDetails()
_LONGEST_NO_CHOICES = len(b"null")
_EMPTY, _NULL = msgspec.Raw(b"[]"), msgspec.Raw(b"null")


def read_text_report(body: bytes, dialect: UsageDialect = OPENAI_USAGE) -> Report:
    """Return what `read_report` with `text_usage` does, in half the time for what most responses look like."""
    try:
        reply = _TEXT_DECODER.decode(body)
    except (msgspec.DecodeError, RecursionError):  # no usage, another form of it, a cost, or an error
        return _read_text_report(body, dialect)
    reported = reply.usage
    tokens_in, tokens_out = reported.prompt_tokens, reported.completion_tokens
    into, out = reported.prompt_tokens_details, reported.completion_tokens_details
    if reported.total_tokens != tokens_in + tokens_out:
        return _read_text_report(body, dialect)
    if into is None and out is None:
        usage = Usage(tokens_in, tokens_out)
    else:
        into, out = into or _NO_INPUT, out or _NO_OUTPUT
        cached, reasoning = into.cached_tokens, out.reasoning_tokens
        written, audio_in, audio_out = into.cache_write_tokens, into.audio_tokens, out.audio_tokens
        if (
            (cached and cached > tokens_in)
            or (reasoning and reasoning > tokens_out)
            or ((written or audio_in or audio_out) and _may_exceed(reported, into, out))
        ):
            return _read_text_report(body, dialect)
        usage = Usage(tokens_in, tokens_out, cached, written, reasoning, audio_in, audio_out)
    choices = reply.choices
    if len(choices) > _LONGEST_NO_CHOICES:
        return Report(usage, None, False, True, False, True, reply.service_tier, reply.model)
    is_empty = choices == _EMPTY
    has_choices = not is_empty and choices != _NULL
    return Report(usage, None, is_empty, True, False, has_choices, reply.service_tier, reply.model)


def _may_exceed(reported: _TextUsage, into: _InputDetails, out: _OutputDetails) -> bool:
    """Return whether parts are larger than their whole if no two of them overlap."""
    parts_in = (into.cached_tokens or 0) + (into.cache_write_tokens or 0) + (into.audio_tokens or 0)
    parts_out = (out.reasoning_tokens or 0) + (out.audio_tokens or 0)
    return parts_in > reported.prompt_tokens or parts_out > reported.completion_tokens


def _read_text_report(body: bytes, dialect: UsageDialect) -> Report:
    return read_report(body, lambda reported, _reply: text_usage(reported), dialect)


def load_leniently(data: bytes) -> object:
    """Parse JSON with a byte order mark, NaN, lone surrogates or numbers out of range; None if it is invalid even so.

    A number out of range is a float; other numbers are integers or decimals. None too if the JSON is very long.
    """
    if len(data) > MAX_ODD_BYTES:
        return None
    try:
        value: object = json.loads(data.removeprefix(BYTE_ORDER_MARK), parse_int=json_integer, parse_float=json_decimal)
    except (ValueError, RecursionError):
        return None
    return value


def _parse_leniently(body: bytes) -> WireReply | None:
    """Parse a reply as `load_leniently` does; None if it is no JSON object even so."""
    reply = load_leniently(body)
    if not isinstance(reply, dict):
        return None
    choices, usage = reply.get("choices"), reply.get("usage")
    raw = b"null" if choices is None else b"[1]" if choices else b"[]"
    others = ("duration", "meta", "error", "service_tier", "model", "x_groq", "timings")
    if not isinstance(usage, dict):
        usage = _first_usage(choices) or usage
    return WireReply(usage, msgspec.Raw(raw), *map(reply.get, others))


def text_usage(reported: Mapping[str, object]) -> Usage | None:
    """Parse OpenAI's usage of text."""
    if "prompt_tokens" not in reported:
        return None
    prompt, completion = details(reported, "prompt_tokens_details"), details(reported, "completion_tokens_details")
    return Usage(
        input_tokens=count(reported["prompt_tokens"], may_be_null=False),
        output_tokens=count(reported.get("completion_tokens", 0), may_be_null=False),
        cached_input_tokens=count(prompt.get("cached_tokens")),
        cache_write_tokens=count(prompt.get("cache_write_tokens")),
        audio_input_tokens=count(prompt.get("audio_tokens")),
        reasoning_tokens=count(completion.get("reasoning_tokens")),
        audio_output_tokens=count(completion.get("audio_tokens")),
        image_input_tokens=count(prompt.get("image_tokens")),
        image_output_tokens=count(completion.get("image_tokens")),
    )


def input_usage(reported: Mapping[str, object]) -> Usage | None:
    """Parse the usage of a kind without output: OpenAI's, or the total alone, as Voyage AI reports it."""
    if "prompt_tokens" in reported or "total_tokens" not in reported:
        return text_usage(reported)
    return Usage(input_tokens=count(reported["total_tokens"], may_be_null=False), output_tokens=0)


def provider_cost(reported: Mapping[str, object]) -> Decimal | None:
    """Return the cost in USD that usage has.

    Sources: OpenRouter, a number, which for the operator's own key at the model's provider is only the fee,
    https://openrouter.ai/docs/use-cases/usage-accounting; Perplexity, an object,
    https://docs.perplexity.ai/api-reference/chat-completions-post; xAI, ticks, https://docs.x.ai/docs/api-reference.
    """
    value = reported.get("cost")
    cost = _amount(value.get("total_cost") if isinstance(value, dict) else value)
    if cost is None:
        ticks = reported.get("cost_in_usd_ticks")
        return _amount(Decimal(ticks) / TICKS_PER_USD) if type(ticks) is int else None
    if reported.get("is_byok") is not True:
        return cost
    upstream = _amount(details(reported, "cost_details").get("upstream_inference_cost"))
    return None if upstream is None else _amount(cost + upstream)


def _amount(value: object) -> Decimal | None:
    if type(value) not in (int, Decimal):
        return None
    amount = Decimal(value)  # type: ignore[arg-type]
    return amount if amount.is_finite() and 0 <= amount <= MAX_COST_USD else None


def short_name(value: object) -> str | None:
    return (value[:MAX_NAME_CHARACTERS] or None) if isinstance(value, str) else None
