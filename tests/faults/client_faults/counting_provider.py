"""A provider that keeps books of its own: which calls it was sent, and what each of them used.

A chat's `user` is `MARK:KIND:SIZE`; `KIND` is "whole" for JSON with a text of `SIZE` bytes, or "stream" for `SIZE`
events.
"""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

EVENT = b'data: {"choices":[{"index":0,"delta":{"content":" %s"}}]}\n\n'
EVENT_BYTES = 1000
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
            tokens = (sum(len(one["content"].split()) for one in asked["messages"]), int(size))
            books.calls[mark] += 1
            books.usage[mark] = tokens
            await (_stream if kind == "stream" else _whole)(writer, tokens)
    writer.close()


def _usage(tokens: tuple[int, int]) -> dict[str, int]:
    return {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}


async def _whole(writer: asyncio.StreamWriter, tokens: tuple[int, int]) -> None:
    message = {"role": "assistant", "content": "a" * tokens[1]}
    body = json.dumps({"choices": [{"index": 0, "message": message}], "usage": _usage(tokens)}).encode()
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()


async def _stream(writer: asyncio.StreamWriter, tokens: tuple[int, int]) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    event = EVENT % (b"a" * EVENT_BYTES)
    for _ in range(tokens[1]):
        writer.write(b"%x\r\n%s\r\n" % (len(event), event))
        await writer.drain()
        await asyncio.sleep(PACE_S)
    end = b"data: %s\n\ndata: [DONE]\n\n" % json.dumps({"choices": [], "usage": _usage(tokens)}).encode()
    writer.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(end), end))
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
