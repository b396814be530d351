"""The note and the row of a call have the call's values under the same names."""

from typing import Any

from msgspec.structs import asdict, replace

from hero_broker.core.addresses import ip_key
from hero_broker.core.calls import Outcome
from hero_broker.core.usage import Usage, UsageSource
from hero_broker.metering.billing_row import build_note, due_row
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
