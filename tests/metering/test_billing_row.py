"""The note and the row of a call have the call's values under the same names."""

from decimal import Decimal
from typing import Any

from msgspec.structs import asdict, replace

from hero_broker.core.addresses import ip_key
from hero_broker.core.calls import Outcome
from hero_broker.core.cost_shares import CostShare, decode_shares
from hero_broker.core.records import PriceRecord
from hero_broker.core.usage import Usage, UsageSource
from hero_broker.metering.billing_row import PricedShare, build_note, due_row, encode_priced_shares, merge_shares
from hero_broker.pricing.price import Price
from tests.store.test_columns import NOTE

CALL: Any = NOTE  # it has all members of an attempt that a note takes


def test_note_has_each_value_of_its_call_under_its_name() -> None:
    price = Price.from_rates(NOTE.rates or "", source=NOTE.price_source, version=NOTE.price_version)

    assert build_note(CALL, price, 3) == replace(NOTE, attempts=3)


def test_row_has_each_value_of_its_call_under_its_name() -> None:
    price = Price.from_rates(NOTE.rates or "", source=NOTE.price_source, version=NOTE.price_version)
    counts = {name: number for number, name in enumerate(Usage.__struct_fields__, start=101)}  # no two values are equal
    end: dict[str, Any] = {
        "stream": True,
        "outcome": Outcome.PROVIDER_ERROR,
        "http_status": 502,
        "error_code": "an error",
        "usage_source": UsageSource.ESTIMATED,
        "cost_source": "price",
        "attempts": 112,
        "duration_ms": 113,
        "first_byte_ms": 114,
        "first_error": "another error",
        "provider_key": "0123abcd",
        "service_tier": "priority",
        "unexplained_tokens": -3,
        "cut_counts": "cached_input_tokens",
        "cost_shares": "[]",
    }

    due = due_row(CALL, usage=Usage(**counts), cost=111, price=price, **end)

    shared = ("request_id", "started_at", "kind", "model", "provider", "upstream_model", "requested_model")
    assert asdict(due.row) == {
        **{name: getattr(NOTE, name) for name in shared},
        **asdict(NOTE.caller),
        **counts,
        **end,
        "ip_key": ip_key(NOTE.caller.ip),
        "api_key_id": None,
        "cost_nano_usd": 111,
        "price_id": price.price_id,
    }
    assert (due.rates, due.price_source, due.price_version) == (price.rates, NOTE.price_source, NOTE.price_version)


ONE = Price(input_per_million=Decimal(3), output_per_million=Decimal(15), source="a" * 400, version="1")
OTHER = Price(input_per_million=Decimal(5))
DRAWING = Price(output_per_million=Decimal(1), per_image=Decimal("0.03"))


def test_shares_of_one_model_at_one_price_are_one_and_those_that_cost_nothing_are_left_out() -> None:
    shares = [
        PricedShare("m", Usage(input_tokens=1), ONE),
        PricedShare("n", Usage(input_tokens=2), OTHER),
        PricedShare("m", Usage(input_tokens=4, output_tokens=8), ONE),
        PricedShare("m", Usage(web_searches=0), OTHER),
    ]

    assert merge_shares(shares, ok=True) == [
        PricedShare("m", Usage(input_tokens=5, output_tokens=8), ONE),
        PricedShare("n", Usage(input_tokens=2), OTHER),
    ]


def test_shares_that_cost_more_or_less_together_stay_apart() -> None:
    shares = [  # images replace the tokens of images, if both are in one usage
        PricedShare("m", Usage(images=2), DRAWING),
        PricedShare("m", Usage(output_tokens=9, image_output_tokens=9), DRAWING),
        PricedShare("n", Usage(input_tokens=2), OTHER),
    ]

    assert merge_shares(shares, ok=True) == shares


def test_row_has_the_ids_of_the_prices_of_its_shares_and_each_price_is_there_once() -> None:
    shares = [PricedShare(model, Usage(input_tokens=1), ONE) for model in ("m", "\ud800")]

    text, prices = encode_priced_shares(shares)

    assert decode_shares(text) == tuple(CostShare(model, ONE.price_id, Usage(input_tokens=1)) for model in ("m", "?"))
    assert prices == (PriceRecord(ONE.price_id, ONE.rates, "a" * 300, "1"),)
