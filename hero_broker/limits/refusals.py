"""What a caller is told that a limit refuses."""

from hero_broker.core.errors import BrokerError, Overloaded, RateLimitExceeded, TooManyCalls
from hero_broker.limits.counters import RateCounter, SlotCounter
from hero_broker.limits.limit import Limit

SECOND_NS = 1_000_000_000


def refusal(counter: SlotCounter | RateCounter, ip: str, now_ns: int) -> BrokerError:
    """Return the error of a call of `ip` that a counter has no room for."""
    limit = counter.of.limit
    if isinstance(counter, RateCounter):
        wait_s = seconds(counter.wait_ns(now_ns))
        what = f"{limit.amount} requests per minute"
        return RateLimitExceeded(f"{_reached(limit, counter, what)}; try again in {wait_s} s.", retry_after_s=wait_s)
    if limit.is_of_server and limit.per:
        return TooManyCalls(
            f"{counter.in_flight} calls of {ip} are in flight, the limit for one address; try again shortly."
        )
    if limit.is_of_server:
        return Overloaded(f"{limit.amount} calls are in flight, the limit; try again shortly.")
    return TooManyCalls(f"{_reached(limit, counter, f'{limit.amount} calls in flight')}; try again shortly.")


def _reached(limit: Limit, counter: SlotCounter | RateCounter, what: str) -> str:
    """Return that a limit is reached; its numbers only if they are the caller's own."""
    if not limit.is_own:
        return f"The limit {limit.name!r} of this broker's operator is reached"
    subject = zip(limit.per, counter.subject, strict=True)
    names = [str(value) if name == "ip" else f"the {name} {value}" for name, value in subject]
    if limit.match.ip is not None and "ip" not in limit.per:
        names.insert(0, limit.match.ip)
    return f"The limit {limit.name!r} of {what} is reached for {' with '.join(names)}"


def seconds(duration_ns: int) -> int:
    """Return a duration in whole seconds, rounded up."""
    return -(-duration_ns // SECOND_NS)
