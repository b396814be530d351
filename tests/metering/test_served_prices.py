"""A call is charged as it was served: in the tier and by the model that the provider's answer names."""

import json
import time
from decimal import Decimal
from typing import Any

import pytest

from hero_broker.core.calls import Attempt, Caller, Outcome
from hero_broker.core.clock import SystemClock
from hero_broker.core.records import RequestLog
from hero_broker.metering.meter import Meter, OtherTariffs
from hero_broker.pricing.catalogue import Catalogue
from hero_broker.pricing.price import Price
from hero_broker.pricing.tariff import Tariff

CATALOGUE = Catalogue()
OWN = Tariff.fixed(Price(input_per_million=Decimal(1), output_per_million=Decimal(1)), is_override=True)


def billed(provider: str, model: str, tariff: Tariff | None, answer: dict[str, Any], *, stream: bool) -> RequestLog:
    """Return the row of a call whose answer, or whose stream's last events, say this."""
    call = Attempt(
        request_id="id",
        kind="chat",
        model=model,
        provider=provider,
        upstream_model=model,
        url="https://api.example/v1",
        body=b"{}",
        caller=Caller("192.0.2.1", None),
        started_at=int(time.time()),
        stream=stream,
        input_bytes=2,
    )
    meter = Meter(call, tariff, SystemClock(), OtherTariffs(CATALOGUE.tariff_of_name))
    meter.is_sent = True
    meter.on_response()
    if stream:
        usage = answer.pop("usage")
        meter.on_plain_events(f"data: {json.dumps({**answer, 'choices': [{'delta': {'content': 'a'}}]})}\n\n".encode())
        meter.on_event(json.dumps({**answer, "choices": [], "usage": usage}).encode())
    else:
        meter.on_body(json.dumps({**answer, "choices": [{}]}).encode())
    return meter.close(Outcome.OK, 200, None).row


def usage(into: int, out: int) -> dict[str, int]:
    return {"prompt_tokens": into, "completion_tokens": out, "total_tokens": into + out}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("tier", "cost"),
    [
        pytest.param("priority", 220_000, id="priority"),
        pytest.param("flex", 55_000, id="flex"),
        pytest.param("default", 110_000, id="default"),
        pytest.param("unheard-of", 110_000, id="unknown"),
        pytest.param(None, 110_000, id="none"),
    ],
)
def test_tier_that_was_served_sets_the_price(tier: str | None, cost: int, stream: bool) -> None:
    answer: dict[str, Any] = {"model": "gpt-5", "usage": usage(8, 10)}
    if tier is not None:
        answer["service_tier"] = tier

    row = billed("openai", "gpt-5", CATALOGUE.tariff("openai", "gpt-5"), answer, stream=stream)

    assert (row.cost_nano_usd, row.cost_source, row.service_tier) == (cost, "price", tier)


@pytest.mark.parametrize("stream", [False, True])
def test_model_that_answered_sets_the_price_if_the_list_has_it(stream: bool) -> None:
    asked, answering = (CATALOGUE.tariff("openai", name) for name in ("gpt-4o", "gpt-4o-mini"))
    assert answering is not None

    def cost(tariff: Tariff | None, model: str) -> tuple[int | None, str]:
        row = billed("openai", "gpt-4o", tariff, {"model": model, "usage": usage(1_000, 1_000)}, stream=stream)
        return row.cost_nano_usd, row.upstream_model

    assert cost(asked, "gpt-4o-mini") == (750_000, "gpt-4o")  # 0.15 and 0.60 USD per million
    assert cost(asked, "gpt-4o") == (12_500_000, "gpt-4o")  # 2.50 and 10
    assert cost(asked, "a name that no list has") == (12_500_000, "gpt-4o")
    assert cost(None, "gpt-4o-mini") == (750_000, "gpt-4o")  # such as a deployment under a name of its own
    assert cost(OWN, "gpt-4o-mini") == (2_000_000, "gpt-4o")  # the operator's price comes first
