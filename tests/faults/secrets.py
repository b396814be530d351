"""Calls, errors and admin questions of all kinds with recognisable secrets, and a search for them afterwards.

`python -m tests.faults.secrets` prints what was searched, and where something was found that must not be there.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from typing import Any

import httpx

from tests.e2e_support import BANNER, Broker, broker
from tests.waits import wait_until

# What nobody but the provider may see.
KEY, SECOND_KEY = "sk-MARK-provider-key-1", "sk-MARK-provider-key-2"
# What nobody but the broker may see.
ADMIN_TOKEN, HERO_SECRET, CLIENT_KEY, COOKIE, IN_QUERY, WRONG_TOKEN = (
    f"MARK-{name}-0123456789" for name in ("admin-token", "hero-secret", "client-key", "cookie", "query", "wrong-token")
)
# What passes, and is kept nowhere.
PROMPT, REPLY, UPLOAD = (f"MARK-{name}-0123456789" for name in ("prompt", "reply", "upload"))
NEVER_TOLD = (KEY, SECOND_KEY, ADMIN_TOKEN, HERO_SECRET, CLIENT_KEY, COOKIE, IN_QUERY, WRONG_TOKEN)
NEVER_KEPT = (*NEVER_TOLD, PROMPT, REPLY, UPLOAD)

KINDS = {"chat": "chat", "completion": "completion", "embed": "embedding", "tts": "tts", "stt": "stt", "rank": "rerank"}
WIRES = 'wires = ["openai", "anthropic"]\n'
ERRORS = (
    "err-401",
    "err-429",
    "err-500",
    "err-html",
    "err-redirect",
    "err-event",
    "err-cut",
    "err-garbage",
    "err-gone",
)

UPLOAD_BYTES = 3_000_000  # more than is held in memory


class _Provider(BaseHTTPRequestHandler):
    """Responds by the requested model, and puts its key into every field of an error."""

    protocol_version = "HTTP/1.1"
    seen: bytearray

    def do_POST(self) -> None:
        """Answer one call."""
        self.seen += str(self.headers).encode()
        body = self._body()
        self.seen += body
        key = self._key()
        told: dict[str, Any] = {"type": "error"} | {
            "error": {"message": f"Incorrect API key: {key}", "type": key, "code": key, "param": key}
        }
        model = next((one for one in ERRORS if one.encode() in body), "")
        self.close_connection = True
        if model == "err-429":  # speaks of the caller's rate, so that its words pass on
            told["error"] |= {"message": f"Too many requests of {key}", "code": "rate_limit_exceeded"}
        if model in ("err-401", "err-429", "err-500"):
            self._answer(int(model[-3:]), "application/json", json.dumps(told).encode())
        elif model == "err-html":
            self._answer(503, "text/html", f"<h1>{key} {REPLY}</h1>".encode())
        elif model == "err-redirect":
            self._answer(302, "text/plain", b"", location=f"http://127.0.0.1:9/{key}")
        elif model == "err-garbage":
            self.wfile.write(f"{key} {REPLY}\r\n\r\n".encode())
        elif model in ("err-event", "err-cut"):
            self._head(200, "text/event-stream")
            self.wfile.write(b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % REPLY.encode())
            if model == "err-event":
                self.wfile.write(b'data: {"error":{"message":"overloaded"}}\n\n')
        elif self.path.endswith("/speech"):
            self._answer(200, "audio/mpeg", REPLY.encode() * 1000)
        elif b'"stream":true' in body or b'"stream": true' in body:
            self._head(200, "text/event-stream")
            self.wfile.write(b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % REPLY.encode())
            self.wfile.write(b"data: [DONE]\n\n")
        else:
            answer = {
                "choices": [{"message": {"content": REPLY}, "text": REPLY}],
                "text": REPLY,
                "data": [],
                "results": [],
            }
            self._answer(200, "application/json", json.dumps(answer).encode())

    def _key(self) -> str:
        return self.headers["authorization"] or self.headers["x-api-key"]

    def _body(self) -> bytes:
        if "content-length" in self.headers:
            return self.rfile.read(int(self.headers["content-length"]))
        body = b""
        while size := int(self.rfile.readline() or b"0", 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status: int, kind: str, body: bytes, **more: str) -> None:
        self._head(status, kind, **more, **{"content-length": str(len(body))})
        self.wfile.write(body)

    def _head(self, status: int, kind: str, **more: str) -> None:
        self.send_response(status)
        key = self._key()
        headers = {"content-type": kind, "set-cookie": key, "www-authenticate": key, "x-request-id": key, **more}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    """Says nothing of brokers that were killed."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing."""


@contextmanager
def _provider() -> Iterator[tuple[str, bytearray]]:
    """Serve the provider on loopback; yield its URL and all that it was sent."""
    seen = bytearray()
    server = _Server(("127.0.0.1", 0), type("Provider", (_Provider,), {"seen": seen}))
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", seen
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def _settings(url: str) -> str:
    text = f'[[providers]]\nname = "p"\nbase_url = "{url}"\napi_keys = ["env:MARKED_KEY", "{SECOND_KEY}"]\n{WIRES}'
    text += f'[[providers]]\nname = "gone"\nbase_url = "http://127.0.0.1:9/v1"\n{WIRES}'
    text += 'api_keys = ["env:MARKED_KEY"]\n'
    for model, kind in [*KINDS.items(), *((model, "chat") for model in ERRORS)]:
        provider = "gone" if model == "err-gone" else "p"
        text += f'[[models]]\nname = "{model}"\nkind = "{kind}"\nprovider = "{provider}"\n'
    return text


@dataclass(slots=True)
class Search:
    """What was searched, and what was found."""

    answers: int = 0
    statuses: set[int] = field(default_factory=set)
    files: int = 0
    searched_bytes: int = 0
    rows: int = 0
    log_lines: int = 0
    to_provider: set[str] = field(default_factory=set)  # secrets that it was sent
    found: list[str] = field(default_factory=list)

    def look(self, where: str, content: bytes, secrets: tuple[str, ...]) -> None:
        """Search some bytes."""
        self.searched_bytes += len(content)
        self.found += [f"{secret} in {where}" for secret in secrets if secret.encode() in content]

    def answered(self, what: str, answer: httpx.Response, *more: str) -> None:
        """Search an answer, its head included."""
        self.answers += 1
        self.statuses.add(answer.status_code)
        head = "".join(f"{name}: {value}\n" for name, value in answer.headers.items())
        self.look(f"the answer to {what}", head.encode() + answer.content, (*NEVER_TOLD, *more))


def run(folder: Path) -> Search:
    """Ask everything, kill the broker in the middle of a call, and search."""
    search, state = Search(), folder / "state"
    config = folder / "hero-broker.toml"
    environ = {"ADMIN_TOKEN": ADMIN_TOKEN, "HERO_SECRET": f" {HERO_SECRET}\n", "MARKED_KEY": KEY}
    with _provider() as (url, seen):
        config.write_text(_settings(url))
        with broker(state, "--config", str(config), **environ) as running:
            with httpx.Client(base_url=running.url, timeout=60, headers=_headers(CLIENT_KEY)) as client:
                _call(search, client)
                _call_wrongly(search, client)
            _ask(search, running)
            running.usage()
            with _calls_in_flight(running):
                running.process.kill()
                running.process.wait()
            search.files += _search_files(search, state)
        logs = [running.log]
        with broker(state, "--config", str(config), **environ) as running:
            search.rows = int(running.usage()["totals"]["requests"])
        logs.append(running.log)
        search.files += _search_files(search, state)
        command = [sys.executable, "-m", "hero_broker", "check-config", "--config", str(config)]
        environment = {**os.environ, **environ}
        checked = subprocess.run(command, env=environment, cwd=folder, capture_output=True, check=True)
    for text in logs:
        assert BANNER.search(text)
        search.log_lines += text.count('{"time"')
        search.look("the log", text.encode(), NEVER_KEPT)
    search.look("check-config", checked.stdout + checked.stderr, NEVER_KEPT)
    search.to_provider = {secret for secret in NEVER_KEPT if secret.encode() in seen}
    return search


def _headers(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}", "cookie": f"session={COOKIE}", "x-api-key": COOKIE}


def _chat(model: str, *, stream: bool = False) -> dict[str, object]:
    messages = [{"role": "user", "content": PROMPT}]
    return {"model": model, "stream": stream, "messages": messages, "max_tokens": 9, "api_key": CLIENT_KEY}


def _form(model: str) -> dict[str, object]:
    audio = UPLOAD.encode() * (UPLOAD_BYTES // len(UPLOAD))
    return {"data": {"model": model, "prompt": PROMPT}, "files": {"file": ("a.mp3", audio, "audio/mpeg")}}


def _call(search: Search, client: httpx.Client) -> None:
    """Make a call of each kind, and one that comes to grief in each way."""
    search.answered("a chat", client.post(f"/v1/chat/completions?token={IN_QUERY}", json=_chat("chat")), PROMPT)
    search.answered("a stream", client.post("/v1/chat/completions", json=_chat("chat", stream=True)), PROMPT)
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        search.answered(path, client.post(f"{path}?token={IN_QUERY}", json=_chat("chat")), PROMPT)
    search.answered("a streamed message", client.post("/v1/messages", json=_chat("chat", stream=True)), PROMPT)
    search.answered(
        "a completion", client.post("/v1/completions", json={"model": "completion", "prompt": PROMPT}), PROMPT
    )
    search.answered("an embedding", client.post("/v1/embeddings", json={"model": "embed", "input": PROMPT}), PROMPT)
    search.answered(
        "speech", client.post("/v1/audio/speech", json={"model": "tts", "input": PROMPT, "voice": "a"}), PROMPT
    )
    search.answered("a transcript", client.post("/v1/audio/transcriptions", **_form("stt")), PROMPT)  # type: ignore[arg-type] # a form's parts
    ranked = {"model": "rank", "query": PROMPT, "documents": [PROMPT]}
    for version in ("v1", "v2"):
        search.answered("a ranking", client.post(f"/{version}/rerank", json=ranked), PROMPT)
    for model in ERRORS:
        for path, stream in product(("/v1/chat/completions", "/v1/messages"), (False, True)):
            try:
                answer = client.post(path, json=_chat(model, stream=stream))
            except httpx.HTTPError as error:
                search.look(f"what {model} raised", str(error).encode(), NEVER_KEPT)
            else:
                search.answered(model, answer, PROMPT)


def _call_wrongly(search: Search, client: httpx.Client) -> None:
    """Make calls that are refused before a provider is called."""
    path, kind = "/v1/chat/completions", {"content-type": "application/json"}
    told = [
        client.post(path, content=f'{{"model": "chat", "messages": "{PROMPT}'.encode(), headers=kind),
        client.post(path, content=f'{{"model": ["{PROMPT}"]}}'.encode(), headers=kind),
        client.post(path, content=PROMPT.encode(), headers={"content-type": "text/plain"}),
        client.post(path, content=b"[" * 10_000 + PROMPT.encode(), headers=kind),
        client.post(path, json={**_chat("chat"), "stream": PROMPT}),
        client.post(path, content=PROMPT.encode() * 1_000_000, headers=kind),
        client.post("/v1/embeddings", json={"model": "embed", "input": {"a": PROMPT}}),
        client.post("/v1/audio/transcriptions", files={"file": (PROMPT, UPLOAD.encode(), "audio/mpeg")}),
        client.get(path, params={"token": IN_QUERY}),
        client.get("/no/such/path", params={"token": IN_QUERY}),
        client.post("/rpc", content=PROMPT.encode(), headers=kind),
    ]
    for number, answer in enumerate(told):
        search.answered(f"wrong call {number}", answer, PROMPT, UPLOAD)
    where = client.base_url
    with socket.create_connection((where.host, where.port or 0), timeout=20) as connection, suppress(OSError):
        connection.sendall(f"{PROMPT} {IN_QUERY}\r\nauthorization: Bearer {CLIENT_KEY}\r\n\r\n".encode())
        search.look("the answer to no HTTP", connection.recv(65536), NEVER_KEPT)


def _ask(search: Search, running: Broker) -> None:
    """Ask every admin question by both doors: with either token, with none, with a wrong one, and wrongly."""
    for token in (ADMIN_TOKEN, HERO_SECRET, WRONG_TOKEN, ""):
        headers = _headers(token) if token else {}
        with httpx.Client(base_url=running.url, timeout=60, headers=headers) as client:
            document = client.get("/openrpc.json")
            search.answered("/openrpc.json", document, *NEVER_KEPT)
            paths = ["/billing/usage", "/billing/usage/127.0.0.1", "/billing/report?group_by=ip,model,outcome"]
            paths += ["/billing/requests", "/billing/unbilled", "/billing/periods", "/billing/verify", "/admin/models"]
            paths += ["/admin/providers", "/admin/labels", "/admin/health", "/admin/info", "/openapi.json", "/metrics"]
            for path in (*paths, f"/billing/usage?token={IN_QUERY}", f"/billing/usage?since={PROMPT[:4]}"):
                search.answered(path, client.get(path), *NEVER_KEPT)
            for kind in ("text/csv", "application/x-ndjson"):
                search.answered(kind, client.get("/billing/requests", headers={"accept": kind}), *NEVER_KEPT)
            methods = (
                [one["name"] for one in document.json().get("methods", [])] if document.is_success else ["rpc.discover"]
            )
            for name in methods:
                asked: tuple[object, ...] = ({}, {"no": 1}, [])
                for params in asked:
                    question = {"jsonrpc": "2.0", "id": 1, "method": name, "params": params}
                    search.answered(name, client.post("/rpc", json=question), *NEVER_KEPT)


@contextmanager
def _calls_in_flight(running: Broker) -> Iterator[None]:
    """Begin an upload that is not complete, large enough to be on the disk, and a call whose body is not."""
    where = httpx.URL(running.url)
    head = (
        "POST /v1/audio/transcriptions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 50000000\r\n"
        f"authorization: Bearer {CLIENT_KEY}\r\ncontent-type: multipart/form-data; boundary=b\r\n\r\n"
        '--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nstt\r\n'
        '--b\r\ncontent-disposition: form-data; name="file"; filename="a.mp3"\r\n\r\n'
    )
    with socket.create_connection((where.host, where.port or 0), timeout=20) as uploading:
        uploading.sendall(head.encode() + UPLOAD.encode() * (UPLOAD_BYTES // len(UPLOAD)))
        with httpx.Client(base_url=running.url, headers=running.headers) as client:
            wait_until(lambda: client.get("/admin/health").json()["journal_open_calls"])
        yield


def _search_files(search: Search, state: Path) -> int:
    """Search all files of a state directory; return how many there are."""
    files = [path for path in state.rglob("*") if path.is_file()]
    for path in files:
        search.look(path.name, path.read_bytes(), NEVER_KEPT)
    return len(files)


def main() -> None:
    """Print what was searched and what was found; exit with 1 if anything was found."""
    with tempfile.TemporaryDirectory() as folder:
        search = run(Path(folder))
    print(search)  # noqa: T201
    sys.exit(1 if search.found else 0)


if __name__ == "__main__":
    main()
