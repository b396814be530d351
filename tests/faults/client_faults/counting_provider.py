"""A provider that keeps books of its own: which calls it was sent, and what each of them used.

The member `user` of a call, on any wire, is `MARK:KIND:SIZE`; `KIND` is "whole" for JSON with a text of `SIZE` bytes,
or "stream" for `SIZE` events.
"""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.wires import named

EVENT_BYTES = 1000  # of the text of an event
PACE_S = 0.002


@dataclass(slots=True)
class ProvidersBooks:
    """What the provider saw."""

    url: str = ""
    calls: Counter[str] = field(default_factory=Counter)  # by mark
    usage: dict[str, tuple[int, int]] = field(default_factory=dict)  # tokens in and out, by mark

    def settings(self) -> str:
        """Return settings that send the model "m" here, at the founding example's prices."""
        return (
            f'[[providers]]\nname = "p"\nbase_url = "{self.url}"\napi_keys = ["sk-provider-key"]\n'
            'wires = ["openai", "anthropic", "responses"]\n'
            '[[models]]\nname = "m"\nkind = "chat"\nprovider = "p"\n'
            "[models.price]\ninput_per_million = 0.59\noutput_per_million = 0.79\n"
        )


async def _serve(books: ProvidersBooks, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, asyncio.IncompleteReadError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            asked = json.loads(await reader.readexactly(length))
            mark, kind, size = asked["user"].split(":")
            text = asked["input"] if "input" in asked else asked["messages"][0]["content"]
            tokens = (len(text.split()), int(size))
            books.calls[mark] += 1
            books.usage[mark] = tokens
            wire = _WIRES[head.split()[1].rpartition(b"/")[2]]
            await (_stream if kind == "stream" else _whole)(writer, wire(*tokens))
    writer.close()


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a wire makes of a call."""

    whole: bytes
    first: bytes  # of a stream
    event: bytes  # of a piece of text
    events: int
    last: bytes


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _chat(tokens_in: int, size: int) -> _Answer:
    usage = {"prompt_tokens": tokens_in, "completion_tokens": size, "total_tokens": tokens_in + size}
    message = {"role": "assistant", "content": "a" * size}
    delta = {"choices": [{"index": 0, "delta": {"content": " " + "a" * EVENT_BYTES}}]}
    last = b"data: %s\n\ndata: [DONE]\n\n" % _json({"choices": [], "usage": usage})
    whole = {"choices": [{"index": 0, "message": message}], "usage": usage}
    return _Answer(json.dumps(whole).encode(), b"", b"data: %s\n\n" % _json(delta), size, last)


def _messages(tokens_in: int, size: int) -> _Answer:
    message: dict[str, object] = {"type": "message", "content": [{"type": "text", "text": "a" * size}]}
    usage: dict[str, object] = {"input_tokens": tokens_in, "output_tokens": size}
    start = {"type": "message_start", "message": {**message, "content": [], "usage": {**usage, "output_tokens": 1}}}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    text = {"type": "text_delta", "text": " " + "a" * EVENT_BYTES}
    delta = {"type": "content_block_delta", "index": 0, "delta": text}
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": size}}
    last = b"".join(named({"type": "content_block_stop", "index": 0}, end, {"type": "message_stop"}))
    return _Answer(
        json.dumps({**message, "usage": usage}).encode(), b"".join(named(start, block)), named(delta)[0], size, last
    )


def _responses(tokens_in: int, size: int) -> _Answer:
    usage = {"input_tokens": tokens_in, "output_tokens": size, "total_tokens": tokens_in + size}
    output = [{"type": "message", "content": [{"type": "output_text", "text": "a" * size}]}]
    begun: dict[str, object] = {"object": "response", "output": [], "usage": None}
    ended = {"object": "response", "output": output, "usage": usage}
    delta = {"type": "response.output_text.delta", "output_index": 0, "delta": " " + "a" * EVENT_BYTES}
    first = named({"type": "response.created", "response": begun})[0]
    last = named({"type": "response.completed", "response": ended})[0]
    return _Answer(json.dumps(ended).encode(), first, named(delta)[0], size, last)


# By the end of the path.
_WIRES = {b"completions": _chat, b"messages": _messages, b"responses": _responses}


async def _whole(writer: asyncio.StreamWriter, answer: _Answer) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(answer.whole)
    writer.write(head + answer.whole)
    await writer.drain()


async def _stream(writer: asyncio.StreamWriter, answer: _Answer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    for piece in (*filter(None, [answer.first]), *[answer.event] * answer.events):
        writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        await writer.drain()
        await asyncio.sleep(PACE_S)
    writer.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(answer.last), answer.last))
    await writer.drain()


@contextmanager
def counting_provider() -> Iterator[ProvidersBooks]:
    """Serve on loopback, in a thread, for the time of the block."""
    books = ProvidersBooks()
    loop = asyncio.new_event_loop()
    begun = threading.Event()

    async def run() -> None:
        server = await asyncio.start_server(lambda *ends: _serve(books, *ends), "127.0.0.1", 0, backlog=1024)
        books.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        begun.set()
        await server.serve_forever()

    serving = loop.create_task(run())

    def until_cancelled() -> None:
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(serving)
        loop.run_until_complete(asyncio.sleep(0.1))
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.1))
        loop.close()

    thread = threading.Thread(target=until_cancelled, name="provider")
    thread.start()
    begun.wait()
    try:
        yield books
    finally:
        loop.call_soon_threadsafe(serving.cancel)
        thread.join()
