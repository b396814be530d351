"""Parses the usage that a provider reports; implausible usage is ignored."""

import json
import math
from collections.abc import Mapping
from decimal import Decimal

import msgspec

from hero_broker.core.calls import CallKind
from hero_broker.core.money import MAX_COST_USD
from hero_broker.core.usage import MAX_UNITS, Usage
from hero_broker.kinds.wide_json import is_wide

MS = 1000
MAX_ODD_BYTES = 1024 * 1024  # of JSON that only a lenient parser accepts; if it is longer, its usage is ignored
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Report(msgspec.Struct, frozen=True):
    """What a response or an event reports; None if a value is missing or implausible."""

    usage: Usage | None = None
    cost_usd: Decimal | None = None  # the cost that the provider reports
    is_usage_event: bool = False  # has usage and empty `choices`
    is_object: bool = False  # is a JSON object
    is_error: bool = False  # reports that the call failed, whatever the HTTP status
    has_choices: bool = False  # the model generated output


NOTHING = Report()


class _WireReply(msgspec.Struct):
    usage: object = None
    choices: msgspec.Raw = msgspec.Raw(b"null")
    duration: object = None
    meta: object = None
    error: object = None


_DECODER = msgspec.json.Decoder(_WireReply, float_hook=Decimal)


class _ImplausibleError(ValueError):
    """A count is not an integer from 0 to `MAX_UNITS`."""


def read_usage(kind: CallKind, body: bytes) -> Report:
    """Return the report of a JSON response, or of an event's data."""
    try:
        reply = _DECODER.decode(body)
    except (msgspec.DecodeError, ArithmeticError, RecursionError):
        lenient = _parse_leniently(body)
        if lenient is None:
            return NOTHING
        reply = lenient
    reported = reply.usage if isinstance(reply.usage, dict) else {}
    try:
        if kind is CallKind.STT:
            usage = _stt_report(reported, reply.duration)
        elif kind is CallKind.TTS:
            usage = _tts_report(reported)
        elif kind is CallKind.RERANK:
            usage = _rerank_report(reported, reply.meta)
        else:
            usage = _text_report(reported)
    except _ImplausibleError:
        usage = None
    choices = bytes(reply.choices)
    return Report(
        usage,
        _cost(reported.get("cost")),
        is_usage_event=reply.usage is not None and choices == b"[]",
        is_object=True,
        is_error=isinstance(reply.error, dict | str) and bool(reply.error),
        has_choices=choices not in (b"[]", b"null"),
    )


def is_answer(kind: CallKind, body: bytes) -> bool:
    """Return whether a lenient parser accepts the body as a response: an object, or for rerank an array.

    If the JSON has too many values to be decoded, only its first character counts.
    """
    if is_wide(body):
        first = body.removeprefix(BYTE_ORDER_MARK).lstrip()[:1]
        return first == b"{" or (first == b"[" and kind is CallKind.RERANK)
    try:
        value: object = json.loads(body, parse_int=float)  # int rejects numbers with too many digits
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) or (kind is CallKind.RERANK and isinstance(value, list))


def _parse_leniently(body: bytes) -> _WireReply | None:
    """Parse JSON with a byte order mark, NaN or lone surrogates; None if it is not a JSON object even so."""
    if len(body) > MAX_ODD_BYTES:
        return None
    try:
        reply: object = json.loads(body.removeprefix(BYTE_ORDER_MARK), parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError):
        return None
    if not isinstance(reply, dict):
        return None
    choices = reply.get("choices")
    raw = b"null" if choices is None else b"[1]" if choices else b"[]"
    return _WireReply(
        reply.get("usage"), msgspec.Raw(raw), reply.get("duration"), reply.get("meta"), reply.get("error")
    )


def _text_report(reported: Mapping[str, object]) -> Usage | None:
    """Parse OpenAI's usage of chats, completions and embeddings."""
    if "prompt_tokens" not in reported:
        return None
    prompt, completion = _details(reported, "prompt_tokens_details"), _details(reported, "completion_tokens_details")
    return Usage(
        input_tokens=_count(reported["prompt_tokens"], may_be_null=False),
        output_tokens=_count(reported.get("completion_tokens", 0), may_be_null=False),
        cached_input_tokens=_count(prompt.get("cached_tokens")),
        cache_write_tokens=_count(prompt.get("cache_write_tokens")),
        audio_input_tokens=_count(prompt.get("audio_tokens")),
        reasoning_tokens=_count(completion.get("reasoning_tokens")),
        audio_output_tokens=_count(completion.get("audio_tokens")),
    )


def _tts_report(reported: Mapping[str, object]) -> Usage | None:
    """Parse the usage of `speech.audio.done`; all output is audio."""
    if "input_tokens" not in reported:
        return None
    output = _count(reported.get("output_tokens"), may_be_null=False)
    return Usage(
        input_tokens=_count(reported["input_tokens"], may_be_null=False),
        output_tokens=output,
        audio_output_tokens=output,
    )


def _stt_report(reported: Mapping[str, object], duration: object) -> Usage | None:
    """Parse tokens, or the billed seconds, or else the duration in `verbose_json`."""
    if "input_tokens" in reported:
        details = _details(reported, "input_token_details")
        return Usage(
            input_tokens=_count(reported["input_tokens"], may_be_null=False),
            output_tokens=_count(reported.get("output_tokens", 0), may_be_null=False),
            audio_input_tokens=_count(details.get("audio_tokens")),
        )
    seconds = reported.get("seconds", duration)
    return None if seconds is None else Usage(audio_ms=_milliseconds(seconds))


def _rerank_report(reported: Mapping[str, object], meta: object) -> Usage | None:
    """Parse Cohere's search units, or the tokens of other providers."""
    billed = _details(meta, "billed_units") if isinstance(meta, dict) else {}
    if "search_units" in billed:
        return Usage(search_units=_count(billed["search_units"], may_be_null=False))
    for name in ("total_tokens", "prompt_tokens"):
        if name in reported:
            return Usage(input_tokens=_count(reported[name], may_be_null=False), output_tokens=0)
    return None


def _count(value: object, *, may_be_null: bool = True) -> int | None:
    if value is None and may_be_null:
        return None
    if type(value) is not int or not 0 <= value <= MAX_UNITS:
        raise _ImplausibleError
    return value


def _milliseconds(seconds: object) -> int:
    """Return a duration in milliseconds, rounded up; some providers send it as a string."""
    try:
        value = Decimal(seconds) if type(seconds) in (int, Decimal, str) else None  # type: ignore[arg-type]
    except ArithmeticError as error:
        raise _ImplausibleError from error
    if value is None or not value.is_finite() or not 0 <= value <= MAX_UNITS // MS:
        raise _ImplausibleError
    return math.ceil(value * MS)


def _cost(value: object) -> Decimal | None:
    if type(value) not in (int, Decimal):
        return None
    cost = Decimal(value)  # type: ignore[arg-type]
    return cost if cost.is_finite() and 0 <= cost <= MAX_COST_USD else None


def _details(reported: Mapping[str, object], name: str) -> Mapping[str, object]:
    details = reported.get(name)
    return details if isinstance(details, dict) else {}
