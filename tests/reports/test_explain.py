"""The lines of a row's explanation add up to its cost, whatever a provider reports and whatever the price."""

import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_broker.core.calls import Attempt, Caller, Outcome
from hero_broker.core.clock import SystemClock
from hero_broker.core.money import NANO
from hero_broker.core.records import PriceRecord, RequestLog
from hero_broker.core.usage import Usage
from hero_broker.kinds.usage_dialect import USAGE_DIALECTS
from hero_broker.metering.meter import Meter
from hero_broker.pricing.price import RATES, Price
from hero_broker.pricing.tariff import Tariff
from hero_broker.reports.explain import explain
from tests.kinds.test_report import PLAUSIBLE
from tests.ledger.rows import row as row_with
from tests.pricing.test_cost import plain_sum

PROVIDERS = st.sampled_from(["p", *(dialect.names[0] for dialect in USAGE_DIALECTS)])
PRICES = st.builds(Price, **{name: st.none() | st.decimals(0, 1, places=6) for name in RATES})
OUTCOMES = st.sampled_from([Outcome.OK, Outcome.CLIENT_DISCONNECTED])


def row_of(provider: str, usage: dict[str, object], price: Price, outcome: Outcome) -> RequestLog:
    """Return the row of a call whose provider reports this."""
    call = Attempt(
        request_id="id",
        kind="chat",
        model="m",
        provider=provider,
        upstream_model="m",
        url="https://gateway.example/v1",
        body=b"{}",
        caller=Caller("192.0.2.1", None),
        started_at=0,
    )
    meter = Meter(call, Tariff.fixed(price), SystemClock())
    meter.is_sent = True
    meter.on_response()
    meter.on_body(json.dumps({"choices": [{}], "usage": usage}).encode())
    return meter.close(outcome, 200, None).row


@given(PROVIDERS, PLAUSIBLE, PRICES, OUTCOMES)
def test_cost_is_the_plain_sum_of_its_lines(
    provider: str, usage: dict[str, object], price: Price, outcome: Outcome
) -> None:
    row = row_of(provider, usage, price, outcome)
    read = Usage(**{unit: getattr(row, unit) for unit in Usage.__struct_fields__})
    exact = plain_sum(read, price, ok=outcome is Outcome.OK, duration_ms=row.duration_ms)

    lines, total = explain(row, PriceRecord(price.price_id, price.rates, "", ""))

    if exact is None:
        assert (row.cost_nano_usd, lines, total) == (None, (), None)
        return
    assert row.cost_nano_usd == round(exact * NANO)
    assert total is not None
    assert Fraction(total) == exact
    assert sum((Fraction(line.amount_usd) for line in lines), Fraction(0)) == exact
    assert [Fraction(line.usd) * Fraction(line.units) / line.per for line in lines] == [
        Fraction(line.amount_usd) for line in lines
    ]


@given(PROVIDERS, PLAUSIBLE, PRICES)
def test_cost_of_a_provider_has_no_lines(provider: str, usage: dict[str, object], price: Price) -> None:
    row = row_of(provider, {**usage, "cost": 0.25}, price, Outcome.OK)

    assert explain(row, None) == ((), "0.25")


@pytest.mark.parametrize(("source", "cost", "exact"), [("mixed", 96_800_000, "0.0968"), ("free", 0, "0")])
def test_cost_of_several_prices_or_of_none_has_no_lines(source: str, cost: int, exact: str) -> None:
    called = row_with(kind="messages", cost_source=source, cost_nano_usd=cost, price_id=None, input_tokens=23_800)

    assert explain(called, None) == ((), exact)
