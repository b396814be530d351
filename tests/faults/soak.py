"""Mixed calls at a steady rate, hang-ups, slow readers and a misbehaving provider among them, for some minutes.

`python -m tests.faults.soak --minutes 10` prints the figures: memory, descriptors, and whether the books are equal.
"""

import argparse
import random
import socket
import statistics
import struct
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.faults.hostile_provider import Forever
from tests.faults.misbehaviour import (
    ALL_FORMS,
    EMBEDDING,
    FAULTS,
    FORMS,
    IDLE_S,
    IN_PIECES,
    LONG,
    NO_FAULT,
    SPEECH,
    STREAM,
    TOTAL_S,
    Charged,
)
from tests.faults.provider_faults import (
    FIXED_COST,
    PATIENCE_S,
    SETTINGS,
    Place,
    Seen,
    ask,
    books_differ,
    cost,
    memory_kb,
    place,
    request,
    row_differences,
    was_not_sent,
)

ADDRESSES = [f"127.0.0.{number}" for number in range(2, 10)]
# Longer than in the short tests: no call that is answered as it should be may be cut on a busy machine.
LONGER = SETTINGS.replace(f"= {IDLE_S}\n", "= 3\n").replace(f"= {TOTAL_S}\n", "= 10\n") + "[billing]\ndrain_max_s = 5\n"
WORKERS = 64
SAMPLE_EVERY_S = 1.0
REPORTS_EVERY_S = 2.0
WARM_UP_WORKERS = 16
WARM_UP_ROWS = 12_000
# A client that keeps a connection for as long as the server does meets its end now and then.
LIMITS = httpx.Limits(keepalive_expiry=2)
SETTLING = 0.1  # of the time; what follows it is compared with as much at the end
COMPARED = 0.15
MEMORY_GROWTH = 0.05
DESCRIPTORS_MORE = 8
FAULTS_DRAWN = [  # all but those that would fill the machine for as long as a call may take
    (name, form)
    for name, fault in FAULTS.items()
    for form, steps in fault.steps.items()
    if not any(isinstance(step, Forever) and step.every_s < 0.005 for step in steps)
]


@dataclass(frozen=True, slots=True)
class Sample:
    """What the broker's process held at a moment."""

    memory_kb: int
    descriptors: int


class Soak:
    """What is done, and what comes of it."""

    def __init__(self, where: Place, clients: Sequence[httpx.Client], seed: int) -> None:
        """Prepare to make calls by `clients`, one for each address."""
        self._where = where
        self._clients = clients
        self._chance = random.Random(seed)  # noqa: S311 - it chooses calls, not secrets
        self._stop = threading.Event()
        self.done: Counter[str] = Counter()
        self.asked: list[tuple[str, str, Seen]] = []  # what was to be, the fault, what was seen
        self.left: list[tuple[str, str]] = []  # call and form of those that were read slowly, or left
        self.cut: set[str] = set()  # of these, the calls whose requests did not arrive whole
        self.wrong: list[str] = []
        self.samples: list[Sample] = []

    def warm_up(self) -> None:
        """Let every fault happen twice, and fill the ledger until the database's caches are full."""
        drawn = FAULTS_DRAWN * 2 + [(NO_FAULT, form) for form in FORMS] * (WARM_UP_ROWS // len(FORMS))
        self._chance.shuffle(drawn)
        with ThreadPoolExecutor(WARM_UP_WORKERS) as pool:
            for number, (fault, form) in enumerate(drawn):
                pool.submit(self._ask, "warm-up", fault, form, f"warm-up {number}")
                if number % 500 == 0:
                    pool.submit(self._where.client.get, f"{self._where.running.url}/billing/verify")

    def run(self, seconds: float, rate: float) -> None:
        """Make `rate` calls a second for so long, and wait until all have ended."""
        beside = [threading.Thread(target=task, name="beside") for task in (self._sample, self._ask_reports)]
        for thread in beside:
            thread.start()
        with ThreadPoolExecutor(WORKERS) as pool:
            begun, number, made = time.monotonic(), 0, []
            while (elapsed := time.monotonic() - begun) < seconds:
                while number < elapsed * rate:
                    number += 1
                    made.append(pool.submit(self._call, str(number), self._chance.random()))
                self._stop.wait(0.01)
            for one in made:
                one.result()
        self._stop.set()
        for thread in beside:
            thread.join()

    def _call(self, call: str, drawn: float) -> None:
        chance = self._chance
        if drawn < 0.70:
            self._ask("call", chance.choice((NO_FAULT, NO_FAULT, IN_PIECES)), chance.choice(ALL_FORMS), call)
        elif drawn < 0.72:
            self._ask("long answer", LONG, chance.choice((SPEECH, STREAM)), call)
        elif drawn < 0.75:
            self._read_slowly(chance.choice((SPEECH, STREAM)), call)
        elif drawn < 0.85:
            self._hang_up(chance.choice(ALL_FORMS), call)
        else:
            self._ask("fault", *chance.choice(FAULTS_DRAWN), call)

    def _ask(self, what: str, fault: str, form: str, call: str) -> None:
        self.done[what] += 1
        seen = ask(self._chance.choice(self._clients), self._where.running.url, fault, form, call)
        self.asked.append((what, fault, seen))

    def _connect(self, fault: str, form: str, call: str) -> tuple[socket.socket, bytes]:
        """Return a connection and the bytes of a request."""
        where = urlsplit(self._where.running.url)
        path, body = request(form, f"{fault}|{form}|{call}")
        built = httpx.Request("POST", self._where.running.url + path, **body, headers={"x-hero-context": call})
        data = built.read()
        lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in built.headers.items()), "\r\n"]
        to, source = (where.hostname or "", where.port or 0), (self._chance.choice(ADDRESSES), 0)
        return socket.create_connection(to, PATIENCE_S, source), "\r\n".join(lines).encode() + data

    def _read_slowly(self, form: str, call: str) -> None:
        self.done["slow reader"] += 1
        connection, data = self._connect(LONG, form, call)
        with connection:
            connection.sendall(data)
            body = FAULTS[LONG].expected[form].delivers or b""
            got = b""
            while not got.endswith((b"\r\n0\r\n\r\n", body[-1000:])):
                more = connection.recv(32768)
                if not more:
                    self.wrong.append(f"{call}: a slow reader was cut off after {len(got)} bytes")
                    break
                got = got[-1000:] + more
                self._stop.wait(0.01)
        self.left.append((call, form))

    def _hang_up(self, form: str, call: str) -> None:
        self.done["hang-up"] += 1
        connection, data = self._connect(IN_PIECES, form, call)
        with connection, suppress(OSError):
            is_whole = self._chance.random() < 0.9
            if not is_whole:
                self.cut.add(call)
            connection.sendall(data if is_whole else data[: self._chance.randrange(len(data))])
            self._stop.wait(self._chance.random() * 0.08)
            if self._chance.random() < 0.5:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.left.append((call, form))

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_EVERY_S):
            self.samples.append(self.sample())

    def sample(self) -> Sample:
        """Return what the broker's process holds now."""
        pid = self._where.running.process.pid
        return Sample(memory_kb(pid), len(list(Path(f"/proc/{pid}/fd").iterdir())))

    def _ask_reports(self) -> None:
        url, client = self._where.running.url, self._where.client
        while not self._stop.wait(REPORTS_EVERY_S):
            label = {"target": self._chance.choice(ADDRESSES), "label": f"client {self._chance.randrange(100)}"}
            answers = [client.get(url + path) for path in ("/billing/usage", "/billing/requests", "/billing/verify")]
            answers.append(client.get(f"{url}/billing/report", params={"group_by": "model", "bucket": "hour"}))
            answers.append(client.put(f"{url}/admin/labels", json=label))
            self.done["report"] += 4
            self.done["label"] += 1
            self.wrong += [f"{answer.url}: {answer.status_code}" for answer in answers if answer.status_code != 200]

    def differences(self) -> Iterator[str]:
        """Yield what differs between the clients, the provider's books and the ledger."""
        rows = self._where.rows()
        saw = Counter(entry.call for entry in self._where.provider.entries)
        left = {call for call, _ in self.left}
        for call in saw.keys() | rows.keys():
            found_rows = rows.get(call, [])
            if call in left and not saw[call] and len(found_rows) == 1 and was_not_sent(found_rows[0]):
                continue
            if (saw[call], len(found_rows)) != (1, 1):
                yield f"{call}: the provider saw {saw[call]}, the ledger has {len(rows.get(call, []))} rows"
        for _, fault, seen in self.asked:
            for row in rows.get(seen.call, []):
                found = row_differences(seen, FAULTS[fault].expected[seen.form], row)
                yield from (f"{fault}, {seen.call}: {one}" for one in found)
            if seen.call not in rows:
                yield f"{fault}, {seen.call}: {seen.what}, without a row"
        for call, form in self.left:
            for row in rows.get(call, []):
                full = _full_cost(form) if saw[call] else 0
                # A provider may have heard the first part of a recording.
                is_right = row["cost_nano_usd"] == full or (call in self.cut and 0 < row["cost_nano_usd"] < full)
                if not is_right:
                    yield f"left, {form}, {call}: {row}"
        yield from books_differ(self._where, rows)


def _full_cost(form: str) -> int:
    return FIXED_COST.get(form) or cost(form, Charged(40, 0 if form == EMBEDDING else 3))


def _settled(soak: Soak) -> Sample:
    """Return what is held when nothing is being done, once it no longer becomes less."""
    waiter, least, since = threading.Event(), soak.sample(), time.monotonic()
    while time.monotonic() < since + 3:
        waiter.wait(0.2)
        if (now := soak.sample()).descriptors < least.descriptors:
            least, since = now, time.monotonic()
    return soak.sample()


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=float, default=30, help="calls a second")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        where = stack.enter_context(place(folder, f"sqlite:///{folder}/ledger.db", LONGER))
        with ExitStack() as connected:
            transports = [
                httpx.HTTPTransport(verify=False, local_address=address, limits=LIMITS) for address in ADDRESSES
            ]
            clients = [
                connected.enter_context(httpx.Client(transport=transport, timeout=PATIENCE_S))
                for transport in transports
            ]
            soak = Soak(where, clients, asked.seed)
            before = _settled(soak)
            soak.warm_up()
            soak.run(asked.minutes * 60, asked.rate)
        after = _settled(soak)
        raise SystemExit(_report(soak, where, before, after))


def _report(soak: Soak, where: Place, before: Sample, after: Sample) -> int:
    samples, size = soak.samples, max(1, int(len(soak.samples) * COMPARED))
    start = int(len(samples) * SETTLING)
    warm = statistics.median(sample.memory_kb for sample in samples[start : start + size])
    end = statistics.median(sample.memory_kb for sample in samples[-size:])
    growth = end / warm - 1
    waits = sorted(seen.seconds for what, _, seen in soak.asked if what == "call")
    wrong = [*soak.wrong, *soak.differences()]
    if growth >= MEMORY_GROWTH:
        wrong.append(f"memory grew by {growth:.1%}")
    if after.descriptors > before.descriptors + DESCRIPTORS_MORE:
        wrong.append(f"descriptors grew from {before.descriptors} to {after.descriptors}")
    rows = where.rows()
    outcomes = Counter(row["outcome"] for found in rows.values() for row in found)
    lines = [
        f"done: {dict(soak.done)}",
        f"rows: {sum(map(len, rows.values()))}, requests that the provider saw: {len(where.provider.entries)}",
        f"outcomes: {dict(outcomes)}",
        f"cost: {sum(row['cost_nano_usd'] for found in rows.values() for row in found)} nano-USD",
        f"calls for which nothing was to go wrong: median {statistics.median(waits) * 1000:.0f} ms,"
        f" 99 % within {waits[len(waits) * 99 // 100] * 1000:.0f} ms, slowest {waits[-1] * 1000:.0f} ms",
        f"memory: {before.memory_kb / 1000:.1f} MB at the start, {warm / 1000:.1f} MB after the warm-up,"
        f" {end / 1000:.1f} MB at the end, {max(sample.memory_kb for sample in samples) / 1000:.1f} MB at most:"
        f" {growth:+.1%}",
        f"memory, a value a minute, in MB: {', '.join(f'{one.memory_kb / 1000:.1f}' for one in samples[::60])}",
        f"descriptors: {before.descriptors} at rest before, {after.descriptors} after,"
        f" {max(sample.descriptors for sample in samples)} at most",
        *(f"WRONG {line}" for line in wrong[:50]),
        "FAIL" if wrong else "PASS",
    ]
    print("\n".join(lines))  # noqa: T201
    return int(bool(wrong))


if __name__ == "__main__":
    main()
