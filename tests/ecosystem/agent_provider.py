"""A provider that agents work with, over Responses and Messages: it calls a tool first, and then says that it is done.

It writes into books of its own what each call costs, before the caller can know. No two calls have the same usage, so
that a row and its line in the books belong together.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.ecosystem.place import Row

DONE = "All of it is done."
RATES = {  # nano-USD per token
    "input": 1_250,
    "cached_input": 125,
    "cache_write": 1_875,
    "cache_write_1h": 2_500,
    "output": 10_000,
}
MODELS = ("gpt-5-codex", "gpt-5.1", "claude-sonnet-4-5", "claude-haiku-4-5")
COUNTED = 42  # tokens of every request, by the look-ups

Json = Mapping[str, Any]


def settings(url: str) -> str:
    """Return settings of a broker that has all models from the provider at this URL."""
    price = "".join(f"{name}_per_million = {rate / 1000}\n" for name, rate in RATES.items())
    provider = f'base_url = "{url}/v1"\napi_keys = ["sk-provider-key"]\nwires = ["openai", "responses", "anthropic"]\n'
    models = "".join(f'[[models]]\nname = "{name}"\nprovider = "agents"\n[models.price]\n{price}' for name in MODELS)
    return f'[[providers]]\nname = "agents"\n{provider}{models}'


@dataclass(slots=True)
class Work:
    """What the provider does in one test, and its books."""

    tools: Mapping[str, Json] = field(default_factory=dict)  # arguments by name: called if a request offers them
    cuts: list[int] = field(default_factory=list)  # events after which the next streams break off
    ends_politely: bool = False  # a stream that breaks off ends as if it were whole; else its connection does
    books: list[Row] = field(default_factory=list)  # a row for each call that was answered whole
    broken: list[tuple[Row, int]] = field(default_factory=list)  # what each call that broke off would be; events sent
    requests: list[tuple[str, Json]] = field(default_factory=list)  # the path and the body of each


def cost(units: Mapping[str, int]) -> int:
    """Return what such usage costs, in nano-USD."""
    cached, written = units.get("cached_input_tokens", 0), units.get("cache_write_tokens", 0)
    written_1h = units.get("cache_write_1h_tokens", 0)
    return (
        (units["input_tokens"] - cached - written) * RATES["input"]
        + cached * RATES["cached_input"]
        + (written - written_1h) * RATES["cache_write"]
        + written_1h * RATES["cache_write_1h"]
        + units["output_tokens"] * RATES["output"]
    )


def tokens(work: Work) -> list[int]:
    """Return the sums of the input and the output of all whole answers, caches included."""
    return [sum(row.units[f"{side}_tokens"] for row in work.books) for side in ("input", "output")]


class AgentProvider(ThreadingHTTPServer):
    """Listens on loopback, and does the current work."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.lock = threading.Lock()
        self.work = Work()
        self._calls = 0

    def number(self) -> int:
        """Return the number of the next call, of all works."""
        with self.lock:
            self._calls += 1
            return self._calls


@contextmanager
def agent_provider() -> Iterator[AgentProvider]:
    """Run a provider for the time of the block."""
    with AgentProvider() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="provider of agents")
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: AgentProvider

    def do_POST(self) -> None:
        """Answer a call or a look-up."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        path = urlsplit(self.path).path
        work = self.server.work
        with self.server.lock:
            work.requests.append((path, body))
        if path == "/v1/responses/input_tokens":
            self._json({"object": "response.input_tokens", "input_tokens": COUNTED})
        elif path == "/v1/messages/count_tokens":
            self._json({"input_tokens": COUNTED})
        elif path == "/v1/responses":
            call = _ResponsesCall(self.server.number(), body, work.tools)
            self._answer(call.row, call.whole, call.events)
        elif path == "/v1/responses/compact":
            call = _ResponsesCall(self.server.number(), body, {})
            self._answer(call.row, call.compaction, [])
        elif path == "/v1/messages":
            message = _MessagesCall(self.server.number(), body, work.tools)
            self._answer(message.row, message.whole, message.events)
        else:
            self.send_error(404)

    def _answer(self, row: Row, whole: Json, events: list[Json]) -> None:
        """Send a call's answer, and write it into the books before its last byte."""
        work = self.server.work
        with self.server.lock:
            cut = work.cuts.pop(0) if row.stream and work.cuts else len(events)
            if cut < len(events):
                work.broken.append((row, cut))
            else:
                work.books.append(row)
        if not row.stream:
            self._json(whole)
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for event in events[:cut]:
            data = b"event: %s\ndata: %s\n\n" % (event["type"].encode(), json.dumps(event).encode())
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()
        if cut == len(events) or work.ends_politely:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def _json(self, answer: Json) -> None:
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base's name)
        """Log nothing."""


def _last(values: list[Json], *results: str) -> bool:
    """Return whether the last of them is the result of a tool."""
    return bool(values) and values[-1].get("type") in results


class _ResponsesCall:
    """An answer over Responses, whole and as events, with the row that it must become."""

    def __init__(self, number: int, body: Json, tools: Mapping[str, Json]) -> None:
        response, cached, written, reasoning = f"resp_{number}", 3 * number, 2 * number, number
        tokens_in, tokens_out = 1_000 + 7 * number, 20 + 2 * number
        items = body["input"] if isinstance(body["input"], list) else []
        offered = [tool["name"] for tool in body.get("tools") or () if "name" in tool]
        tool = next((name for name in offered if name in tools), None)
        self.is_call = tool is not None and not _last(items, "function_call_output", "custom_tool_call_output")
        if self.is_call:
            call = {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "name": tool}
            self.text = json.dumps(tools[str(tool)])
            self.item: dict[str, Any] = {**call, "arguments": self.text, "status": "completed"}
        else:
            self.text = _text_of(body.get("text", {}).get("format", {}).get("schema"))
            part = {"type": "output_text", "text": self.text, "annotations": [], "logprobs": []}
            message = {"type": "message", "id": f"msg_{number}", "role": "assistant", "content": [part]}
            self.item = {**message, "status": "completed"}
        usage = {
            "input_tokens": tokens_in,
            "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
            "output_tokens": tokens_out,
            "output_tokens_details": {"reasoning_tokens": reasoning},
            "total_tokens": tokens_in + tokens_out,
        }
        self.begun: dict[str, Any] = {
            "id": response,
            "object": "response",
            "created_at": 1_700_000_000,
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "model": body["model"],
            "output": [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": None,
        }
        self.whole: Json = {**self.begun, "status": "completed", "output": [self.item], "usage": usage}
        kept = {"type": "compaction", "id": f"cmp_{number}", "encrypted_content": "AAAA"}
        compaction = {"id": response, "object": "response.compaction", "created_at": 1_700_000_000}
        self.compaction: Json = {**compaction, "output": [kept], "usage": usage}
        units = {
            "input_tokens": tokens_in,
            "output_tokens": tokens_out,
            "cached_input_tokens": cached,
            "cache_write_tokens": written,
            "reasoning_tokens": reasoning,
        }
        self.row = Row("responses", body["model"], cost(units), units, stream=bool(body.get("stream")))

    @property
    def events(self) -> list[Json]:
        """The events of its stream."""
        place: dict[str, Any] = {"item_id": self.item["id"], "output_index": 0}
        empty: Json = {"arguments": ""} if self.is_call else {"content": []}
        events: list[dict[str, Any]] = [
            {"type": "response.created", "response": self.begun},
            {"type": "response.in_progress", "response": self.begun},
            {
                "type": "response.output_item.added",
                "output_index": 0,
                "item": {**self.item, **empty, "status": "in_progress"},
            },
        ]
        if self.is_call:
            deltas = [{"type": "response.function_call_arguments.delta", **place, "delta": self.text}]
            deltas.append({"type": "response.function_call_arguments.done", **place, "arguments": self.text})
        else:
            place["content_index"] = 0
            part = self.item["content"][0]
            half = len(self.text) // 2
            deltas = [
                {"type": "response.content_part.added", **place, "part": {**part, "text": ""}},
                {"type": "response.output_text.delta", **place, "delta": self.text[:half], "logprobs": []},
                {"type": "response.output_text.delta", **place, "delta": self.text[half:], "logprobs": []},
                {"type": "response.output_text.done", **place, "text": self.text, "logprobs": []},
                {"type": "response.content_part.done", **place, "part": part},
            ]
        events += deltas
        events.append({"type": "response.output_item.done", "output_index": 0, "item": self.item})
        events.append({"type": "response.completed", "response": self.whole})
        return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def _text_of(schema: Json | None) -> str:
    """Return the reply: a sentence, or an object of the schema that the request demands."""
    if schema is None:
        return DONE
    return json.dumps(dict.fromkeys(schema["properties"], DONE))


class _MessagesCall:
    """An answer over Messages, whole and as events, with the row that it must become."""

    def __init__(self, number: int, body: Json, tools: Mapping[str, Json]) -> None:
        plain, read, kept_5m, kept_1h = 1_000 + 7 * number, 3 * number, 2 * number, number
        self.tokens_out = 20 + 2 * number
        content = body["messages"][-1]["content"]
        blocks = content if isinstance(content, list) else []
        tool = next((one["name"] for one in body.get("tools") or () if one["name"] in tools), None)
        self.is_call = tool is not None and not any(block.get("type") == "tool_result" for block in blocks)
        if self.is_call:
            self.block: dict[str, Any] = {"type": "tool_use", "id": f"toolu_{number}", "name": tool}
            self.block["input"] = tools[str(tool)]
        else:
            self.block = {"type": "text", "text": DONE}
        self.usage_in = {
            "input_tokens": plain,
            "cache_creation_input_tokens": kept_5m + kept_1h,
            "cache_read_input_tokens": read,
            "cache_creation": {"ephemeral_5m_input_tokens": kept_5m, "ephemeral_1h_input_tokens": kept_1h},
        }
        self.message: dict[str, Any] = {
            "id": f"msg_{number}",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {**self.usage_in, "output_tokens": 1},
        }
        self.ending = {"stop_reason": "tool_use" if self.is_call else "end_turn", "stop_sequence": None}
        self.whole: Json = {
            **self.message,
            "content": [self.block],
            **self.ending,
            "usage": {**self.usage_in, "output_tokens": self.tokens_out},
        }
        units = {
            "input_tokens": plain + read + kept_5m + kept_1h,
            "output_tokens": self.tokens_out,
            "cached_input_tokens": read,
            "cache_write_tokens": kept_5m + kept_1h,
            "cache_write_1h_tokens": kept_1h,
        }
        self.row = Row("messages", body["model"], cost(units), units, stream=bool(body.get("stream")))

    @property
    def events(self) -> list[Json]:
        """The events of its stream."""
        if self.is_call:
            start = {**self.block, "input": {}}
            text = json.dumps(self.block["input"])
            deltas = [{"type": "input_json_delta", "partial_json": text}]
        else:
            start = {"type": "text", "text": ""}
            half = len(DONE) // 2
            deltas = [{"type": "text_delta", "text": text} for text in (DONE[:half], DONE[half:])]
        return [
            {"type": "message_start", "message": self.message},
            {"type": "content_block_start", "index": 0, "content_block": start},
            {"type": "ping"},
            *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": self.ending, "usage": {"output_tokens": self.tokens_out}},
            {"type": "message_stop"},
        ]
