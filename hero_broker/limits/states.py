"""Reports limits and their counters to operators."""

from hero_broker.core.errors import NotRecorded
from hero_broker.core.limits import LimitState, SubjectState
from hero_broker.limits.admission import Admission
from hero_broker.limits.counters import BudgetCounter, Counter, LimitCounters, RateCounter
from hero_broker.limits.limit import CONCURRENT, EVER, LimitMatch
from hero_broker.limits.sentences import sentence

_MATCHES = ("ip", "network", "context", "model", "provider", "kind")


class LimitStates:
    """The limits of an admission, as the admin plane asks for them."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def limits(self) -> list[LimitState]:
        """Return the limits in the order in which they refuse, those of `[server]` first."""
        return [_limit_state(one) for one in self._admission.limits]

    def subjects(self, name: str, most: int) -> tuple[LimitState, list[SubjectState]]:
        """Return a limit, and the subjects that have used most of it, at most `most`.

        Raises:
            NotRecorded: no limit has this name.
        """
        for one in self._admission.limits:
            if one.limit.name == name:
                states = [_subject_state(counter, self._admission) for counter in one.counters()]
                states.sort(key=lambda state: (-state.used - state.held, str(state.subject)))
                return _limit_state(one), states[:most]
        raise NotRecorded("No such limit")


def _limit_state(one: LimitCounters) -> LimitState:
    limit = one.limit
    return LimitState(
        name=limit.name,
        unit=limit.unit,
        amount=limit.amount,
        window=None if limit.unit == CONCURRENT else limit.window,
        tz=limit.zone.key if limit.is_budget else None,
        hold=limit.hold if limit.is_budget else None,
        burst=limit.burst or None,
        match=_match(limit.match),
        per=limit.per,
        mode=limit.mode,
        description=sentence(limit),
        subjects=one.subjects,
        refused=one.refused,
        would_refuse=one.would_refuse,
        overshoots=one.overshoots,
    )


def _match(match: LimitMatch) -> dict[str, str]:
    return {name: str(value) for name in _MATCHES if (value := getattr(match, name)) is not None}


def _subject_state(counter: Counter, admission: Admission) -> SubjectState:
    limit = counter.of.limit
    subject = dict(zip(limit.per, counter.subject, strict=True))
    if isinstance(counter, BudgetCounter):
        window = counter.at(admission.now())
        remaining = max(0, counter.amount - window.spent - window.held)
        ends = None if limit.window == EVER else window.ends
        return SubjectState(subject, window.spent, window.held, remaining, window.begins, ends)
    if isinstance(counter, RateCounter):
        remaining = counter.remaining(admission.now_ns())
        return SubjectState(subject, limit.burst - remaining, 0, remaining, None, None)
    return SubjectState(subject, counter.in_flight, 0, max(0, counter.amount - counter.in_flight), None, None)
