"""A price covers a kind of call if it can price the usage of such calls."""

import json
from decimal import Decimal

import pytest

from hero_broker.kinds.registry import KINDS
from hero_broker.kinds.typical import is_priced, typical_cost
from hero_broker.pricing.catalogue import Catalogue
from hero_broker.pricing.price import Price
from hero_broker.pricing.tariff import PricePeriod, Tariff

ONE = Decimal(1)


@pytest.mark.parametrize(
    ("rates", "kinds"),
    [
        pytest.param(("input_per_million", "output_per_million"), set(KINDS), id="tokens"),
        pytest.param(("input_per_million",), {"embedding", "rerank", "moderation"}, id="input"),
        pytest.param(("characters_per_million",), {"tts"}, id="characters"),
        pytest.param(("audio_per_minute",), {"stt"}, id="minutes"),
        pytest.param(("per_thousand_searches",), set(KINDS), id="searches, which replace tokens"),
        pytest.param(("per_request",), set(KINDS), id="requests"),
        pytest.param(("per_second",), set(KINDS), id="seconds"),
        pytest.param(("per_gpu_second",), set(KINDS), id="seconds of GPUs"),
        pytest.param(
            ("input_per_million", "audio_output_per_million"),
            {"embedding", "rerank", "moderation", "tts"},
            id="audio out",
        ),
        pytest.param(("audio_input_per_million", "output_per_million"), {"stt"}, id="audio in"),
        pytest.param((), set(), id="none"),
    ],
)
def test_price_is_for_the_kinds_whose_units_it_has(rates: tuple[str, ...], kinds: set[str]) -> None:
    tariff = Tariff.fixed(Price.from_rates(json.dumps(dict.fromkeys(rates, "1"))))

    for _ in range(2):  # the second time, the result is cached
        assert {kind for kind in KINDS if is_priced(tariff, kind)} == kinds


def test_model_without_a_tariff_is_not_priced() -> None:
    assert not is_priced(None, "chat")


def test_price_must_hold_at_any_time_and_length() -> None:
    whole, half = Price(input_per_million=ONE, output_per_million=ONE), Price(input_per_million=ONE)

    assert not is_priced(Tariff((PricePeriod((whole, half), (1000,)),)), "chat")
    assert not is_priced(Tariff((PricePeriod((whole,)), PricePeriod((half,), since=1))), "chat")
    assert is_priced(Tariff((PricePeriod((whole, whole), (1000,)),)), "chat")


@pytest.mark.parametrize(
    ("provider", "model", "kind"),
    [
        ("openai", "gpt-4o", "chat"),
        ("openai", "text-embedding-3-small", "embedding"),
        ("openai", "tts-1", "tts"),
        ("openai", "gpt-4o-mini-tts", "tts"),
        ("openai", "whisper-1", "stt"),
        ("openai", "gpt-4o-transcribe", "stt"),
        ("groq", "whisper-large-v3", "stt"),
        ("cohere", "rerank-v3.5", "rerank"),
        ("voyageai", "rerank-2", "rerank"),
        ("perplexity", "sonar", "chat"),
    ],
)
def test_listed_models_are_priced_for_their_kind(provider: str, model: str, kind: str) -> None:
    assert is_priced(Catalogue().tariff(provider, model), kind)


def test_typical_call_takes_ten_seconds_if_the_price_is_by_time() -> None:
    by_time = Price(per_gpu_second=Decimal("0.001"), gpus=Decimal(2))

    assert typical_cost(by_time, "chat") == ("1,000 in and 1,000 out in 10 seconds", 20_000_000)


def test_first_unit_that_has_a_price_is_the_typical_one() -> None:
    both = Price(characters_per_million=ONE, input_per_million=ONE, output_per_million=ONE)
    tokens = Price(input_per_million=ONE, output_per_million=ONE)

    assert typical_cost(both, "tts") == ("1,000 characters", 1_000_000)
    assert typical_cost(tokens, "tts") == ("1,000 tokens in and 1,000 out", 2_000_000)
    assert all(kind.typical for kind in KINDS.values())
