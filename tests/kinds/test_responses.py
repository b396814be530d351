"""OpenAI's Responses: requests, streams, and texts for estimates."""

import json
from collections.abc import Mapping

import pytest

from hero_broker.core.calls import Attempt, Caller, ResponseStorage
from hero_broker.core.clock import SystemClock
from hero_broker.core.errors import InvalidRequest, ProviderBadStream, ProviderBrokeOff
from hero_broker.core.usage import Usage
from hero_broker.kinds.json_body import read_json
from hero_broker.kinds.kind import EVENT_STREAM, JSON, Framing
from hero_broker.kinds.responses import RESPONSES
from hero_broker.kinds.texts import Image, Reading
from hero_broker.kinds.wide_json import MAX_VALUES
from hero_broker.metering.meter import MAX_KEPT_BYTES, Meter
from tests.kinds.targets import (
    BY_TOKEN,
    MAX_LONG_EVENT_BYTES,
    MEASURED,
    SIZE,
    TARGET,
    cut,
    read,
    reading,
    relay,
    relay_however_cut,
)

PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAIAAAADCAIAAAA="  # the head of a PNG of 2 by 3 pixels
USAGE = {
    "input_tokens": 2310,
    "input_tokens_details": {"cached_tokens": 2000, "cache_write_tokens": 100},
    "output_tokens": 42,
    "output_tokens_details": {"reasoning_tokens": 30},
    "total_tokens": 2352,
}
BEGUN: dict[str, object] = {
    "id": "resp_1",
    "object": "response",
    "status": "in_progress",
    "error": None,
    "model": "gpt-5.1",
    "output": [],
    "service_tier": "auto",
    "usage": None,
}
TEXTS = ("Two", ' rows, "error" and \n\n[DONE]', ' "response.completed"')
MESSAGE = {"type": "message", "content": [{"type": "output_text", "text": "".join(TEXTS)}]}
ENDED = {**BEGUN, "status": "completed", "output": [MESSAGE], "service_tier": "default", "usage": USAGE}
CREATED = {"type": "response.created", "sequence_number": 0, "response": BEGUN}
DELTAS = [
    {"type": "response.output_text.delta", "sequence_number": number, "output_index": 0, "delta": text}
    for number, text in enumerate(TEXTS, start=1)
]
END = {"type": "response.completed", "sequence_number": 4, "response": ENDED}


def stream(*events: Mapping[str, object]) -> bytes:
    """Return a stream of named events."""
    return b"".join(
        b"event: %s\ndata: %s\n\n" % (str(event["type"]).encode(), json.dumps(event, separators=(",", ":")).encode())
        for event in events
    )


WHOLE = stream(CREATED, *DELTAS, END)


def test_request_is_read_and_only_its_model_changes() -> None:
    members = {"input": "hi", "stream": True, "store": False, "include": ["reasoning.encrypted_content"]}

    request = read(RESPONSES, **members, base_url="http://evil.example")

    assert (request.model, request.stream, request.wants_usage) == ("m", True, False)
    assert json.loads(RESPONSES.encode(request, TARGET)) == {"model": "upstream-m", **members}


@pytest.mark.parametrize("path", ["/responses", "/responses/compact", "/responses/input_tokens"])
def test_paths_are_below_the_base_url(path: str) -> None:
    assert RESPONSES.url(f"/v1{path}", TARGET) == f"https://provider.example/v1{path}"


@pytest.mark.parametrize(
    ("members", "param", "code"),
    [
        ({}, "input", None),
        ({"input": 5}, "input", None),
        ({"input": "hi", "stream": 1}, "stream", None),
        ({"input": "hi", "background": 1}, "background", None),
        ({"input": "hi", "background": True}, "background", "unsupported_parameter"),
        ({"input": "hi", "conversation": "conv_1"}, "conversation", "unsupported_parameter"),
        ({"input": "hi", "prompt": {"id": "pmpt_1"}}, "prompt", "unsupported_parameter"),
        ({"input": "hi", "previous_response_id": ""}, "previous_response_id", None),
        ({"input": "hi", "previous_response_id": ["resp_1"]}, "previous_response_id", None),
        ({"previous_response_id": "resp_1"}, "input", None),
        ({"input": "hi", "store": "no"}, "store", None),
        (
            {"input": "hi", "previous_response_id": "resp_1", "conversation": "c"},
            "conversation",
            "unsupported_parameter",
        ),
        ({"input": [{"type": "item_reference", "id": "rs_1"}]}, "input", "unsupported_parameter"),
    ],
)
def test_wrong_or_unsupported_member_is_named(members: dict[str, object], param: str, code: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(RESPONSES, **members)

    assert (caught.value.param, caught.value.code) == (param, code)


def test_members_that_are_null_or_false_ask_for_nothing() -> None:
    absent = {"background": False, "conversation": None, "prompt": None, "previous_response_id": None}

    assert read(RESPONSES, input="hi", **absent).model == "m"


@pytest.mark.parametrize(("members", "stores"), [({}, True), ({"store": None}, True), ({"store": False}, False)])
def test_provider_keeps_a_response_unless_the_request_says_otherwise(members: dict[str, object], stores: bool) -> None:
    assert read(RESPONSES, input="hi", **members).storage == ResponseStorage(stores)


def test_request_with_a_previous_response_need_not_name_a_model() -> None:
    body = read_json(b'{"input":"hi","previous_response_id":"resp_1"}', "")

    request = RESPONSES.read(body)

    assert (request.model, request.storage) == ("", ResponseStorage(stores=True, previous="resp_1"))
    with pytest.raises(InvalidRequest) as caught:
        RESPONSES.read(read_json(b'{"input":"hi"}', ""))
    assert caught.value.param == "model"


def test_size_of_the_input_is_that_of_all_that_the_model_reads() -> None:
    small, large = read(RESPONSES, input="hi"), read(RESPONSES, input="hi", instructions="a" * 98, tools=[])

    assert large.input_bytes - small.input_bytes == len('"') + 98 + len('"') + len("[]")


def test_stream_is_relayed_with_its_last_event_held_back_however_it_is_cut() -> None:
    relayed = relay_however_cut(RESPONSES, WHOLE)

    assert relayed.sent + relayed.tail == WHOLE
    assert relayed.tail == stream(END)
    assert relayed.source == "reported"
    assert relayed.usage == {
        "input_tokens": 2310,
        "output_tokens": 42,
        "cached_input_tokens": 2000,
        "cache_write_tokens": 100,
        "reasoning_tokens": 30,
    }
    assert relayed.texts == ("".join(TEXTS),)


def test_incomplete_response_is_complete_as_a_stream() -> None:
    incomplete = stream(CREATED, *DELTAS, {**END, "type": "response.incomplete"})

    assert relay(RESPONSES, cut(incomplete)).usage["output_tokens"] == 42


def test_done_after_the_last_event_passes_and_none_is_made() -> None:
    assert relay(RESPONSES, cut(WHOLE + b"data: [DONE]\n\n")).tail == stream(END) + b"data: [DONE]\n\n"
    assert b"[DONE]\n\n" not in relay(RESPONSES, cut(WHOLE)).tail


@pytest.mark.parametrize("events", [(CREATED,), (CREATED, *DELTAS), ()])
def test_stream_without_its_last_event_broke_off(events: tuple[Mapping[str, object], ...]) -> None:
    with pytest.raises(ProviderBrokeOff):
        relay(RESPONSES, cut(stream(*events)))


def test_event_may_be_longer_than_those_of_other_kinds_but_has_a_bound() -> None:
    long = {**END, "response": {**ENDED, "output": [{"type": "image_generation_call", "result": "a" * 9_000_000}]}}
    too_long = b"data: " + b"a" * MAX_LONG_EVENT_BYTES

    assert relay(RESPONSES, cut(stream(CREATED, long), 5_000_000)).usage["output_tokens"] == 42
    with pytest.raises(ProviderBadStream):
        relay(RESPONSES, cut(too_long))


def test_long_last_event_is_not_kept_for_an_estimate() -> None:
    call = Attempt("id", "responses", "m", "p", "m", "http://p", b"{}", Caller("192.0.2.1", None), 0, True)
    meter = Meter(call, None, SystemClock())
    long = {**ENDED, "output": [{"type": "message", "content": [{"text": "a" * MAX_KEPT_BYTES}]}]}

    for event in (CREATED, *DELTAS, {**END, "response": long}):
        meter.on_event(json.dumps(event, separators=(",", ":")).encode())

    assert len(DELTAS) == meter.deltas
    assert meter.delivered().event_bytes < MAX_KEPT_BYTES


@pytest.mark.parametrize(
    ("content_type", "is_stream", "framing"),
    [(EVENT_STREAM, False, Framing.EVENTS), ("", True, Framing.EVENTS), (JSON, True, Framing.WHOLE)],
)
def test_response_is_relayed_by_its_type(content_type: str, is_stream: bool, framing: Framing) -> None:
    assert RESPONSES.framing(content_type, is_stream=is_stream) is framing


def test_estimate_is_in_tokens() -> None:
    assert RESPONSES.estimate(SIZE, BY_TOKEN, MEASURED) == Usage(input_tokens=5, output_tokens=7)


def test_texts_of_the_input_are_read() -> None:
    items = [
        {"role": "user", "content": "a"},
        {"role": "user", "content": [{"type": "input_text", "text": "b"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "c"}], "encrypted_content": "x"},
        {"type": "function_call", "name": "d", "arguments": "{}", "call_id": "x"},
        {"type": "function_call_output", "call_id": "x", "output": "e"},
        {"type": "custom_tool_call", "name": "f", "input": "g"},
        {"role": "user", "content": [{"type": "input_image", "image_url": PIXEL, "detail": "low"}]},
        {"role": "user", "content": [{"type": "input_file", "file_data": "data:application/pdf;base64,AAAA"}]},
    ]
    tools = [{"type": "function", "name": "ls"}]

    found = reading(RESPONSES, input=items, instructions="i", tools=tools, text={"format": {"type": "text"}})

    assert found.texts == ("i", "a", "b", "c", "d", "{}", "e", "f", "g")
    assert (found.messages, found.images) == (8, (Image(2, 3, is_low_detail=True),))
    assert found.definitions == ('[{"type":"function","name":"ls"}]',)
    assert found.has_tools
    assert found.fixed_tokens == 1


def test_input_may_be_one_text_and_schemas_are_read() -> None:
    schema = {"format": {"type": "json_schema", "schema": {"type": "object"}}}

    found = reading(RESPONSES, input="a b", text=schema)

    assert found == Reading(("a b",), 0, 0, 1, (), (json.dumps(schema, separators=(",", ":")),))


def test_texts_of_a_whole_response_are_read() -> None:
    output = [
        {"type": "reasoning", "summary": [{"text": "a"}], "content": [{"text": "b"}]},
        {"type": "message", "content": [{"text": "c"}, {"refusal": "d"}]},
        {"type": "function_call", "name": "e", "arguments": "{}"},
    ]

    assert set(RESPONSES.delivered_text(json.dumps({"output": output}).encode())) == {"a", "b", "c", "d", "e", "{}"}


def test_wide_response_counts_as_one_text() -> None:
    body = b'{"output":[' + b"1," * (MAX_VALUES + 1) + b"1]}"

    assert RESPONSES.delivered_text(body) == (body.decode(),)


def test_deltas_of_one_text_are_joined() -> None:
    arguments = "response.function_call_arguments.delta"
    events = stream(
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "a"},
        {"type": arguments, "output_index": 1, "delta": '{"b'},
        {"type": arguments, "output_index": 1, "delta": '":1}'},
        {"type": arguments, "output_index": 2, "delta": "{}"},
        {"type": arguments, "output_index": 2, "delta": 5},
        {"type": "response.output_text.done", "output_index": 0, "text": "all"},
    )

    assert RESPONSES.delivered_events(events) == ("a", '{"b":1}', "{}")
