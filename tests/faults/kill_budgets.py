"""Kill a broker that spends a budget until the budget is spent, and compare what it counts with the ledger.

`python -m tests.faults.kill_budgets --rounds 100` spends 100 budgets in each of two ways.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path

import httpx

from tests.e2e_support import Broker, broker
from tests.faults.client_faults.counting_provider import counting_provider
from tests.stores import query

NANO_USD = 1_000_000_000
HOLD = NANO_USD // 50  # of each call, in nano-USD
CALLS = 200  # at once
MOST_KILLS = 6  # of one round; what is left then is spent without a kill
MOST_ANSWERS = 30  # before a kill
MOST_PAUSE_S = 0.02  # from there on; without any answers, from the first response, as a rule that of a refused call
SPREAD_S = 0.5  # of the calls of every second kill; the others are all at once
TOKENS = 20  # that cost as much as a call holds
MORE_TOKENS = 35  # that one call in ten uses
BUDGET = """
[[limits]]
name = "dollar"
unit = "usd"
amount = 1
window = "ever"
hold = "{hold}"
per = ["ip"]
"""
FOR_EACH_CALL = """
[[models]]
name = "m"
provider = "fake"
upstream_model = "fake-chat"
[models.price]
per_request = 0.02
"""
FOR_OUTPUT = """
[[providers]]
name = "p"
base_url = "{url}"
api_keys = ["sk-provider-key"]
[[models]]
name = "m"
kind = "chat"
provider = "p"
[models.price]
input_per_million = 0
output_per_million = 1000
"""


@dataclass(frozen=True, slots=True)
class Spending:
    """What was found in all rounds."""

    rounds: int
    kills: int
    rows: int
    paid: int  # rows that cost money
    interrupted: int
    overshoots: int  # rows that cost more than their call held
    most_excess_usd: float  # over the amount, of one budget
    exceeded: int  # budgets that exceed their amount by more than their rows exceed what was held
    disagreements: int  # how often, after a start or in the end, a budget said something else than its rows
    unspent: int  # budgets whose rest could not be spent
    admitted: int  # budgets that admitted another call in the end
    without_row: int  # calls that were answered

    @property
    def is_right(self) -> bool:
        """Whether every budget held, and said what its rows say."""
        wrong = self.exceeded + self.disagreements + self.unspent + self.admitted + self.without_row
        return not wrong and self.kills > 0

    def plus(self, other: "Spending") -> "Spending":
        """Return what was found in both."""
        sums = {one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(self)}
        return Spending(**{**sums, "most_excess_usd": max(self.most_excess_usd, other.most_excess_usd)})


@contextmanager
def worst(folder: Path) -> Iterator[Path]:
    """Write settings in which each call costs what it holds."""
    path = folder / "hero-broker.toml"
    path.write_text(FOR_EACH_CALL + BUDGET.format(hold="worst"))
    yield path


@contextmanager
def safe(folder: Path) -> Iterator[Path]:
    """Write settings in which one call in ten costs more than it holds."""
    with counting_provider() as provider:
        path = folder / "hero-broker.toml"
        path.write_text(FOR_OUTPUT.format(url=provider.url) + BUDGET.format(hold="safe"))
        yield path


HOLDS = {"worst": worst, "safe": safe}


class Killing:
    """Kills a broker at a moment of chance: after some answers, and a pause."""

    def __init__(self, running: Broker, chance: random.Random) -> None:
        self._running = running
        self._more = chance.choice([0, chance.randint(1, MOST_ANSWERS)])
        self._timer = threading.Timer(chance.uniform(0, MOST_PAUSE_S), running.process.kill)

    def saw(self, response: httpx.Response) -> None:
        """Count a response; begin the pause if it is time."""
        self._more -= response.status_code == 200
        if self._more <= 0 and self._timer.ident is None:
            self._timer.start()

    def end(self) -> None:
        """Return when the broker is dead."""
        if self._timer.ident is None:  # too little was left for so many answers
            self._timer.start()
        self._timer.join()
        self._running.process.wait(30)


class Round:
    """One budget, from the first call to the last."""

    def __init__(self, folder: Path, settings: Path, chance: random.Random) -> None:
        self._folder, self._settings, self._chance = folder, settings, chance
        self._url = f"sqlite:///{folder}/ledger.db"
        self._numbers = 0
        self._answered: list[str] = []
        self._kills = self._disagreements = self._overshoots = 0

    def run(self) -> Spending:
        """Spend the budget, and return what was found."""
        while self._kills < MOST_KILLS and not self._is_spent_after_a_kill():
            continue
        with self._broker() as running:
            before = self._compare(running)
            responses = self._call(running, CALLS)
            while _codes(responses)["200"]:
                responses = self._call(running, CALLS)
            again = _codes(self._call(running, 1))
            overshoots = self._compare(running) - before
        rows = self._rows()
        # A budget counts the calls that used more than they held since the start: those of earlier brokers are gone.
        self._disagreements += overshoots != self._overshoots
        costs = [cost for _, _, cost in rows]
        beyond = sum(max(0, cost - HOLD) for cost in costs)
        request_ids = {request_id for request_id, _, _ in rows}
        return Spending(
            rounds=1,
            kills=self._kills,
            rows=len(rows),
            paid=sum(cost > 0 for cost in costs),
            interrupted=sum(outcome == "interrupted" for _, outcome, _ in rows),
            overshoots=sum(cost > HOLD for cost in costs),
            most_excess_usd=max(0, sum(costs) - NANO_USD) / NANO_USD,
            exceeded=sum(costs) > NANO_USD + beyond,
            disagreements=self._disagreements,
            unspent=sum(costs) <= NANO_USD - HOLD,
            admitted=again != {"402 budget_exceeded": 1},
            without_row=sum(request_id not in request_ids for request_id in self._answered),
        )

    def _is_spent_after_a_kill(self) -> bool:
        """Kill the broker while it answers; return whether nothing was left when it began."""
        with self._broker() as running:
            self._compare(running)
            if sum(cost for *_, cost in self._rows()) >= NANO_USD:
                return True
            killing = Killing(running, self._chance)
            self._call(running, CALLS, killing, self._chance.choice([0, SPREAD_S]))
            killing.end()
        self._kills += 1
        return False

    def _broker(self) -> AbstractContextManager[Broker]:
        return broker(self._folder / "state", "--config", str(self._settings), HERO_BROKER_DATABASE_URL=self._url)

    def _call(
        self, running: Broker, count: int, killing: Killing | None = None, spread_s: float = 0
    ) -> list[httpx.Response]:
        """Make calls at the same time, or spread over some seconds; return the responses of those that got one."""
        bodies = [self._body() for _ in range(count)]
        responses = asyncio.run(_responses(running.url, bodies, killing, spread_s))
        self._answered += [one.headers["x-request-id"] for one in responses if one.status_code == 200]
        return responses

    def _body(self) -> Mapping[str, object]:
        self._numbers += 1
        tokens = MORE_TOKENS if self._numbers % 10 == 0 else TOKENS
        messages = [{"role": "user", "content": "hello"}]
        return {"model": "m", "messages": messages, "max_tokens": TOKENS, "user": f"{self._numbers}:whole:{tokens}"}

    def _compare(self, running: Broker) -> int:
        """Compare the budget with its rows; return how many of these cost more than their call held."""
        running.usage()
        status = httpx.get(f"{running.url}/admin/limits/dollar/status").raise_for_status().json(parse_float=Decimal)
        costs = [cost for *_, cost in self._rows()]
        used = sum(one["used"] * NANO_USD for one in status["data"])
        held = sum(one["held"] for one in status["data"])
        self._disagreements += (used, held) != (sum(costs), 0)
        self._overshoots = status["limit"]["overshoots"]
        return sum(cost > HOLD for cost in costs)

    def _rows(self) -> list[tuple[str, str, int]]:
        return query(self._url, "SELECT request_id, outcome, coalesce(cost_nano_usd, 0) FROM request_logs")


async def _responses(
    url: str, bodies: Sequence[Mapping[str, object]], killing: Killing | None, spread_s: float
) -> list[httpx.Response]:
    async def one(client: httpx.AsyncClient, body: Mapping[str, object], at: float) -> httpx.Response | None:
        await asyncio.sleep(at)
        try:
            response = await client.post("/v1/chat/completions", json=body)
        except httpx.TransportError:
            return None
        if killing is not None:
            killing.saw(response)
        return response

    limits = httpx.Limits(max_connections=len(bodies))
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
        each = spread_s / len(bodies)
        responses = await asyncio.gather(*(one(client, body, each * number) for number, body in enumerate(bodies)))
    return [response for response in responses if response is not None]


def _codes(responses: Sequence[httpx.Response]) -> Counter[str]:
    """Return how many calls ended how: the status, and the code of an error."""
    return Counter(
        "200" if one.status_code == 200 else f"{one.status_code} {one.json()['error']['code']}" for one in responses
    )


def run(folder: Path, hold: str, rounds: int, seed: int = 1) -> Spending:
    """Spend so many budgets, each in a ledger of its own."""
    chance = random.Random(seed)  # noqa: S311 - it chooses moments, not secrets
    found: Spending | None = None
    for number in range(rounds):
        own = folder / str(number)
        own.mkdir(parents=True)
        with HOLDS[hold](own) as settings:
            one = Round(own, settings, chance).run()
        found = one if found is None else found.plus(one)
    assert found is not None
    return found


def main() -> None:
    """Print what was found in so many rounds of each way; exit with 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1, help="of the moments of the kills")
    asked = parser.parse_args()
    is_right = True
    for hold in HOLDS:
        with tempfile.TemporaryDirectory() as folder:
            found = run(Path(folder), hold, asked.rounds, asked.seed)
        is_right &= found.is_right
        print(f"{hold}: {found}", flush=True)  # noqa: T201
    sys.exit(not is_right)


if __name__ == "__main__":
    main()
