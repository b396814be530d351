"""Every misbehaviour of a provider against a real broker; the books are compared with the provider's own.

`python -m tests.faults.provider_faults` prints a table of all faults, with calls, rows, figures and seconds.
"""

import argparse
import json
import re
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.e2e_support import Broker, broker
from tests.faults.hostile_provider import HostileProvider, hostile_provider
from tests.faults.limit_books import LIMITS, limit_differences
from tests.faults.misbehaviour import (
    EMBEDDING,
    FAULTS,
    HEARD,
    IDLE_S,
    MAX_ANSWER_BYTES,
    MESSAGE,
    MESSAGE_STREAM,
    NO_FAULT,
    RANKED,
    RESPONSE,
    RESPONSE_STREAM,
    SPEECH,
    STREAM,
    TOTAL_S,
    Charged,
    Expected,
    Fault,
    steps,
    without_usage_events,
)
from tests.stores import query
from tests.waits import wait_until

KEY = "sk-provider-key"
SETTINGS = f"""
[server]
max_answer_bytes = {MAX_ANSWER_BYTES}
[upstream]
connect_timeout_s = 1
first_byte_timeout_s = {IDLE_S}
idle_timeout_s = {IDLE_S}
total_timeout_s = {TOTAL_S}
whole_answer_timeout_s = {IDLE_S}
[[providers]]
name = "p"
base_url = "http://127.0.0.1:PORT/v1"
wires = ["openai", "anthropic", "responses"]
api_keys = ["{KEY}"]
[[models]]
name = "m"
kind = "chat"
provider = "p"
price = {{ input_per_million = 0.59, output_per_million = 0.79 }}
[[models]]
name = "e"
kind = "embedding"
provider = "p"
price = {{ input_per_million = 0.1 }}
[[models]]
name = "s"
kind = "tts"
provider = "p"
price = {{ characters_per_million = 15 }}
[[models]]
name = "h"
kind = "stt"
provider = "p"
price = {{ audio_per_minute = 0.006 }}
[[models]]
name = "r"
kind = "rerank"
provider = "p"
price = {{ per_thousand_searches = 2 }}
"""
SPOKEN = "Hello there"
FIXED_COST = {SPEECH: len(SPOKEN) * 15_000, HEARD: 3_000_000, RANKED: 2_000_000}  # nano-USD of an answered call
OF_AGENTS = ("/v1/messages", "/v1/responses")  # their errors pass as the provider sent them
PATIENCE_S = 20
COLUMNS = (
    "context",
    "outcome",
    "error_code",
    "usage_source",
    "input_tokens",
    "output_tokens",
    "cost_nano_usd",
    "http_status",
    "request_id",
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client saw of one call."""

    call: str
    form: str
    what: str  # "answer", "error 502", "error event", "cut off"; anything else is wrong
    status: int | None
    body: bytes = field(repr=False)
    asked_usage: bool
    request_id: str | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Place:
    """A broker with the hostile provider behind it."""

    running: Broker
    provider: HostileProvider
    database_url: str
    client: httpx.Client
    log: list[str] = field(repr=False)

    def usage(self) -> dict[str, Any]:
        """Return what the reports sum up to, once all rows are stored."""
        wait_until(
            lambda: not self.client.get(f"{self.running.url}/admin/health").json()["journal_pending"], within_s=120
        )
        return dict(self.client.get(f"{self.running.url}/billing/usage").json()["totals"])

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """Return every row by the call's id, once all are stored."""
        self.usage()
        found: dict[str, list[dict[str, Any]]] = {}
        for row in query(self.database_url, f"SELECT {', '.join(COLUMNS)} FROM request_logs"):
            told = dict(zip(COLUMNS, row, strict=True))
            found.setdefault(told["context"], []).append(told)
        return found


@contextmanager
def place(folder: Path, database_url: str, settings: str = SETTINGS + LIMITS) -> Iterator[Place]:
    """Run both for the time of the block."""
    config = folder / "hero-broker.toml"
    with hostile_provider(steps) as provider:
        config.write_text(settings.replace("PORT", str(provider.port)))
        arguments = ("--config", str(config))
        with (
            broker(folder / "state", *arguments, HERO_BROKER_DATABASE_URL=database_url) as running,
            httpx.Client(timeout=PATIENCE_S, verify=False) as client,  # noqa: S501 - loopback without TLS
        ):
            yield Place(running, provider, database_url, client, running.lines)


def ask(client: httpx.Client, url: str, fault: str, form: str, call: str, *, usage: bool = True) -> Seen:
    """Make one call and tell what was seen of it."""
    path, body = request(form, f"{fault}|{form}|{call}", usage=usage)
    begun = time.monotonic()
    status, request_id, got = None, None, bytearray()
    try:
        with client.stream("POST", url + path, **body, headers={"x-hero-context": call}) as answer:
            status, request_id = answer.status_code, answer.headers.get("x-request-id")
            what = _head_fault(answer)
            for chunk in answer.iter_raw():
                got += chunk
        what = what or _whole(answer, bytes(got))
    except (httpx.RemoteProtocolError, httpx.ReadError):
        what = "no answer at all" if status is None else "cut off"
    except httpx.TimeoutException:
        what = "HANG"
    return Seen(call, form, what, status, bytes(got), usage, request_id, time.monotonic() - begun)


def request(form: str, asked: str, *, usage: bool = True) -> tuple[str, dict[str, Any]]:
    """Return the path and the body, for httpx, of a call that makes the provider do what `asked` says."""
    if form == EMBEDDING:
        return "/v1/embeddings", {"json": {"model": "e", "input": "hello", "user": asked}}
    if form == SPEECH:
        return "/v1/audio/speech", {"json": {"model": "s", "input": SPOKEN, "voice": "alloy", "user": asked}}
    if form == RANKED:
        return "/v1/rerank", {"json": {"model": "r", "query": "a", "documents": ["a", "b"], "user": asked}}
    if form == HEARD:
        file = ("speech.wav", b"RIFF" + bytes(4000), "audio/wav")
        return "/v1/audio/transcriptions", {"data": {"model": "h", "prompt": asked}, "files": {"file": file}}
    if form in (MESSAGE, MESSAGE_STREAM):
        message = {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": "hello"}], "user": asked}
        return "/v1/messages", {"json": {**message, "stream": form == MESSAGE_STREAM}}
    if form in (RESPONSE, RESPONSE_STREAM):
        return "/v1/responses", {
            "json": {"model": "m", "input": "hello", "user": asked, "stream": form == RESPONSE_STREAM}
        }
    body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "user": asked}
    if form == STREAM:
        body |= {"stream": True} | ({"stream_options": {"include_usage": True}} if usage else {})
    return "/v1/chat/completions", {"json": body}


def _head_fault(answer: httpx.Response) -> str | None:
    """Return what is wrong with a response's head; None if nothing is."""
    names = [name.lower() for name, _ in answer.headers.multi_items()]
    if "x-injected" in names or "set-cookie" in names or answer.headers.get("x-request-id") == "theirs":
        return "FORGED HEADERS"
    if any(ord(character) < 32 for value in answer.headers.values() for character in value):
        return "CONTROL CHARACTERS IN HEADERS"
    return None


def _whole(answer: httpx.Response, body: bytes) -> str:
    """Return what an answer is that came to its end."""
    if KEY.encode() in body:
        return "THE PROVIDER'S KEY"
    if answer.status_code != 200:
        try:
            told = json.loads(body)
        except ValueError:
            return f"{answer.status_code} THAT IS NO ERROR"
        members = set(told.get("error", ())) if isinstance(told, dict) else set()
        if answer.request.url.path in OF_AGENTS:  # the provider's error may have more
            is_error = members >= {"message", "type"}
        else:
            is_error = members == {"message", "type", "param", "code"}
        return f"error {answer.status_code}" if is_error else f"{answer.status_code} THAT IS NO ERROR"
    if answer.headers["content-type"].startswith("text/event-stream"):
        events = re.findall(rb'^data: \{"error":|^event: error$', body, re.MULTILINE)
        return "error event" if events else "answer"
    return "answer"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one fault."""

    fault: str
    seen: tuple[Seen, ...]
    rows: int
    outcomes: tuple[str, ...]
    sources: tuple[str, ...]
    wrong: tuple[str, ...]  # what differs from what must be, and from the provider's books


def run(where: Place, fault: Fault, times: int, *, mark: str = "", workers: int = 8) -> tuple[Seen, ...]:
    """Make `times` calls of each form that a fault has, in parallel; of streams, each other asks for no usage."""
    with ThreadPoolExecutor(workers) as pool:
        asked = [
            pool.submit(
                ask,
                where.client,
                where.running.url,
                fault.name,
                form,
                f"{mark}{fault.name}/{form}/{number}"[:100],
                usage=form != STREAM or number % 2 == 0,
            )
            for number in range(times)
            for form in fault.expected
        ]
        return tuple(one.result() for one in asked)


def judged(
    fault: Fault, seen: Sequence[Seen], rows: dict[str, list[dict[str, Any]]], provider: HostileProvider
) -> Result:
    """Compare what the clients saw, the ledger and the provider's books."""
    wrong: list[str] = []
    asked = Counter(entry.call for entry in provider.entries if entry.fault == fault.name)
    mine: list[dict[str, Any]] = []
    for one in seen:
        expected, found = fault.expected[one.form], rows.get(one.call, [])
        mine += found
        if asked[one.call] != 1 or len(found) != 1:
            wrong.append(f"{one.call}: the provider saw {asked[one.call]}, the ledger has {len(found)} rows")
            continue
        wrong += [f"{one.call}: {difference}" for difference in row_differences(one, expected, found[0])]
    return Result(
        fault.name,
        tuple(seen),
        len(mine),
        tuple(sorted({f"{row['outcome']}/{row['error_code']}" for row in mine})),
        tuple(sorted({row["usage_source"] for row in mine})),
        tuple(wrong),
    )


def row_differences(seen: Seen, expected: Expected, row: dict[str, Any]) -> Iterator[str]:
    pairs = [
        ("seen", expected.seen, seen.what),
        ("outcome", expected.outcome, row["outcome"]),
        ("error_code", expected.code, row["error_code"]),
        ("usage_source", expected.usage, row["usage_source"]),
        ("request_id", row["request_id"], seen.request_id),
        ("http_status", seen.status, row["http_status"]),
    ]
    if expected.charged is not None:
        found = Charged(row["input_tokens"], row["output_tokens"])
        pairs += [
            ("tokens", expected.charged, found),
            ("cost", cost(seen.form, expected.charged), row["cost_nano_usd"]),
        ]
    elif expected.usage == "none":
        pairs.append(("cost", 0, row["cost_nano_usd"]))
    elif seen.form in FIXED_COST:
        pairs.append(("cost", FIXED_COST[seen.form], row["cost_nano_usd"]))
    for name, must, found_ in pairs:
        if must != found_:
            yield f"{name} is {found_!r}, not {must!r}"
    if expected.charged is None and expected.usage == "estimated" and not 0 < row["cost_nano_usd"] < 10**9:
        yield f"an estimate costs {row['cost_nano_usd']}"
    if expected.delivers is not None and seen.what == expected.seen:
        delivered = expected.delivers if seen.asked_usage else without_usage_events(expected.delivers)
        if seen.body != delivered:
            yield f"the bytes differ: {seen.body[-200:]!r}, not {delivered[-200:]!r}"


def cost(form: str, charged: Charged) -> int:
    """Return in nano-USD what the provider would charge."""
    if form == EMBEDDING:
        return charged.input_tokens * 100
    return charged.input_tokens * 590 + charged.output_tokens * 790


def was_not_sent(row: Mapping[str, Any]) -> bool:
    """Return whether a row is of a call whose client had left before anything of it was sent."""
    return (row["outcome"], row["usage_source"], row["cost_nano_usd"]) == ("client_disconnected", "none", 0)


def books_differ(where: Place, rows: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    """Yield what differs between provider, rows and reports."""
    told = where.usage()
    flat = [row for found in rows.values() for row in found]
    charged = sum(row["cost_nano_usd"] for row in flat)
    if (told["requests"], int(told["total_cost_nano_usd"])) != (len(flat), charged):
        yield f"the report says {told}, the rows {len(flat)} and {charged}"
    sent = [row for row in flat if not was_not_sent(row)]
    if len(where.provider.entries) != len(sent):
        yield f"the provider saw {len(where.provider.entries)} requests, the ledger has {len(sent)} rows of such"
    differences = where.client.get(f"{where.running.url}/billing/verify").json()["data"]["differences"]
    if differences:
        yield f"billing.verify finds {differences} differences"
    yield from (f"in the log: {line.strip()}" for line in where.log if KEY in line or "Traceback" in line)


class Bystander:
    """Makes ordinary calls all the while; another client's faults must not hurt them."""

    def __init__(self, where: Place) -> None:
        self._where = where
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bystander")
        self.seconds: list[float] = []
        self.hurt: list[str] = []

    def __enter__(self) -> "Bystander":
        self._thread.start()
        return self

    def __exit__(self, *_failure: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_S)

    def _run(self) -> None:
        good = FAULTS[NO_FAULT]
        while not self._stop.wait(0.02):
            call = f"bystander/{len(self.seconds)}"
            seen = ask(self._where.client, self._where.running.url, good.name, STREAM, call)
            self.seconds.append(seen.seconds)
            if (seen.what, seen.body) != ("answer", good.expected[STREAM].delivers):
                self.hurt.append(f"{call}: {seen.what}")


def memory_kb(pid: int, what: str = "VmRSS") -> int:
    """Return a figure of a process's memory; "VmHWM" is its peak."""
    told = Path(f"/proc/{pid}/status").read_text()
    return int(told.partition(f"{what}:")[2].split()[0])


def reset_peak(pid: int) -> None:
    """Reset the peak of a process's memory."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def main() -> None:
    """Print what became of every fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=6, help="calls of each form, for each fault")
    parser.add_argument("--only", default="", help="faults whose name has this in it")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as text, place(Path(text), f"sqlite:///{text}/ledger.db") as where:
        raise SystemExit(_report(where, [f for f in FAULTS.values() if asked.only in f.name], asked.calls))


def _report(where: Place, faults: Sequence[Fault], times: int) -> int:
    pid = where.running.process.pid
    for name in (NO_FAULT, "usage missing"):  # so that what is loaded once is there
        run(where, FAULTS[name], 20, mark="first/")
    results = []
    with Bystander(where) as bystander:
        for fault in faults:
            before = memory_kb(pid)
            reset_peak(pid)
            results.append((fault, run(where, fault, times), memory_kb(pid, "VmHWM") - before))
    rows = where.rows()
    wrong = list(bystander.hurt)
    lines = ["fault | calls | rows | outcome, code | usage | client saw | slowest, s | memory, MB"]
    for fault, seen, growth in results:
        result = judged(fault, seen, rows, where.provider)
        wrong += result.wrong
        what = ", ".join(sorted({one.what for one in seen}))
        told = ", ".join(result.outcomes).replace("/None", "").replace("/", " ")
        slowest = max(one.seconds for one in seen)
        figures = f"{slowest:.2f} | {growth / 1000:.1f}"
        lines.append(
            f"{fault.name} | {len(seen)} | {result.rows} | {told} | {', '.join(result.sources)} | {what} | {figures}"
        )
    wrong += books_differ(where, rows)
    wrong += limit_differences(where.running, where.database_url)
    waits = sorted(bystander.seconds)
    lines += [
        f"requests that the provider saw: {len(where.provider.entries)}, rows: {sum(map(len, rows.values()))}",
        f"other calls meanwhile: {len(waits)}, hurt: {len(bystander.hurt)}, "
        f"median {statistics.median(waits) * 1000:.0f} ms, slowest {waits[-1] * 1000:.0f} ms",
        f"largest growth of memory in one fault: {max(growth for *_, growth in results) / 1000:.1f} MB",
        f"memory at the end: {memory_kb(pid) / 1000:.1f} MB",
        *(f"WRONG {line}" for line in wrong),
        "FAIL" if wrong else "PASS",
    ]
    print("\n".join(lines))  # noqa: T201
    return int(bool(wrong))


if __name__ == "__main__":
    main()
