"""What a provider's answer says of its usage → Usage; what cannot be believed is no usage at all."""

import json
import math
from collections.abc import Mapping
from decimal import Decimal

import msgspec

from hero_broker.core.calls import CallKind
from hero_broker.core.money import MAX_COST_USD
from hero_broker.core.usage import MAX_UNITS, Usage
from hero_broker.metering.json_limits import is_wide

MS = 1000
MAX_ODD_BYTES = 1024 * 1024  # of JSON that only a lenient reader takes; longer than that none of it is believed
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Report(msgspec.Struct, frozen=True):
    """What an answer, or an event of a stream, says; None where it says nothing, or nothing that can be believed."""

    usage: Usage | None = None
    cost_usd: Decimal | None = None  # what the provider says that it charges
    is_usage_event: bool = False  # it has a usage and empty `choices`
    is_object: bool = False  # it is JSON, and an object
    is_error: bool = False  # it says that the call failed, whatever its status
    has_choices: bool = False  # something was generated


NOTHING = Report()


class _WireReply(msgspec.Struct):
    usage: object = None
    choices: msgspec.Raw = msgspec.Raw(b"null")
    duration: object = None
    meta: object = None
    error: object = None


_DECODER = msgspec.json.Decoder(_WireReply, float_hook=Decimal)


class _UnbelievableError(ValueError):
    """A count is no integer from 0 to `MAX_UNITS`."""


def read_usage(kind: CallKind, body: bytes) -> Report:
    """Return what a JSON answer or the data of an event says."""
    try:
        reply = _DECODER.decode(body)
    except (msgspec.DecodeError, ArithmeticError, RecursionError):
        odd = _parse_odd_reply(body)
        if odd is None:
            return NOTHING
        reply = odd
    reported = reply.usage if isinstance(reply.usage, dict) else {}
    try:
        if kind is CallKind.STT:
            usage = _stt_report(reported, reply.duration)
        elif kind is CallKind.TTS:
            usage = _tts_report(reported)
        elif kind is CallKind.RERANK:
            usage = _rerank_report(reported, reply.meta)
        else:
            usage = _text(reported)
    except _UnbelievableError:
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
    """Return whether a lenient reader takes a body for an answer: an object, or a list of what was ranked.

    Of JSON of more values than are decoded the first character alone counts.
    """
    if is_wide(body):
        first = body.removeprefix(BYTE_ORDER_MARK).lstrip()[:1]
        return first == b"{" or (first == b"[" and kind is CallKind.RERANK)
    try:
        told: object = json.loads(body, parse_int=float)  # of any length, which int is not
    except (ValueError, RecursionError):
        return False
    return isinstance(told, dict) or (kind is CallKind.RERANK and isinstance(told, list))


def _parse_odd_reply(body: bytes) -> _WireReply | None:
    """Read what strict JSON is not: with a byte order mark, NaN or lone surrogates; None where it is none at all."""
    if len(body) > MAX_ODD_BYTES:
        return None
    try:
        told: object = json.loads(body.removeprefix(BYTE_ORDER_MARK), parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError):
        return None
    if not isinstance(told, dict):
        return None
    choices = told.get("choices")
    raw = b"null" if choices is None else b"[1]" if choices else b"[]"
    return _WireReply(told.get("usage"), msgspec.Raw(raw), told.get("duration"), told.get("meta"), told.get("error"))


def _text(reported: Mapping[str, object]) -> Usage | None:
    """Read OpenAI's usage of chats, completions and embeddings."""
    if "prompt_tokens" not in reported:
        return None
    into, out = _details(reported, "prompt_tokens_details"), _details(reported, "completion_tokens_details")
    return Usage(
        input_tokens=_count(reported["prompt_tokens"], may_be_none=False),
        output_tokens=_count(reported.get("completion_tokens", 0), may_be_none=False),
        cached_input_tokens=_count(into.get("cached_tokens")),
        cache_write_tokens=_count(into.get("cache_write_tokens")),
        audio_input_tokens=_count(into.get("audio_tokens")),
        reasoning_tokens=_count(out.get("reasoning_tokens")),
        audio_output_tokens=_count(out.get("audio_tokens")),
    )


def _tts_report(reported: Mapping[str, object]) -> Usage | None:
    """Read the usage of `speech.audio.done`: all output is audio."""
    if "input_tokens" not in reported:
        return None
    output = _count(reported.get("output_tokens"), may_be_none=False)
    return Usage(
        input_tokens=_count(reported["input_tokens"], may_be_none=False),
        output_tokens=output,
        audio_output_tokens=output,
    )


def _stt_report(reported: Mapping[str, object], duration: object) -> Usage | None:
    """Read tokens, or the seconds that are billed, or else the duration that `verbose_json` names."""
    if "input_tokens" in reported:
        details = _details(reported, "input_token_details")
        return Usage(
            input_tokens=_count(reported["input_tokens"], may_be_none=False),
            output_tokens=_count(reported.get("output_tokens", 0), may_be_none=False),
            audio_input_tokens=_count(details.get("audio_tokens")),
        )
    seconds = reported.get("seconds", duration)
    return None if seconds is None else Usage(audio_ms=_milliseconds(seconds))


def _rerank_report(reported: Mapping[str, object], meta: object) -> Usage | None:
    """Read Cohere's search units or the tokens of others."""
    billed = _details(meta, "billed_units") if isinstance(meta, dict) else {}
    if "search_units" in billed:
        return Usage(search_units=_count(billed["search_units"], may_be_none=False))
    for name in ("total_tokens", "prompt_tokens"):
        if name in reported:
            return Usage(input_tokens=_count(reported[name], may_be_none=False), output_tokens=0)
    return None


def _count(value: object, *, may_be_none: bool = True) -> int | None:
    if value is None and may_be_none:
        return None
    if type(value) is not int or not 0 <= value <= MAX_UNITS:
        raise _UnbelievableError
    return value


def _milliseconds(seconds: object) -> int:
    """Return a duration, which some providers write as text; a started millisecond counts."""
    try:
        value = Decimal(seconds) if type(seconds) in (int, Decimal, str) else None  # type: ignore[arg-type]
    except ArithmeticError as error:
        raise _UnbelievableError from error
    if value is None or not value.is_finite() or not 0 <= value <= MAX_UNITS // MS:
        raise _UnbelievableError
    return math.ceil(value * MS)


def _cost(value: object) -> Decimal | None:
    if type(value) not in (int, Decimal):
        return None
    cost = Decimal(value)  # type: ignore[arg-type]
    return cost if cost.is_finite() and 0 <= cost <= MAX_COST_USD else None


def _details(reported: Mapping[str, object], name: str) -> Mapping[str, object]:
    details = reported.get(name)
    return details if isinstance(details, dict) else {}
