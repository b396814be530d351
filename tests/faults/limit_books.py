"""Limits that refuse nothing, and what they count against the rows: nothing is held after a fault, and all is counted.

Add `LIMITS` to the settings of a broker, and ask `limit_differences` when no call is in flight.
"""

import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx

from tests.e2e_support import Broker
from tests.stores import query
from tests.waits import PAUSE_S

NANO_USD = 1_000_000_000
BURST = 1_000_000_000  # tokens
REFILLED = 60  # tokens, one a minute, by which the limit of tokens per minute may be behind its rows
MOST_SUBJECTS = 10_000
SETTLED_WITHIN_S = 10.0
LIMITS = f"""
[[limits]]
name = "context-usd"
unit = "usd"
amount = 1000000
window = "ever"
per = ["ip", "context"]
shared = false
[[limits]]
name = "all-usd"
unit = "usd"
amount = 1000000
window = "ever"
hold = "worst"
shared = false
[[limits]]
name = "all-tokens"
unit = "tokens"
amount = 1000000000000
window = "ever"
hold = "mean"
shared = false
[[limits]]
name = "requests"
unit = "requests"
amount = 1000000000
window = "ever"
per = ["kind", "model"]
shared = false
[[limits]]
name = "token-rate"
unit = "tokens"
amount = 1
burst = {BURST}
window = "minute"
per = ["ip", "context"]
shared = false
[[limits]]
name = "at-once"
unit = "concurrent"
amount = 100000
per = ["ip"]
shared = false
[[limits]]
name = "at-once-model"
unit = "concurrent"
amount = 100000
per = ["model"]
shared = false
"""


def limit_differences(running: Broker, database_url: str, *, is_rate_whole: bool = True) -> list[str]:
    """Return what limits say that the rows do not, once no call is in flight and every row is in the store.

    `is_rate_whole`: all calls were made since the start, so that the limit of tokens per minute counts them.
    """
    ends_at = time.monotonic() + SETTLED_WITHIN_S
    while True:
        # A call is free right after its row is in the journal, which may be before or after this look.
        found = list(_differences(running, database_url, is_rate_whole=is_rate_whole))
        if not found or time.monotonic() > ends_at:
            return found
        time.sleep(PAUSE_S)


def _differences(running: Broker, database_url: str, *, is_rate_whole: bool) -> Iterator[str]:
    with httpx.Client(base_url=running.url, headers=running.headers, timeout=60) as client:
        status = {
            name: _status(client, name)
            for name in (limit["name"] for limit in client.get("/admin/limits").json()["data"])
        }
    for name, subjects in status.items():
        yield from (f"{name}: {one['subject']} holds {one['held']}" for one in subjects if one["held"])
    for name in ("at-once", "at-once-model", "server.max_calls", "server.max_calls_per_address"):
        yield from (
            f"{name}: {one['subject']} has {one['used']} calls in flight" for one in status[name] if one["used"]
        )
    sums = "coalesce(sum(cost_nano_usd), 0), coalesce(sum(coalesce(input_tokens, 0) + coalesce(output_tokens, 0)), 0)"
    ((cost, tokens),) = query(database_url, f"SELECT {sums} FROM request_logs")
    for name, expected in (("all-usd", cost), ("all-tokens", tokens)):
        used = sum(one["used"] for one in status[name]) * (NANO_USD if name == "all-usd" else 1)
        if used != expected:
            yield f"{name}: used is {used}, and the rows say {expected}"
    by_context = query(database_url, f"SELECT context, {sums} FROM request_logs GROUP BY context")
    yield from _unequal("context-usd", status, {(context,): cost for context, cost, _ in by_context}, ["context"])
    if is_rate_whole:
        counted = {one["subject"]["context"]: one["used"] for one in status["token-rate"]}
        for context, _, tokens in by_context:
            used = counted.get(context, 0)
            if not min(tokens, BURST) - REFILLED <= used <= tokens:
                yield f"token-rate: {context} has used {used}, and the rows say {tokens}"
    by_model = query(database_url, "SELECT kind, model, count(*) FROM request_logs GROUP BY kind, model")
    yield from _unequal(
        "requests", status, {(kind, model): count for kind, model, count in by_model}, ["kind", "model"]
    )


def _unequal(
    name: str, status: dict[str, list[dict[str, Any]]], rows: dict[tuple[str | None, ...], int], per: list[str]
) -> Iterator[str]:
    """Yield the subjects that have used something else than their rows say."""
    unit = NANO_USD if name.endswith("usd") else 1
    counted = {tuple(one["subject"][key] for key in per): one["used"] * unit for one in status[name]}
    for subject in {*rows, *counted}:
        if counted.get(subject, 0) != rows.get(subject, 0):
            yield f"{name}: {subject} has used {counted.get(subject, 0)}, and the rows say {rows.get(subject, 0)}"


def _status(client: httpx.Client, name: str) -> list[dict[str, Any]]:
    response = client.get(f"/admin/limits/{name}/status", params={"limit": MOST_SUBJECTS}).raise_for_status()
    subjects: list[dict[str, Any]] = response.json(parse_float=Decimal)["data"]
    return subjects
