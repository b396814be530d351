"""Run every fault of clients at full size, and print a table of figures. `python -m tests.faults.client_faults`.

Everything is on loopback and bounded in count and time; it takes some six minutes. The hard limit of open files bounds
the number of connections.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hero_broker.store.database import open_database
from tests.faults.client_faults import crowds, leaving, sending, taking
from tests.faults.client_faults.scenes import MIB, Books, Scene, compare, scene
from tests.ledger.rows import row

ROWS = 30_000  # of the ledger that is exported
SERVER = "body_timeout_s = 10\ntrusted_proxies = []\n"
IDLE = "[upstream]\nidle_timeout_s = 10\n"
MOST_GROWTH = 40 * MIB


class Table:
    """Prints a line for each fault, and remembers whether all went as it should."""

    def __init__(self) -> None:
        self.is_right = True

    def add(self, fault: str, figures: str, *, is_right: bool) -> None:
        """Print one fault's figures."""
        self.is_right &= is_right
        print(f"| {fault} | {figures} | {'right' if is_right else 'WRONG'} |", flush=True)  # noqa: T201

    def books(self, fault: str, found: Books) -> None:
        """Print the books after a fault."""
        figures = (
            f"{found.rows} rows, {found.seen} calls seen by the provider, {found.estimated} estimated; "
            f"{found.without_row} without a row, {found.doubled} doubled, {found.wrong} wrong; "
            f"{found.unasked} of calls that were not sent, {found.unseen} billed that the provider did not see"
            f"{''.join(f'; {line}' for line in found.limits)}"
        )
        self.add(f"books after {fault}", figures, is_right=found.are_right)


def left(table: Table, at: Scene) -> None:
    """Clients leave."""
    for reset in (False, True):
        word = "a reset" if reset else "an end"
        count = leaving.leave_anywhere(at, 50, reset=reset)
        slowest = max(at.timed_calls(10, f"after-{word[2:]}"))
        table.add(f"leaves at any point, by {word}", f"{count} times; next call {_ms(slowest)}", is_right=slowest < 1)
        table.books(f"leaving by {word}", compare(at))
    found = leaving.hang_up(at, 1000)
    figures = f"slowest of the next 10 calls {_ms(found.slowest_next_s)}"
    table.add("1,000 quick hang-ups", figures, is_right=found.slowest_next_s < 1)
    table.books("hanging up", compare(at))


def sent(table: Table, at: Scene) -> None:
    """Clients send what they should not."""
    call = at.call("half", words=400)
    for name, start, drip in (
        ("sends nothing", b"", b""),
        ("sends half a head", call[:80], b""),
        ("drips a head", b"GET /", b"a"),
        ("sends half a body", call[:-20], b""),
        ("drips a body", call[:-400], b" "),
    ):
        found = sending.half_sent(at, start, 100, drip)
        figures = f"{found.count} of 100 closed after {found.last_s:.1f} s; memory +{found.growth / MIB:.1f} MiB"
        is_right = found.count == 100 and found.last_s < 20 and found.growth < MOST_GROWTH
        table.add(f"100 connections, each {name}", figures, is_right=is_right)
    for name, flood in (
        ("50 MB with a length, to 7 paths", sending.long_bodies(at, 50_000_000, has_length=True)),
        ("50 MB in chunks, to 7 paths", sending.long_bodies(at, 50_000_000, has_length=False)),
        ("1 GB in chunks, to 7 paths", sending.long_bodies(at, 1_000_000_000, has_length=False)),
        ("endless heads, trailers and chunk extensions, 7 kinds", sending.long_heads(at, 1_000_000_000)),
    ):
        statuses = ", ".join(f"{count}x {status or 'closed'}" for status, count in sorted(flood.statuses.items()))
        figures = f"{statuses}; at most {flood.most_sent / 1e6:.1f} MB taken, {flood.slowest_s:.1f} s; "
        figures += f"memory +{flood.growth / MIB:.1f} MiB"
        table.add(name, figures, is_right=flood.growth < MOST_GROWTH and flood.slowest_s < 20)
    found_shapes = sending.smuggle(at)
    figures = ", ".join(f"{count}x {answer}" for answer, count in found_shapes.items())
    table.add("smuggling shapes", figures, is_right=set(found_shapes) == {"1 answer: 400"})
    answers, in_order = sending.ahead(at, 100)
    table.add("100 calls sent ahead", f"{answers} answers, {in_order} in order", is_right=in_order == 100)
    table.books("sending", compare(at))


def taken(table: Table, at: Scene) -> None:
    """Clients take nothing, or little at a time."""
    for name, question in taking.questions(at, "none").items():
        found = taking.take(at, question, 0, watch_s=20)
        figures = f"cut after {found.seconds:.1f} s; memory +{found.growth / MIB:.1f} MiB"
        table.add(f"takes nothing of a {name}", figures, is_right=found.was_cut)
    for name, question in taking.questions(at, "slow").items():
        found = taking.take(at, question, 10_000, watch_s=15)
        figures = f"{found.bytes_taken / 1000:.0f} kB in {found.seconds:.1f} s; memory +{found.growth / MIB:.1f} MiB"
        table.add(f"takes 10 kB/s of a {name}", figures, is_right=not found.was_cut)
    slowest = max(at.timed_calls(10, "after-taking"))
    table.add("calls after that", f"slowest of 10 {_ms(slowest)}", is_right=slowest < 1)
    table.books("taking", compare(at, is_whole=False))


def crowded(table: Table, at: Scene, most: int) -> None:
    """Connections by the thousand."""
    for count in dict.fromkeys((min(10_000, most), most)):
        found = crowds.crowd(at, count)
        figures = (
            f"{found.held} held, {found.bytes_each / 1000:.1f} kB each; call {_ms(found.call_beside_s)} beside them, "
            f"{_ms(found.call_without_s)} without; {found.idle_cpu:.1%} of a core while idle"
        )
        is_right = found.bytes_each < 10_000 and found.call_beside_s < 2 * found.call_without_s
        table.add(f"{count} connections that send nothing", figures, is_right=is_right)
    table.books("crowds", compare(at))


@contextmanager
def quiet(at: Scene, table: Table) -> Iterator[None]:
    """After the block, end the broker and count what it logged."""
    yield
    at.running.process.terminate()
    at.running.process.wait(timeout=60)
    logged = at.running.log
    lines = logged.splitlines()
    figures = f"{len(lines)} lines since the start" + "".join(f"; {line}" for line in lines[-2:])
    table.add("log", figures, is_right=len(lines) < 50 and "Traceback" not in logged)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def main() -> None:
    """Run them all; exit with 1 if anything is wrong."""
    table = Table()
    most = crowds.most_of_this_process()
    print("| Fault | Figures | |\n| --- | --- | --- |")  # noqa: T201
    with tempfile.TemporaryDirectory(prefix="hb-") as text:
        folder = Path(text)
        with scene(folder / "a", SERVER) as at, quiet(at, table):
            left(table, at)
            sent(table, at)
        url = f"sqlite:///{folder}/exported.db"
        with open_database(url) as database:
            database.append([row(ip="192.0.2.1") for _ in range(ROWS)], [])
        with scene(folder / "b", SERVER, url, more=IDLE) as at, quiet(at, table):
            taken(table, at)
        with scene(folder / "c", "header_timeout_s = 600\n") as at, quiet(at, table):
            crowded(table, at, most)
    sys.exit(not table.is_right)


if __name__ == "__main__":
    main()
