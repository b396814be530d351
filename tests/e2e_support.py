"""A real broker in a process of its own, with the fake provider, on loopback."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import httpx

from tests.forked import Forked
from tests.waits import wait_until

BANNER = re.compile(r"listening on\s+(http://\S+:\d+)")


class Broker:
    """A running `hero-broker serve`."""

    def __init__(
        self, process: "Forked | subprocess.Popen[str]", url: str, token: str = "", lines: list[str] | None = None
    ) -> None:
        self.process = process
        self.url = url
        self.headers = {"authorization": f"Bearer {token}"} if token else {}  # of requests to the admin plane
        self.lines: list[str] = [] if lines is None else lines  # that it has printed; whole once it has ended

    @property
    def log(self) -> str:
        """All that it has printed."""
        return "".join(self.lines)

    def usage(self) -> dict[str, Any]:
        """Return `GET /billing/usage`, once every row is in the store."""
        with httpx.Client(base_url=self.url, headers=self.headers) as client:
            wait_until(lambda: not client.get("/admin/health").json()["journal_pending"])
            # 503 with Retry-After is right while a pooler finds out that its server is back.
            wait_until(lambda: client.get("/billing/usage").status_code != 503)
            return dict(client.get("/billing/usage").json())


@contextmanager
def broker(state: Path, *arguments: str, listen: str = "127.0.0.1:0", **environ: str) -> Iterator[Broker]:
    """Run a broker for the time of the block; it is stopped by SIGTERM, if it still runs.

    It is forked from a process that has imported the program, which is quick.
    """
    process = Forked(_serve(state, listen, arguments, environ), _environ(state, environ), state.parent)
    with _serving(process, environ) as running:
        yield running


@contextmanager
def started_broker(
    state: Path,
    *arguments: str,
    listen: str = "127.0.0.1:0",
    program: Sequence[str] = ("-m", "hero_broker"),
    open_files: str = "",
    **environ: str,
) -> Iterator[Broker]:
    """Run a broker as `broker` does, but in a new process: one that is measured.

    `program` is what Python runs: the broker, or something that becomes one. `open_files` is the number of descriptors
    that it may have.
    """
    command = [sys.executable, *program, *_serve(state, listen, arguments, environ)]
    if open_files:
        command = ["sh", "-c", f'ulimit -n {open_files} && exec "$@"', "sh", *command]
    process = subprocess.Popen(
        command, env=_environ(state, environ), stderr=subprocess.PIPE, text=True, cwd=state.parent
    )
    with _serving(process, environ) as running:
        yield running


def _serve(state: Path, listen: str, arguments: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """Return the command; its ledger is the one that the environment names, which `--fake` alone would not take."""
    url = {**os.environ, **environ}.get("HERO_BROKER_DATABASE_URL") or f"sqlite:///{state}/hero-broker.db"
    return ["serve", "--fake", "--listen", listen, "--database", url, *arguments]


def _environ(state: Path, environ: Mapping[str, str]) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_API_KEYS"))}
    return {**clean, "HERO_BROKER_STATE_DIR": str(state), **environ}


@contextmanager
def _serving(process: "Forked | subprocess.Popen[str]", environ: Mapping[str, str]) -> Iterator[Broker]:
    printed: SimpleQueue[str] = SimpleQueue()
    lines: list[str] = []
    reading = threading.Thread(target=_read, args=(process, printed, lines), name="log of a broker")
    reading.start()
    told = ""
    try:
        while not (found := BANNER.search(told)):
            line = printed.get(timeout=60)  # empty when the broker has ended
            assert line, told
            told += line
        yield Broker(process, found.group(1), environ.get("ADMIN_TOKEN", ""), lines)
    finally:
        process.terminate()
        process.wait(timeout=30)
        reading.join()


def _read(process: "Forked | subprocess.Popen[str]", printed: "SimpleQueue[str]", lines: list[str]) -> None:
    """Take what a broker prints, so that it never waits for a reader, to the empty line at its end."""
    assert process.stderr is not None
    with process.stderr:
        for line in process.stderr:
            lines.append(line)
            printed.put(line)
    printed.put("")


def chat(words: int = 40, *, stream: bool = False) -> dict[str, object]:
    """Return the body of a chat call with so many input tokens."""
    messages = [{"role": "user", "content": " ".join(["word"] * words)}]
    return {"model": "fake-chat", "messages": messages, "stream": stream}
