"""What limits cost a call. `python -m tests.benchmarks.limits`.

Microseconds of CPU time per call in a loop, the best and the median of the rounds: what a call takes of its limits, and
gives back at its end, without the estimate of what it may use. "server's own" are `server.max_calls` and
`server.max_calls_per_address`, which every call has.
The last lines are the memory of callers, and what a caller costs that is not in the cache.
"""

import argparse
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from hero_broker.core.calls import Caller
from hero_broker.limits.admission import Admission
from hero_broker.limits.counters import Used
from hero_broker.limits.headers import IETF, OPENAI
from hero_broker.limits.limit import CONCURRENT, REQUESTS, TOKENS, USD, Limit, LimitMatch, server_limits
from hero_broker.limits.plan import MAX_CACHED
from tests.limits.known import know

CALLS = 20_000  # of a round
CALLER = Caller("10.0.0.1", None)
IP, CONTEXT, MODEL, PROVIDER, KIND, STARTED_AT = CALLER.ip, None, "m", "p", "chat", 1_700_000_000
USED = Used(1_000_000, 5000, 4096)
OF_SERVER = server_limits(1000, 750)
NO_MATCH = [Limit("other", REQUESTS, 60, LimitMatch(model="another"), ("ip",), 60)]
BUDGETS = [
    Limit("month", USD, 10**18, per=("ip",), window="month"),
    Limit("day", TOKENS, 10**15, LimitMatch(model="m"), window="day"),
]
MATCHES = [
    Limit("rate", REQUESTS, 1_000_000, per=("ip",), burst=1_000_000),
    Limit("model-rate", REQUESTS, 1_000_000, LimitMatch(model="m"), burst=1_000_000),
    Limit("at-once", CONCURRENT, 10, per=("ip",)),
]


def cpu_us(part: Callable[[], object]) -> float:
    """Return microseconds of this thread's CPU time for one of `CALLS` runs of a part."""
    turns = range(CALLS)
    began = time.thread_time_ns()
    for _ in turns:
        part()
    return (time.thread_time_ns() - began) / CALLS / 1000


def call(limits: Sequence[Limit]) -> Callable[[], object]:
    """Return a part: what one call takes and gives back."""
    admission = Admission([*OF_SERVER, *limits])
    if not admission.is_asked_late:

        def plain() -> None:
            admission.enter(CALLER).end()

        return plain

    def limited() -> None:
        slot = admission.enter(CALLER)
        admission.admit(slot, IP, CONTEXT, MODEL, PROVIDER, KIND, STARTED_AT, may_use)
        slot.end()

    return limited


class Row(NamedTuple):
    """What settles a call."""

    ip: str = CALLER.ip
    context: str | None = None
    model: str = "m"
    provider: str = "p"
    kind: str = "chat"
    started_at: int = 1_700_000_000
    input_tokens: int = 1000
    output_tokens: int = 100
    cost_nano_usd: int = 25_970


def may_use(_hold: str) -> Used:
    """Return what a call may use."""
    return USED


def with_budgets() -> Callable[[], object]:
    """Return a part: what one call takes, settles and gives back, with two budgets beside the other limits."""
    admission = Admission([*OF_SERVER, *BUDGETS, *MATCHES], ())
    know(admission)
    row = Row()

    def limited() -> None:
        slot = admission.enter(CALLER)
        admission.admit(slot, IP, CONTEXT, MODEL, PROVIDER, KIND, STARTED_AT, may_use)
        slot.settle(row)
        slot.end()

    return limited


def headers(*forms: str) -> Callable[[], object]:
    """Return a part: the headers of one call."""
    admission = Admission([*OF_SERVER, *MATCHES], forms)
    slot = admission.enter(CALLER)
    admission.admit(slot, IP, CONTEXT, MODEL, PROVIDER, KIND, STARTED_AT, may_use)
    return lambda: admission.headers(slot)


def parts() -> dict[str, Callable[[], object]]:
    """Return all parts."""
    return {
        "server's own": call(()),
        "a limit that matches nothing": call(NO_MATCH),
        "two rates, one concurrency": call(MATCHES),
        "two budgets besides, no headers": with_budgets(),
        "OpenAI's headers": headers(OPENAI),
        "OpenAI's and IETF's headers": headers(OPENAI, IETF),
    }


def callers(count: int) -> Iterable[Caller]:
    """Return as many callers."""
    return [Caller(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", None) for number in range(count)]


def memory_of_callers() -> tuple[float, float]:
    """Return the bytes that a caller takes in the cache, and the microseconds of its first call."""
    some = callers(MAX_CACHED)
    admission = Admission([*OF_SERVER, *MATCHES])
    tracemalloc.start()
    for caller in some:
        admission.enter(caller).end()
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    other = Admission([*OF_SERVER, *MATCHES])
    began = time.thread_time_ns()
    for caller in some:
        other.enter(caller).end()
    return taken / MAX_CACHED, (time.thread_time_ns() - began) / MAX_CACHED / 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds: int = parser.parse_args().rounds
    figures: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, part in parts().items():
            figures.setdefault(name, []).append(cpu_us(part))
    print(f"{'us of CPU time a call':32}{'best':>9}{'median':>9}")
    for name, times in figures.items():
        print(f"{name:32}{min(times):9.2f}{statistics.median(times):9.2f}")
    taken_bytes, first_us = memory_of_callers()
    print(f"{'bytes of a caller in the cache':32}{taken_bytes:9.0f}")
    print(f"{'first call of a caller':32}{first_us:9.2f}")


if __name__ == "__main__":
    main()
