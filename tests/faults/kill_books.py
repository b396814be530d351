"""Kill who folds and who bills, compare the books. `python -m tests.faults.kill_books --rounds 200`."""

import argparse
import asyncio
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise

from hero_broker.core.clock import SystemClock
from hero_broker.reports.billing_periods import Books
from hero_broker.store.database import open_database
from tests.stores import postgres, query

EMPTY_ROUNDS = 20  # at most, after the others, if the bookkeepers were killed before they had written anything
ROLES = ("fold", "mark", "close", "close")


@dataclass(frozen=True, slots=True)
class Found:
    """What the books look like after all kills."""

    rounds: int
    rows: int
    folded: int
    generations: int
    differences: int  # between rows, roll-ups and periods, in all rounds
    periods: int
    closed_periods: int  # of them, by time
    lost_periods: int  # that a bookkeeper was told are recorded, and are not
    gaps: int  # between neighbouring periods; rows in none or in two
    uncounted: int  # rows that are neither in a period nor unbilled


def _round(url: str, seconds: float, told: list[str]) -> None:
    command = [sys.executable, "-m", "tests.faults.bookkeeper", url]
    keepers = [subprocess.Popen([*command, role], stdout=subprocess.PIPE, text=True) for role in ROLES]
    try:
        for keeper in keepers:
            assert keeper.stdout is not None
            assert keeper.stdout.readline() == "begun\n"
        time.sleep(seconds)  # the moment of the kill is what the test varies
    finally:
        for keeper in keepers:
            keeper.kill()
            out, _ = keeper.communicate()
            told.extend(line for line in out.split("\n")[:-1])


def run(url: str, rounds: int) -> Found:
    """Kill all bookkeepers `rounds` times, verify after each, and return what was found."""
    chance = random.Random(rounds)  # noqa: S311 - it chooses moments, not secrets
    told: list[str] = []
    differences = 0
    for number in range(rounds + EMPTY_ROUNDS):
        if number >= rounds and query(url, "SELECT folded_seq FROM rollup_state WHERE state = 'active'")[0][0]:
            break
        _round(url, chance.uniform(0.02, 0.4), told)
        with open_database(url) as database:
            differences += asyncio.run(Books(database, SystemClock()).verify(None, None)).differences
    with open_database(url) as database:
        unbilled, _ = asyncio.run(Books(database, SystemClock()).unbilled())
    periods = query(url, "SELECT reference, from_seq, to_seq, requests, until FROM billing_periods ORDER BY number")
    bounds = [(0, 0), *((first, last) for _, first, last, *_ in periods)]
    rows = query(url, "SELECT count(*) FROM request_logs")[0][0]
    state = query(url, "SELECT folded_seq, generation FROM rollup_state WHERE state = 'active'")[0]
    return Found(
        rounds=rounds,
        rows=rows,
        folded=state[0],
        generations=state[1],
        differences=differences,
        periods=len(periods),
        closed_periods=sum(until is not None for *_, until in periods),
        lost_periods=len(set(told) - {reference for reference, *_ in periods}),
        gaps=sum(following[0] != one[1] + 1 for one, following in pairwise(bounds)),
        uncounted=rows - sum(requests for *_, requests, _ in periods) - unbilled.totals.requests,
    )


def main() -> None:
    """Print what was found after so many rounds on each store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, postgres() as server:
        print("sqlite", run(f"sqlite:///{folder}/ledger.db", asked.rounds), flush=True)  # noqa: T201
        print("postgresql", run(server.new_database(), asked.rounds))  # noqa: T201


if __name__ == "__main__":
    main()
