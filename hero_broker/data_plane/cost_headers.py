"""Adds what a call cost to its response, for callers that ask with `X-Hero-Want: cost`."""

from collections.abc import Sequence

from msgspec.structs import replace

from hero_broker.core.money import usd_text
from hero_broker.core.records import RequestLog
from hero_broker.data_plane.relay import ABORT, Item, ResponseHead
from hero_broker.limits.counters import Held
from hero_broker.limits.headers import budget_left

WANT = b"x-hero-want"
COST = b"cost"

Pairs = tuple[tuple[bytes, bytes], ...]


def wants_cost(value: bytes) -> bool:
    """Return whether a value of `X-Hero-Want` has the word `cost`, alone or among others."""
    return COST in (word.strip().lower() for word in value.split(b","))


def cost_headers(row: RequestLog, held: Sequence[Held] | None) -> Pairs:
    """Return what a row cost, how that is known, and what is left of the caller's budgets.

    A cost that is not known has no header, and so has a budget that is not the caller's own or is not in USD.
    """
    left = budget_left(held or ())
    texts = (
        (b"x-hero-cost-usd", None if row.cost_nano_usd is None else usd_text(row.cost_nano_usd)),
        (b"x-hero-cost-source", row.cost_source),
        (b"x-hero-budget-left", None if left is None else usd_text(left)),
    )
    return tuple((name, text.encode()) for name, text in texts if text is not None)


def with_cost(tail: Sequence[Item], headers: Pairs, *, is_events: bool) -> Sequence[Item]:
    """Return the tail of a response with the headers: in its head, or as a comment before the last event of a stream.

    A response that is cut off, and one of chunks whose head is gone, stay as they are.
    """
    if not headers or ABORT in tail:
        return tail
    if is_events:
        lines = [b": %s: %s\n" % pair for pair in headers]
        return [b"".join(lines) + b"\n", *tail]
    return [replace(one, headers=one.headers + headers) if isinstance(one, ResponseHead) else one for one in tail]
