"""Provider and load generator of a comparison: this folder's, or programs that are named in their place.

A named provider is started as `PROGRAM PORT EVENTS PAUSE_US`. It listens on 127.0.0.1:PORT, keeps connections, and
answers each chat: as JSON, or, if the body has `"stream":true`, with EVENTS events of content, PAUSE_US apart (0: all
at once), and those that end a stream. Each answer reports its usage, the same for all answers of one form. It is killed
and started again on the same port for another EVENTS or PAUSE_US.

A named load generator is run as `PROGRAM PORT PATH AT_ONCE SECONDS BODY_FILE`. After a warm-up of its own, it keeps
AT_ONCE calls in flight for SECONDS, each on a connection that it keeps, and prints a JSON object: `n` answers,
`errors`, `rps` answers per second, `p50_us` and `p99_us` of an answer; and of streams `ttft_p50_us` to the first event,
and `events_s` per second. It may leave calls unanswered at its end. What it did in its warm-up it does not say: the
number of all calls is its rate times the seconds that it ran.
"""

import http.client
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import uvloop

from tests.benchmarks.loadgen import load, percentile
from tests.benchmarks.processes import OTHER_CORE, pin, started
from tests.benchmarks.provider import BURST_EVENTS, PACE_S, PACED_EVENTS
from tests.benchmarks.scenarios import Scenario
from tests.waits import wait_until

PATH = "/v1/chat/completions"
WARM_UP_S = 0.3
ENDS_WITHIN_S = 60


@dataclass(frozen=True, slots=True)
class Seen:
    """What a load generator saw."""

    answered: int  # surely; each has a row
    calls: float  # made from its start to its end
    events: float  # likewise
    per_second: float  # answers, or the events of streams
    p50_ms: float
    p99_ms: float
    first_event_ms: float  # median


class Provider(Protocol):
    """What gateways ask."""

    @property
    def port(self) -> int:
        """Where it listens."""

    def prepare(self, scenario: Scenario) -> None:
        """Answer from now on as a scenario wants it."""


class LoadGenerator(Protocol):
    """What asks gateways."""

    @property
    def is_exact(self) -> bool:
        """Whether it waits for each call that it began, and counts each."""

    def load(self, port: int, scenario: Scenario, seconds: float) -> Seen:
        """Put a gateway under load."""


@dataclass(frozen=True, slots=True)
class OwnProvider:
    """`tests.benchmarks.provider`, which sees in a request how it is to answer."""

    port: int

    def prepare(self, scenario: Scenario) -> None:
        """Nothing is to be done."""


class NamedProvider:
    """A program."""

    def __init__(self, program: Path) -> None:
        self._program = program
        self._arguments: tuple[int, int] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]

    def prepare(self, scenario: Scenario) -> None:
        """Start it with other arguments, unless it has those already."""
        is_paced = scenario.user == "paced"
        arguments = (PACED_EVENTS, round(PACE_S * 1e6)) if is_paced else (BURST_EVENTS, 0)
        if arguments == self._arguments:
            return
        self.stop()
        self._process = subprocess.Popen([self._program, str(self.port), *map(str, arguments)])
        self._arguments = arguments
        pin(self._process.pid, OTHER_CORE)
        wait_until(self._accepts)

    def stop(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _accepts(self) -> bool:
        with socket.socket() as asking:
            return asking.connect_ex(("127.0.0.1", self.port)) == 0


@dataclass(frozen=True, slots=True)
class OwnLoadGenerator:
    """`tests.benchmarks.loadgen`, within this process."""

    in_two_packets: bool
    is_exact: bool = True

    def load(self, port: int, scenario: Scenario, seconds: float) -> Seen:
        """Put a gateway under load, and wait for its last answer."""
        seen = uvloop.run(
            load(
                port,
                scenario.body,
                at_once=scenario.at_once,
                seconds=seconds,
                events_each=scenario.events,
                cpu_s=lambda: 0.0,
                warm_up_s=WARM_UP_S,
                in_two_packets=self.in_two_packets,
            )
        )
        return Seen(
            seen.answered,
            seen.answered,
            seen.answered * scenario.events,
            (seen.events or len(seen.took_ms)) / seen.window_s,
            percentile(seen.took_ms, 0.5),
            percentile(seen.took_ms, 0.99),
            percentile(seen.first_event_ms, 0.5),
        )


@dataclass(frozen=True, slots=True)
class NamedLoadGenerator:
    """A program."""

    program: Path
    folder: Path  # for the bodies of requests
    is_exact: bool = False

    def load(self, port: int, scenario: Scenario, seconds: float) -> Seen:
        """Put a gateway under load."""
        body = self.folder / "body"
        body.write_bytes(scenario.body)
        command = [str(self.program), str(port), PATH, str(scenario.at_once), str(seconds), str(body)]
        began = time.perf_counter()
        ended = subprocess.run(command, capture_output=True, check=True, timeout=seconds + ENDS_WITHIN_S)
        took_s = time.perf_counter() - began
        told = json.loads(ended.stdout)
        if told["errors"]:
            raise SystemExit(f"{self.program}: {scenario.title}: {told}")
        return Seen(
            told["n"],
            told["rps"] * took_s,
            told.get("events_s", 0.0) * took_s,
            told["events_s"] if scenario.events else told["rps"],
            told["p50_us"] / 1000,
            told["p99_us"] / 1000,
            told.get("ttft_p50_us", 0.0) / 1000,
        )


@contextmanager
def provider(program: Path | None) -> Iterator[Provider]:
    """Run a provider during the block, on the core that is not measured: a program, or ours."""
    with ExitStack() as stack:
        if program is None:
            pid, port = stack.enter_context(started("tests.benchmarks.provider"))
            pin(pid, OTHER_CORE)
            yield OwnProvider(port)
        else:
            named = NamedProvider(program)
            stack.callback(named.stop)
            yield named


def as_answered(asked: Provider, scenario: Scenario) -> Scenario:
    """Return a scenario with the events and tokens that the provider's answers have."""
    asked.prepare(scenario)
    connection = http.client.HTTPConnection("127.0.0.1", asked.port, timeout=ENDS_WITHIN_S)
    connection.request("POST", PATH, scenario.body, {"content-type": "application/json"})
    body = connection.getresponse().read()
    connection.close()
    events = [line.removeprefix(b"data: ") for line in body.splitlines() if line.startswith(b"data: ")]
    usage = json.loads(next(one for one in reversed(events) if b'"usage":{' in one) if events else body)["usage"]
    return replace(
        scenario,
        events=len(events),
        input_tokens=usage["prompt_tokens"],
        output_tokens=usage["completion_tokens"],
    )
