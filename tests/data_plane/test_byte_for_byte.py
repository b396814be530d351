"""Requests and answers of Messages and Responses pass byte for byte, but for the model and the dropped members."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types.responses.response_create_params import ResponseCreateParamsBase

from hero_broker.kinds.json_body import DROPPED_KEYS, read_json
from hero_broker.kinds.kind import Kind
from hero_broker.kinds.messages import MESSAGES
from hero_broker.kinds.registry import KINDS
from hero_broker.kinds.responses import RESPONSES
from hero_broker.pricing.tariff import Tariff
from hero_broker.providers.provider import Provider
from hero_broker.providers.routes import Route
from tests.agent_bodies import AGENT_BODIES, COMPACT, AgentBody
from tests.data_plane.scripted import KEY, LIMITS, Head, Play, json_call, run
from tests.kinds.targets import FrozenTarget, relay
from tests.wires import MESSAGES as MESSAGES_WIRE
from tests.wires import PRICE, Wire
from tests.wires import RESPONSES as RESPONSES_WIRE

EVENTS = Head(content_type="text/event-stream")
KIND_OF = {"/v1/messages": MESSAGES, "/v1/responses": RESPONSES}
OURS = [pytest.param(MESSAGES_WIRE, id="messages"), pytest.param(RESPONSES_WIRE, id="responses")]
THOROUGH = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def raw_members(body: bytes) -> list[tuple[str, str]]:
    """Return the members of a JSON object in their order, each with the text of its value."""
    text, decoder, at, members = body.decode(), json.JSONDecoder(), 0, []

    def skip(marks: str) -> int:
        position = at
        while text[position] in marks + " \t\r\n":
            position += 1
        return position

    at = skip("{")
    while text[at] != "}":
        name, at = decoder.raw_decode(text, at)
        at = skip(":")
        start = at
        _, at = decoder.raw_decode(text, at)
        members.append((name, text[start:at]))
        at = skip(",")
    return members


def encoded(kind: Kind, body: bytes, upstream_model: str) -> bytes:
    """Return what a provider gets of a request's body."""
    return kind.encode(kind.read(read_json(body)), FrozenTarget(upstream_model=upstream_model))


def answered(wire: Wire, head: Head, *pieces: bytes) -> Play:
    """Play a call to the end of this answer."""
    provider = Provider("p", "http://p/v1", (KEY,), stream_usage=True, wire=KINDS[wire.kind].wire)
    way = Route.to("m", "chat", provider, "m", tariff=Tariff.fixed(PRICE))
    call = json_call(wire.kind, wire.request(is_stream=head is EVENTS))

    async def main() -> Play:
        play = Play([[head, *pieces]], call, replace(LIMITS, max_answer_bytes=100_000), way=way)
        await play.whole()
        return play

    return run(main())


@pytest.mark.parametrize("agent", AGENT_BODIES.values(), ids=AGENT_BODIES)
def test_body_of_an_agent_passes_with_another_model_and_no_other_change(agent: AgentBody) -> None:
    sent = agent.encode()

    renamed, same = (encoded(KIND_OF[agent.path], sent, name) for name in ("upstream-m", "m"))

    assert raw_members(same) == raw_members(sent)
    assert raw_members(renamed) == [
        (name, '"upstream-m"' if name == "model" else value) for name, value in raw_members(sent)
    ]
    if agent.separators == COMPACT:
        assert same == sent
        assert renamed == agent.encode("upstream-m")


@pytest.mark.parametrize("agent", AGENT_BODIES.values(), ids=AGENT_BODIES)
def test_closed_list_of_members_is_dropped_at_the_top_and_nowhere_else(agent: AgentBody) -> None:
    inner = json.dumps(dict.fromkeys(DROPPED_KEYS, "kept"))
    dropped = ",".join(f'"{name}":{inner}' for name in DROPPED_KEYS)
    sent = agent.encode()

    passed = encoded(KIND_OF[agent.path], sent[:-1] + f',{dropped},"metadata":{inner}}}'.encode(), "m")

    assert raw_members(passed) == raw_members(
        encoded(KIND_OF[agent.path], sent[:-1] + f',"metadata":{inner}}}'.encode(), "m")
    )
    assert ("metadata", inner) in raw_members(passed)


NUMBERS = ("-0", "0.10", "1E+2", "1e400", "1234567890123456789012345678901234567890", "0.30000000000000004")
TEXTS = ('"é"', '"\\u00e9"', '"\\ud83d\\ude00"', '"👋"', '"a\\/b"', '"\\u0000"', '"\u2028\\t"', '"\x7f"', '""', '"m"')
SCALARS = st.sampled_from([*NUMBERS, *TEXTS, "null", "true", "false"])
SPACES = st.sampled_from(["", "", " ", "\n  ", "\t", "\r\n"])
NAMES = st.sampled_from(["a", "b", "model", "api_key", "stream", "ключ", "\\u0061", "type", "cache_control"])


@st.composite
def _joined(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    """An array or an object, with spaces anywhere; the names in an object may come twice."""
    items = draw(st.lists(inner, max_size=4))
    is_object = draw(st.booleans())
    if is_object:
        items = [f'"{draw(NAMES)}"{draw(SPACES)}:{draw(SPACES)}{item}' for item in items]
    opening, closing = "{}" if is_object else "[]"
    return opening + ",".join(f"{draw(SPACES)}{item}{draw(SPACES)}" for item in items) + closing


VALUES: st.SearchStrategy[str] = st.recursive(SCALARS, _joined, max_leaves=8)
ARRAYS = st.lists(VALUES, max_size=3).map(lambda items: f"[{', '.join(items)}]")

# Members that are refused, or that the broker reads; the others may have any value.
_STATE = {"background", "conversation", "previous_response_id", "prompt"}
_READ = {"model", "stream", "input", "messages", "max_tokens", "fallbacks", "store"}
RESPONSES_MEMBERS = sorted(set(ResponseCreateParamsBase.__annotations__) - _STATE - _READ)
# Source: https://platform.claude.com/docs/en/api/messages, and its pages on betas.
MESSAGES_MEMBERS = (
    *("cache_control", "context_management", "inference_geo", "mcp_servers", "metadata", "output_config"),
    *("output_format", "service_tier", "speed", "stop_sequences", "system", "temperature", "thinking"),
    *("tool_choice", "tools", "top_k", "top_p"),
)
REQUIRED = {
    MESSAGES: {"messages": ARRAYS, "max_tokens": st.sampled_from(["0", "1", "32000"])},
    RESPONSES: {"input": ARRAYS | st.sampled_from(TEXTS), "store": st.sampled_from(["true", "false", "null"])},
}


@st.composite
def requests(draw: st.DrawFn, kind: Kind) -> bytes:
    """A request with any of the documented members, and members that nobody knows yet, in any order."""
    names = MESSAGES_MEMBERS if kind is MESSAGES else RESPONSES_MEMBERS
    chosen = draw(st.lists(st.sampled_from([*names, "future_member", "Ключ"]), unique=True, max_size=6))
    members = {name: draw(VALUES) for name in chosen}
    members |= {name: draw(values) for name, values in REQUIRED[kind].items()}
    members |= {"model": '"m"', "stream": draw(st.sampled_from(["true", "false", "null"]))}
    lines = [f'"{name}"{draw(SPACES)}:{draw(SPACES)}{members[name]}' for name in draw(st.permutations(sorted(members)))]
    return ("{" + ",".join(f"{draw(SPACES)}{line}{draw(SPACES)}" for line in lines) + "}").encode()


@pytest.mark.parametrize("kind", REQUIRED, ids=lambda kind: kind.name)
@given(data=st.data(), upstream_model=st.sampled_from(["m", "upstream/m-ü"]))
@THOROUGH
def test_documented_members_of_a_request_pass_byte_for_byte(kind: Kind, data: Any, upstream_model: str) -> None:
    sent = data.draw(requests(kind))

    passed = encoded(kind, sent, upstream_model)

    model = json.dumps(upstream_model, ensure_ascii=False)
    assert raw_members(passed) == [(name, model if name == "model" else raw) for name, raw in raw_members(sent)]


def test_member_that_comes_twice_passes_once_so_that_no_provider_reads_another_one() -> None:
    sent = b'{"model":"a","messages":[],"max_tokens":1,"model":"m","messages":[1]}'

    assert encoded(MESSAGES, sent, "m") == b'{"model":"m","messages":[1],"max_tokens":1}'


MESSAGES_TYPES = (
    *("ping", "content_block_start", "content_block_delta", "content_block_stop", "message_delta"),
    *("vendor_event", "message.stopping"),
)
RESPONSES_TYPES = (
    *("response.queued", "response.in_progress", "response.output_item.added", "response.content_part.added"),
    *("response.output_text.delta", "response.output_text.annotation.added", "response.refusal.delta"),
    *("response.reasoning_summary_text.delta", "response.function_call_arguments.delta", "response.mcp_call.failed"),
    *("response.web_search_call.searching", "response.image_generation_call.partial_image", "keepalive"),
    *("response.code_interpreter_call_code.delta", "response.custom_tool_call_input.done", "codex.rate_limits"),
)
MIDDLES = {MESSAGES_WIRE.kind: MESSAGES_TYPES, RESPONSES_WIRE.kind: RESPONSES_TYPES}
MEMBERS = ("delta", "index", "item", "sequence_number", "usage", "content_block", "obfuscation", "response", "message")


@st.composite
def events(draw: st.DrawFn, types: Sequence[str]) -> bytes:
    """An event with any members, fields of an event stream that are rare, and either kind of line end."""
    kind, end = draw(st.sampled_from(types)), draw(st.sampled_from(["\n", "\n", "\r\n"]))
    names = draw(st.lists(st.sampled_from(MEMBERS), max_size=3))
    members = [
        f'"type":{draw(SPACES.filter(str.isspace) | st.just(""))}"{kind}"',
        *(f'"{name}":{draw(VALUES)}' for name in names),
    ]
    data = "{" + ",".join(draw(st.permutations(members))) + "}"
    lines = [f"data:{draw(st.sampled_from(['', ' ']))}{line}" for line in data.replace("\r", "").split("\n")]
    before = draw(
        st.lists(st.sampled_from([": ping", "id: 7", "retry: 3000", f"event: {kind}", "event:x"]), max_size=3)
    )
    return (end.join([*before, *lines]) + end * 2).encode()


@pytest.mark.parametrize("wire", OURS)
@given(data=st.data())
@THOROUGH
def test_events_pass_byte_for_byte_however_they_are_written_and_cut(wire: Wire, data: Any) -> None:
    middle = data.draw(st.lists(events(MIDDLES[wire.kind]), max_size=5))
    last = data.draw(st.sampled_from([b"", b": bye\n\n", b"data: [DONE]\n\n"]))
    stream = b"".join([wire.events[0], *middle, *wire.events[1:], last])
    size = data.draw(st.integers(1, len(stream)))

    passed = relay(KINDS[wire.kind], (stream[at : at + size] for at in range(0, len(stream), size)))

    assert passed.sent + passed.tail == stream


ODD_ANSWERS = {
    "spaces": b'\r\n {\t"usage" : {"input_tokens":1 ,\n"output_tokens" :2 } , "content": [ 1 ],"output":[ 1 ] }\n\n',
    "escapes": b'{"content":[{"text":"\\u00e9\\ud83d\\ude00\\/"}],"output":["\\u0000\xe2\x80\xa8"]}',
    "a member twice": b'{"content":[1],"content":[2],"output":[1],"output":[2],"usage":{},"usage":null}',
    "long numbers": b'{"content":[1234567890123456789012345678901234567890, 1E400, -0, 0.10],"output":[1e-999]}',
    "members that nobody knows": b'{"content":[],"output":[{"type":"later"}],"future":{"cost":null}}',
    "a byte order mark": b'\xef\xbb\xbf{"content":[1],"output":[1]}',
}


@pytest.mark.parametrize("body", ODD_ANSWERS.values(), ids=ODD_ANSWERS)
@pytest.mark.parametrize("wire", OURS)
def test_whole_answer_passes_byte_for_byte(wire: Wire, body: bytes) -> None:
    play = answered(wire, Head(), body)

    assert (play.client.status, play.client.body) == (200, body)


@pytest.mark.parametrize("wire", OURS)
def test_stream_with_line_ends_of_two_characters_passes_byte_for_byte_and_is_billed(wire: Wire) -> None:
    stream = wire.stream.replace(b"\n", b"\r\n")

    play = answered(wire, EVENTS, stream)

    assert play.client.body == stream
    assert play.ledger.rows[0].cost_nano_usd == wire.cost_nano_usd
