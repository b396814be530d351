"""Uploads that are made to take long or to be cut off, over real sockets."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from tests.data_plane.test_upload import sound
from tests.e2e_support import broker
from tests.stores import query

UPLOADS = 24  # by one address, more than any pool has threads


class _Plain(BaseHTTPRequestHandler):
    """Takes an upload and answers in plain text, which reports no usage."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        if "chunked" in self.headers.get("transfer-encoding", ""):
            while size := int(self.rfile.readline(), 16):
                self.rfile.read(size + 2)
            self.rfile.readline()
        else:
            self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", "5")
        self.end_headers()
        self.wfile.write(b"words")

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Log nothing of what the broker does."""


@contextmanager
def plain_provider() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Plain) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()


def transcribe(url: str, audio: bytes, local_address: str) -> int:
    with httpx.Client(transport=httpx.HTTPTransport(local_address=local_address), timeout=60) as client:
        form = {"data": {"model": "m"}, "files": {"file": ("a.mp3", audio, "audio/mpeg")}}
        return client.post(f"{url}/v1/audio/transcriptions", **form).status_code  # type: ignore[arg-type]


def test_uploads_that_are_hard_to_measure_change_nothing_for_another_address(tmp_path: Path) -> None:
    config = tmp_path / "hero-broker.toml"
    database = f"sqlite:///{tmp_path}/state/hero-broker.db"
    with plain_provider() as url:
        config.write_text(
            f'[[providers]]\nname = "p"\nbase_url = "{url}"\napi_keys = ["sk-key"]\n'
            '[[models]]\nname = "m"\nkind = "stt"\nprovider = "p"\n[models.price]\naudio_per_minute = 0.006\n'
        )
        with (
            broker(tmp_path / "state", "--config", str(config), HERO_BROKER_DATABASE_URL=database) as running,
            ThreadPoolExecutor(UPLOADS) as clients,
        ):
            hostile = [
                clients.submit(transcribe, running.url, b"\xff" * 4_000_000, "127.0.0.1") for _ in range(UPLOADS)
            ]
            honest = [transcribe(running.url, sound(10), "127.0.0.2") for _ in range(5)]
            assert {sent.result(60) for sent in hostile} == {200}
            running.usage()

    assert honest == [200] * 5
    rows = query(database, "SELECT audio_ms, usage_source FROM request_logs WHERE ip = '127.0.0.2'")
    assert rows == [(10_000, "estimated")] * 5


def test_upload_that_is_cut_off_is_no_fault_in_the_log(tmp_path: Path) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nfake-stt\r\n--b\r\n'
    head += b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    database = f"sqlite:///{tmp_path}/state/hero-broker.db"
    with broker(tmp_path / "state", HERO_BROKER_DATABASE_URL=database) as running:
        address = httpx.URL(running.url)
        with socket.create_connection((address.host, address.port or 0), timeout=20) as connection:
            connection.sendall(
                b"POST /v1/audio/transcriptions HTTP/1.1\r\nhost: localhost\r\n"
                b"content-type: multipart/form-data; boundary=b\r\ncontent-length: 9000000\r\n\r\n" + head
            )
            connection.sendall(bytes(4_000_000))  # so much that it is passed on
        while running.usage()["totals"]["requests"] == 0:
            continue

    assert query(database, "SELECT outcome FROM request_logs") == [("client_disconnected",)]
    assert "Traceback" not in running.log
    assert "ClientDisconnect" not in running.log
