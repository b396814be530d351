"""A provider on loopback that costs little: its answers are ready before anybody asks. Prints its port.

A chat's `user` says how it is answered: "whole" as JSON, "paced" as a stream with an event every `PACE_S`, "burst" as a
stream that is sent at once. A transcription is answered with the number of bytes that its form had, and no usage.
"""

import asyncio
from typing import ClassVar, cast

import httptools
import uvloop

INPUT_TOKENS = 40
WHOLE_TOKENS = 30
PACED_EVENTS, PACE_S = 200, 0.002
BURST_EVENTS = 200
END_EVENTS = 2  # usage and [DONE]

_MEMBERS = b'"id":"chatcmpl-7d1f3b","created":1760000000,"model":"small-1","system_fingerprint":"fp_44709d"'
_TEXT = b"A gateway that bills each request needs little more than its address, its tokens and a price. " * 2
_JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
_EVENTS_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def _usage(output_tokens: int) -> bytes:
    return (
        b'"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,'
        b'"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}'
    ) % (INPUT_TOKENS, output_tokens, INPUT_TOKENS + output_tokens)


def _whole() -> bytes:
    message = b'"message":{"role":"assistant","content":"%s"},"logprobs":null,"finish_reason":"stop"' % _TEXT
    parts = (_MEMBERS, message, _usage(WHOLE_TOKENS))
    body = b'{"object":"chat.completion",%s,"choices":[{"index":0,%s}],%s}' % parts
    return _JSON_HEAD % len(body) + body


def _chunk(data: bytes) -> bytes:
    event = b"data: %s\n\n" % data
    return b"%x\r\n%s\r\n" % (len(event), event)


def _events(count: int) -> list[bytes]:
    """Return a stream, a chunk for each event, but for its end; no two neighbours are alike."""
    start = b'{"object":"chat.completion.chunk",%s,"choices":' % _MEMBERS
    delta = b'[{"index":0,"delta":{"content":" word%d"},"logprobs":null,"finish_reason":null}]}'
    return [_chunk(start + delta % number) for number in range(count)]


def _end(events: int) -> bytes:
    usage = b'{"object":"chat.completion.chunk",%s,"choices":[],%s}' % (_MEMBERS, _usage(events))
    return _chunk(usage) + _chunk(b"[DONE]") + b"0\r\n\r\n"


class Provider(asyncio.Protocol):
    """One connection."""

    whole: ClassVar = _whole()
    paced: ClassVar = _events(PACED_EVENTS)
    paced_end: ClassVar = _end(PACED_EVENTS)
    burst: ClassVar = _EVENTS_HEAD + b"".join(_events(BURST_EVENTS)) + _end(BURST_EVENTS)

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._url = self._body = b""
        self._form_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._url, self._body, self._form_bytes = url, b"", 0

    def on_body(self, body: bytes) -> None:
        if self._url.endswith(b"/transcriptions"):
            self._form_bytes += len(body)
        else:
            self._body += body

    def on_message_complete(self) -> None:
        if self._form_bytes:
            answer = b'{"text":"%d"}' % self._form_bytes
            self._transport.write(_JSON_HEAD % len(answer) + answer)
        elif b'"user":"paced"' in self._body:
            self._transport.write(_EVENTS_HEAD)
            self._send_paced(0, self._loop.time())
        else:
            self._transport.write(self.burst if b'"user":"burst"' in self._body else self.whole)

    def _send_paced(self, number: int, due: float) -> None:
        if self._transport.is_closing():
            return
        if number == PACED_EVENTS:
            self._transport.write(self.paced_end)
            return
        self._transport.write(self.paced[number])
        self._loop.call_at(due + PACE_S, self._send_paced, number + 1, due + PACE_S)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
