"""A price covers a kind of call if it can price the usage of such calls."""

import json
from decimal import Decimal

import pytest

from hero_broker.core.calls import CallKind
from hero_broker.kinds.typical import TYPICAL, is_priced, typical_cost
from hero_broker.pricing.catalogue import Catalogue
from hero_broker.pricing.price import Price
from hero_broker.pricing.tariff import PricePeriod, Tariff

ONE = Decimal(1)


@pytest.mark.parametrize(
    ("rates", "kinds"),
    [
        pytest.param(("input_per_million", "output_per_million"), set(CallKind), id="tokens"),
        pytest.param(("input_per_million",), {CallKind.EMBEDDING, CallKind.RERANK}, id="input"),
        pytest.param(("characters_per_million",), {CallKind.TTS}, id="characters"),
        pytest.param(("audio_per_minute",), {CallKind.STT}, id="minutes"),
        pytest.param(("per_thousand_searches",), set(CallKind), id="searches, which replace tokens"),
        pytest.param(("per_request",), set(CallKind), id="requests"),
        pytest.param(
            ("input_per_million", "audio_output_per_million"),
            {CallKind.EMBEDDING, CallKind.RERANK, CallKind.TTS},
            id="audio out",
        ),
        pytest.param(("audio_input_per_million", "output_per_million"), {CallKind.STT}, id="audio in"),
        pytest.param((), set(), id="none"),
    ],
)
def test_price_is_for_the_kinds_whose_units_it_has(rates: tuple[str, ...], kinds: set[CallKind]) -> None:
    tariff = Tariff.fixed(Price.from_rates(json.dumps(dict.fromkeys(rates, "1"))))

    assert {kind for kind in CallKind if is_priced(tariff, kind)} == kinds


def test_model_without_a_tariff_is_not_priced() -> None:
    assert not is_priced(None, CallKind.CHAT)


def test_price_must_hold_at_any_time_and_length() -> None:
    whole, half = Price(input_per_million=ONE, output_per_million=ONE), Price(input_per_million=ONE)

    assert not is_priced(Tariff((PricePeriod((whole, half), (1000,)),)), CallKind.CHAT)
    assert not is_priced(Tariff((PricePeriod((whole,)), PricePeriod((half,), since=1))), CallKind.CHAT)
    assert is_priced(Tariff((PricePeriod((whole, whole), (1000,)),)), CallKind.CHAT)


@pytest.mark.parametrize(
    ("provider", "model", "kind"),
    [
        ("openai", "gpt-4o", CallKind.CHAT),
        ("openai", "text-embedding-3-small", CallKind.EMBEDDING),
        ("openai", "tts-1", CallKind.TTS),
        ("openai", "gpt-4o-mini-tts", CallKind.TTS),
        ("openai", "whisper-1", CallKind.STT),
        ("openai", "gpt-4o-transcribe", CallKind.STT),
        ("groq", "whisper-large-v3", CallKind.STT),
        ("cohere", "rerank-v3.5", CallKind.RERANK),
        ("voyageai", "rerank-2", CallKind.RERANK),
        ("perplexity", "sonar", CallKind.CHAT),
    ],
)
def test_listed_models_are_priced_for_their_kind(provider: str, model: str, kind: CallKind) -> None:
    assert is_priced(Catalogue().tariff(provider, model), kind)


def test_first_unit_that_has_a_price_is_the_typical_one() -> None:
    both = Price(characters_per_million=ONE, input_per_million=ONE, output_per_million=ONE)
    tokens = Price(input_per_million=ONE, output_per_million=ONE)

    assert typical_cost(both, CallKind.TTS) == ("1,000 characters", 1_000_000)
    assert typical_cost(tokens, CallKind.TTS) == ("1,000 tokens in and 1,000 out", 2_000_000)
    assert TYPICAL.keys() == set(CallKind)
