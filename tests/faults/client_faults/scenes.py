"""A broker under attack: its settings, its figures, its books against its provider's."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.benchmarks.processes import peak_rss_bytes, rss_bytes
from tests.e2e_support import Broker, broker
from tests.faults.client_faults.counting_provider import ProvidersBooks, counting_provider
from tests.faults.limit_books import LIMITS, limit_differences
from tests.raw_clients import connected, read_answer, request
from tests.stores import query
from tests.waits import wait_until

MIB = 1024 * 1024
PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}


@dataclass(frozen=True, slots=True)
class Scene:
    """A running broker, and what its provider has seen."""

    running: Broker
    database: str
    provider: ProvidersBooks

    def call(self, mark: str, kind: str = "whole", size: int = 3, words: int = 40, wire: str = "chat") -> bytes:
        """Return a whole call on a wire."""
        text = " ".join(["word"] * words)
        body = {"model": "m", "user": f"{mark}:{kind}:{size}", "stream": kind == "stream"}
        if wire == "responses":
            body["input"] = text
        else:
            body |= {"messages": [{"role": "user", "content": text}], "max_tokens": 100_000}
        return request(PATHS[wire], json.dumps(body).encode(), headers={"x-hero-context": mark})

    def timed_calls(self, count: int, prefix: str) -> list[float]:
        """Make calls one after another, each on a connection of its own; return the seconds that each took."""
        took = []
        for number in range(count):
            begun = time.perf_counter()
            with connected(self.running.url) as connection, connection.makefile("rb") as received:
                connection.sendall(self.call(f"{prefix}-{number}"))
                status, body = read_answer(received)
            assert status == 200, body
            took.append(time.perf_counter() - begun)
        return took

    @property
    def rss(self) -> int:
        """Bytes of the broker that are resident now."""
        return rss_bytes(self.running.process.pid)

    @property
    def peak(self) -> int:
        """The most bytes that were resident since `forget_peak`."""
        return peak_rss_bytes(self.running.process.pid)


@dataclass(frozen=True, slots=True)
class Books:
    """The ledger against the provider's books."""

    rows: int
    seen: int  # calls that the provider saw
    without_row: int
    doubled: int
    wrong: int  # usage or cost is not what the provider reported
    estimated: int
    unasked: int  # rows at no cost of calls that were not sent
    unseen: int  # rows that are billed though the provider saw no such call
    limits: tuple[str, ...]  # what limits say that the rows do not

    @property
    def are_right(self) -> bool:
        """Whether each call has one row, with the provider's usage if it arrived, and nothing else is billed."""
        return not (self.without_row or self.doubled or self.wrong or self.unseen or self.limits)


def _is_settled(health: dict[str, Any]) -> bool:
    return not health["journal_pending"] and not health["journal_open_calls"]


def compare(scene: Scene, *, is_whole: bool = True) -> Books:
    """Return the books once no call is in flight and every row is in the store; `is_whole`: it had no rows before."""
    with httpx.Client(base_url=scene.running.url) as client:
        wait_until(lambda: _is_settled(client.get("/admin/health").json()), within_s=120)
    found = query(
        scene.database,
        "SELECT context, input_tokens, output_tokens, cost_nano_usd, usage_source FROM request_logs"
        " WHERE provider = 'p' AND context IS NOT NULL",
    )
    times = Counter(context for context, *_ in found)
    reported = {context: figures for context, *figures, source in found if source == "reported"}
    wrong = 0
    for mark, (tokens_in, tokens_out, cost) in reported.items():
        expected = scene.provider.usage.get(mark, (-1, -1))
        wrong += (tokens_in, tokens_out, cost) != (*expected, expected[0] * 590 + expected[1] * 790)
    return Books(
        rows=len(found),
        seen=len(scene.provider.calls),
        without_row=sum(mark not in times for mark in scene.provider.calls),
        doubled=sum(count > 1 for count in times.values()) + sum(n > 1 for n in scene.provider.calls.values()),
        wrong=wrong,
        estimated=sum(source == "estimated" for *_, source in found),
        unasked=sum(source == "none" and context not in scene.provider.calls for context, *_, source in found),
        unseen=sum(source != "none" and context not in scene.provider.calls for context, *_, source in found),
        limits=tuple(limit_differences(scene.running, scene.database, is_rate_whole=is_whole)),
    )


@contextmanager
def scene(folder: Path, server: str = "", database: str = "", open_files: str = "", more: str = "") -> Iterator[Scene]:
    """Run a broker with lines for `[server]`, and further tables."""
    with counting_provider() as provider:
        folder.mkdir(parents=True, exist_ok=True)
        settings = folder / "settings.toml"
        settings.write_text(f"{provider.settings()}[server]\n{server}\n{more}{LIMITS}")
        url = database or f"sqlite:///{folder}/ledger.db"
        with broker(
            folder / "state", "--config", str(settings), HERO_BROKER_DATABASE_URL=url, open_files=open_files
        ) as running:
            yield Scene(running, url, provider)
