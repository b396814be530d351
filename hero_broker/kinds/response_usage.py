"""Reads what answers of OpenAI's Responses report; `kinds.responses` has the rest of the format.

A stream reports its usage once, in the whole response that its last event repeats. Tools are beside `usage`: searches
are charged by their number, and the tokens of images at the price of the model that draws them.
Source: https://platform.openai.com/docs/api-reference/responses, and for `tool_usage`
https://github.com/BerriAI/litellm/pull/39610.
"""

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from msgspec.structs import replace

from hero_broker.core.records import RESPONSE_ID
from hero_broker.core.usage import MAX_UNITS, Usage
from hero_broker.kinds.counts import ImplausibleError, count, details
from hero_broker.kinds.message_usage import sum_of
from hero_broker.kinds.report import (
    BYTE_ORDER_MARK,
    MAX_ODD_BYTES,
    NOTHING,
    Report,
    UsageDetails,
    UsageShare,
    provider_cost,
    short_name,
)
from hero_broker.kinds.texts import mapping, sequence
from hero_broker.kinds.usage_dialect import OPENAI_USAGE, SettledUsage, settle_usage

FAILED, ERROR = "response.failed", "error"
LAST_TYPES = ("response.completed", "response.incomplete", FAILED, ERROR)  # of a stream's events
IMAGE_TOOL = "image_generation"

_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")  # nothing that could be a key may get into a row
_NULL = msgspec.Raw(b"null")
# Calls of tools that are charged. A regular expression would take ten times as long in an output of many megabytes.
_TOOL_CALLS = (b'_search_call"', b'image_generation_call"')


class _Response(msgspec.Struct):
    """The members of a response that may report something."""

    id: object = None
    object_type: object = msgspec.field(default=None, name="object")
    store: object = None
    model: object = None
    output: msgspec.Raw = _NULL
    usage: object = None
    tool_usage: object = None
    tools: msgspec.Raw = _NULL
    service_tier: object = None
    error: object = None


class _ResponseOrEvent(_Response):
    """A whole response, or an event's data."""

    type: object = None  # of an event
    code: object = None  # of an error event, beside or instead of those in `error`
    response: _Response | None = None  # of an event


class _Item(msgspec.Struct):
    """An item of a response's output."""

    type: object = None
    status: object = None
    action: object = None


_DECODER = msgspec.json.Decoder(_ResponseOrEvent, float_hook=Decimal)
_ITEMS_DECODER = msgspec.json.Decoder(list[_Item], float_hook=Decimal)


def read_response_report(data: bytes) -> Report:
    """Return what a whole response or an event reports; of the events, only the last one reports usage."""
    reply = _decode(data)
    if reply is None:
        return NOTHING
    response = reply if reply.response is None else reply.response
    has_ended = reply.type is None or reply.type in LAST_TYPES
    reported = mapping(response.usage) if has_ended else {}
    is_error = reply.type in (FAILED, ERROR) or any(
        isinstance(error, dict | str) and bool(error) for error in (reply.error, response.error)
    )
    report = Report(
        cost_usd=provider_cost(reported),
        is_object=True,
        is_error=is_error,
        has_choices=len(response.output) > len(_NULL),
        service_tier=short_name(response.service_tier),
        answered_model=short_name(response.model),
        response_id=_kept_id(response) if has_ended and not is_error else None,
    )
    try:
        has_calls = any(mark in data for mark in _TOOL_CALLS)
        return _with_usage(report, response, reported, has_calls=has_calls) if reported else report
    except ImplausibleError:  # it is estimated
        return report


def read_error_code(data: bytes) -> str | None:
    """Return the code of an error event, or else its type; None if it has none."""
    reply = _decode(data)
    if reply is None:
        return None
    errors = [mapping(reply.error), *([mapping(reply.response.error)] if reply.response is not None else [])]
    values = (*(error.get("code") for error in errors), reply.code, *(error.get("type") for error in errors))
    return next((value for value in values if isinstance(value, str) and _CODE.fullmatch(value)), None)


def _kept_id(response: _Response) -> str | None:
    """Return the id of a response; None if the provider does not keep it, or the id is no segment of a path."""
    if response.store is False or response.object_type not in (None, "response") or not isinstance(response.id, str):
        return None
    return response.id if RESPONSE_ID.fullmatch(response.id) else None


def _with_usage(report: Report, response: _Response, reported: Mapping[str, object], *, has_calls: bool) -> Report:
    """Return the report with the usage of the model and of its tools.

    Raises:
        ImplausibleError: a count is no plausible number.
    """
    settled = _settled(reported)
    tools = mapping(response.tool_usage)
    calls = _completed(response.output) if has_calls else ()
    web_searches, file_searches = _searches(calls, details(tools, "web_search"))
    own = replace(settled.usage, web_searches=web_searches, file_searches=file_searches)
    drawn = sum(item.type == "image_generation_call" for item in calls)
    images = _image_usage(details(tools, "image_gen"), drawn)
    usage, found = own, None
    if images is not None:
        usage = sum_of((own, images))
        if (usage.input_tokens or 0) + (usage.output_tokens or 0) > MAX_UNITS:
            raise ImplausibleError
        found = UsageDetails(shares=(UsageShare(None, own), UsageShare(_image_model(response), images)))
    return replace(
        report,
        usage=usage,
        cut_parts=settled.cut_parts,
        unexplained_tokens=settled.unexplained_tokens,
        details=found,
    )


def _settled(reported: Mapping[str, object]) -> SettledUsage:
    """Return the usage of the model that answered.

    Raises:
        ImplausibleError: a count is missing or no plausible number.
    """
    into, out = details(reported, "input_tokens_details"), details(reported, "output_tokens_details")
    usage = Usage(
        input_tokens=count(reported.get("input_tokens"), may_be_null=False),
        output_tokens=count(reported.get("output_tokens"), may_be_null=False),
        cached_input_tokens=count(into.get("cached_tokens")),
        cache_write_tokens=count(into.get("cache_write_tokens")),
        reasoning_tokens=count(out.get("reasoning_tokens")),
    )
    # The total decides as it does for chats; no provider's dialect applies here.
    as_chat = {"prompt_tokens": usage.input_tokens, "total_tokens": reported.get("total_tokens")}
    return settle_usage(usage, as_chat, OPENAI_USAGE)


def _searches(calls: Sequence[_Item], web_search: Mapping[str, object]) -> tuple[int | None, int | None]:
    """Return the searches of the web and of files; None if there were none.

    A page that the model opens is an item too, but is not charged; the provider's own number counts first.

    Raises:
        ImplausibleError: the provider's number is no plausible one.
    """
    web = files = 0
    for item in calls:
        web += item.type == "web_search_call" and mapping(item.action).get("type", "search") == "search"
        files += item.type == "file_search_call"
    charged = count(web_search.get("num_requests"))
    return (web if charged is None else charged) or None, files or None


def _completed(output: msgspec.Raw) -> Sequence[_Item]:
    """Return the items of a response's output that did not fail."""
    try:
        return [item for item in _ITEMS_DECODER.decode(output) if item.status in (None, "completed")]
    except (msgspec.DecodeError, ArithmeticError, RecursionError):
        return ()


def _image_usage(reported: Mapping[str, object], images: int) -> Usage | None:
    """Return the tokens of this many images that a tool drew; None if there are none of either.

    Output without details is all image. Without tokens, the images alone are the usage.

    Raises:
        ImplausibleError: a count is no plausible number.
    """
    tokens_in, tokens_out = count(reported.get("input_tokens")) or 0, count(reported.get("output_tokens")) or 0
    if not tokens_in and not tokens_out:
        return Usage(images=images) if images else None
    into, out = details(reported, "input_tokens_details"), details(reported, "output_tokens_details")
    of_images = count(out.get("image_tokens"))
    return Usage(
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        image_input_tokens=min(count(into.get("image_tokens")) or 0, tokens_in),
        image_output_tokens=tokens_out if of_images is None else min(of_images, tokens_out),
        images=images or None,
    )


def _image_model(response: _Response) -> str:
    """Return the model of the tool that draws; its type, which has no price, if the response does not name it."""
    try:
        tools: object = msgspec.json.decode(response.tools)
    except (msgspec.DecodeError, RecursionError):
        tools = None
    models = [tool.get("model") for tool in map(mapping, sequence(tools)) if tool.get("type") == IMAGE_TOOL]
    return next((name for model in models if (name := short_name(model)) is not None), IMAGE_TOOL)


def _decode(data: bytes) -> _ResponseOrEvent | None:
    """Parse JSON, if need be as leniently as other parsers do; None if it is not a JSON object even so."""
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, ArithmeticError, RecursionError):
        pass
    if len(data) > MAX_ODD_BYTES:
        return None
    try:
        reply: object = json.loads(data.removeprefix(BYTE_ORDER_MARK), parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError):
        return None
    if not isinstance(reply, dict):
        return None
    response = reply.get("response")
    return _ResponseOrEvent(
        **_members(reply),
        type=reply.get("type"),
        code=reply.get("code"),
        response=_Response(**_members(response)) if isinstance(response, dict) else None,
    )


def _members(reply: Mapping[str, object]) -> dict[str, Any]:
    """Return the members of a response for its struct; those that are kept undecoded are only known to be there."""
    names = ("id", "store", "model", "usage", "tool_usage", "service_tier", "error")
    return {
        "output": msgspec.Raw(b"[null]" if reply.get("output") else b"[]"),
        "object_type": reply.get("object"),
        **{name: reply.get(name) for name in names},
    }
