"""The errors of calls that a limit refuses."""

from hero_broker.core.errors import (
    BrokerError,
    BudgetExceeded,
    BudgetReserved,
    LimitsUnavailable,
    ModelNotPriced,
    Overloaded,
    RateLimitExceeded,
    RequestExceedsLimit,
    RequestExceedsRate,
    TooManyCalls,
)
from hero_broker.core.local_time import iso_time
from hero_broker.core.money import usd_text
from hero_broker.limits.counters import BudgetCounter, Counter, RateCounter, SlotCounter, TokenRateCounter, WindowSum
from hero_broker.limits.limit import NO_HOLD, USD, Limit, window_text

SECOND_NS = 1_000_000_000


def refusal(counter: SlotCounter | RateCounter, ip: str, now_ns: int) -> BrokerError:
    """Return the error of a call of `ip` that a counter has no room for."""
    limit = counter.of.limit
    if isinstance(counter, RateCounter):
        return _over_rate(counter, counter.wait_ns(now_ns))
    if limit.is_of_server and limit.per:
        return TooManyCalls(
            f"{counter.in_flight} calls of {ip} are in flight, the limit for one address; try again shortly."
        )
    if limit.is_of_server:
        return Overloaded(f"{limit.amount} calls are in flight, the limit; try again shortly.")
    return TooManyCalls(f"{_reached(limit, counter, f'{limit.amount} calls in flight')}; try again shortly.")


def over_tokens(counter: TokenRateCounter, tokens: int, now_ns: int) -> BrokerError | None:
    """Return the error of a call that may use as many tokens; None if the limit of tokens per minute admits it."""
    limit, wait_ns = counter.of.limit, counter.wait_for_ns(now_ns, max(1, tokens))
    if not wait_ns:
        return None
    if tokens > limit.burst:
        name, of_own = f"The limit {limit.name!r} of this broker's operator", ""
        if counter.of.is_own(counter):
            name, of_own = (
                f"The limit {limit.name!r} of {amount_text(limit, limit.burst)} at once",
                f", {tokens} tokens",
            )
        return RequestExceedsRate(
            f"{name} is less than this call may use{of_own}; a smaller max_tokens or a shorter request may fit."
        )
    return _over_rate(counter, wait_ns)


def _over_rate(counter: RateCounter, wait_ns: int) -> BrokerError:
    limit, wait_s = counter.of.limit, seconds(wait_ns)
    reached = _reached(limit, counter, f"{amount_text(limit, limit.amount)} per minute")
    return RateLimitExceeded(f"{reached}; try again in {wait_s} s.", retry_after_s=wait_s)


def over_budget(counter: BudgetCounter, window: WindowSum, amount: int, now: int) -> BrokerError | None:
    """Return the error of a call that may use `amount` of a budget; None if the budget admits it."""
    limit, most = counter.of.limit, counter.amount
    if limit.hold == NO_HOLD:
        if window.spent < most:
            return None
        return BudgetExceeded(_spent(counter, window, None), retry_after_s=_until_the_end(limit, window, now))
    if not amount or window.spent + window.held + amount <= most:
        return None
    if amount > most and window.spent < most:
        return RequestExceedsLimit(
            f"{_name(counter)} is less than this call may use{_of_own(counter, amount)}; "
            "a lower limit of output tokens (max_tokens, max_output_tokens) or a shorter request may fit."
        )
    if window.spent + amount > most:
        message = _spent(counter, window, amount)
        return BudgetExceeded(message, retry_after_s=_until_the_end(limit, window, now))
    left = f"{_name(counter)} has enough left, but calls in flight hold {amount_text(limit, window.held)} of it"
    hidden = f"{_name(counter)} has enough left, but calls in flight hold part of it"
    return BudgetReserved(f"{left if counter.of.is_own(counter) else hidden}; try again shortly.")


def budget_unknown() -> LimitsUnavailable:
    """Return the error of a call before it is known what is spent of one of its budgets."""
    return LimitsUnavailable("The database did not say yet what is spent of a budget; try again shortly.")


def label_unknown() -> LimitsUnavailable:
    """Return the error of a call before labels are known, if a limit that looks at them may count it."""
    return LimitsUnavailable("The database did not say yet which label the address has; try again shortly.")


def model_not_priced(model: str) -> ModelNotPriced:
    """Return the error of a call whose cost cannot be held of a budget."""
    return ModelNotPriced(f"The model {model!r} has no known price, and a budget bounds its calls.", param="model")


def cut_off(counter: BudgetCounter, window: WindowSum) -> BudgetExceeded:
    """Return the error of a stream whose output needs more of a budget than is left."""
    limit = counter.of.limit
    ends = f"; the window ends at {iso_time(window.ends, limit.zone)}" if limit.has_end else ""
    return BudgetExceeded(f"{_name(counter)} does not cover the rest of this response{ends}.")


def _spent(counter: BudgetCounter, window: WindowSum, amount: int | None) -> str:
    """Return that a budget is spent, or that what is left does not cover a call that may use `amount`."""
    limit = counter.of.limit
    ends = f"; the window ends at {iso_time(window.ends, limit.zone)}" if limit.has_end else ""
    if window.spent >= counter.amount or amount is None:
        return f"{_name(counter)} is spent{ends}."
    if not counter.of.is_own(counter):
        return f"What is left of {_uncapitalized(_name(counter))} does not cover this call{ends}."
    left, needed = amount_text(limit, counter.amount - window.spent), amount_text(limit, amount)
    return f"{_name(counter)} has {left} left, and this call may use {needed}{ends}."


def _until_the_end(limit: Limit, window: WindowSum, now: int) -> int | None:
    return max(1, window.ends - now) if limit.has_end else None


def _name(counter: BudgetCounter) -> str:
    """Return the name of a budget; its numbers only if they are the caller's own."""
    limit = counter.of.limit
    if not counter.of.is_own(counter):
        return f"The budget {limit.name!r} of this broker's operator"
    amount = f"{amount_text(limit, counter.amount)} {window_text(limit)}"
    return f"The budget {limit.name!r} of {amount} for {subject_text(limit, counter)}"


def _of_own(counter: BudgetCounter, amount: int) -> str:
    return f", {amount_text(counter.of.limit, amount)}" if counter.of.is_own(counter) else ""


def _uncapitalized(text: str) -> str:
    return text[0].lower() + text[1:]


def amount_text(limit: Limit, amount: int) -> str:
    """Return an amount of a limit with its unit."""
    if limit.unit == USD:
        return f"{usd_text(amount)} USD"
    units = limit.unit.replace("_", " ")
    return f"{amount} {units[:-1] if amount == 1 else units}"


def _reached(limit: Limit, counter: SlotCounter | RateCounter, what: str) -> str:
    """Return that a limit is reached; its numbers only if they are the caller's own."""
    if not counter.of.is_own(counter):
        return f"The limit {limit.name!r} of this broker's operator is reached"
    return f"The limit {limit.name!r} of {what} is reached for {subject_text(limit, counter)}"


def subject_text(limit: Limit, counter: Counter) -> str:
    """Return whose counter it is; empty if it is everybody's."""
    subject = zip(limit.per, counter.subject, strict=True)
    names = [_subject_name(name, value) for name, value in subject]
    if limit.match.ip is not None and "ip" not in limit.per:
        names.insert(0, limit.match.ip)
    return " with ".join(names)


def _subject_name(name: str, value: str | None) -> str:
    if value is None:
        return f"no {name}"
    return value if name == "ip" else f"the {name} {value}"


def seconds(duration_ns: int) -> int:
    """Return a duration in whole seconds, rounded up."""
    return -(-duration_ns // SECOND_NS)
