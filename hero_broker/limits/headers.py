"""States what is left of a caller's limits: headers, and the least amount of its budgets."""

from collections.abc import Sequence
from functools import lru_cache

from hero_broker.limits.counters import (
    MINUTE_NS,
    BudgetCounter,
    HeaderTexts,
    Held,
    LimitCounters,
    RateCounter,
    SlotCounter,
)
from hero_broker.limits.limit import CONCURRENT, ENFORCE, USD
from hero_broker.limits.refusals import SECOND_NS, seconds

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
    left = [one.counter.amount - one.window.spent - one.window.held for one in held if _is_own_budget(one.counter)]
    return max(0, min(left)) if left else None


def _is_own_budget(counter: BudgetCounter) -> bool:
    limit = counter.of.limit
    return limit.unit == USD and limit.mode == ENFORCE and counter.of.is_own(counter)


def openai_headers(rates: Sequence[RateCounter], names: tuple[bytes, bytes, bytes], now_ns: int) -> Pairs:
    """Return OpenAI's headers of the tightest rate, by the names of its unit; empty without a rate.

    The reset is the time until a whole burst is admitted again. Source:
    https://platform.openai.com/docs/guides/rate-limits
    """
    return rate_headers((), rates, now_ns, names, sends_ietf=False)


def ietf_headers(slots: Sequence[SlotCounter], rates: Sequence[RateCounter], now_ns: int) -> Pairs:
    """Return `RateLimit-Policy` and `RateLimit` of all requests per minute and calls in flight; empty without any.

    Source: draft-ietf-httpapi-ratelimit-headers-11. `t` is the time until one more request is admitted, so that
    `Retry-After` is never earlier.
    """
    return rate_headers(slots, rates, now_ns, None, sends_ietf=True)


def rate_headers(
    slots: Sequence[SlotCounter],
    rates: Sequence[RateCounter],
    now_ns: int,
    names: tuple[bytes, bytes, bytes] | None,
    *,
    sends_ietf: bool,
) -> Pairs:
    """Return `openai_headers` if there are names, and `ietf_headers`; of each rate the state is computed once."""
    states: list[str] = []
    policies: list[str] = []
    tightest, least, full = None, 0, 0
    for rate in rates:
        remaining, ahead = rate.state(now_ns)
        if tightest is None or remaining < least:
            tightest, least, full = rate, remaining, ahead
        if sends_ietf:
            texts = _texts(rate.of)
            wait_s = -(-(ahead % MINUTE_NS or MINUTE_NS) // (rate.amount * SECOND_NS)) if ahead else 0
            policies.append(texts.policy)
            states.append(f"{texts.state}{remaining};t={wait_s}")
    pairs: Pairs = []
    if names is not None and tightest is not None:
        reset = _reset(-(-full // (tightest.amount * MILLISECOND_NS)))
        pairs = [
            (names[0], _texts(tightest.of).amount),
            (names[1], b"%d" % (least if least > 0 else 0)),
            (names[2], reset),
        ]
    if sends_ietf:
        for slot in slots:
            texts, left = _texts(slot.of), slot.amount - slot.in_flight
            policies.append(texts.policy)
            states.append(f"{texts.state}{left if left > 0 else 0}")
        if states:
            pairs += (b"ratelimit-policy", ", ".join(policies).encode()), (b"ratelimit", ", ".join(states).encode())
    return pairs


def _texts(of: LimitCounters) -> HeaderTexts:
    texts = of.header_texts
    if texts is None or texts.limit is not of.limit:
        limit = of.limit
        rest = 'qu="concurrent-requests"' if limit.unit == CONCURRENT else "w=60"
        texts = of.header_texts = HeaderTexts(
            limit, f'"{limit.name}";q={limit.amount};{rest}', f'"{limit.name}";r=', b"%d" % limit.amount
        )
    return texts


@lru_cache(4096)
def _reset(duration_ms: int) -> bytes:
    return reset_text(duration_ms * MILLISECOND_NS).encode()


def reset_text(duration_ns: int) -> str:
    """Return a duration as OpenAI writes it, rounded up: `20ms`, `1.5s`, `6m0s`, `1h0m0s`."""
    ms = -(-duration_ns // MILLISECOND_NS)
    if ms < 1000:
        return f"{ms}ms"
    if ms < 60_000:
        return f"{ms // 1000}.{ms % 1000:03}".rstrip("0").rstrip(".") + "s"
    minutes, rest = divmod(seconds(duration_ns), 60)
    return f"{minutes}m{rest}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60}m{rest}s"
