"""Every recording of a provider, through a whole broker and over real sockets, becomes the row worked out by hand."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from hero_broker.core.usage import Usage
from hero_broker.kinds.wires import WIRES
from hero_broker.settings.known_providers import KNOWN_PROVIDERS
from tests.e2e_support import broker
from tests.recordings.player import CATALOGUE, pieces, play
from tests.recordings.recording import Recording, recordings
from tests.recordings.test_recordings import BY_THE_HOUR
from tests.stores import query

BY_FILE = {recording.file: recording for recording in recordings()}
UNITS = Usage.__struct_fields__
COLUMNS = (*UNITS, "usage_source", "cost_nano_usd", "cost_source", "price_id", "service_tier", "stream", "started_at")


class Answers(BaseHTTPRequestHandler):
    """Plays the recording whose file the call names in X-Title, in chunks that are cut at random places."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer a call."""
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        recording = BY_FILE[self.headers["x-title"]]
        is_right = request["model"] == recording.model and self.path == path_of(recording)
        self.send_response(200 if is_right else 404)
        self.send_header("content-type", "text/event-stream" if recording.is_stream else "application/json")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for piece in pieces(recording.body, recording.file):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base's name)
        """Log nothing."""


@contextmanager
def answering_all() -> Iterator[str]:
    """Run a server that stands for all providers, each below a path of its name."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def base_path(recording: Recording) -> str:
    return f"/{recording.provider}{urlsplit(recording.base_url).path}"


def path_of(recording: Recording) -> str:
    """Return the path of the provider to which the call must come."""
    if recording.kind == "rerank" and recording.provider == "cohere":
        return f"/cohere{recording.path}"
    return base_path(recording) + recording.path.removeprefix("/v1")


def settings(url: str) -> str:
    """Return settings with all providers, and with the models that no list has."""
    asks = {known.name: known.stream_usage for known in KNOWN_PROVIDERS}
    text = "".join(
        f'[[providers]]\nname = "{name}"\nbase_url = "{url}{base_path(one)}"\napi_keys = ["sk-key"]\n'
        f"wires = {json.dumps([*WIRES])}\nstream_usage = {str(asks.get(name, True)).lower()}\n"
        for name, one in {one.provider: one for one in recordings()}.items()
    )
    configured = {
        (one.provider, one.model): one for one in recordings() if CATALOGUE.find(one.provider, one.model) is None
    }
    for (provider, model), one in configured.items():
        text += f'[[models]]\nname = "{provider}/{model}"\nkind = "{one.kind}"\n'
        text += f'provider = "{provider}"\nupstream_model = "{model}"\n'
        if one.own_price is not None:
            rates = json.loads(one.own_price.rates)
            text += "[models.price]\n" + "".join(f"{name} = {rate}\n" for name, rate in rates.items())
    return text


@pytest.mark.usefixtures("store")
def test_every_recording_is_billed_over_sockets(tmp_path: Path, database_url: str) -> None:
    config = tmp_path / "broker.toml"
    ids = {}
    with answering_all() as url:
        config.write_text(settings(url))
        with (
            broker(tmp_path / "state", "--config", str(config)) as running,
            httpx.Client(base_url=running.url, timeout=20) as client,
        ):
            for one in recordings():
                body = one.request_body(f"{one.provider}/{one.model}")
                answer = client.post(
                    one.path, content=body, headers={"x-title": one.file, "content-type": "application/json"}
                )
                assert answer.status_code == 200, (one.file, answer.text)
                assert one.is_stream or answer.json() == json.loads(one.body)
                ids[answer.headers["x-request-id"]] = one
            running.usage()
            rows = query(database_url, f"SELECT request_id, {', '.join(COLUMNS)} FROM request_logs")

    assert len(rows) == len(recordings())
    for request_id, *values in rows:
        check(ids[request_id], dict(zip(COLUMNS, values, strict=True)))


def check(recording: Recording, row: dict[str, Any]) -> None:
    """Compare a row with what was worked out by hand; a price that depends on the hour is that of the call's hour."""
    assert Usage(**{unit: row[unit] for unit in UNITS}) == recording.usage, recording.file
    assert (row["usage_source"], row["cost_source"]) == (recording.usage_source, recording.cost_source), recording.file
    assert (row["service_tier"], bool(row["stream"])) == (recording.service_tier, recording.is_stream), recording.file
    assert abs(row["started_at"] - time.time()) < 3600
    if recording.provider in BY_THE_HOUR:
        then, _ = play(recording, started_at=row["started_at"])
        expected = then.cost_nano_usd, then.price_id
    else:
        expected = recording.cost_nano_usd, None if recording.price is None else recording.price.price_id
    assert (row["cost_nano_usd"], row["price_id"]) == expected, recording.file
