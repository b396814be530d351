"""Says what limits would do with a call that nobody makes: which of them match it, and which would refuse it."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from hero_broker.core.errors import BrokerError
from hero_broker.core.limits import LimitDecision, Refusal
from hero_broker.limits.admission import Admission
from hero_broker.limits.counters import BudgetCounter, Counter, RateCounter, TokenRateCounter, Used
from hero_broker.limits.limit import ENFORCE, NO_HOLD, REFUSE, USD, Dimensions
from hero_broker.limits.refusals import (
    budget_unknown,
    label_unknown,
    model_not_priced,
    over_tokens,
    refusal,
)
from hero_broker.limits.states import subject_state

MayUse = Callable[[str], Used]

# The turns in which `Admission` asks limits: first those that the caller's address decides, then all others.
_LABEL, _OF_SERVER, _EARLY_SLOT, _EARLY_RATE, _EARLY_TOKENS, _EARLY_BUDGET = range(6)
_LATE_LABEL, _LATE_SLOT, _LATE_RATE, _TOKENS, _BUDGET = range(6, 11)


def explain(
    admission: Admission, call: Dimensions, may_use: MayUse
) -> tuple[list[LimitDecision], LimitDecision | None]:
    """Return what each limit that matches a call would do with it now, and the decision that would refuse the call.

    It takes nothing: counters that it makes are gone when it returns. `call` need not have its label; `may_use` is as
    of `Admission.admit`.
    """
    labelled = call if admission.labels is None else call._replace(label=admission.labels.lookup(call.ip))
    decisions: list[LimitDecision] = []
    refusals: list[tuple[int, bool, int, LimitDecision]] = []
    for position, one in enumerate(admission.limits):
        limit = one.limit
        if limit.uses_label and admission.labels is None:
            match = replace(limit.match, label=None)
            if match.covers(call) and limit.on_limits_unavailable == REFUSE:
                decision = _decision(limit.name, limit.mode, limit.unit, label_unknown())
                decisions.append(decision)
                turn = _LABEL if match.covers(Dimensions(call.ip)) else _LATE_LABEL
                refusals.append((turn, not limit.is_early, position, decision))
            continue
        if not limit.match.covers(labelled):
            continue
        counter = one.counter(labelled)
        turn, error = next(_errors(admission, counter, labelled, may_use), (0, None))
        decision = _with_counter(admission, counter, may_use, error)
        decisions.append(decision)
        refusals.append((turn, not limit.is_early, position, decision))
    refusing = [one for one in refusals if one[3].refusal is not None and one[3].mode == ENFORCE]
    return decisions, min(refusing, key=lambda one: one[:3])[3] if refusing else None


def _errors(
    admission: Admission, counter: Counter, call: Dimensions, may_use: MayUse
) -> Iterator[tuple[int, BrokerError]]:
    """Yield the errors with which a limit would refuse a call, each with its turn, in the order of the turns."""
    limit, now_ns = counter.of.limit, admission.now_ns()
    if isinstance(counter, BudgetCounter):
        yield from _errors_of_budget(admission, counter, call, may_use)
    elif isinstance(counter, TokenRateCounter):
        if limit.is_early and counter.wait_ns(now_ns):
            yield _EARLY_TOKENS, refusal(counter, call.ip, now_ns)
        error = over_tokens(counter, _needed(counter, may_use) or 0, now_ns)
        if error is not None:
            yield _TOKENS, error
    elif isinstance(counter, RateCounter):
        if counter.wait_ns(now_ns):
            yield _EARLY_RATE if limit.is_early else _LATE_RATE, refusal(counter, call.ip, now_ns)
    elif counter.in_flight >= counter.amount:
        early = _OF_SERVER if limit.is_of_server else _EARLY_SLOT
        yield early if limit.is_early else _LATE_SLOT, refusal(counter, call.ip, now_ns)


def _errors_of_budget(
    admission: Admission, counter: BudgetCounter, call: Dimensions, may_use: MayUse
) -> Iterator[tuple[int, BrokerError]]:
    limit, now = counter.of.limit, admission.now()
    if not counter.of.is_known:
        if limit.on_limits_unavailable == REFUSE:
            yield _BUDGET, budget_unknown()
        return
    window = counter.at(now)
    if limit.is_early and limit.unit != USD and (error := admission.over_budget(counter, window, 1, now)) is not None:
        yield _EARLY_BUDGET, error
    needed = _needed(counter, may_use)
    if needed is None and limit.unpriced == REFUSE:
        yield _BUDGET, model_not_priced(call.model or "")
    elif (error := admission.over_budget(counter, window, needed or 0, now)) is not None:
        yield _BUDGET, error


def _needed(counter: Counter, may_use: MayUse) -> int | None:
    """Return what a call takes of a limit, in its unit; None if the call has no known price, and the unit is USD."""
    limit = counter.of.limit
    if not isinstance(counter, BudgetCounter | TokenRateCounter):
        return 1
    used = may_use(limit.hold)
    if used.cost_nano_usd is None and limit.unit == USD:
        return None
    return 0 if limit.hold == NO_HOLD else used.amount(limit.unit)


def _with_counter(admission: Admission, counter: Counter, may_use: MayUse, error: BrokerError | None) -> LimitDecision:
    limit = counter.of.limit
    return replace(
        _decision(limit.name, limit.mode, limit.unit, error),
        needed=_needed(counter, may_use),
        amount=limit.amount,
        state=subject_state(counter, admission) if counter.of.is_known else None,
    )


def _decision(name: str, mode: str, unit: str, error: BrokerError | None) -> LimitDecision:
    said = None
    if error is not None:
        said = Refusal(
            error.status, error.code or error.type, error.message, error.retry_after_s if error.may_retry else None
        )
    return LimitDecision(name, unit, mode, said)
