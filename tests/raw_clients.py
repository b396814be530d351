"""Clients on raw sockets, for what no library would send."""

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO

LIMIT_S = 20.0  # for what should have come long ago


@contextmanager
def connected(url: str, received_bytes: int | None = None) -> Iterator[socket.socket]:
    """Yield a connection to a broker; `received_bytes` is the room for what is not read yet."""
    host, _, port = url.rpartition("//")[2].rpartition(":")
    with socket.socket() as opened:
        if received_bytes is not None:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, received_bytes)
        opened.settimeout(LIMIT_S)
        opened.connect((host, int(port)))
        yield opened


def request(path: str, body: bytes = b"", method: str = "POST", headers: Mapping[str, str] | None = None) -> bytes:
    """Return a whole request."""
    named = {"host": "localhost", "content-type": "application/json", "content-length": str(len(body))}
    lines = [f"{name}: {value}\r\n" for name, value in (named | dict(headers or {})).items()]
    return f"{method} {path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode() + body


def chat_request(words: int = 40, headers: Mapping[str, str] | None = None) -> bytes:
    """Return a whole chat call with so many input tokens."""
    messages = [{"role": "user", "content": " ".join(["word"] * words)}]
    body = json.dumps({"model": "fake-chat", "messages": messages}).encode()
    return request("/v1/chat/completions", body, headers=headers)


def rest_of(connection: socket.socket) -> bytes:
    """Return what comes until the broker closes the connection, by an end or by a reset."""
    found = b""
    try:
        while piece := connection.recv(65536):
            found += piece
    except ConnectionResetError:
        pass
    return found


def read_answer(received: BinaryIO) -> tuple[int, bytes]:
    """Return the status and body of the next answer, which must have a length."""
    status = int(received.readline().split()[1])
    length = 0
    while line := received.readline().strip():
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return status, received.read(length)
