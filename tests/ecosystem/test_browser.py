"""Web pages in Chromium: which of them may call, and what they leave in the ledger."""

import base64
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.data_plane.test_upload import sound
from tests.e2e_support import Broker, broker
from tests.ecosystem.place import INSTALLED

TOKEN = "a-token-of-the-tests"
UNASKED = ("form", "noCors", "noCorsText", "beacon")  # that a browser sends without a preflight
FOREIGN = ("evil.test", "127.0.0.1")  # another site, and another port of the broker's own address


class _Page(BaseHTTPRequestHandler):
    """An empty page."""

    def do_GET(self) -> None:
        """Answer with it."""
        body = b'<!doctype html><title>a page</title><link rel="icon" href="data:,"><body></body>'
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # as its base calls it
        """Print nothing."""


@contextmanager
def pages() -> Iterator[int]:
    """Serve the page on a port of loopback for the time of the block."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        serving = threading.Thread(target=server.serve_forever, name="pages")
        serving.start()
        yield server.server_port
        server.shutdown()
        serving.join()


class Browser:
    """A browser that opens pages, and the broker that they try to reach."""

    def __init__(self, running: Broker, port: int, directory: Path) -> None:
        self.running = running
        self.port = port  # of the pages
        self._directory = directory

    def open(self, page: str, *calls: str, at: str = "") -> dict[str, dict[str, Any]]:
        """Return what each of the calls in `calls.mjs` came to, on a page; `at` is how it calls the broker."""
        program = Path(os.environ[INSTALLED]) / "browser" / "calls.mjs"
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._directory),
            "PAGE_URL": page,
            "BROKER_URL": at or self.running.url,
            "TOKEN": TOKEN,
            "SOUND": base64.b64encode(sound(1)).decode(),
            **({"CHROMIUM": os.environ["CHROMIUM"]} if "CHROMIUM" in os.environ else {}),
        }
        ended = subprocess.run(
            ["node", str(program), *calls], env=environ, capture_output=True, text=True, timeout=120, check=False
        )
        assert ended.returncode == 0, ended.stderr
        found: dict[str, dict[str, Any]] = json.loads(ended.stdout)
        return found

    def rows(self) -> int:
        """Return how many calls were billed."""
        return int(self.running.usage()["totals"]["requests"])


@pytest.fixture(scope="module", params=["with a token", "in dev mode"])
def browser(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser, and a broker that lists the pages of `listed.test`."""
    directory = tmp_path_factory.mktemp("browser")
    state, config = directory / "state", directory / "hero-broker.toml"
    with pages() as port:
        config.write_text(f'[server]\nallowed_origins = ["http://listed.test:{port}"]\n')
        token = {"ADMIN_TOKEN": TOKEN} if request.param == "with a token" else {}
        url = f"sqlite:///{state}/hero-broker.db"
        with broker(state, "--config", str(config), HERO_BROKER_DATABASE_URL=url, **token) as running:
            yield Browser(running, port, directory)


@pytest.mark.parametrize("host", FOREIGN)
def test_page_that_is_not_listed_cannot_spend(browser: Browser, host: str) -> None:
    before = browser.rows()

    found = browser.open(f"http://{host}:{browser.port}/", *UNASKED, "sandboxed", "json", "models")

    assert {name: found[name]["statuses"] for name in UNASKED} == {name: [403] for name in UNASKED}
    assert found["sandboxed"]["read"] == "answered"
    assert found["json"]["read"] == found["models"]["read"] == "TypeError: Failed to fetch"
    assert browser.rows() == before


def test_rebound_name_cannot_spend(browser: Browser) -> None:
    port = browser.running.url.rpartition(":")[2]
    before = browser.rows()

    # The broker's own answer is the document: whatever runs there has the broker's origin, under a name of its own.
    found = browser.open(f"http://rebound.test:{port}/health/live", "ownJson", "ownForm")

    assert {name: one["statuses"] for name, one in found.items()} == {"ownJson": [403], "ownForm": [403]}
    assert found["ownJson"]["read"]["status"] == 403  # without a preflight: to the browser it is one origin
    assert browser.rows() == before


def test_listed_page_calls_and_reads_answers_streams_and_errors(browser: Browser) -> None:
    before = browser.rows()

    found = browser.open(
        f"http://listed.test:{browser.port}/", "json", "stream", "upload", "unknownModel", "models", "bills"
    )

    read = {name: one["read"] for name, one in found.items()}
    assert json.loads(read["json"]["text"])["usage"]["total_tokens"] > 0
    assert read["stream"]["text"].endswith("data: [DONE]\n\n")
    assert json.loads(read["unknownModel"]["text"])["error"]["code"] == "model_not_found"
    assert '"fake-chat"' in read["models"]["text"]
    statuses = [read[name]["status"] for name in ("json", "stream", "upload", "unknownModel", "models")]
    assert statuses == [200, 200, 200, 404, 200]
    assert all(read[name]["requestId"] for name in ("json", "stream", "upload", "unknownModel"))
    assert read["bills"] == "TypeError: Failed to fetch"
    assert browser.rows() == before + 3
