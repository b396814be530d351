"""Kills, hang-ups and providers that leave, at each event of the streams of every wire, and within whole answers.

`python -m tests.faults.wire_faults --rounds 20` adds rounds that cut at random bytes, and prints the books of each. In
a round all calls are open at once, each at a cut of its own, when the fault comes.
"""

import argparse
import random
import socket
import sys
import tempfile
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.e2e.provider import HEAD, JSON_HEAD, Exchange, Provider
from tests.e2e_support import Broker, broker
from tests.faults.limit_books import LIMITS, limit_differences
from tests.raw_clients import request
from tests.stores import query
from tests.waits import wait_until
from tests.wires import INPUT, OUTPUT, RATES, WIRES, Wire

COLUMNS = "context, outcome, usage_source, input_tokens, output_tokens, cost_nano_usd"
RANDOM_CALLS = 50  # of a round; as many may drain at once, and more


@dataclass(frozen=True, slots=True)
class Call:
    """A call, and how much of its answer the provider sends before the fault."""

    wire: Wire
    is_stream: bool
    came: int | None  # bytes of the body; None: not even the head

    @property
    def mark(self) -> str:
        """What the call has as its context."""
        return f"{self.wire.kind}-{'stream' if self.is_stream else 'whole'}-{self.came}"

    @property
    def answer(self) -> bytes:
        """The body of the answer."""
        return self.wire.stream if self.is_stream else self.wire.whole

    @property
    def is_answered(self) -> bool:
        """Whether all of the answer comes before the fault."""
        return self.came == len(self.answer)

    def has(self, event: int) -> bool:
        """Return whether the data of an event, or all of an answer that is no stream, comes before the fault."""
        return (self.came or 0) >= (self.wire.ends()[event] - len("\n\n") if self.is_stream else len(self.answer))


@dataclass(frozen=True, slots=True)
class Row:
    """What the ledger has of a call."""

    outcome: str
    source: str
    input_tokens: int | None
    output_tokens: int | None
    cost_nano_usd: int | None


@dataclass(frozen=True, slots=True)
class Books:
    """The ledger against the provider's books."""

    calls: int
    rows: int
    reported: int  # rows at the provider's own usage
    without_row: int
    doubled: int
    differences: int  # that `billing.verify` finds
    wrong: tuple[str, ...]  # the calls whose rows are not what the provider's books say
    limits: tuple[str, ...]  # what limits say that the rows do not

    @property
    def are_right(self) -> bool:
        """Whether each call has one row, at the cost that is due, and limits count that cost and hold nothing."""
        wrong = self.without_row or self.doubled or self.differences or self.wrong or self.limits
        return not wrong and self.rows == self.calls


def at_each_event() -> list[Call]:
    """Return a call for each event of each stream, and for some points of each whole answer."""
    streams = [Call(wire, is_stream=True, came=came) for wire in WIRES for came in (None, 0, *wire.ends())]
    wholes = [
        Call(wire, is_stream=False, came=came)
        for wire in WIRES
        for came in (None, 0, len(wire.whole) // 2, len(wire.whole))
    ]
    return streams + wholes


def at_random_bytes(chance: random.Random) -> list[Call]:
    """Return calls, each with a cut of its own at any byte."""
    calls: dict[str, Call] = {}
    while len(calls) < RANDOM_CALLS:
        wire, is_stream = chance.choice(WIRES), chance.random() < 0.8
        call = Call(wire, is_stream, chance.randint(0, len(wire.stream if is_stream else wire.whole)))
        calls[call.mark] = call
    return list(calls.values())


def settings_of(provider: Provider) -> str:
    """Return settings in which the provider speaks every wire, and has the model "m"."""
    rates = "".join(f"{name} = {rate}\n" for name, rate in RATES.items())
    return (
        f'[[providers]]\nname = "p"\nbase_url = "{provider.url}"\napi_keys = ["sk-provider-key"]\n'
        'wires = ["openai", "anthropic", "responses"]\n'
        f'[[models]]\nname = "m"\nprovider = "p"\n[models.price]\n{rates}{LIMITS}'
    )


@dataclass(frozen=True, slots=True)
class Open:
    """A call that is at its cut."""

    call: Call
    client: socket.socket
    upstream: Exchange

    def send_rest(self) -> None:
        """Let the provider send what is left, and end."""
        if self.call.came is None:
            self.upstream.send(_head(self.call))
        self.upstream.send(self.call.answer[self.call.came or 0 :])
        self.upstream.end()


def _head(call: Call) -> bytes:
    return HEAD if call.is_stream else JSON_HEAD + b"content-length: %d\r\n\r\n" % len(call.answer)


def _read_until(client: socket.socket, mark: bytes) -> None:
    seen = b""
    while mark not in seen:
        more = client.recv(65536)
        assert more, seen
        seen += more


def _begin(running: Broker, provider: Provider, call: Call, stack: ExitStack) -> Open:
    """Make a call, and return when its client has all that may leave before the fault."""
    where = urlsplit(running.url)
    client = stack.enter_context(socket.create_connection((where.hostname or "", where.port or 0), timeout=20))
    body = call.wire.request(is_stream=call.is_stream)
    client.sendall(request(call.wire.path, body, headers={"x-hero-context": call.mark}))
    upstream = provider.accept()
    stack.callback(upstream.end)
    if call.came is not None:
        upstream.send(_head(call) + call.answer[: call.came])
    if call.is_answered:
        upstream.end()
        _read_until(client, b"0\r\n\r\n" if call.is_stream else call.answer)
    elif call.is_stream and (events := bisect_right(call.wire.ends(), call.came or 0)):
        _read_until(client, call.wire.events[events - 1])
    return Open(call, client, upstream)


@contextmanager
def _at_their_cuts(folder: Path, url: str, calls: Sequence[Call]) -> Iterator[tuple[Broker, list[Open]]]:
    """Run a broker with all these calls open."""
    folder.mkdir(exist_ok=True)
    config = folder / "hero-broker.toml"
    with Provider() as provider, ExitStack() as stack:
        config.write_text(settings_of(provider))
        with broker(folder / "state", "--config", str(config), HERO_BROKER_DATABASE_URL=url) as running:
            yield running, [_begin(running, provider, call, stack) for call in calls]


def killed(folder: Path, url: str, calls: Sequence[Call]) -> Books:
    """Kill the broker, and start it once more, so that its journal is replayed."""
    with _at_their_cuts(folder, url, calls) as (running, _):
        running.process.kill()
        running.process.wait()
    arguments = ("--config", str(folder / "hero-broker.toml"))
    with broker(folder / "state", *arguments, HERO_BROKER_DATABASE_URL=url) as again:
        return _books(again, url, calls, _is_right_after_a_kill)


def hung_up(folder: Path, url: str, calls: Sequence[Call]) -> Books:
    """Let the clients hang up; the provider sends what is left."""
    with _at_their_cuts(folder, url, calls) as (running, opened):
        for one in opened:
            one.client.close()
        for one in opened:
            if not one.call.is_answered:
                one.send_rest()
        return _books(running, url, calls, _is_right_after_a_hang_up)


def provider_left(folder: Path, url: str, calls: Sequence[Call]) -> Books:
    """Let the provider close its connections; the clients read on, to the end of what they get."""
    with _at_their_cuts(folder, url, calls) as (running, opened):
        for one in opened:
            one.upstream.end()
        for one in opened:
            if one.call.is_stream and one.call.came is not None and not one.call.is_answered:
                _read_until(one.client, b"0\r\n\r\n")
        return _books(running, url, calls, _is_right_after_a_provider_left)


def _is_reported(call: Call, row: Row) -> bool:
    found = (row.source, row.input_tokens, row.output_tokens, row.cost_nano_usd)
    return found == ("reported", INPUT, OUTPUT, call.wire.cost_nano_usd)


def _is_estimated(call: Call, row: Row) -> bool:
    return row.source == "estimated" and 0 < (row.cost_nano_usd or 0) < 2 * call.wire.cost_nano_usd


def _is_right_after_a_kill(call: Call, row: Row) -> bool:
    if call.is_answered:
        return row.outcome == "ok" and _is_reported(call, row)
    return row.outcome == "interrupted" and _is_estimated(call, row)


def _is_right_after_a_hang_up(call: Call, row: Row) -> bool:
    # The rest of an answer may be there before the broker learns that its client has gone.
    return row.outcome in ("ok", "client_disconnected") and _is_reported(call, row)


def _is_right_after_a_provider_left(call: Call, row: Row) -> bool:
    if call.came is None:  # the provider answered nothing
        return (row.outcome, row.source, row.cost_nano_usd) == ("provider_error", "none", 0)
    is_right = _is_reported(call, row) if call.has(call.wire.settling) else _is_estimated(call, row)
    outcomes = ["ok"] if call.has(call.wire.finishing) else ["provider_error"]
    if call.is_stream and call.came not in call.wire.ends():  # half an event is a fault, whatever came before it
        outcomes.append("provider_error")
    return is_right and row.outcome in outcomes


def _books(running: Broker, url: str, calls: Sequence[Call], is_right: Callable[[Call, Row], bool]) -> Books:
    """Return the books, once each call has a row in the store."""
    with httpx.Client(base_url=running.url, timeout=60) as client:
        wait_until(lambda: not client.get("/admin/health").json()["journal_open_calls"])
        running.usage()
        differences: int = client.get("/billing/verify").json()["data"]["differences"]
    found: dict[str, list[Row]] = {}
    for context, *columns in query(url, f"SELECT {COLUMNS} FROM request_logs"):
        found.setdefault(context, []).append(Row(*columns))
    rows = [row for same in found.values() for row in same]
    wrong = [f"{call.mark}: {row}" for call in calls for row in found.get(call.mark, []) if not is_right(call, row)]
    return Books(
        calls=len(calls),
        rows=len(rows),
        reported=sum(row.source == "reported" for row in rows),
        without_row=sum(call.mark not in found for call in calls),
        doubled=sum(len(same) > 1 for same in found.values()),
        differences=differences,
        wrong=tuple(wrong),
        limits=tuple(limit_differences(running, url, is_rate_whole=is_right is not _is_right_after_a_kill)),
    )


FAULTS: Mapping[str, Callable[[Path, str, Sequence[Call]], Books]] = {
    "broker killed": killed,
    "clients hung up": hung_up,
    "provider left": provider_left,
}


def main() -> None:
    """Print the books after each fault; exit with 1 if any are wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each fault that cut at random bytes")
    parser.add_argument("--seed", type=int, default=1, help="of the random bytes")
    asked = parser.parse_args()
    chance = random.Random(asked.seed)  # noqa: S311 - it chooses moments, not secrets
    are_right = True
    for name, fault in FAULTS.items():
        for calls in (at_each_event(), *(at_random_bytes(chance) for _ in range(asked.rounds))):
            with tempfile.TemporaryDirectory() as folder:
                books = fault(Path(folder) / "broker", f"sqlite:///{folder}/ledger.db", calls)
            are_right &= books.are_right
            print(f"{name}: {books}", flush=True)  # noqa: T201
    sys.exit(not are_right)


if __name__ == "__main__":
    main()
