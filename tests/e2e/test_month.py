"""From the first call of a month to its statement: 30 machines, three departments, one close, and what comes late."""

import csv
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import cycle
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest

from hero_broker.core.addresses import ip_key
from hero_broker.store.database import open_database
from tests import forked
from tests.e2e_support import Broker, chat, started_broker
from tests.faults.stepping_clock import step_clock
from tests.ledger.rows import row
from tests.waits import wait_until

ZURICH = ZoneInfo("Europe/Zurich")
CALL_USD = Decimal("0.00002597")
LABELS = "target,label\n10.77.1.0/24,Research\n10.77.2.0/24,Design\n"
MACHINES = [f"10.77.{network}.{machine}" for network in (1, 2, 3) for machine in range(1, 11)]
NOVEMBER_CALLS, DECEMBER_CALLS, LATE_CALLS = 679, 36, 10
CLOCK = Path(__file__).parents[1] / "faults" / "stepping_clock.py"
NOON = datetime(2026, 12, 1, 12, tzinfo=ZURICH)


@dataclass
class Gateway:
    """A broker behind a proxy, whose wall clock the test sets, as that of its commands."""

    running: Broker
    folder: Path
    machines: Iterator[str]

    def set_clock(self, now: datetime) -> None:
        offset = now.timestamp() - datetime.now(ZURICH).timestamp()
        (self.folder / "clock").write_text(str(round(offset)))

    def call(self, client: httpx.Client, count: int) -> None:
        for _ in range(count):
            headers = {"x-forwarded-for": next(self.machines)}
            client.post("/v1/chat/completions", json=chat(), headers=headers).raise_for_status()

    def run(self, *arguments: str) -> str:
        environ = {**os.environ, "HERO_BROKER_URL": self.running.url}
        ended = forked.run(arguments, environ, self.folder, prepare=partial(step_clock, str(self.folder / "clock")))
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def csv(self, *arguments: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.run(*arguments, "--csv"))))


@contextmanager
def gateway(folder: Path) -> Iterator[Gateway]:
    (folder / "hero-broker.toml").write_text(
        '[server]\ntrusted_proxies = ["127.0.0.1"]\n[statements]\nfrom = "Gateway Ltd"\n'
    )
    (folder / "departments.csv").write_text(LABELS)
    (folder / "clock").write_text("0")
    environ = {"STEPPING_CLOCK": str(folder / "clock")}
    arguments = ("--config", str(folder / "hero-broker.toml"))
    with started_broker(folder / "state", *arguments, program=("-P", str(CLOCK)), **environ) as running:
        yield Gateway(running, folder, cycle(MACHINES))


def make_november(one: Gateway) -> None:
    with httpx.Client(base_url=one.running.url) as client:
        for day in range(1, 31):
            one.set_clock(datetime(2026, 11, day, 12, tzinfo=ZURICH))
            one.call(client, 22 + (day < 19))
        one.set_clock(datetime(2026, 12, 1, tzinfo=ZURICH) - timedelta(seconds=30))
        one.call(client, 1)


def make_december_morning(one: Gateway) -> None:
    with httpx.Client(base_url=one.running.url) as client:
        one.set_clock(datetime(2026, 12, 1, tzinfo=ZURICH) + timedelta(seconds=1))
        one.call(client, 1)
        one.set_clock(NOON - timedelta(hours=3))
        one.call(client, DECEMBER_CALLS - 1)


def arrive_late(folder: Path) -> None:
    """Record calls of November, as a broker does that was cut off from the database."""
    at = int(datetime(2026, 11, 28, tzinfo=ZURICH).timestamp())
    call = {"model": "fake-chat", "provider": "fake", "cost_nano_usd": 25_970, "started_at": at}
    rows = [row(ip=ip, ip_key=ip_key(ip), **call) for ip in MACHINES[:LATE_CALLS]]
    with open_database(f"sqlite:///{folder}/state/hero-broker.db") as database:
        database.append(rows, [])


def statements(one: Gateway, folder: str) -> dict[str, bytes]:
    one.run("statement", "--month", "2026-11", "--all", "--to", folder)
    return {path.name: path.read_bytes() for path in (one.folder / folder).iterdir()}


def sums(lines: list[dict[str, str]], name: str) -> dict[str, tuple[int, Decimal]]:
    return {line[name]: (int(line["requests"]), Decimal(line["total_cost_usd"])) for line in lines}


@pytest.mark.slow
def test_month_is_closed_at_noon_of_the_first_and_its_statements_stay(tmp_path: Path) -> None:
    with gateway(tmp_path) as one:
        make_november(one)
        make_december_morning(one)
        one.set_clock(NOON)
        wait_until(lambda: one.running.usage()["totals"]["requests"] == NOVEMBER_CALLS + DECEMBER_CALLS)
        one.run("labels", "import", "departments.csv")
        closed = one.run("close", "2026-11", "--tz", "Europe/Zurich", "--yes")
        again = one.run("close", "2026-11", "--tz", "Europe/Zurich", "--yes")
        by_label = one.csv("usage", "--by", "label", "--where", "period=2026-11")
        first = statements(one, "first")

        (tmp_path / "departments.csv").write_text(LABELS.replace("Design", "Studio").replace(".1.0/24,R", ".3.0/24,R"))
        one.run("labels", "remove", "10.77.1.0/24")
        one.run("labels", "import", "departments.csv")
        arrive_late(tmp_path)
        second = statements(one, "second")
        same = one.csv("usage", "--by", "label", "--where", "period=2026-11")
        window = one.csv("usage", "--by", "label", "--month", "2026-11", "--tz", "Europe/Zurich")

        one.set_clock(datetime(2027, 1, 2, tzinfo=ZURICH))
        december = one.run("close", "2026-12", "--tz", "Europe/Zurich", "--yes")
        periods = json.loads(one.run("periods", "--json"))["data"]
        late = one.run(
            "requests", "--where", "period=2026-12", "--until", "2026-12-01", "--tz", "Europe/Zurich", "--json"
        )
        focus = list(csv.DictReader(io.StringIO(one.run("usage", "--focus", "--where", "period=2026-11"))))
        unbilled = json.loads(one.run("unbilled", "--json"))["data"]
        verified = one.run("verify")

    assert [line.split() for line in closed.splitlines()[2:5]] == [
        ["in", "the", "period", "679", str(679 * CALL_USD)],
        ["of", "these", "late", "0", "0.00000000"],
        ["held", "over", "36", str(36 * CALL_USD)],
    ]
    assert again.splitlines()[:-1] == closed.splitlines()[:-1]
    assert again.endswith("Nothing was changed.\n")
    assert sums(by_label, "label") == {
        "Research": (230, 230 * CALL_USD),
        "Design": (229, 229 * CALL_USD),
        "": (220, 220 * CALL_USD),
    }
    assert same == by_label
    assert first == second
    assert len(first) == 3
    assert all(b"Gateway Ltd" in page for page in first.values())
    assert sums(window, "label") == {
        "": (240, 240 * CALL_USD),
        "Studio": (229, 229 * CALL_USD),
        "Research": (220, 220 * CALL_USD),
    }
    assert december.splitlines()[2].split()[-2:] == [str(DECEMBER_CALLS + LATE_CALLS), str(46 * CALL_USD)]
    assert [(period["late_requests"], period["held_over_requests"]) for period in periods] == [(0, 36), (10, 0)]
    assert len(late.splitlines()) == LATE_CALLS
    assert sum(Decimal(line["BilledCost"]) for line in focus) == NOVEMBER_CALLS * CALL_USD
    assert sum(int(line["x_Requests"]) for line in focus) == NOVEMBER_CALLS
    assert {line["x_Label"] for line in focus} == {"Research", "Design", ""}
    assert unbilled["totals"]["requests"] == 0
    assert verified == f"{NOVEMBER_CALLS + DECEMBER_CALLS + LATE_CALLS} rows, 0 differences\n"
