"""Chat completions."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_broker.core.errors import InvalidRequest, ProviderError
from hero_broker.core.usage import BYTES_PER_TOKEN, Usage
from hero_broker.kinds.chat import CHAT
from hero_broker.kinds.kind import EVENT_STREAM, JSON, Framing
from hero_broker.kinds.texts import Image, Reading
from hero_broker.pricing.price import Price
from tests.kinds.targets import (
    BY_REQUEST,
    BY_TOKEN,
    MEASURED,
    NO_COUNTS,
    SIZE,
    TARGET,
    FrozenProvider,
    FrozenTarget,
    cut,
    events,
    read,
    reading,
    relay,
    relay_however_cut,
    reported,
)

MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("members", "stream", "wants_usage"),
    [
        ({}, False, False),
        ({"stream": None, "stream_options": None}, False, False),
        ({"stream": False, "stream_options": {}}, False, False),
        ({"stream": True}, True, False),
        ({"stream": True, "stream_options": {"include_usage": True}}, True, True),
        ({"stream": True, "stream_options": {"include_usage": 1}}, True, False),
    ],
)
def test_request_is_read(members: dict[str, object], stream: bool, wants_usage: bool) -> None:
    request = read(CHAT, messages=MESSAGES, **members)

    assert (request.model, request.input_bytes) == ("m", len(json.dumps(MESSAGES)))
    assert (request.stream, request.wants_usage, request.characters) == (stream, wants_usage, None)


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": [], "stream": 1}, "stream"),
        ({"messages": [], "stream": "true"}, "stream"),
        ({"messages": [], "stream_options": []}, "stream_options"),
        ({"messages": [], "stream_options": True}, "stream_options"),
    ],
)
def test_wrong_member_is_named(members: dict[str, object], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(CHAT, **members)

    assert caught.value.param == param


@pytest.mark.parametrize(
    ("members", "stream_usage", "sent"),
    [
        ({}, True, {}),
        ({"stream": False}, True, {"stream": False}),
        ({"stream": True}, True, {"stream": True, "stream_options": {"include_usage": True}}),
        ({"stream": True}, False, {"stream": True}),
        (
            {"stream": True, "stream_options": {"include_usage": False, "x": [1]}},
            True,
            {"stream": True, "stream_options": {"include_usage": True, "x": [1]}},
        ),
        ({"stream": True, "stream_options": {"x": 1}}, False, {"stream": True, "stream_options": {"x": 1}}),
    ],
)
def test_stream_is_asked_for_usage_if_the_provider_knows_how(
    members: dict[str, object], stream_usage: bool, sent: dict[str, object]
) -> None:
    target = FrozenTarget(FrozenProvider(stream_usage=stream_usage))
    request = read(CHAT, messages=MESSAGES, api_key="k", **members)

    assert json.loads(CHAT.encode(request, target)) == {"model": "upstream-m", "messages": MESSAGES, **sent}


def test_path_is_below_the_base_url() -> None:
    assert CHAT.url("/v1/chat/completions", TARGET) == "https://provider.example/v1/chat/completions"


@pytest.mark.parametrize(
    ("content_type", "is_stream", "framing"),
    [
        (JSON, False, Framing.WHOLE),
        (JSON, True, Framing.WHOLE),
        (EVENT_STREAM, False, Framing.EVENTS),
        (f"{EVENT_STREAM}; charset=utf-8", True, Framing.EVENTS),
        ("", True, Framing.EVENTS),
        ("", False, Framing.WHOLE),
        ("text/plain; charset=utf-8", True, Framing.EVENTS),
        ("text/plain", False, Framing.WHOLE),
        ("application/octet-stream", True, Framing.EVENTS),
        ("text/html", True, Framing.WHOLE),
    ],
)
def test_stream_may_lack_its_content_type(content_type: str, is_stream: bool, framing: Framing) -> None:
    assert CHAT.framing(content_type, is_stream=is_stream) is framing
    assert not CHAT.may_be_text(content_type)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        pytest.param(
            {
                "prompt_tokens": 40,
                "completion_tokens": 20,
                "total_tokens": 60,
                "prompt_tokens_details": {"cached_tokens": 30, "audio_tokens": 2, "cache_write_tokens": 1},
                "completion_tokens_details": {"reasoning_tokens": 9, "audio_tokens": 3},
            },
            Usage(40, 20, 30, 1, 9, 2, 3),
            id="every part",
        ),
        pytest.param({"prompt_tokens": 4}, Usage(4, 0), id="no output"),
        pytest.param({"prompt_tokens": 0, "completion_tokens": 0}, Usage(0, 0), id="zero"),
        pytest.param(
            {"prompt_tokens": 4, "completion_tokens": 2, "prompt_tokens_details": None}, Usage(4, 2), id="no details"
        ),
        pytest.param(
            {"prompt_tokens": 4, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": None}},
            Usage(4, 2),
            id="unknown detail",
        ),
        pytest.param({"prompt_tokens": 4, "completion_tokens_details": [7]}, Usage(4, 0), id="details of another type"),
        pytest.param({"completion_tokens": 4}, None, id="no input"),
        pytest.param({"input_tokens": 4, "output_tokens": 4}, None, id="another interface's"),
        pytest.param({}, None, id="empty"),
        pytest.param(None, None, id="null"),
        pytest.param([4], None, id="array"),
        pytest.param("4", None, id="string"),
    ],
)
def test_usage_of_every_shape_is_read(usage: object, expected: Usage | None) -> None:
    assert reported(CHAT, {"choices": [{}], "usage": usage}) == expected
    assert reported(CHAT, {"usage": usage, "odd": float("nan")}) == expected


@pytest.mark.parametrize("value", NO_COUNTS)
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens"])
def test_implausible_count_is_no_usage(name: str, value: object) -> None:
    assert reported(CHAT, {"usage": {"prompt_tokens": 4, "completion_tokens": 2, name: value}}) is None


def test_messages_are_read_and_counted() -> None:
    messages = [{"role": "user", "content": "one"}, {"role": "user", "content": "two"}]

    assert reading(CHAT, messages=messages) == Reading(("one", "two"), messages=2)


def test_a_name_is_read_and_framed() -> None:
    messages = [{"role": "user", "name": "Ada", "content": "hi"}]

    assert reading(CHAT, messages=messages) == Reading(("hi", "Ada"), fixed_tokens=1, messages=1)


def test_images_of_all_messages_are_read() -> None:
    parts = [{"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}}]

    assert reading(CHAT, messages=[{"content": parts}] * 2) == Reading(messages=2, images=(Image(0, 0, True),) * 2)


def test_thinking_in_parts_of_a_message_is_read() -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}, {"type": "text", "text": "b"}]

    assert reading(CHAT, messages=[{"content": parts}]) == Reading(("b", "a"), messages=1)


def test_parts_of_a_message_are_read() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "b"}, {"type": "odd"}]

    assert reading(CHAT, messages=[{"content": parts}]) == Reading(("a", "b"), messages=1)


def test_calls_and_reasoning_of_earlier_turns_are_read() -> None:
    message = {
        "role": "assistant",
        "content": None,
        "reasoning_content": "why",
        "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}, {"function": {"name": "g", "arguments": "[]"}}],
        "function_call": {"name": "h", "arguments": "1"},
    }

    assert sorted(reading(CHAT, messages=[message]).texts) == sorted(["why", "f", "{}", "g", "[]", "h", "1"])


def test_definitions_are_read_as_compact_json() -> None:
    spaced = b'{"messages": [], "tools": [ {"name": "\\u00fc"} ], "response_format": {"type" : "text"}, "n": 1}'

    assert CHAT.request_reading(spaced) == Reading(definitions=('[{"name":"ü"}]', '{"type":"text"}'), has_tools=True)


@pytest.mark.parametrize("name", ["tools", "functions"])
@pytest.mark.parametrize(
    ("value", "has_tools"), [([{}], True), ([], False), (None, False), ("[{", False), ({"a": [{}]}, False), (7, False)]
)
def test_tools_are_an_array_of_objects(name: str, value: object, has_tools: bool) -> None:
    assert reading(CHAT, messages=[], **{name: value}).has_tools is has_tools


def test_tools_and_formats_are_part_of_the_first_estimate() -> None:
    definitions = {"tools": [{}], "functions": [{}, {}], "response_format": {"type": "text"}}

    request = read(CHAT, messages=MESSAGES, **definitions)

    assert request.input_bytes == len(json.dumps(MESSAGES)) + sum(map(len, map(json.dumps, definitions.values())))


def test_a_number_out_of_range_hides_nothing() -> None:
    body = b'{"messages":[{"content":"text","n":1e999}],"tools":[1e999]}'

    assert CHAT.request_reading(body) == Reading(("text",), messages=1, definitions=("[1e999]",))


@pytest.mark.parametrize("price", [None, BY_TOKEN, BY_REQUEST])
def test_estimate_is_the_measured_tokens_whatever_the_price(price: Price | None) -> None:
    assert CHAT.estimate(SIZE, price, MEASURED) == Usage(input_tokens=5, output_tokens=7)
    assert CHAT.rough_usage(SIZE, price, 7) == Usage(input_tokens=16_000 // BYTES_PER_TOKEN, output_tokens=7)
    assert CHAT.usage_by_request(SIZE, price) is None
    assert CHAT.writes_tokens(price)


def test_example_is_a_valid_request() -> None:
    content_type, body = CHAT.example_body("m")

    assert content_type == JSON
    assert read(CHAT, **json.loads(body)).model == "m"


def delta(content: str | None, finish: str | None = None, **members: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": finish}], **members}


TEXT = events(delta(""), delta("[DONE]"), delta(' "usage" "error" \n\n'), delta(None, "stop"))
FINISH = events(delta(None, "stop"))
SPACED = events(json.dumps(delta(None, "stop", usage=None, error=None)))
USAGE = events({"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 2}})
DONE = events("[DONE]")
PING = b": ping\n\n"
WRITTEN = ('[DONE] "usage" "error" \n\n',)


@pytest.mark.parametrize("wants_usage", [False, True])
def test_usage_event_is_only_for_the_client_that_wants_it(wants_usage: bool) -> None:
    relayed = relay_however_cut(CHAT, PING + TEXT + PING + USAGE + DONE, wants_usage=wants_usage)

    assert relayed.sent == PING + TEXT + PING + (USAGE if wants_usage else b"")
    assert (relayed.tail, relayed.texts) == (DONE, WRITTEN)
    assert (relayed.usage, relayed.source) == ({"input_tokens": 4, "output_tokens": 2}, "reported")


@pytest.mark.parametrize(
    ("stream", "tail", "source"),
    [
        pytest.param(TEXT, b"", "estimated", id="finish reason alone"),
        pytest.param(TEXT + PING + PING, b"", "estimated", id="comments behind it"),
        pytest.param(events(delta("a")) + PING + FINISH, b"", "estimated", id="comment before it"),
        pytest.param(b"id: 1\n\n" + SPACED + b"id: 2\n\n", b"", "estimated", id="events without data"),
        pytest.param(FINISH + b"data:\n\n" + b"data: \n\n", b"", "estimated", id="events with empty data"),
        pytest.param(TEXT + DONE, DONE, "estimated", id="no usage"),
        pytest.param(TEXT + DONE + DONE + PING, DONE + DONE + PING, "estimated", id="more behind the last event"),
        pytest.param(TEXT[:-1], TEXT[TEXT.rindex(b"data") : -1], "estimated", id="last blank line is missing"),
        pytest.param(
            events(delta("a"), delta(None, "stop", usage={"prompt_tokens": 4, "completion_tokens": 2})),
            b"",
            "reported",
            id="usage beside a choice",
        ),
    ],
)
def test_stream_that_is_complete_becomes_the_same_however_it_is_cut(stream: bytes, tail: bytes, source: str) -> None:
    relayed = relay_however_cut(CHAT, stream)

    assert (relayed.sent + relayed.tail, relayed.tail, relayed.source) == (stream, tail, source)


def test_lines_may_end_in_carriage_returns() -> None:
    stream = (TEXT + DONE).replace(b"\n", b"\r\n")

    relayed = relay_however_cut(CHAT, stream)

    assert (relayed.sent + relayed.tail, relayed.texts) == (stream, WRITTEN)


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(events(delta("a")), id="no finish reason"),
        pytest.param(events(delta("a", "stop"), delta("b")), id="more behind a finish reason"),
        pytest.param(TEXT + USAGE[:-20], id="half an event"),
        pytest.param(PING, id="only a comment"),
    ],
)
def test_stream_that_broke_off_is_recognised_however_it_is_cut(stream: bytes) -> None:
    for cuts in ((), *((at,) for at in range(1, len(stream))), range(1, len(stream))):
        with pytest.raises(ProviderError, match="broke off"):
            relay(CHAT, cut(stream, *cuts))


EVENTS = st.sampled_from([TEXT, SPACED, USAGE, PING, DONE, b"id: 1\n\n", b"data:\n\n", b"event: x\n" + SPACED, FINISH])


@given(parts=st.lists(EVENTS, max_size=5), data=st.data())
def test_any_stream_becomes_the_same_however_it_is_cut(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts) + SPACED + DONE
    cuts = data.draw(st.lists(st.integers(1, len(stream) - 1), max_size=20))

    assert relay(CHAT, cut(stream, *cuts)) == relay(CHAT, cut(stream))
