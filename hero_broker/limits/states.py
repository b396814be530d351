"""Reports limits and their counters to operators, and to callers what is left of theirs."""

from collections.abc import Iterator, Mapping

from hero_broker.core.errors import NotRecorded
from hero_broker.core.limits import LimitState, OwnLimit, SubjectState
from hero_broker.limits.admission import Admission
from hero_broker.limits.counters import BudgetCounter, Counter, LimitCounters, RateCounter, Subject
from hero_broker.limits.limit import BILLING_PERIOD, CONCURRENT, ENFORCE, USD, Limit, LimitMatch, network_text
from hero_broker.limits.sentences import sentence
from hero_broker.limits.subjects import may_count, part_of_subject
from hero_broker.util.turns import in_turns

_MATCHES = ("ip", "network", "label", "context", "model", "provider", "kind")
_OF_CALLS = ("context", "model", "provider", "kind")  # what may differ between the calls of one address
MAX_UNSORTED = 1000  # subjects, so that to sort them does not take long
MAX_OWN_COUNTERS = 100  # of one limit, that a caller sees


class LimitStates:
    """The limits of an admission, as the admin plane asks for them."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def limits(self) -> list[LimitState]:
        """Return the limits in the order in which they refuse, those of `[server]` first."""
        return [_limit_state(one) for one in self._admission.limits]

    async def subjects(
        self, name: str, most: int, values: Mapping[str, str | None]
    ) -> tuple[LimitState, list[SubjectState]]:
        """Return a limit, and the subjects with these values that have used most of it, at most `most`.

        Subjects that have used nothing are among them if something is granted to them, or if the values are those of
        one subject, whose calls the limit may count.

        Raises:
            NotRecorded: no limit has this name.
            InvalidParams: no subject of the limit can have these values.
        """
        for one in self._admission.limits:
            if one.limit.name == name:
                part = part_of_subject(one.limit, values)
                states: list[SubjectState] = []
                async for counter in in_turns([*one.counters(), *one.unused(_further(one, part))]):
                    state = subject_state(counter, self._admission)
                    if part.items() <= state.subject.items():
                        states.append(state)
                    if len(states) > most + MAX_UNSORTED:
                        states = sorted(states, key=_by_use)[:most]
                return _limit_state(one), sorted(states, key=_by_use)[:most]
        raise NotRecorded("No such limit")

    def of_caller(self, ip: str) -> list[OwnLimit]:
        """Return the limits that may refuse calls of an address, once for each counter of its own.

        A caller does not learn what others use, nor how much they may use together.
        """
        return [state for one in self._admission.limits for state in self._own_limits(one, ip)]

    def _own_limits(self, one: LimitCounters, ip: str) -> Iterator[OwnLimit]:
        limit, admission = one.limit, self._admission
        if limit.mode != ENFORCE or not limit.match.covers_address(ip):
            return
        counters = one.own_counters(ip) if one.is_known else None
        if counters is None:
            yield _hidden(limit, admission.now())
            return
        states = [subject_state(counter, admission) for counter in counters]
        states.sort(key=_by_use)
        for state in states[:MAX_OWN_COUNTERS]:
            values = {name: value for name in _OF_CALLS if (value := state.subject.get(name)) is not None}
            yield OwnLimit(
                limit.name,
                limit.unit,
                _window(limit),
                _zone(limit),
                _calls(limit) | values,
                limit.amount + state.granted,
                state.used,
                state.held,
                state.remaining,
                state.window_start,
                state.window_end,
            )


def _by_use(state: SubjectState) -> tuple[int, str]:
    return -state.used - state.held, str(state.subject)


def _further(one: LimitCounters, part: Mapping[str, str | None]) -> Iterator[Subject]:
    """Yield the subjects that are shown although they may have used nothing."""
    per = one.limit.per
    subjects = {**one.grants, tuple(part[name] for name in per): 0} if part.keys() == set(per) else one.grants
    yield from (subject for subject in subjects if may_count(one.limit, dict(zip(per, subject, strict=True))))


def _hidden(limit: Limit, now: int) -> OwnLimit:
    """Return a limit without its amounts."""
    start, end = limit.window_at(now) if limit.is_budget and limit.window != BILLING_PERIOD else (None, None)
    ends = end if limit.has_end else None
    return OwnLimit(
        limit.name, limit.unit, _window(limit), _zone(limit), _calls(limit), None, None, None, None, start, ends
    )


def _window(limit: Limit) -> str | None:
    return None if limit.unit == CONCURRENT else limit.window


def _zone(limit: Limit) -> str | None:
    return limit.zone.key if limit.is_budget else None


def _calls(limit: Limit) -> dict[str, str]:
    return {name: value for name in _OF_CALLS if (value := getattr(limit.match, name)) is not None}


def _limit_state(one: LimitCounters) -> LimitState:
    limit = one.limit
    return LimitState(
        name=limit.name,
        unit=limit.unit,
        amount=limit.amount,
        window=_window(limit),
        tz=_zone(limit),
        hold=limit.hold if limit.is_budget or limit.is_token_rate else None,
        burst=limit.burst or None,
        match=_match(limit.match),
        per=limit.per,
        mode=limit.mode,
        source=limit.source,
        warn_at=limit.warn_at,
        on_exceed=limit.on_exceed if limit.grows else None,
        unpriced=limit.unpriced if limit.unit == USD else None,
        on_limits_unavailable=limit.on_limits_unavailable if limit.is_budget or limit.uses_label else None,
        description=sentence(limit),
        subjects=one.subjects,
        refused=one.refused,
        would_refuse=one.would_refuse,
        overshoots=one.overshoots,
        warned=one.warned,
    )


def _match(match: LimitMatch) -> dict[str, str]:
    found = {name: str(value) for name in _MATCHES if (value := getattr(match, name)) is not None}
    excepted = {"exclude": ", ".join(map(network_text, match.excepted))} if match.excepted else {}
    return found | excepted


def subject_state(counter: Counter, admission: Admission) -> SubjectState:
    """Return what the subject of a counter has used."""
    limit = counter.of.limit
    subject = dict(zip(limit.per, counter.subject, strict=True))
    if isinstance(counter, BudgetCounter):
        window = counter.at(admission.now())
        remaining = max(0, counter.amount - window.spent - window.held)
        ends = window.ends if limit.has_end else None
        begins = None if limit.window == BILLING_PERIOD else window.begins
        warnings = tuple(one for one in limit.warn_at if window.spent >= counter.part(one))
        granted = counter.amount - limit.amount
        return SubjectState(subject, window.spent, window.held, remaining, begins, ends, granted, warnings)
    if isinstance(counter, RateCounter):
        remaining = max(0, counter.remaining(admission.now_ns()))
        return SubjectState(subject, limit.burst - remaining, 0, remaining, None, None)
    return SubjectState(subject, counter.in_flight, 0, max(0, counter.amount - counter.in_flight), None, None)
