"""What limits would do with a call of some size is what they do with a call of that size."""

from decimal import Decimal
from typing import cast

import pytest

from hero_broker.core.errors import InvalidParams
from hero_broker.core.limits import ExplainedAdmission, PlannedCall
from hero_broker.data_plane.exchange import Exchange
from hero_broker.data_plane.planned_calls import PlannedCalls
from hero_broker.kinds.registry import KINDS
from hero_broker.kinds.wires import OPENAI_WIRE
from hero_broker.ledger.ledger import Ledger
from hero_broker.limits.admission import Admission
from hero_broker.limits.limit import HOLDS, Limit
from hero_broker.metering.estimates import Estimates
from hero_broker.pricing.price import Price
from hero_broker.pricing.tariff import Tariff
from hero_broker.providers.provider import Provider
from hero_broker.providers.routes import Route, Routes
from hero_broker.providers.upstream.client import Upstream
from tests.data_plane.scripted import KEY, LIMITS, ScriptedClock, WordCounter, json_call, route
from tests.data_plane.test_endpoint import NoList
from tests.limits.known import know

IP = "192.0.2.1"
BODY = b'{"model":"m","messages":[{"role":"user","content":"one two three"}],"max_completion_tokens":100}'
BUDGETS = [
    Limit(f"{unit}-{hold}", unit, 10**15, window="ever", hold=hold) for unit in ("usd", "tokens") for hold in HOLDS
]
PER_CHARACTER = Tariff.fixed(Price(characters_per_million=Decimal(15)), is_override=True)
SPEECH = Route.to(
    "voice", "tts", Provider("p", "http://p/v1", (KEY,), stream_usage=True), "voice", tariff=PER_CHARACTER
)


class Asking:
    """A broker that is asked, with budgets of each unit and hold."""

    def __init__(self) -> None:
        self.admission = Admission(BUDGETS)
        know(self.admission)
        self.exchange = Exchange(
            cast(Upstream, None),
            cast(Ledger, None),
            Estimates(WordCounter()),
            ScriptedClock(),
            LIMITS,
            admission=self.admission,
        )
        self.planned = PlannedCalls(
            Routes([route(), SPEECH], [], NoList()), self.exchange, self.admission, ScriptedClock()
        )

    def needed(self, call: PlannedCall) -> dict[str, int | None]:
        return {one.name: one.needed for one in self.explain(call).decisions}

    def explain(self, call: PlannedCall) -> ExplainedAdmission:
        return self.planned.explain(call)


def test_call_of_a_size_needs_what_a_real_one_holds() -> None:
    asking = Asking()
    real = json_call("chat", BODY)
    may_use = asking.exchange.may_use(real, route())

    found = asking.needed(PlannedCall(IP, "m", body_bytes=real.request.input_bytes, max_output_tokens=100))

    assert found == {
        limit.name: may_use(limit.hold).amount(limit.unit) if limit.hold != "none" else 0 for limit in BUDGETS
    }
    assert found["tokens-safe"] == -(-real.request.input_bytes // 2) + 100


def test_kind_is_that_of_the_model_unless_it_is_said() -> None:
    asking = Asking()

    speech, chat, messages = (asking.explain(PlannedCall(IP, *of)) for of in (("voice",), ("m",), ("m", "completion")))

    assert [(one.model, one.kind, one.provider) for one in (speech, chat, messages)] == [
        ("voice", "tts", "p"),
        ("m", "chat", "p"),
        ("m", "completion", "p"),
    ]


def test_speech_needs_the_price_of_its_characters() -> None:
    found = Asking().needed(PlannedCall(IP, "voice", body_bytes=1000, max_output_tokens=5))

    assert found["usd-safe"] == 15_000_000


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.wire == OPENAI_WIRE])
def test_every_kind_can_be_asked_for(kind: str) -> None:
    found = Asking().explain(PlannedCall(IP, "m", kind, "", 3, 3))

    assert (found.kind, found.refused_by, len(found.decisions)) == (kind, None, len(BUDGETS))


@pytest.mark.parametrize(
    ("model", "kind", "reason"),
    [
        ("mm", None, "The model 'mm' does not exist"),
        ("m", "messages", "The provider p of the model 'm' does not speak the wire"),
        ("voice", "chat", "The model 'voice' exists for calls of kind tts, not for calls of kind chat."),
    ],
)
def test_model_that_is_not_served_is_named(model: str, kind: str | None, reason: str) -> None:
    with pytest.raises(InvalidParams) as caught:
        Asking().explain(PlannedCall(IP, model, kind))

    assert (caught.value.param, caught.value.reason[: len(reason)]) == ("model", reason)
