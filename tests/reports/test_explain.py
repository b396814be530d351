"""The lines of a row's explanation add up to its cost, whatever a provider reports and whatever the price."""

import json
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hero_broker.core.calls import Attempt, Caller, Outcome
from hero_broker.core.clock import SystemClock
from hero_broker.core.cost_shares import CostShare, decode_shares
from hero_broker.core.money import NANO
from hero_broker.core.records import PriceRecord, RequestLog
from hero_broker.core.usage import Usage
from hero_broker.kinds.usage_dialect import USAGE_DIALECTS
from hero_broker.metering.meter import Meter, OtherTariffs
from hero_broker.pricing.price import RATES, Price
from hero_broker.pricing.tariff import Tariff
from hero_broker.reports.explain import explain
from tests.kinds.test_report import PLAUSIBLE
from tests.ledger.rows import row as row_with
from tests.pricing.test_cost import plain_sum

PROVIDERS = st.sampled_from(["p", *(dialect.names[0] for dialect in USAGE_DIALECTS)])
PRICES = st.builds(Price, **{name: st.none() | st.decimals(0, 1, places=6) for name in RATES})
OUTCOMES = st.sampled_from([Outcome.OK, Outcome.CLIENT_DISCONNECTED])


CALL = Attempt(
    request_id="id",
    kind="chat",
    model="m",
    provider="p",
    upstream_model="m",
    url="https://gateway.example/v1",
    body=b"{}",
    caller=Caller("192.0.2.1", None),
    started_at=0,
)


def row_of(provider: str, usage: dict[str, object], price: Price, outcome: Outcome) -> RequestLog:
    """Return the row of a call whose provider reports this."""
    meter = Meter(replace(CALL, provider=provider), Tariff.fixed(price), SystemClock())
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


COUNTS = st.integers(0, 10**6)
ITERATIONS = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["message", "compaction", "advisor_message"]),
            "model": st.sampled_from(["m", "n", "o"]),
            "input_tokens": COUNTS,
            "cache_read_input_tokens": COUNTS,
            "output_tokens": COUNTS,
        }
    ),
    max_size=6,
)
NEEDED = ("input_per_million", "output_per_million")  # by each share, so that its cost is known
TOKEN_PRICES = st.builds(
    Price,
    **{name: st.decimals(0, 1, places=6) for name in NEEDED},
    **{name: st.none() | st.decimals(0, 1, places=6) for name in RATES if name not in NEEDED},
)


@given(ITERATIONS, st.integers(0, 9), st.tuples(TOKEN_PRICES, TOKEN_PRICES, TOKEN_PRICES), OUTCOMES)
def test_lines_of_several_prices_add_up_to_the_cost(
    others: list[dict[str, object]], searches: int, prices: tuple[Price, Price, Price], outcome: Outcome
) -> None:
    tariffs = {name: Tariff.fixed(price) for name, price in zip("mno", prices, strict=True)}
    own = {"type": "message", "model": "m", "input_tokens": 3, "cache_read_input_tokens": 0, "output_tokens": 1}
    told = [own, *others]
    described = [one for one in told if one["type"] == "message"]
    names = ("input_tokens", "cache_read_input_tokens", "output_tokens")
    usage: dict[str, object] = {name: sum(int(str(one[name])) for one in described) for name in names}
    usage |= {"iterations": told, "server_tool_use": {"web_search_requests": searches}}
    meter = Meter(
        replace(CALL, kind="messages", provider="p"),
        tariffs["m"],
        SystemClock(),
        OtherTariffs(listed=lambda _, model: tariffs.get(model)),
    )
    meter.is_sent = True
    meter.on_response()
    meter.on_body(json.dumps({"type": "message", "content": [{}], "usage": usage}).encode())
    due = meter.close(outcome, 200, None)
    row = due.row

    shares, rates = decode_shares(row.cost_shares), {price.price_id: price.rates for price in due.share_prices}
    lines, total = explain(row, None, shares, rates)

    assert (row.cost_source == "mixed") is bool(shares)
    assert {share.price_id for share in shares} == rates.keys()
    if row.cost_source == "mixed":
        assert total is not None
        assert row.cost_nano_usd == round(Fraction(total) * NANO)
        assert sum((Fraction(line.amount_usd) for line in lines), Fraction(0)) == Fraction(total)
        assert [line.model for line in lines if line.rate == "per_request"] in ([], ["m"])


def test_price_per_request_is_explained_in_the_first_share_alone() -> None:
    price = Price(input_per_million=Decimal(1), per_request=Decimal("0.5"))
    shares = [CostShare(model, price.price_id, Usage(input_tokens=2)) for model in ("m", "n")]
    called = row_with(kind="messages", cost_source="mixed", cost_nano_usd=500_004_000, price_id=None)

    lines, total = explain(called, None, shares, {price.price_id: price.rates})

    assert [(line.model, line.unit) for line in lines] == [
        ("m", "input_tokens"),
        ("m", "request"),
        ("n", "input_tokens"),
    ]
    assert total == "0.500004"


def test_shares_without_one_of_their_prices_are_not_explained() -> None:
    shares = [CostShare(name, name, Usage(input_tokens=2)) for name in ("m", "n")]
    called = row_with(kind="messages", cost_source="mixed", cost_nano_usd=4_000, price_id=None)

    assert explain(called, None, shares, {"m": '{"input_per_million":"1"}'}) == ((), "0.000004")


@given(PROVIDERS, PLAUSIBLE, PRICES)
def test_cost_of_a_provider_has_no_lines(provider: str, usage: dict[str, object], price: Price) -> None:
    row = row_of(provider, {**usage, "cost": 0.25}, price, Outcome.OK)

    assert explain(row, None) == ((), "0.25")


@pytest.mark.parametrize(("source", "cost", "exact"), [("mixed", 96_800_000, "0.0968"), ("free", 0, "0")])
def test_cost_of_several_prices_without_shares_or_of_none_has_no_lines(source: str, cost: int, exact: str) -> None:
    called = row_with(kind="messages", cost_source=source, cost_nano_usd=cost, price_id=None, input_tokens=23_800)

    assert explain(called, None) == ((), exact)
