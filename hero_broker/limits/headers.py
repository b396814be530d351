"""States what is left of a caller's limits: headers, and the least amount of its budgets."""

from collections.abc import Sequence

from hero_broker.limits.counters import Held, RateCounter, SlotCounter
from hero_broker.limits.limit import ENFORCE, USD, Limit
from hero_broker.limits.refusals import seconds

OPENAI, IETF = "openai", "ietf"
HEADERS = (OPENAI, IETF)  # the forms of headers

Pairs = list[tuple[bytes, bytes]]

MILLISECOND_NS = 1_000_000
OF_REQUESTS = (b"x-ratelimit-limit-requests", b"x-ratelimit-remaining-requests", b"x-ratelimit-reset-requests")
OF_TOKENS = (b"x-ratelimit-limit-tokens", b"x-ratelimit-remaining-tokens", b"x-ratelimit-reset-tokens")


def budget_left(held: Sequence[Held]) -> int | None:
    """Return what is left of the caller's own budgets in USD, of the one that has least; in nano-USD.

    None if no such budget counts the call.
    """
    left = [
        one.counter.amount - one.window.spent - one.window.held for one in held if _is_own_budget(one.counter.of.limit)
    ]
    return max(0, min(left)) if left else None


def _is_own_budget(limit: Limit) -> bool:
    return limit.unit == USD and limit.is_own and limit.mode == ENFORCE


def openai_headers(rates: Sequence[RateCounter], names: tuple[bytes, bytes, bytes], now_ns: int) -> Pairs:
    """Return OpenAI's headers of the tightest rate, by the names of its unit; empty without a rate.

    The reset is the time until a whole burst is admitted again. Source:
    https://platform.openai.com/docs/guides/rate-limits
    """
    if not rates:
        return []
    tightest = rates[0]
    remaining = tightest.remaining(now_ns)
    for rate in rates[1:]:
        other = rate.remaining(now_ns)
        if other < remaining:
            tightest, remaining = rate, other
    return [
        (names[0], b"%d" % tightest.amount),
        (names[1], b"%d" % max(0, remaining)),
        (names[2], reset_text(tightest.full_ns(now_ns)).encode()),
    ]


def ietf_headers(slots: Sequence[SlotCounter], rates: Sequence[RateCounter], now_ns: int) -> Pairs:
    """Return `RateLimit-Policy` and `RateLimit` of all requests per minute and calls in flight; empty without any.

    Source: draft-ietf-httpapi-ratelimit-headers-11. `t` is the time until one more request is admitted, so that
    `Retry-After` is never earlier.
    """
    policies, states = [], []
    for rate in rates:
        name = rate.of.limit.name
        policies.append(f'"{name}";q={rate.amount};w=60')
        states.append(f'"{name}";r={rate.remaining(now_ns)};t={seconds(rate.next_ns(now_ns))}')
    for slot in slots:
        name = slot.of.limit.name
        policies.append(f'"{name}";q={slot.amount};qu="concurrent-requests"')
        states.append(f'"{name}";r={max(0, slot.amount - slot.in_flight)}')
    if not policies:
        return []
    return [(b"ratelimit-policy", ", ".join(policies).encode()), (b"ratelimit", ", ".join(states).encode())]


def reset_text(duration_ns: int) -> str:
    """Return a duration as OpenAI writes it, rounded up: `20ms`, `1.5s`, `6m0s`, `1h0m0s`."""
    ms = -(-duration_ns // MILLISECOND_NS)
    if ms < 1000:
        return f"{ms}ms"
    if ms < 60_000:
        return f"{ms // 1000}.{ms % 1000:03}".rstrip("0").rstrip(".") + "s"
    minutes, rest = divmod(seconds(duration_ns), 60)
    return f"{minutes}m{rest}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60}m{rest}s"
