"""A provider on a raw loopback socket whose every byte is sent when a test says so."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n"
DONE = b"data: [DONE]\n\n"
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":40,"completion_tokens":3}}\n\n'


def event(text: str) -> bytes:
    """Return one delta of a stream."""
    return b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % text.encode()


class Exchange:
    """One request that the broker has made."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        connection.settimeout(20)
        self.request = b""
        while b"\r\n\r\n" not in self.request:
            self.request += _more(connection)
        head, _, body = self.request.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        while len(body) < length:
            body += _more(connection)
        self.body = body

    def send(self, data: bytes) -> None:
        """Send bytes at once."""
        self._connection.sendall(data)

    def end(self) -> None:
        """Close the connection."""
        self._connection.close()

    def wait_for_close(self) -> None:
        """Return when the broker has closed the connection."""
        while self._connection.recv(65536):
            continue
        self._connection.close()


def _more(connection: socket.socket) -> bytes:
    more = connection.recv(65536)
    assert more, "the broker closed the connection in the middle of its request"
    return more


class Provider:
    """Listens on loopback; `accept` hands over the next request."""

    def __init__(self, port: int = 0) -> None:
        self._listener = socket.create_server(("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def __enter__(self) -> "Provider":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    def accept(self, within_s: float = 20) -> Exchange:
        """Wait for the broker's next request.

        Raises:
            TimeoutError: none comes.
        """
        return Exchange(self.accept_raw(within_s))

    def accept_raw(self, within_s: float = 20) -> socket.socket:
        """Wait for the broker's next connection.

        Raises:
            TimeoutError: none comes.
        """
        self._listener.settimeout(within_s)
        connection, _ = self._listener.accept()
        connection.settimeout(within_s)
        return connection

    def config(self, billing: str = "") -> str:
        """Return settings that send the model "m" here, at the founding example's prices."""
        return (
            f'[[providers]]\nname = "p"\nbase_url = "{self.url}"\napi_keys = ["sk-provider-key"]\n'
            '[[models]]\nname = "m"\nkind = "chat"\nprovider = "p"\n'
            "[models.price]\ninput_per_million = 0.59\noutput_per_million = 0.79\n"
            f"[billing]\n{billing}"
        )


@contextmanager
def answering(provider: Provider, answer: bytes, sent: list[bytes] | None = None) -> Iterator[None]:
    """Answer the next request with these bytes, then close; `sent` gets what the broker sent first."""

    def run() -> None:
        exchange = provider.accept()
        if sent is not None:
            sent.append(exchange.request)
        exchange.send(answer)
        exchange.end()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join(20)
