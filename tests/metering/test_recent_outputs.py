"""The mean output of a model's last calls."""

import pytest
from msgspec.structs import replace

from hero_broker.core.calls import Outcome
from hero_broker.core.records import Settled
from hero_broker.metering import recent_outputs
from hero_broker.metering.recent_outputs import CALLS, RecentOutputs
from tests.ledger.rows import row


def settled(outputs: RecentOutputs, *tokens: int | None, model: str = "m", outcome: Outcome = Outcome.OK) -> None:
    for count in tokens:
        outputs.settled(Settled(replace(row(model=model, output_tokens=count), outcome=outcome), ()))


def test_mean_is_of_the_model_and_rounded_up() -> None:
    outputs = RecentOutputs()
    settled(outputs, 1, 2, None)
    settled(outputs, 100, model="other")

    assert (outputs.mean("m"), outputs.mean("other"), outputs.mean("new")) == (2, 100, None)


def test_only_the_last_calls_count() -> None:
    outputs = RecentOutputs()
    settled(outputs, 10_000, *[7] * CALLS)

    assert outputs.mean("m") == 7


@pytest.mark.parametrize("outcome", [one for one in Outcome if one is not Outcome.OK])
def test_calls_that_did_not_end_well_do_not_count(outcome: Outcome) -> None:
    outputs = RecentOutputs()
    settled(outputs, 5, outcome=outcome)

    assert outputs.mean("m") is None


def test_number_of_models_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent_outputs, "MAX_MODELS", 2)
    outputs = RecentOutputs()
    for model in ("a", "b", "c"):
        settled(outputs, 3, model=model)

    assert [outputs.mean(model) for model in ("a", "b", "c")] == [None, 3, 3]
