"""What happens to a broker's process and to its state directory; the books are compared afterwards.

`python -m tests.faults.process_faults` prints the figures of every fault. Each answers calls, happens, and returns the
books: what clients saw, against what the ledger has.
"""

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from tests import forked
from tests.e2e.provider import HEAD, Provider, event
from tests.e2e_support import Broker, broker, chat, started_broker
from tests.faults.calls import COST, is_answered, make_call
from tests.stores import locked, query
from tests.waits import wait_until

HERE = Path(__file__).parent
LIMITED = ("-P", str(HERE / "limited.py"))
STEPPING = ("-P", str(HERE / "stepping_clock.py"))
OWN = "fake"  # the folder of a state directory in which `--fake` keeps its ledger
DAY_S = 86_400
CONNECTIONS = 60


@dataclass(frozen=True, slots=True)
class Books:
    """What clients saw, against what the ledger has."""

    answered: int
    rows: int
    without_row: int
    doubled: int
    cost_wrong: int
    failed: int  # rows of calls that were not answered in full
    differences: int  # that `billing.verify` finds

    @property
    def are_right(self) -> bool:
        """Whether each answered call has one row with its cost, and nothing else was answered."""
        wrong = self.without_row + self.doubled + self.cost_wrong + self.differences
        return wrong == 0 and self.rows == self.answered + self.failed


def answer(running: Broker, calls: int) -> list[str]:
    """Make calls and return the ids of those that were answered."""
    with httpx.Client(base_url=running.url) as client:
        told = [make_call(client, number) for number in range(calls)]
    return [one.headers["x-request-id"] for one in told if is_answered(one)]


def books_of(state: Path, answered: list[str]) -> Books:
    """Start a broker on `state` once more, so that its journal is replayed, and return the books."""
    url = f"sqlite:///{state}/hero-broker.db"
    with broker(state) as running:
        running.usage()
        verified = httpx.get(f"{running.url}/billing/verify", timeout=60).json()["data"]
    rows = query(url, "SELECT request_id, outcome, cost_nano_usd FROM request_logs")
    times = Counter(request_id for request_id, _, _ in rows)
    costs = {request_id: cost for request_id, _, cost in rows}
    return Books(
        answered=len(answered),
        rows=len(rows),
        without_row=sum(request_id not in times for request_id in answered),
        doubled=sum(count > 1 for count in times.values()),
        cost_wrong=sum(costs.get(request_id) != COST for request_id in answered),
        failed=sum(outcome != "ok" for _, outcome, _ in rows),
        differences=verified["differences"],
    )


@dataclass(frozen=True, slots=True)
class Stopped:
    """How a broker ended that had a stream open."""

    code: int
    took_s: float
    end_of_stream: bytes
    books: Books


def stopped_by(folder: Path, *numbers: signal.Signals, grace_s: int = 1, while_locked: bool = False) -> Stopped:
    """Send signals, one after the other, to a broker that has answered calls and has a stream open.

    With `while_locked` another process holds the database's lock meanwhile.
    """
    state = folder / "state"
    url = f"sqlite:///{state}/hero-broker.db"
    with Provider() as provider:
        config = folder / "hero-broker.toml"
        config.write_text(f"[server]\ngrace_s = {grace_s}\n{provider.config()}")
        with broker(state, "--config", str(config)) as running, locked(url) if while_locked else nullcontext():
            answered = answer(running, 20)
            client = _open_stream(running)
            upstream = provider.accept()
            upstream.send(HEAD + event("one"))
            seen = _read_until(client, b"one")
            began = time.monotonic()
            for number in numbers:
                running.process.send_signal(number)
                wait_until(partial(_was_taken, running, number))
            while data := client.recv(65536):
                seen += data
            code = running.process.wait(timeout=grace_s + 20)
            took_s = time.monotonic() - began
            client.close()
            upstream.end()
    return Stopped(code, took_s, seen[-200:], books_of(state, answered))


def _was_taken(running: Broker, number: signal.Signals) -> bool:
    """Return whether a signal was taken: a second one that comes too early is the same as the first."""
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    pending = int(status.partition("ShdPnd:")[2].split()[0], 16)
    return not pending & 1 << (number - 1)


def _open_stream(running: Broker) -> socket.socket:
    where = httpx.URL(running.url)
    body = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}'
    client = socket.create_connection((where.host, where.port or 0), timeout=60)
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    client.sendall(head + b"content-length: %d\r\n\r\n%s" % (len(body), body))
    return client


def _read_until(client: socket.socket, mark: bytes) -> bytes:
    seen = b""
    while mark not in seen:
        more = client.recv(65536)
        assert more, seen
        seen += more
    return seen


@dataclass(frozen=True, slots=True)
class HungUp:
    """A broker without a terminal that got SIGHUP."""

    still_serves: bool
    lines: int
    books: Books


def hung_up(folder: Path) -> HungUp:
    """Send SIGHUP three times between calls."""
    state = folder / "state"
    with broker(state) as running:
        answered = answer(running, 10)
        for _ in range(3):
            running.process.send_signal(signal.SIGHUP)
            answered += answer(running, 10)
    return HungUp(len(answered) == 40, running.log.count("SIGHUP is ignored"), books_of(state, answered))


@dataclass(frozen=True, slots=True)
class Stepped:
    """A broker whose wall clock was set while calls ran."""

    ids_grow: bool
    days: int  # that rows say they began on
    longest_ms: int  # of any call
    cut: int  # calls that a timeout ended
    books: Books


def clock_stepped(folder: Path) -> Stepped:
    """Set the clock a day back, two days on and back again, between calls and while one runs."""
    state, offset = folder / "state", folder / "offset"
    offset.write_text("0")
    answered: list[str] = []
    with Provider() as provider:
        config = folder / "hero-broker.toml"
        config.write_text(provider.config())
        settings = ("--config", str(config))
        with started_broker(state, *settings, program=STEPPING, STEPPING_CLOCK=str(offset)) as running:
            for step in (0, -DAY_S, DAY_S, 0, -DAY_S):
                client = _open_stream(running)
                upstream = provider.accept()
                upstream.send(HEAD + event("one"))
                seen = _read_until(client, b"one")
                offset.write_text(str(step))
                answered += answer(running, 10)
                upstream.send(b'data: {"choices":[],"usage":{"prompt_tokens":40,"completion_tokens":3}}\n\n')
                upstream.send(b"data: [DONE]\n\n")
                upstream.end()
                seen += _read_until(client, b"0\r\n\r\n")
                client.close()
                answered.append(seen.partition(b"x-request-id: ")[2][:36].decode())
            running.usage()
            url = f"sqlite:///{state}/hero-broker.db"
            rows = query(url, "SELECT request_id, started_at, duration_ms, outcome FROM request_logs")
    made = [one for step in range(5) for one in (answered[step * 11 + 10], *answered[step * 11 : step * 11 + 10])]
    return Stepped(
        ids_grow=made == sorted(set(made)),
        days=len({round((started_at - time.time()) / DAY_S) for _, started_at, _, _ in rows}),
        longest_ms=max(duration_ms for _, _, duration_ms, _ in rows),
        cut=sum(outcome != "ok" for *_, outcome in rows),
        books=books_of(state, answered),
    )


@dataclass(frozen=True, slots=True)
class Exhausted:
    """A broker that had no file descriptor left for a while."""

    statuses: dict[int, int]  # of calls over a connection that was there
    unanswered: int  # new connections that got nothing, or 503
    cpu_s_per_s: float
    log_lines: int
    afterwards: int  # calls answered once descriptors were free again
    books: Books


def descriptors_exhausted(folder: Path, for_s: float = 2.0) -> Exhausted:
    """Take all descriptors by idle connections, call over one that was there, then give them back."""
    state = folder / "state"
    answered: list[str] = []
    statuses: Counter[int] = Counter()
    unanswered = 0
    with Provider() as provider, ExitStack() as open_connections:
        config = folder / "hero-broker.toml"
        config.write_text(provider.config())
        with broker(state, "--config", str(config)) as running, httpx.Client(base_url=running.url) as client:
            answered += answer(running, 10)
            client.get("/health/live")
            pid = running.process.pid
            hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
            held = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - names alone
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (held, hard))
            where = httpx.URL(running.url)
            for _ in range(CONNECTIONS):
                one = socket.create_connection((where.host, where.port or 0), timeout=20)
                open_connections.enter_context(one)
            before, began = _cpu_s(pid), time.monotonic()
            while time.monotonic() - began < for_s:
                told = client.post("/v1/chat/completions", json={**chat(), "model": "m"}, timeout=20)
                statuses[told.status_code] += 1
                with suppress(httpx.HTTPError):
                    unanswered += httpx.get(f"{running.url}/health/live", timeout=5).status_code == 503
                    continue
                unanswered += 1
                if sum(statuses.values()) >= 50:
                    break
            took_s = time.monotonic() - began
            cpu_s = _cpu_s(pid) - before
            open_connections.close()
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
            afterwards = answer(running, 10)
            answered += afterwards
    return Exhausted(
        statuses=dict(statuses),
        unanswered=unanswered,
        cpu_s_per_s=round(cpu_s / max(took_s, 0.01), 2),
        log_lines=running.log.count('{"time"'),
        afterwards=len(afterwards),
        books=books_of(state, answered),
    )


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Refused:
    """A start that came to nothing."""

    code: int
    told: str  # its last line
    books: Books


def second_broker(folder: Path) -> Refused:
    """Start a second broker on the state directory of one that serves."""
    state = folder / "state"
    with broker(state) as running:
        answered = answer(running, 10)
        refused = _start(state)
        answered += answer(running, 10)
    return Refused(*refused, books_of(state, answered))


def read_only(folder: Path) -> Refused:
    """Start on a state directory, with rows in its journal, in which nothing can be written; then on one that can."""
    state = folder / "state"
    answered = _killed(state, 10)
    inside = [state, *state.rglob("*")]
    for path in inside:
        path.chmod(0o500 if path.is_dir() else 0o400)
    refused = _start(state, (*LIMITED, "--as-others"))
    for path in inside:
        path.chmod(0o700 if path.is_dir() else 0o600)
    return Refused(*refused, books_of(state, answered))


def full_disk(folder: Path) -> Refused:
    """Start, with rows in the journal, while no file can grow to the size of a journal; then while it can."""
    state = folder / "state"
    answered = _killed(state, 10)
    refused = _start(state, (*LIMITED, "--file-bytes", "1000000"))
    return Refused(*refused, books_of(state, answered))


def open_to_all(folder: Path) -> Refused:
    """Start on a state directory in which every user of the machine may write."""
    state = folder / "state"
    answered = _killed(state, 10)
    (state / OWN).chmod(0o777)
    refused = _start(state)
    (state / OWN).chmod(0o700)
    return Refused(*refused, books_of(state, answered))


def _killed(state: Path, calls: int) -> list[str]:
    """Answer calls and be killed; return their ids. Their rows are in the journal, and perhaps in the database."""
    with broker(state) as running:
        answered = answer(running, calls)
        running.process.kill()
        running.process.wait()
    return answered


def _start(state: Path, program: tuple[str, ...] = ()) -> tuple[int, str]:
    """Start a broker that is to end, and return how it did; `program` is what Python runs, if it is not forked."""
    arguments = ["serve", "--fake", "--listen", "127.0.0.1:0"]
    environ = {**os.environ, "HERO_BROKER_STATE_DIR": str(state)}
    if program:
        command = [sys.executable, *program, *arguments]
        ended = subprocess.run(
            command, env=environ, cwd=state.parent, capture_output=True, text=True, timeout=60, check=False
        )
    else:
        ended = forked.run(arguments, environ, state.parent)
    lines = ended.stderr.strip().splitlines() or [""]
    return ended.returncode, lines[-1].replace(str(state), "STATE")


def journal_older_than_database(folder: Path) -> Books:
    """Put back, again and again, a journal whose rows the database has long had."""
    state, kept = folder / "state", folder / "journal"
    journal = state / OWN / "journal"
    answered: list[str] = []
    for _ in range(3):
        with broker(state) as running:
            answered += answer(running, 10)
            running.usage()
            running.process.kill()
            running.process.wait()
        if not kept.exists():
            shutil.copytree(journal, kept)
        shutil.rmtree(journal)
        shutil.copytree(kept, journal)
    return books_of(state, answered)


def database_older_than_journal(folder: Path) -> Books:
    """Put back a backup of the database, made before the rows that the journal has."""
    state, backup = folder / "state", folder / "backup.db"
    with broker(state) as running:
        answered = answer(running, 10)
        running.usage()
        environ = {**os.environ, "HERO_BROKER_STATE_DIR": str(state)}
        copied = forked.run(["copy-ledger", "sqlite:///hero-broker.db", f"sqlite:///{backup}"], environ, folder)
        assert copied.returncode == 0, copied.stderr
    with broker(state) as running:
        answered += answer(running, 10)
        running.usage()
        running.process.kill()
        running.process.wait()
    for suffix in ("-wal", "-shm"):
        (state / f"hero-broker.db{suffix}").unlink(missing_ok=True)
    backup.replace(state / "hero-broker.db")
    return books_of(state, answered)


FAULTS: dict[str, Callable[[Path], object]] = {
    "SIGTERM": lambda folder: stopped_by(folder, signal.SIGTERM),
    "SIGINT": lambda folder: stopped_by(folder, signal.SIGINT),
    "SIGTERM twice, grace 600 s": lambda folder: stopped_by(folder, signal.SIGTERM, signal.SIGTERM, grace_s=600),
    "SIGTERM, database locked": lambda folder: stopped_by(folder, signal.SIGTERM, while_locked=True),
    "SIGHUP": hung_up,
    "clock steps a day": clock_stepped,
    "no descriptor left": descriptors_exhausted,
    "second broker": second_broker,
    "read-only state directory": read_only,
    "full disk at start": full_disk,
    "state directory open to all": open_to_all,
    "journal older than the database": journal_older_than_database,
    "database older than the journal": database_older_than_journal,
}


def main() -> None:
    """Print the figures of every fault, or of those that are named."""
    for name, fault in FAULTS.items():
        if len(sys.argv) > 1 and name not in sys.argv:
            continue
        with tempfile.TemporaryDirectory() as folder:
            print(f"{name}: {fault(Path(folder))}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
