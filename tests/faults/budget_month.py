"""A month of calls under budgets by label, compared again and again with the report of the month, to the nano-dollar.

`python -m tests.faults.budget_month --calls 20000`. Providers misbehave, clients hang up, the broker is killed, three
addresses move to another label with what they have spent, clocks change, the month ends in one zone before it does in
another, and calls that begin in it end in the next.
"""

import argparse
import csv
import io
import os
import random
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from itertools import count
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx

from tests import forked
from tests.e2e.provider import DONE, HEAD, USAGE, Exchange, Provider, event
from tests.e2e_support import Broker, started_broker
from tests.faults.hostile_provider import HostileProvider, hostile_provider
from tests.faults.misbehaviour import FAULTS, IDLE_S, NO_FAULT, SILENT, STREAM, TOTAL_S, Fault, steps
from tests.faults.provider_faults import PATIENCE_S, SETTINGS, ask, request
from tests.faults.stepping_clock import step_clock
from tests.raw_clients import connected
from tests.raw_clients import request as raw_request
from tests.stores import query
from tests.waits import wait_until

NANO_USD = 1_000_000_000
ZONES = {"brussels": "Europe/Brussels", "kolkata": "Asia/Kolkata"}  # an hour changes in one, the other has half an hour
MACHINES = [f"10.77.{network}.{machine}" for network in (1, 2, 3) for machine in range(1, 11)]
LABELS = {"10.77.1.0/24": "research", "10.77.2.0/24": "design"}
MOVED = MACHINES[:3]  # from research to design
LATE_CALLS = 20
WORKERS = 8
LIMITED = "".join(
    f"""
[[limits]]
name = "{name}"
unit = "usd"
amount = 1000000000
window = "month"
tz = "{zone}"
per = ["label"]
"""
    for name, zone in ZONES.items()
)
CLOCK = Path(__file__).parent / "stepping_clock.py"


def _utc(month: int, day: int, hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, second, tzinfo=UTC)


# Of October in both zones.
BEFORE_THE_MOVE = (_utc(9, 30, 22, 0, 1), _utc(10, 4, 12), _utc(10, 9, 12))
BEFORE_THE_KILL = (_utc(10, 14, 12), _utc(10, 17, 12))
AFTER_THE_KILL = (_utc(10, 20, 12), _utc(10, 25, 0, 30), _utc(10, 25, 1, 30), _utc(10, 31, 18, 29, 50))
# The month has ended in Kolkata, and not in Brussels.
BETWEEN = (_utc(10, 31, 18, 30, 10), _utc(10, 31, 22, 59, 50))
NOVEMBER = (_utc(10, 31, 23, 0, 10), _utc(11, 2, 12))
MOMENTS = len(BEFORE_THE_MOVE + BEFORE_THE_KILL + AFTER_THE_KILL + BETWEEN + NOVEMBER)


def _quick_faults() -> list[Fault]:
    """Return the faults that wait for no time-out."""
    return [
        fault
        for name, fault in FAULTS.items()
        if not any(word in name for word in ("hang", "after [DONE]", "for ever", "slow", "drip"))
        and all(expected.code != SILENT for expected in fault.expected.values())
    ]


@dataclass(frozen=True, slots=True)
class MonthFound:
    """What was found in a month."""

    calls: int
    hung_up: int
    rows: int
    not_ok: int  # rows
    interrupted: int  # rows of calls that the kill ended
    late: int  # calls that ended in the month after
    moved_usd: Decimal  # that went to another label
    looks: int  # at a budget of a zone
    usd: Decimal  # of all rows
    differences: tuple[str, ...]


@dataclass
class Month:
    """A broker behind a proxy, whose wall clock is stepped, and what was found of it so far."""

    folder: Path
    provider: HostileProvider
    late_provider: Provider
    chance: random.Random
    running: Broker = field(init=False)
    hung_up: int = 0
    looks: int = 0
    differences: list[str] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)
    _faults: Sequence[Fault] = field(default_factory=_quick_faults)

    @property
    def database_url(self) -> str:
        """The ledger."""
        return f"sqlite:///{self.folder}/state/hero-broker.db"

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Run the broker for the time of the block."""
        arguments = ("--config", str(self.folder / "hero-broker.toml"))
        environ = {"STEPPING_CLOCK": str(self.folder / "clock")}
        with started_broker(self.folder / "state", *arguments, program=("-P", str(CLOCK)), **environ) as running:
            self.running = running
            yield

    def set_clock(self, now: datetime) -> None:
        """Step the clock of the broker, and of commands."""
        offset = round(now.timestamp() - datetime.now(UTC).timestamp())
        part = self.folder / "clock.part"
        part.write_text(str(offset))
        part.replace(self.folder / "clock")

    def call(self, calls: int) -> None:
        """Make calls of all machines, many at once; half of them meet a fault, and one client in ten hangs up."""
        with ThreadPoolExecutor(WORKERS) as pool, ExitStack() as stack:
            clients = [
                stack.enter_context(httpx.Client(timeout=PATIENCE_S, headers={"x-forwarded-for": machine}))
                for machine in MACHINES
            ]
            for made in [pool.submit(self._call, clients, self.chance.random()) for _ in range(calls)]:
                made.result()

    def _call(self, clients: Sequence[httpx.Client], chance: float) -> None:
        number = next(self._numbers)
        fault = self._faults[number % len(self._faults)] if number % 2 else FAULTS[NO_FAULT]
        form = list(fault.expected)[number // 2 % len(fault.expected)]
        if chance < 0.1:
            self._hang_up(number, chance)
        else:
            ask(clients[number % len(clients)], self.running.url, fault.name, form, f"call-{number}")

    def _hang_up(self, number: int, chance: float) -> None:
        """Hang up after the request, or after the first bytes of the response."""
        path, body = request(STREAM, f"{NO_FAULT}|{STREAM}|left-{number}")
        headers = {"x-forwarded-for": MACHINES[number % len(MACHINES)], "x-hero-context": f"left-{number}"}
        with connected(self.running.url) as connection:
            connection.sendall(raw_request(path, httpx.Request("POST", "http://b", **body).content, headers=headers))
            if chance < 0.05:
                connection.recv(100)
        self.hung_up += 1

    def begin_late(self, pool: ThreadPoolExecutor) -> list[Exchange]:
        """Begin calls that do not end yet."""
        for number in range(LATE_CALLS):
            pool.submit(self._late_call, number)
        return [self.late_provider.accept() for _ in range(LATE_CALLS)]

    def _late_call(self, number: int) -> None:
        messages = [{"role": "user", "content": "late"}]
        headers = {"x-forwarded-for": MACHINES[number], "x-hero-context": f"late-{number}"}
        body = {"model": "late", "messages": messages, "stream": True}
        with httpx.Client(base_url=self.running.url, timeout=60, headers=headers) as client:
            client.post("/v1/chat/completions", json=body).raise_for_status()

    def label(self, target: str, label: str) -> None:
        """Give an address or a network a label."""
        url = f"{self.running.url}/admin/labels"
        httpx.put(url, params={"target": target}, json={"label": label}).raise_for_status()

    def used(self, name: str) -> tuple[dict[str, int], int]:
        """Return what a budget says that each label has used, in nano-USD, and what is held."""
        response = httpx.get(f"{self.running.url}/admin/limits/{name}/status", params={"limit": 100}, timeout=60)
        subjects = response.raise_for_status().json(parse_float=Decimal)["data"]
        used = {one["subject"]["label"] or "": int(one["used"] * NANO_USD) for one in subjects if one["used"]}
        return used, sum(one["held"] for one in subjects)

    def reported(self, zone: str, at: datetime) -> dict[str, int]:
        """Return what the report of the month of a time says, in nano-USD by label."""
        environ = {**os.environ, "HERO_BROKER_URL": self.running.url}
        month = f"{at.astimezone(ZoneInfo(zone)):%Y-%m}"
        arguments = ("usage", "--by", "label", "--month", month, "--tz", zone, "--csv")
        ended = forked.run(arguments, environ, self.folder, prepare=partial(step_clock, str(self.folder / "clock")))
        assert ended.returncode == 0, ended.stderr
        lines = csv.DictReader(io.StringIO(ended.stdout))
        sums = {line["label"]: int(Decimal(line["total_cost_usd"]) * NANO_USD) for line in lines}
        return {label: cost for label, cost in sums.items() if cost}

    def settle(self) -> None:
        """Wait until no call is in flight and every row is in the store."""
        with httpx.Client(base_url=self.running.url, timeout=60) as client:
            wait_until(lambda: not client.get("/admin/health").json()["journal_open_calls"], within_s=60)
        self.running.usage()

    def look(self, at: datetime, *, held: bool = False) -> None:
        """Compare every budget with the report of its month."""
        for name, zone in ZONES.items():
            self.looks += 1
            used, holds = self.used(name)
            reported = self.reported(zone, at)
            if used != reported or bool(holds) != held:
                self.differences.append(f"{at} {name}: used {used}, held {holds}, reported {reported}")

    def live(self, moments: Sequence[datetime], calls: int) -> None:
        """Make so many calls at each of some moments, and compare after each."""
        for at in moments:
            self.set_clock(at)
            self.call(calls)
            self.settle()
            self.look(at)


@contextmanager
def month(folder: Path, seed: int) -> Iterator[Month]:
    """Prepare a month: its settings, and its providers."""
    with hostile_provider(steps) as provider, Provider() as late_provider:
        (folder / "clock").write_text("0")
        settings = SETTINGS.replace("[server]\n", '[server]\ntrusted_proxies = ["127.0.0.1"]\n')
        late = (
            f'[[providers]]\nname = "late"\nbase_url = "{late_provider.url}"\napi_keys = ["sk-late"]\n'
            '[[models]]\nname = "late"\nkind = "chat"\nprovider = "late"\n'
            "price = { input_per_million = 0.59, output_per_million = 0.79 }\n"
        )
        patient = settings.replace(f"= {IDLE_S}\n", "= 60\n").replace(f"= {TOTAL_S}\n", "= 600\n")  # for late calls
        text = patient.replace("PORT", str(provider.port)) + late + LIMITED
        (folder / "hero-broker.toml").write_text(text)
        yield Month(folder, provider, late_provider, random.Random(seed))  # noqa: S311 - it chooses faults


def run(folder: Path, calls: int, seed: int = 1) -> MonthFound:
    """Live a month with so many calls, and return what was found."""
    each = calls // MOMENTS
    with month(folder, seed) as one:
        with one.serving():
            for target, label in LABELS.items():
                one.label(target, label)
            one.set_clock(BEFORE_THE_MOVE[0])
            one.call(len(MACHINES))
            one.settle()
            wait_until(lambda: len(one.used("brussels")[0]) == len({*LABELS.values(), ""}))  # the labels are in force
            one.live(BEFORE_THE_MOVE, each)
            before = one.used("brussels")[0]
            for machine in MOVED:
                one.label(machine, "design")
            wait_until(lambda: one.used("brussels")[0]["research"] < before["research"])
            at = BEFORE_THE_MOVE[-1]
            wait_until(lambda: one.used("brussels")[0] == one.reported(ZONES["brussels"], at))
            moved = before["research"] - one.used("brussels")[0]["research"]
            one.look(at)
            one.live(BEFORE_THE_KILL, each)
            with ThreadPoolExecutor(LATE_CALLS) as pool:
                exchanges = one.begin_late(pool)
                one.look(BEFORE_THE_KILL[-1], held=True)
                os.kill(one.running.process.pid, signal.SIGKILL)
                for exchange in exchanges:
                    exchange.end()
            one.running.process.wait(30)
        with one.serving():
            one.settle()
            one.look(BEFORE_THE_KILL[-1])
            one.live(AFTER_THE_KILL + BETWEEN, each)
            with ThreadPoolExecutor(LATE_CALLS) as pool:
                exchanges = one.begin_late(pool)
                one.set_clock(NOVEMBER[0])
                one.call(each)
                for exchange in exchanges:
                    exchange.send(HEAD + event("late") + USAGE + DONE)
                    exchange.end()
            one.settle()
            one.look(NOVEMBER[0])
            one.live(NOVEMBER[1:], each)
            one.set_clock(BETWEEN[-1])  # the month before is kept: with the calls that ended after it
            one.look(BETWEEN[-1])
            differences = httpx.get(f"{one.running.url}/billing/verify", timeout=60).json()["data"]["differences"]
            if differences:
                one.differences.append(f"billing.verify finds {differences} differences")
        rows = query(
            one.database_url, "SELECT outcome, context, started_at, coalesce(cost_nano_usd, 0) FROM request_logs"
        )
        return MonthFound(
            calls=len(MACHINES) + each * MOMENTS + 2 * LATE_CALLS,
            hung_up=one.hung_up,
            rows=len(rows),
            not_ok=sum(outcome != "ok" for outcome, *_ in rows),
            interrupted=sum(outcome == "interrupted" for outcome, *_ in rows),
            late=sum((name or "").startswith("late") and at > AFTER_THE_KILL[0].timestamp() for _, name, at, _ in rows),
            moved_usd=Decimal(moved) / NANO_USD,
            looks=one.looks,
            usd=Decimal(sum(cost for *_, cost in rows)) / NANO_USD,
            differences=tuple(one.differences),
        )


def main() -> None:
    """Print what was found; exit with 1 if a budget said something else than its report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1, help="of the faults and hang-ups")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), asked.calls, asked.seed)
    print(found)  # noqa: T201
    sys.exit(bool(found.differences))


if __name__ == "__main__":
    main()
