"""What limits would do with a call is what they do with it, and asking takes nothing."""

import gc
from dataclasses import dataclass
from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hero_broker.core.calls import Caller
from hero_broker.core.errors import BrokerError
from hero_broker.core.labels import LabelIndex
from hero_broker.core.limits import LimitDecision, Refusal, SubjectState
from hero_broker.limits.admission import Admission, Slot
from hero_broker.limits.counters import Used
from hero_broker.limits.explain import explain
from hero_broker.limits.limit import UNITS, Dimensions, Limit, LimitMatch, server_limits
from tests.limits.known import know

NOW, NOW_NS = 1_700_000_000, 10**12
IPS, MODELS = ("10.0.0.1", "10.0.0.2"), ("m", "n")
LABELS = LabelIndex([("10.0.0.2", "lab")])
MATCHES = (
    LimitMatch(),
    LimitMatch(ip="10.0.0.1"),
    LimitMatch(network=ip_network("10.0.0.2/32")),
    LimitMatch(model="m"),
    LimitMatch(label="lab"),
)


@dataclass(frozen=True)
class Asked:
    """A call, and what it may use."""

    ip: str
    model: str
    used: Used

    @property
    def dimensions(self) -> Dimensions:
        return Dimensions(self.ip, None, self.model, "p", "chat")

    def may_use(self, hold: str) -> Used:
        return Used(self.used.cost_nano_usd and 0, 0, 0) if hold == "none" else self.used


@st.composite
def limits(draw: st.DrawFn) -> Limit:
    unit = draw(st.sampled_from(UNITS))
    window = (
        "minute" if unit == "concurrent" else draw(st.sampled_from(("day",) if unit == "usd" else ("minute", "day")))
    )
    amount = draw(st.integers(1, 6))
    return Limit(
        f"l{draw(st.integers(0, 10**9))}",
        unit,
        amount,
        draw(st.sampled_from(MATCHES)),
        draw(st.sampled_from([(), ("ip",), ("model",), ("label",), ("ip", "model")])),
        burst=draw(st.integers(1, amount)) if window == "minute" and unit != "concurrent" else 0,
        mode=draw(st.sampled_from(["enforce", "enforce", "shadow"])),
        window=window,
        hold=draw(st.sampled_from(["safe", "none"])),
    )


calls = st.builds(
    Asked,
    st.sampled_from(IPS),
    st.sampled_from(MODELS),
    st.builds(Used, st.none() | st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)),
)


def admission(*some: Limit, knows: bool = True, labels: LabelIndex | None = LABELS) -> Admission:
    admitting = Admission([*server_limits(9, 3), *some], (), lambda: NOW_NS, lambda: NOW)
    if labels is not None:
        admitting.use_labels(labels)
    if knows:
        know(admitting)
    return admitting


def make(admitting: Admission, call: Asked) -> Slot:
    """Begin a call as the data plane does."""
    slot = admitting.enter(Caller(call.ip, None))
    try:
        admitting.admit(slot, call.ip, None, call.model, "p", "chat", NOW, call.may_use)
    except BrokerError:
        slot.end()
        raise
    return slot


def refused(admitting: Admission, call: Asked) -> Refusal | None:
    """Begin a call; return the error that refuses it."""
    try:
        make(admitting, call)
    except BrokerError as error:
        return refusal_of(error)
    return None


def refusal_of(error: BrokerError) -> Refusal:
    return Refusal(error.status, error.code or "", error.message, error.retry_after_s)


def decided(admitting: Admission, call: Asked) -> Refusal | None:
    _, decision = explain(admitting, call.dimensions, call.may_use)
    return None if decision is None else decision.refusal


def state(admitting: Admission) -> list[tuple[object, ...]]:
    gc.collect()
    return [
        (
            one.limit.name,
            one.refused,
            one.would_refuse,
            one.shared,
            sorted(map(str, (c.subject for c in one.counters()))),
        )
        for one in admitting.limits
    ]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(limits(), max_size=5, unique_by=lambda limit: limit.name),
    st.lists(calls, min_size=1, max_size=7),
    st.booleans(),
    st.sampled_from([LABELS, LABELS, None]),
)
def test_explanation_says_what_happens_then(
    some: list[Limit], made: list[Asked], knows: bool, labels: LabelIndex | None
) -> None:
    admitting = admission(*some, knows=knows, labels=labels)
    slots = []
    for call in made:
        expected = decided(admitting, call)
        try:
            slots.append(make(admitting, call))
            happened = None
        except BrokerError as error:
            happened = refusal_of(error)
        assert happened == expected


def test_each_limit_that_matches_says_what_it_needs_and_has() -> None:
    budget = Limit("b", "usd", 10, per=("ip",), window="ever")
    tokens = Limit("t", "tokens", 60, LimitMatch(model="m"), ("label",), 60, mode="shadow")
    other = Limit("o", "requests", 1, LimitMatch(model="n"), burst=1)
    admitting = admission(budget, tokens, other)
    slot = make(admitting, Asked("10.0.0.2", "m", Used(4, 20, 30)))
    call = Asked("10.0.0.2", "m", Used(7, 20, 30))

    decisions, refused_by = explain(admitting, call.dimensions, call.may_use)

    ours = {one.name: one for one in decisions}
    assert list(ours) == ["server.max_calls_per_address", "server.max_calls", "b", "t"]
    assert ours["server.max_calls"] == LimitDecision(
        "server.max_calls", "concurrent", "enforce", None, 1, 9, SubjectState({}, 1, 0, 8, None, None)
    )
    assert refused_by == ours["b"]
    assert (ours["b"].needed, ours["b"].amount) == (7, 10)
    assert ours["b"].state == SubjectState({"ip": "10.0.0.2"}, 0, 4, 6, 0, None)
    assert ours["b"].refusal is not None
    assert ours["b"].refusal.code == "budget_reserved"
    assert (ours["t"].needed, ours["t"].state) == (50, SubjectState({"label": "lab"}, 50, 0, 10, None, None))
    assert ours["t"].refusal is not None
    slot.end()


def test_question_takes_nothing_and_leaves_no_counter() -> None:
    admitting = admission(
        Limit("b", "usd", 10, per=("ip",), window="day"),
        Limit("r", "requests", 1, per=("ip", "model"), burst=1),
        Limit("c", "concurrent", 1, LimitMatch(model="m")),
    )
    fitting, too_much = Asked("10.0.0.1", "m", Used(10, 0, 0)), Asked("10.0.0.1", "m", Used(11, 0, 0))
    before = state(admitting)

    for _ in range(3):
        assert decided(admitting, fitting) is None
        assert decided(admitting, too_much) is not None

    assert state(admitting) == before
    assert all(not counters for *_, counters in before)
    assert refused(admitting, fitting) is None


@pytest.mark.parametrize(
    ("knows", "labels", "message"),
    [
        (False, LABELS, "The database did not say yet what is spent of a budget; try again shortly."),
        (True, None, "The database did not say yet which label the address has; try again shortly."),
    ],
)
def test_what_is_not_known_yet_is_no_number(knows: bool, labels: LabelIndex | None, message: str) -> None:
    admitting = admission(Limit("b", "usd", 10, per=("label",), window="day"), knows=knows, labels=labels)
    call = Asked("10.0.0.1", "m", Used(1, 0, 0))

    decisions, refused_by = explain(admitting, call.dimensions, call.may_use)

    assert refused_by is decisions[-1]
    assert (refused_by.name, refused_by.state) == ("b", None)
    assert refused_by.refusal == Refusal(503, "limits_unavailable", message, 5)
