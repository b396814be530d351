"""Kill a broker under load, start it again, compare the books. `python -m tests.faults.kill_under_load --rounds 20`."""

import argparse
import random
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.e2e_support import broker
from tests.faults.calls import COST, is_answered, make_call
from tests.stores import query

CLIENTS = 8


@dataclass(frozen=True, slots=True)
class Books:
    """What the clients saw, against what the ledger has."""

    rounds: int
    answered: int
    rows: int
    interrupted: int
    without_row: int
    doubled: int
    cost_wrong: int
    integrity: str


def _calls_until_killed(url: str, answered: list[str], enough: threading.Event, after: int) -> None:
    number = 0
    try:
        with httpx.Client(base_url=url) as client:
            while True:
                number += 1
                told = make_call(client, number)
                if is_answered(told):
                    answered.append(told.headers["x-request-id"])
                if len(answered) >= after:
                    enough.set()
    except httpx.TransportError:
        return


def run(state: Path, url: str, rounds: int, most_answers: int = 150) -> Books:
    """Kill a broker `rounds` times, each after a random number of answers, and return the books."""
    answered: list[str] = []
    chance = random.Random(rounds)  # noqa: S311 - it chooses moments, not secrets
    for _ in range(rounds):
        with broker(state, HERO_BROKER_DATABASE_URL=url) as running:
            enough = threading.Event()
            after = len(answered) + chance.randint(1, most_answers)
            arguments = (running.url, answered, enough, after)
            clients = [threading.Thread(target=_calls_until_killed, args=arguments) for _ in range(CLIENTS)]
            for client in clients:
                client.start()
            enough.wait(30)
            running.process.kill()
            running.process.wait()
            for client in clients:
                client.join()
    with broker(state, HERO_BROKER_DATABASE_URL=url) as running:
        running.usage()
    rows = query(url, "SELECT request_id, outcome, cost_nano_usd FROM request_logs")
    integrity = query(url, "PRAGMA integrity_check")[0][0] if url.startswith("sqlite") else "ok"
    times = Counter(request_id for request_id, _, _ in rows)
    costs = {request_id: cost for request_id, _, cost in rows}
    return Books(
        rounds=rounds,
        answered=len(answered),
        rows=len(rows),
        interrupted=sum(outcome == "interrupted" for _, outcome, _ in rows),
        without_row=sum(request_id not in times for request_id in answered),
        doubled=sum(count > 1 for count in times.values()),
        cost_wrong=sum(costs.get(request_id) != COST for request_id in answered),
        integrity=integrity,
    )


def main() -> None:
    """Print the books after so many rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--answers", type=int, default=150, help="kill after at most so many answers")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(run(Path(folder) / "state", f"sqlite:///{folder}/ledger.db", asked.rounds, asked.answers))  # noqa: T201


if __name__ == "__main__":
    main()
