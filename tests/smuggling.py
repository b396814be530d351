"""Requests that two readers could take for different ones, or that are none."""

from collections.abc import Mapping

from tests.raw_clients import chat_request

CHAT = chat_request().partition(b"\r\n\r\n")[2]
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(CHAT), CHAT)
LENGTH = b"content-length: %d\r\n" % len(CHAT)
IN_CHUNKS = b"transfer-encoding: chunked\r\n"
IN_GZIP = b"transfer-encoding: gzip\r\n"
H2C = b"connection: Upgrade, HTTP2-Settings\r\nhttp2-settings: AAEAAEAAAAIAAAAAAAMAAAAA\r\nupgrade: h2c\r\n"
WEBSOCKET = b"connection: keep-alive, Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"


def call(headers: bytes, body: bytes, line: bytes = b"POST /v1/chat/completions HTTP/1.1") -> bytes:
    """Return a request, most often a chat call."""
    return line + b"\r\nhost: localhost\r\ncontent-type: application/json\r\n" + headers + b"\r\n" + body


SHAPES: Mapping[str, bytes] = {
    "length, then chunks": call(LENGTH + IN_CHUNKS, CHUNKED),
    "chunks, then length": call(IN_CHUNKS + LENGTH, CHUNKED),
    "two lengths": call(LENGTH + b"content-length: 5\r\n", CHAT),
    "the same length twice": call(LENGTH + LENGTH, CHAT),
    "length with a sign": call(b"content-length: +5\r\n", CHAT),
    "list of lengths": call(b"content-length: 5, 5\r\n", CHAT),
    "length beyond 64 bits": call(b"content-length: 99999999999999999999999\r\n", CHAT),
    "two encodings": call(b"transfer-encoding: gzip, chunked\r\n", CHUNKED),
    "identity": call(b"transfer-encoding: identity\r\n", CHAT),
    "unknown encoding": call(b"transfer-encoding: xchunked\r\n", CHUNKED),
    "encoding after a control character": call(b"transfer-encoding: \x0bchunked\r\n", CHUNKED),
    "encoding twice": call(IN_CHUNKS + IN_CHUNKS, CHUNKED),
    "gzip, then chunked, on two lines": call(IN_GZIP + IN_CHUNKS, CHUNKED),
    "chunked, then gzip, on two lines": call(IN_CHUNKS + IN_GZIP, CHUNKED),
    "gzip, chunked, gzip, on three lines": call(IN_GZIP + IN_CHUNKS + IN_GZIP, CHUNKED),
    "identity, then chunked, on two lines": call(b"transfer-encoding: identity\r\n" + IN_CHUNKS, CHUNKED),
    "nothing, then chunked, on two lines": call(b"transfer-encoding:\r\n" + IN_CHUNKS, CHUNKED),
    "chunked, then nothing, on two lines": call(IN_CHUNKS + b"transfer-encoding: \r\n", CHUNKED),
    "gzip, then chunked, in other letters": call(b"TRANSFER-ENCODING: gzip\r\n" + IN_CHUNKS, CHUNKED),
    "no encoding in its line": call(b"transfer-encoding:\r\n" + LENGTH, CHAT),
    "chunks in HTTP/1.0": call(IN_CHUNKS, CHUNKED, b"POST /v1/chat/completions HTTP/1.0"),
    "negative chunk": call(IN_CHUNKS, b"-5\r\n" + CHUNKED),
    "chunk's length in another form": call(IN_CHUNKS, b"0x5\r\n" + CHUNKED),
    "chunk beyond 64 bits": call(IN_CHUNKS, b"fffffffffffffffff\r\n" + CHUNKED),
    "chunk without its end": call(IN_CHUNKS, b"2\r\n{}XX0\r\n\r\n"),
    "bare LF after a chunk's length": call(IN_CHUNKS, b"2\n{}\r\n0\r\n\r\n"),
    "bare LF after a chunk": call(IN_CHUNKS, b"2\r\n{}\n0\r\n\r\n"),
    "bare LF in a chunk's extension": call(IN_CHUNKS, b"2;a\n\r\n{}\r\n0\r\n\r\n"),
    "bare LF": call(LENGTH, CHAT).replace(b"\r\n", b"\n"),
    "bare LF after a header": call(LENGTH + b"a: b\n", CHAT),
    "bare CR in a value": call(LENGTH + b"a: b\rc: d\r\n", CHAT),
    "bare CR in a name": call(LENGTH + b"a\rb: c\r\n", CHAT),
    "NUL in a value": call(LENGTH + b"a: b\0c\r\n", CHAT),
    "folded header": call(b"a: b\r\n " + LENGTH, CHAT),
    "space before a colon": call(b"content-length : %d\r\n" % len(CHAT), CHAT),
    "header without a name": call(b": a\r\n" + LENGTH, CHAT),
    "two hosts": call(b"host: other\r\n" + LENGTH, CHAT),
    "no host": b"GET /health/live HTTP/1.1\r\n\r\n",
    "absolute target": call(b"", b"", b"GET http://localhost/health/live HTTP/1.1"),
    "authority as target": call(b"", b"", b"GET localhost:80 HTTP/1.1"),
    "asterisk as target": call(b"", b"", b"OPTIONS * HTTP/1.1"),
    "fragment in the target": call(b"", b"", b"GET /health/live#a HTTP/1.1"),
    "CONNECT": call(b"", b"", b"CONNECT localhost:80 HTTP/1.1"),
    "CONNECT with a body": call(LENGTH, CHAT, b"CONNECT localhost:80 HTTP/1.1"),
    "CONNECT with a path": call(b"", b"", b"CONNECT /v1/models HTTP/1.1"),
    "CONNECT that offers h2c": call(H2C + LENGTH, CHAT, b"CONNECT localhost:80 HTTP/1.1"),
    "CONNECT that wants a WebSocket": call(WEBSOCKET, b"", b"CONNECT localhost:80 HTTP/1.1"),
    "h2c, length, then chunks": call(H2C + LENGTH + IN_CHUNKS, CHUNKED),
    "h2c, two lengths": call(H2C + LENGTH + b"content-length: 5\r\n", CHAT),
    "h2c, two encodings": call(H2C + IN_GZIP + IN_CHUNKS, CHUNKED),
    "h2c, unknown encoding": call(H2C + b"transfer-encoding: xchunked\r\n", CHUNKED),
    "h2c, chunk without its end": call(H2C + IN_CHUNKS, b"2\r\n{}XX0\r\n\r\n"),
    "h2c, two hosts": call(H2C + b"host: other\r\n" + LENGTH, CHAT),
    "h2c, absolute target": call(H2C, b"", b"GET http://localhost/health/live HTTP/1.1"),
    "h2c, folded": call(b"connection: Upgrade\r\nupgrade:\r\n h2c\r\n" + LENGTH, CHAT),
    "h2c, bare LF": call(H2C.replace(b"\r\n", b"\n") + LENGTH, CHAT),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/2 with its first frame": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    "HTTP/0.9": b"GET /health/live\r\n\r\n",
    "HTTP/1.2": call(b"", b"", b"GET /health/live HTTP/1.2"),
    "tab in the first line": call(b"", b"", b"GET\t/health/live HTTP/1.1"),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}
