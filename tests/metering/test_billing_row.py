"""The note of a call has the call's values under the same names."""

from typing import Any

from msgspec.structs import replace

from hero_broker.metering.billing_row import build_note
from hero_broker.pricing.price import Price
from tests.store.test_columns import NOTE

CALL: Any = NOTE  # it has all members of an attempt that a note takes


def test_note_has_each_value_of_its_call_under_its_name() -> None:
    price = Price.from_rates(NOTE.rates or "", source=NOTE.price_source, version=NOTE.price_version)

    assert build_note(CALL, price, 3) == replace(NOTE, attempts=3)
