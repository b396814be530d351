"""What a large upload takes of the broker, and of other calls meanwhile. `python -m tests.benchmarks.upload`.

Forms with 25 MB of audio go through the broker to a provider that counts their bytes, one after another, as fast as
loopback takes them: with the model's name before the file, so that the form passes on while it arrives, and after it,
so that it must be kept until its end. Meanwhile another connection makes small chats, one after another, and before
that it makes them alone. Printed are the memory that the uploads add to the broker's process at its peak, and how much
later the chats are answered. Each upload must have its row, with the right duration.
"""

import argparse
import asyncio
import os
import socket
import sqlite3
import sys
import tempfile
import threading
import wave
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import httptools
import uvloop

from tests.benchmarks.loadgen import Load, load, percentile
from tests.benchmarks.processes import (
    MEASURED_CORE,
    OTHER_CORE,
    cpu_s,
    forget_peak,
    peak_rss_bytes,
    pin,
    rss_bytes,
    started,
)
from tests.benchmarks.scenarios import scenarios, settings
from tests.e2e_support import Broker, started_broker

MIB = 1 << 20
AUDIO_BYTES, SAMPLES_PER_SECOND, SAMPLE_BYTES = 25_000_000, 16_000, 2
AUDIO_MS = AUDIO_BYTES * 1000 // (SAMPLES_PER_SECOND * SAMPLE_BYTES)
FORM_BYTES_MAX = 1000  # of a form, without its file
MEMORY_MAX_MIB, DELAY_MAX_MS = 40, 50
BOUNDARY = b"0c3f6a52d1"
ORDERS = {"model first": True, "model last": False}
MODEL = '[[models]]\nname = "listen-1"\nkind = "stt"\nprovider = "p"\n[models.price]\naudio_per_minute = 0.006\n'


def recording() -> bytes:
    """Return a WAV of `AUDIO_MS`."""
    written = BytesIO()
    with wave.open(written, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(SAMPLE_BYTES)
        wav.setframerate(SAMPLES_PER_SECOND)
        wav.writeframes(bytes(range(250)) * (AUDIO_BYTES // 250))
    return written.getvalue()


def form_request(*, model_first: bool) -> bytes:
    """Return a whole request with a recording."""
    mark = b"--" + BOUNDARY
    disposition = b'\r\nContent-Disposition: form-data; name="%s"'
    model = mark + disposition % b"model" + b"\r\n\r\nlisten-1\r\n"
    head = mark + disposition % b"file" + b'; filename="talk.wav"\r\nContent-Type: audio/wav\r\n\r\n'
    file = head + recording() + b"\r\n"
    body = (model + file if model_first else file + model) + mark + b"--\r\n"
    return (
        b"POST /v1/audio/transcriptions HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        b"content-type: multipart/form-data; boundary=%s\r\ncontent-length: %d\r\n\r\n"
    ) % (BOUNDARY, len(body)) + body


class _Answer:
    """Reads the answer to an upload."""

    def __init__(self, connection: socket.socket) -> None:
        self.body = b""
        self._is_complete = False
        parser = httptools.HttpResponseParser(self)
        while not self._is_complete:
            parser.feed_data(connection.recv(65536))
        self.status = parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self._is_complete = True


def upload_until(stop: threading.Event, port: int, request: bytes) -> int:
    """Upload again and again until stopped; return how often."""
    count = 0
    with socket.create_connection(("127.0.0.1", port)) as connection:
        while not stop.is_set():
            connection.sendall(request)
            answer = _Answer(connection)
            assert answer.status == 200, answer.body
            form_bytes = int(answer.body.removeprefix(b'{"text":"').removesuffix(b'"}'))
            assert AUDIO_BYTES < form_bytes < AUDIO_BYTES + FORM_BYTES_MAX, form_bytes
            count += 1
    return count


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of the chats and of the broker."""

    chats: Load
    uploads: int
    before_bytes: int
    peak_bytes: int


async def measure(pid: int, port: int, request: bytes | None, seconds: float) -> Seen:
    """Make chats for some seconds, and uploads meanwhile if there is a `request`."""
    before = rss_bytes(pid)
    forget_peak(pid)
    stop = threading.Event()
    uploading = None if request is None else asyncio.create_task(asyncio.to_thread(upload_until, stop, port, request))
    (chat,) = (one for one in scenarios([1]) if one.at_once == 1)
    try:
        chats = await load(port, chat.body, at_once=1, seconds=seconds, events_each=0, cpu_s=lambda: cpu_s(pid))
    finally:
        stop.set()
    uploads = 0 if uploading is None else await uploading
    return Seen(chats, uploads, before, peak_rss_bytes(pid))


def check(running: Broker, database: Path, calls: int, uploads: int) -> None:
    """End with exit code 1 if a call has no row, or the row of an upload is not right."""
    rows = running.usage()["totals"]["requests"]
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as ledger:
        question = "SELECT outcome, audio_ms, count(*) FROM request_logs WHERE kind = 'stt' GROUP BY 1, 2"
        found = ledger.execute(question).fetchall()
    if rows != calls or found != [("ok", AUDIO_MS, uploads)]:
        sys.exit(f"rows {rows} of {calls}; of {uploads} uploads of {AUDIO_MS} ms: {found}")


def report(alone: list[Seen], meanwhile: dict[str, list[Seen]]) -> None:
    """Print the worst memory, and the times of all chats of all rounds."""

    def times(seen: list[Seen]) -> list[float]:
        waits = sorted(one for each in seen for one in each.chats.took_ms)
        return [percentile(waits, 0.5), percentile(waits, 0.99), waits[-1]]

    def shown(values: list[float]) -> str:
        return " / ".join(f"{value:.1f}" for value in values)

    quiet = times(alone)
    print(f"chats alone: {shown(quiet)} ms (p50 / p99 / max)")
    for order, seen in meanwhile.items():
        added = max(one.peak_bytes - one.before_bytes for one in seen) / MIB
        busy = times(seen)
        delay = [slow - usual for slow, usual in zip(busy, quiet, strict=True)]
        print(f"{order}: {sum(one.uploads for one in seen)} uploads of {AUDIO_BYTES / 1e6:.0f} MB")
        print(f"  memory +{added:.1f} MiB (at most {MEMORY_MAX_MIB})")
        print(f"  chats meanwhile: {shown(busy)} ms; later by {shown(delay)} ms (at most {DELAY_MAX_MS})")


def main() -> None:
    """Run the rounds and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="for each round and order of the fields")
    asked = parser.parse_args()
    requests = {order: form_request(model_first=model_first) for order, model_first in ORDERS.items()}
    alone: list[Seen] = []
    meanwhile: dict[str, list[Seen]] = {order: [] for order in ORDERS}
    pin(os.getpid(), OTHER_CORE)
    with started("tests.benchmarks.provider") as (provider_pid, provider_port), tempfile.TemporaryDirectory() as text:
        pin(provider_pid, OTHER_CORE)
        config = Path(text) / "hero-broker.toml"
        config.write_text(settings(f"http://127.0.0.1:{provider_port}/v1") + MODEL)
        with started_broker(Path(text) / "state", "--config", str(config)) as running:
            pid, port = running.process.pid, int(running.url.rpartition(":")[2])
            pin(pid, MEASURED_CORE)
            for _ in range(asked.rounds):
                alone.append(uvloop.run(measure(pid, port, None, asked.seconds)))
                for order, request in requests.items():
                    meanwhile[order].append(uvloop.run(measure(pid, port, request, asked.seconds)))
            every = [*alone, *(one for seen in meanwhile.values() for one in seen)]
            uploads = sum(one.uploads for one in every)
            calls = uploads + sum(one.chats.answered for one in every)
            check(running, Path(text) / "state" / "hero-broker.db", calls, uploads)
    report(alone, meanwhile)
    print(f"rows {calls:,} of {calls:,}; uploads ok, {AUDIO_MS:,} ms each")


if __name__ == "__main__":
    main()
