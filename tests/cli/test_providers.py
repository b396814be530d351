"""The state of the providers, with the keys that they reject by number, and never a key."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx

from tests import forked
from tests.cli.conftest import Place
from tests.e2e_support import broker, chat
from tests.forked import Forked

KEYS = ("sk-first-0123456789", "sk-second-0123456789")


class _RejectsSecond(BaseHTTPRequestHandler):
    """Answers calls with the first key, with a total that its counts do not explain, and rejects the second."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        is_first = KEYS[0] in self.headers["authorization"]
        body = b'{"choices":[],"usage":{"prompt_tokens":40,"completion_tokens":3,"total_tokens":50}}'
        self.send_response(200 if is_first else 401)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def provider() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _RejectsSecond) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def test_rejected_keys_are_named_by_number(tmp_path: Path) -> None:
    with provider() as url:
        config = tmp_path / "broker.toml"
        keys = ", ".join(f'"{key}"' for key in KEYS)
        config.write_text(
            f'[[providers]]\nname = "p"\nbase_url = "{url}"\napi_keys = [{keys}]\n'
            '[[models]]\nname = "m"\nprovider = "p"\n'
        )
        with broker(tmp_path / "state", "--config", str(config)) as running:
            called = [httpx.post(f"{running.url}/v1/chat/completions", json={**chat(), "model": "m"}) for _ in KEYS]
            ended = forked.run(["providers", "--url", running.url])
            as_json = forked.run(["rpc", "providers.list", "--url", running.url])
    head, line = ended.stdout.splitlines()[:2]

    assert {response.status_code for response in called} == {200, 502}
    assert head.split("  ")[0] == "provider"
    assert head.endswith("failed  usage faults")
    assert line.split()[:3] == ["p", "failing", "provider_401"]
    assert "2 (provider_401)" in line
    assert line.split()[-5:] == ["2", "1", "1", "1", "1"]
    assert '"rejected_keys":[{"number":2,"error_code":"provider_401"}]' in as_json.stdout
    assert "sk-" not in ended.stdout + as_json.stdout


def test_provider_without_calls_is_unused(fresh: Place) -> None:
    line = fresh.out("providers").splitlines()[1].split()

    assert (line[:2], line[-4:]) == (["fake", "unused"], ["0", "7", "0", "0"])


def test_broker_without_providers_says_so_at_its_start_and_when_it_is_asked(tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_API_KEYS"))}
    environ = {**clean, "HERO_BROKER_STATE_DIR": str(tmp_path / "state")}
    process = Forked(["serve", "--listen", "127.0.0.1:0"], environ, tmp_path)
    with process.stderr:
        lines = [process.stderr.readline()]
        while "warning" not in lines[-1]:
            assert lines[-1]
            lines.append(process.stderr.readline())
        ended = forked.run(["providers", "--url", lines[0].split()[-1]])
        process.terminate()
        process.wait(timeout=30)

    assert "no provider is configured, so no model is served: set one of OPENAI_API_KEY, " in lines[-1]
    assert (ended.returncode, ended.stdout) == (0, "No provider is configured.\n")
