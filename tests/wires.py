"""A stream and a whole answer of each wire, event by event, with what the provider's books say of them.

All are of one model at one price, so that a broker that speaks every wire to one provider can be tested with them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from hero_broker.pricing.price import Price

RATES = {
    "input_per_million": "3",
    "output_per_million": "15",
    "cached_input_per_million": "0.3",
    "cache_write_per_million": "3.75",
    "cache_write_1h_per_million": "6",
}
PRICE = Price.from_rates(json.dumps(RATES))
INPUT, OUTPUT = 2310, 42  # tokens of every answer here, of which 2,000 are read from the cache


@dataclass(frozen=True, slots=True)
class Wire:
    """What a provider sends on one route, and what it charges for it."""

    kind: str
    path: str
    body: Mapping[str, object]  # of a request, without `model` and `stream`
    stream_body: Mapping[str, object]  # what a request for a stream has beside it
    events: Sequence[bytes]
    first_output: int  # the position of the first event with output,
    settling: int  # of the event whose usage settles the call, and of the one
    finishing: int  # behind which an end of the stream is no fault
    reports_input_first: bool  # the first event reports the input
    whole: bytes
    cost_nano_usd: int

    @property
    def stream(self) -> bytes:
        """All events."""
        return b"".join(self.events)

    def ends(self) -> list[int]:
        """Return the position behind each event, in the bytes of the stream."""
        return list(accumulate(map(len, self.events)))

    def request(self, *, is_stream: bool, model: str = "m") -> bytes:
        """Return the body of a request."""
        more = {"stream": True, **self.stream_body} if is_stream else {}
        return json.dumps({"model": model, **self.body, **more}).encode()


def named(*events: Mapping[str, object]) -> tuple[bytes, ...]:
    """Return events with their names."""
    return tuple(
        b"event: %s\ndata: %s\n\n" % (str(event["type"]).encode(), json.dumps(event, separators=(",", ":")).encode())
        for event in events
    )


def unnamed(*events: object) -> tuple[bytes, ...]:
    """Return events without names, and the word that ends a chat."""
    lines = (json.dumps(event, separators=(",", ":")) for event in events)
    return (*(f"data: {line}\n\n".encode() for line in lines), b"data: [DONE]\n\n")


def _choice(delta: Mapping[str, object], reason: str | None = None) -> dict[str, object]:
    return {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


_CHAT_USAGE = {
    "prompt_tokens": INPUT,
    "prompt_tokens_details": {"cached_tokens": 2000},
    "completion_tokens": OUTPUT,
    "total_tokens": INPUT + OUTPUT,
}
CHAT = Wire(
    kind="chat",
    path="/v1/chat/completions",
    body={"messages": [{"role": "user", "content": "How many rows?"}]},
    stream_body={"stream_options": {"include_usage": True}},
    events=unnamed(
        _choice({"role": "assistant", "content": ""}),
        _choice({"content": "Two"}),
        _choice({"content": ' rows, "usage" and \n\n[DONE]'}),
        _choice({"tool_calls": [{"index": 0, "function": {"name": "ls", "arguments": "{}"}}]}),
        _choice({}, "tool_calls"),
        {"id": "c", "choices": [], "usage": _CHAT_USAGE},
    ),
    first_output=1,
    settling=5,
    finishing=4,
    reports_input_first=False,
    whole=json.dumps({"choices": [{"message": {"content": "Two rows"}}], "usage": _CHAT_USAGE}).encode(),
    cost_nano_usd=310 * 3000 + 2000 * 300 + OUTPUT * 15_000,
)

_MESSAGE_INPUT = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 300,
    "cache_read_input_tokens": 2000,
    "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
}
_MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": None}


def _block(index: int, block: Mapping[str, object], *deltas: Mapping[str, object]) -> list[Mapping[str, object]]:
    begun = {"type": "content_block_start", "index": index, "content_block": block}
    pieces = [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
    return [begun, *pieces, {"type": "content_block_stop", "index": index}]


MESSAGES = Wire(
    kind="messages",
    path="/v1/messages",
    body={"max_tokens": 99, "messages": [{"role": "user", "content": "How many rows?"}]},
    stream_body={},
    events=named(
        {
            "type": "message_start",
            "message": {**_MESSAGE, "content": [], "usage": {**_MESSAGE_INPUT, "output_tokens": 1}},
        },
        {"type": "ping"},
        *_block(
            0,
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "thinking_delta", "thinking": "They ask"},
            {"type": "signature_delta", "signature": "EqQB"},
        ),
        *_block(
            1,
            {"type": "text", "text": ""},
            {"type": "text_delta", "text": ' rows, "error" and \n\n'},
            {"type": "text_delta", "text": "event: message_stop"},
        ),
        *_block(
            2,
            {"type": "tool_use", "id": "toolu_1", "name": "ls", "input": {}},
            {"type": "input_json_delta", "partial_json": '{"usage":'},
            {"type": "input_json_delta", "partial_json": '"all"}'},
        ),
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": {"output_tokens": OUTPUT},
            "context_management": {"applied_edits": []},
        },
        {"type": "message_stop"},
    ),
    first_output=3,
    settling=14,
    finishing=15,
    reports_input_first=True,
    whole=json.dumps(
        {
            **_MESSAGE,
            "content": [{"type": "text", "text": "Two rows"}],
            "usage": {**_MESSAGE_INPUT, "output_tokens": OUTPUT},
        }
    ).encode(),
    cost_nano_usd=10 * 3000 + 2000 * 300 + 100 * 3750 + 200 * 6000 + OUTPUT * 15_000,
)

_RESPONSE_USAGE = {
    "input_tokens": INPUT,
    "input_tokens_details": {"cached_tokens": 2000, "cache_write_tokens": 100},
    "output_tokens": OUTPUT,
    "output_tokens_details": {"reasoning_tokens": 30},
    "total_tokens": INPUT + OUTPUT,
}
_BEGUN = {"id": "resp_1", "object": "response", "status": "in_progress", "error": None, "model": "m", "usage": None}
_ITEM = {"type": "message", "id": "item_2", "role": "assistant"}
_TEXT = {"type": "output_text", "text": 'Two rows, "usage" and \n\n[DONE] response.completed'}
_ENDED = {**_BEGUN, "status": "completed", "output": [{**_ITEM, "content": [_TEXT]}], "usage": _RESPONSE_USAGE}
_DONE_PART = {"output_index": 1, "content_index": 0}


def _numbered(*events: Mapping[str, object]) -> tuple[bytes, ...]:
    return named(*({**event, "sequence_number": number} for number, event in enumerate(events)))


RESPONSES = Wire(
    kind="responses",
    path="/v1/responses",
    body={"input": "How many rows?", "store": False},
    stream_body={},
    events=_numbered(
        {"type": "response.created", "response": {**_BEGUN, "output": []}},
        {"type": "response.in_progress", "response": {**_BEGUN, "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "summary": []}},
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "They ask"},
        {"type": "response.output_item.done", "output_index": 0, "item": {"type": "reasoning", "summary": []}},
        {"type": "response.output_item.added", "output_index": 1, "item": {**_ITEM, "content": []}},
        {"type": "response.output_text.delta", **_DONE_PART, "delta": 'Two rows, "usage"', "obfuscation": "x"},
        {"type": "response.output_text.delta", **_DONE_PART, "delta": " and \n\n[DONE]", "obfuscation": "xyz"},
        {"type": "response.output_text.delta", **_DONE_PART, "delta": " response.completed"},
        {"type": "response.output_text.done", **_DONE_PART, "text": _TEXT["text"]},
        {"type": "response.output_item.done", "output_index": 1, "item": {**_ITEM, "content": [_TEXT]}},
        {"type": "response.completed", "response": _ENDED},
    ),
    first_output=3,
    settling=11,
    finishing=11,
    reports_input_first=False,
    whole=json.dumps(_ENDED).encode(),
    cost_nano_usd=210 * 3000 + 2000 * 300 + 100 * 3750 + OUTPUT * 15_000,
)

WIRES = (CHAT, MESSAGES, RESPONSES)
