"""Anthropic's Messages: requests, headers, streams, and texts for estimates."""

import json
from collections.abc import Mapping

import msgspec
import pytest

from hero_broker.core.errors import InvalidRequest, ProviderBrokeOff
from hero_broker.core.usage import Usage
from hero_broker.kinds.families import UNKNOWN, UNSEEN_IMAGE
from hero_broker.kinds.kind import EVENT_STREAM, JSON, Framing
from hero_broker.kinds.messages import MESSAGES
from hero_broker.kinds.texts import Image, Reading
from hero_broker.kinds.wide_json import MAX_VALUES
from tests.kinds.targets import (
    BY_TOKEN,
    MEASURED,
    SIZE,
    TARGET,
    FrozenProvider,
    FrozenTarget,
    cut,
    read,
    reading,
    relay,
    relay_however_cut,
)

LEAST = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 10}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAADCAIAAAA="  # the head of a PNG of 2 by 3 pixels
VERSION = ("anthropic-version", "2023-06-01")
START = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "model": "claude-sonnet-4-5",
        "content": [],
        "stop_reason": None,
        "usage": {
            "input_tokens": 10,
            "cache_creation_input_tokens": 300,
            "cache_read_input_tokens": 2000,
            "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
            "output_tokens": 1,
            "service_tier": "standard",
        },
    },
}
PING = {"type": "ping"}
BLOCK = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
DELTAS = [
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
    for text in ("Two", ' rows, "error" and \n\n[DONE]', " message_stop")
]
BLOCK_END = {"type": "content_block_stop", "index": 0}
END = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 42}}
STOP = {"type": "message_stop"}


def stream(*events: Mapping[str, object]) -> bytes:
    """Return a stream of named events."""
    return b"".join(
        b"event: %s\ndata: %s\n\n" % (str(event["type"]).encode(), json.dumps(event, separators=(",", ":")).encode())
        for event in events
    )


WHOLE = stream(START, PING, BLOCK, *DELTAS, BLOCK_END, END, STOP)


def test_request_is_read_and_only_its_model_changes() -> None:
    request = read(MESSAGES, **LEAST, stream=True, base_url="http://evil.example", thinking={"type": "enabled"})

    assert (request.model, request.stream, request.wants_usage) == ("m", True, False)
    assert json.loads(MESSAGES.encode(request, TARGET)) == {
        "model": "upstream-m",
        **LEAST,
        "stream": True,
        "thinking": {"type": "enabled"},
    }


def test_paths_are_below_the_base_url() -> None:
    assert MESSAGES.url("/v1/messages", TARGET) == "https://provider.example/v1/messages"
    assert MESSAGES.url("/v1/messages/count_tokens", TARGET) == "https://provider.example/v1/messages/count_tokens"


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"max_tokens": 1}, "messages"),
        ({"messages": "hi", "max_tokens": 1}, "messages"),
        ({"messages": []}, "max_tokens"),
        ({"messages": [], "max_tokens": None}, "max_tokens"),
        ({"messages": [], "max_tokens": -1}, "max_tokens"),
        ({"messages": [], "max_tokens": 1.5}, "max_tokens"),
        ({"messages": [], "max_tokens": "1"}, "max_tokens"),
        ({**LEAST, "stream": 1}, "stream"),
        ({**LEAST, "fallbacks": {}}, "fallbacks"),
        ({**LEAST, "fallbacks": ["claude-haiku-4-5"]}, "fallbacks"),
        ({**LEAST, "fallbacks": [{"model": ""}]}, "fallbacks"),
        ({**LEAST, "fallbacks": [{"model": 7}]}, "fallbacks"),
        pytest.param({**LEAST, "fallbacks": [{"model": "m"}] * MAX_VALUES}, "fallbacks", id="very many fallbacks"),
    ],
)
def test_wrong_member_is_named(members: dict[str, object], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(MESSAGES, **members)

    assert refused.value.param == param


def test_count_of_tokens_needs_no_limit() -> None:
    request = read(MESSAGES, **LEAST)

    assert MESSAGES.read_look_up(request.body).model == "m"
    assert not MESSAGES.read_look_up(request.body).stream


@pytest.mark.parametrize("fallbacks", [None, []])
def test_no_fallbacks_pass_as_they_are(fallbacks: object) -> None:
    request = read(MESSAGES, **LEAST, fallbacks=fallbacks)

    assert request.fallbacks == ()
    assert json.loads(MESSAGES.encode(request, TARGET))["fallbacks"] == fallbacks


def test_fallbacks_get_the_providers_names_and_keep_their_other_members() -> None:
    request = read(MESSAGES, **LEAST, fallbacks=[{"model": "a", "max_tokens": 5}, {"model": "b"}])
    named = msgspec.structs.replace(request, fallbacks=("upstream-a", "upstream-b"))

    assert request.fallbacks == ("a", "b")
    assert json.loads(MESSAGES.encode(named, TARGET))["fallbacks"] == [
        {"model": "upstream-a", "max_tokens": 5},
        {"model": "upstream-b"},
    ]


@pytest.mark.parametrize(
    ("sent", "dropped", "expected"),
    [
        pytest.param((), (), (VERSION,), id="none"),
        pytest.param((("x-title", "t"),), (), (("x-title", "t"), VERSION), id="another"),
        pytest.param((("anthropic-version", "2026-01-01"),), (), (("anthropic-version", "2026-01-01"),), id="version"),
        pytest.param(
            (("anthropic-beta", "a-1, b-2"), ("anthropic-beta", "c-3")),
            (),
            (VERSION, ("anthropic-beta", "a-1,b-2,c-3")),
            id="all lines in one",
        ),
        pytest.param((("anthropic-beta", "a-1,b-2"),), ("b-2",), (VERSION, ("anthropic-beta", "a-1")), id="dropped"),
        pytest.param((("anthropic-beta", "oauth-2025-04-20"),), (), (VERSION,), id="of a login"),
        pytest.param((("anthropic-beta", " , "),), (), (VERSION,), id="empty"),
    ],
)
def test_headers_have_a_version_and_the_betas_that_the_provider_may_get(
    sent: tuple[tuple[str, str], ...], dropped: tuple[str, ...], expected: tuple[tuple[str, str], ...]
) -> None:
    target = FrozenTarget(FrozenProvider(drop_betas=dropped))

    assert MESSAGES.headers(sent, target) == expected


@pytest.mark.parametrize(
    ("content_type", "is_stream", "framing"),
    [
        (JSON, True, Framing.WHOLE),
        (EVENT_STREAM, False, Framing.EVENTS),
        ("", True, Framing.EVENTS),
        ("", False, Framing.WHOLE),
    ],
)
def test_framing_follows_the_content_type(content_type: str, is_stream: bool, framing: Framing) -> None:
    assert MESSAGES.framing(content_type, is_stream=is_stream) is framing


def test_stream_passes_byte_for_byte_and_its_last_event_waits_however_it_is_cut() -> None:
    relayed = relay_however_cut(MESSAGES, WHOLE)

    assert (relayed.sent, relayed.tail) == (WHOLE.removesuffix(stream(STOP)), stream(STOP))
    assert relayed.source == "reported"
    assert relayed.usage == {
        "input_tokens": 2310,
        "output_tokens": 42,
        "cached_input_tokens": 2000,
        "cache_write_tokens": 300,
        "cache_write_1h_tokens": 200,
    }
    assert relayed.texts == ('Two rows, "error" and \n\n[DONE] message_stop',)


def test_what_follows_the_last_event_passes() -> None:
    relayed = relay_however_cut(MESSAGES, stream(START, END, STOP) + b"data: [DONE]\n\n")

    assert relayed.tail == stream(STOP) + b"data: [DONE]\n\n"


@pytest.mark.parametrize("end", [stream(END), stream(STOP)[:-20], b"data: [DO", stream(PING)])
def test_stream_without_its_last_event_is_broken_off(end: bytes) -> None:
    with pytest.raises(ProviderBrokeOff) as broken:
        relay(MESSAGES, cut(stream(START, *DELTAS) + end))

    assert broken.value.code == "stream_broke_off"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', "overloaded_error"),
        (b'{"type":"error","error":{"type":"a\\nb"}}', None),
        (b'{"type":"error","error":{"type":""}}', None),
        (b'{"type":"error","error":{"type":"sk-ant-key"}}', None),
        (b'{"type":"error","error":"text"}', None),
        (b"[" * 100_000, None),
    ],
)
def test_code_of_an_error_event_is_its_type(data: bytes, code: str | None) -> None:
    assert MESSAGES.error_code(data) == code


def test_everything_that_the_model_reads_is_read() -> None:
    png = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    tools = [{"name": "ls", "input_schema": {"type": "object"}}]
    found = reading(
        MESSAGES,
        system=[{"type": "text", "text": "be brief"}],
        tools=tools,
        messages=[
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "two"}, {"type": "text", "text": "3"}]},
            {"role": "assistant", "content": [{"type": "tool_use", "name": "ls", "input": {"path": "/"}}]},
            {"role": "user", "content": [{"type": "tool_result", "content": "four"}]},
            {"role": "user", "content": [{"type": "tool_result", "content": [{"type": "text", "text": "five"}, png]}]},
            {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://a.example/b"}}]},
            {"role": "user", "content": [{"type": "document", "source": {"type": "text", "data": "six"}}]},
            {"role": "user", "content": [{"type": "document", "source": {"type": "base64", "data": "A" * 400}}]},
        ],
    )

    assert found == Reading(
        ("be brief", "one", "two", "3", "ls", '{"path":"/"}', "four", "five", "six"),
        75,
        0,
        8,
        (Image(2, 3), Image(0, 0)),
        (json.dumps(tools, separators=(",", ":")),),
        has_tools=True,
    )


def test_size_of_the_input_has_system_prompt_and_tools() -> None:
    system, tools = "a" * 100, [{"name": "b" * 200}]
    request = read(MESSAGES, **LEAST, system=system, tools=tools)

    assert request.input_bytes == sum(len(json.dumps(value)) for value in (LEAST["messages"], system, tools))


def test_image_counts_by_its_tokens_and_not_by_its_bytes() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "A" * 400_000}
    text = {"type": "text", "text": '"media_type":"image/png","data":"' + "a" * 100}
    request = read(
        MESSAGES, messages=[{"role": "user", "content": [{"type": "image", "source": source}, text]}], max_tokens=1
    )

    tokens = UNKNOWN.image_rule.tokens(UNSEEN_IMAGE)
    rest = request.input_bytes - 4 * tokens
    assert 200 < rest < 500


def test_output_of_a_whole_response_is_read() -> None:
    blocks = [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "yes"},
        {"type": "tool_use", "name": "ls", "input": {"path": "/"}},
    ]

    assert MESSAGES.delivered_text(json.dumps({"content": blocks}).encode()) == ("hm", "yes", "ls", '{"path":"/"}')
    assert MESSAGES.delivered_text(b"[" * 100_000 + b"," * 100_000) != ()


def test_output_of_a_stream_is_joined_by_block() -> None:
    tool = {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "name": "ls", "input": {}}}
    deltas = [
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": text}}
        for text in ('{"pa', 'th":1}')
    ]
    thinking = {"type": "content_block_delta", "index": 2, "delta": {"type": "thinking_delta", "thinking": "hm"}}

    found = MESSAGES.delivered_events(stream(START, *DELTAS, tool, *deltas, thinking, STOP))

    assert found == ('Two rows, "error" and \n\n[DONE] message_stop', 'ls{"path":1}', "hm")


def test_estimate_is_in_tokens() -> None:
    assert MESSAGES.estimate(SIZE, BY_TOKEN, MEASURED) == Usage(5, 7)
    assert MESSAGES.writes_tokens(BY_TOKEN)


def test_example_is_a_valid_request() -> None:
    content_type, body = MESSAGES.example_body("m")

    assert content_type == JSON
    assert read(MESSAGES, **json.loads(body)).model == "m"
