"""Calls of every kind cost what a calculation by hand gives.

The rates are those of the page beside them, in USD. A rate of 1 USD per million is 1,000 nano-USD per unit.
"""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from hero_broker.core.usage import Usage
from hero_broker.pricing.catalogue import Catalogue
from hero_broker.pricing.cost import cost_of
from hero_broker.pricing.price import Price

D = Decimal

OPENAI = "https://developers.openai.com/api/docs/pricing"
GPT_4O = Price(D("2.5"), D(10), cached_input_per_million=D("1.25"), source=OPENAI)
O3 = Price(D(2), D(8), cached_input_per_million=D("0.5"), source=OPENAI)
GPT_REALTIME = Price(D(4), D(16), audio_input_per_million=D(32), audio_output_per_million=D(64), source=OPENAI)
INSTRUCT = Price(D("1.5"), D(2), source=OPENAI)
EMBEDDING = Price(D("0.02"), source=OPENAI)
TTS_1 = Price(characters_per_million=D(15), source=OPENAI)
MINI_TTS = Price(D("0.6"), D(12), source=OPENAI)
WHISPER = Price(audio_per_minute=D("0.006"), source=OPENAI)
TRANSCRIBE = Price(D("2.5"), D(10), audio_input_per_million=D(6), source=OPENAI)
SONNET = Price(
    D(3),
    D(15),
    cached_input_per_million=D("0.3"),
    cache_write_per_million=D("3.75"),
    source="https://www.anthropic.com/pricing#api",
)
PERPLEXITY = "https://docs.perplexity.ai/docs/getting-started/pricing"
DEEP_RESEARCH = Price(D(2), D(8), reasoning_per_million=D(3), source=PERPLEXITY)
SONAR = Price(D(1), D(1), per_request=D("0.012"), source=PERPLEXITY)
GROQ_TURBO = Price(  # 0.04 an hour, at least ten seconds
    audio_per_minute=D("0.04") / 60, audio_minimum_s=D(10), source="https://groq.com/pricing"
)
ORPHEUS = Price(characters_per_million=D(22), source="https://console.groq.com/docs/models")
VOXTRAL = Price(D("0.1"), D("0.4"), audio_per_minute=D("0.004"), source="https://mistral.ai/pricing/api")
RERANK = Price(per_thousand_searches=D(2), source="https://developer.puter.com/tutorials/cohere-api-pricing/")
VOYAGE = Price(D("0.05"), source="https://vercel.com/ai-gateway/models/rerank-2.5.md")


@pytest.mark.parametrize(
    ("usage", "price", "nano_usd"),
    [
        pytest.param(
            Usage(1000, 200, cached_input_tokens=400),
            GPT_4O,
            4_000_000,  # 600 × 2,500 + 400 × 1,250 + 200 × 10,000
            id="chat, cached input",
        ),
        pytest.param(
            Usage(12_000, 500, cached_input_tokens=4000, cache_write_tokens=6000),
            SONNET,
            37_200_000,  # 2,000 × 3,000 + 4,000 × 300 + 6,000 × 3,750 + 500 × 15,000
            id="chat, cache write",
        ),
        pytest.param(
            Usage(100, 1000, reasoning_tokens=800),
            O3,
            8_200_000,  # 100 × 2,000 + (800 + 200) × 8,000
            id="chat, reasoning at the output's rate",
        ),
        pytest.param(
            Usage(50, 900, reasoning_tokens=700),
            DEEP_RESEARCH,
            3_800_000,  # 50 × 2,000 + 200 × 8,000 + 700 × 3,000
            id="chat, reasoning at its own rate",
        ),
        pytest.param(
            Usage(300, 150, audio_input_tokens=200, audio_output_tokens=100),
            GPT_REALTIME,
            14_000_000,  # 100 × 4,000 + 200 × 32,000 + 50 × 16,000 + 100 × 64,000
            id="chat, audio",
        ),
        pytest.param(
            Usage(14, 243),
            SONAR,
            12_257_000,  # 14 × 1,000 + 243 × 1,000 + 0.012 USD
            id="chat, price per request",
        ),
        pytest.param(Usage(7, 16), INSTRUCT, 42_500, id="completion"),  # 7 × 1,500 + 16 × 2,000
        pytest.param(Usage(8), EMBEDDING, 160, id="embedding"),  # 8 × 20
        pytest.param(Usage(characters=1234), TTS_1, 18_510_000, id="tts by characters"),  # 1,234 × 15,000
        pytest.param(
            Usage(308, 5000, characters=1234),
            TTS_1,
            18_510_000,  # tokens, here estimated, have no price
            id="tts by characters, tokens known",
        ),
        pytest.param(Usage(characters=250), ORPHEUS, 5_500_000, id="tts of Groq"),  # 250 × 22,000
        pytest.param(
            Usage(20, 400, characters=85),
            MINI_TTS,
            4_812_000,  # 20 × 600 + 400 × 12,000
            id="tts by tokens, characters known",
        ),
        pytest.param(Usage(audio_ms=83_500), WHISPER, 8_350_000, id="stt by the minute"),  # 83,500 × 0.006 / 60,000
        pytest.param(Usage(25, 60, audio_ms=83_500), WHISPER, 8_350_000, id="stt by the minute, tokens known"),
        pytest.param(Usage(audio_ms=3000), GROQ_TURBO, 111_111, id="stt, minimum"),  # 10 s × 0.04 / 3,600 s
        pytest.param(Usage(audio_ms=20_000), GROQ_TURBO, 222_222, id="stt above the minimum"),  # 20 s × 0.04 / 3,600 s
        pytest.param(
            Usage(30, 12, audio_input_tokens=28, audio_ms=2800),
            TRANSCRIBE,
            293_000,  # 2 × 2,500 + 28 × 6,000 + 12 × 10,000
            id="stt by tokens",
        ),
        pytest.param(
            Usage(4, 99, audio_ms=15_000),
            VOXTRAL,
            1_040_000,  # 0.25 minutes × 0.004 USD + 4 × 100 + 99 × 400
            id="stt by the minute and tokens",
        ),
        pytest.param(Usage(search_units=3), RERANK, 6_000_000, id="rerank by searches"),  # 3 × 2 / 1,000 USD
        pytest.param(Usage(), RERANK, 2_000_000, id="rerank, one search unless reported"),
        pytest.param(Usage(26), VOYAGE, 1_300, id="rerank by tokens"),  # 26 × 50
    ],
)
def test_cost_by_hand(usage: Usage, price: Price, nano_usd: int) -> None:
    assert cost_of(usage, price) == nano_usd


@pytest.mark.parametrize(
    ("provider", "model", "moment", "usage", "nano_usd"),
    [
        # https://www.anthropic.com/pricing#api: up to 200,000 tokens 3 and 15 USD, above 6 and 22.5 for all of them.
        pytest.param(
            "anthropic", "claude-sonnet-4-5", "2026-06-01T00:00", Usage(200_000, 1000), 615_000_000, id="short context"
        ),  # 200,000 × 3,000 + 1,000 × 15,000
        pytest.param(
            "anthropic", "claude-sonnet-4-5", "2026-06-01T00:00", Usage(200_001, 1000), 1_222_506_000, id="long context"
        ),  # 200,001 × 6,000 + 1,000 × 22,500
        # Alibaba's page, see the supplement: up to 256,000 tokens 0.4 and 1.2 USD, above 1.2 and 3.6.
        pytest.param(
            "dashscope", "qwen-plus", "2026-06-01T00:00", Usage(256_000, 1000), 103_600_000, id="supplement, short"
        ),  # 256,000 × 400 + 1,000 × 1,200
        pytest.param(
            "dashscope", "qwen-plus", "2026-06-01T00:00", Usage(300_000, 1000), 363_600_000, id="supplement, long"
        ),  # 300,000 × 1,200 + 1,000 × 3,600
        # https://developers.openai.com/api/docs/pricing: o3 cost 10 and 40 USD until 2025-06-10, then 2 and 8.
        pytest.param("openai", "o3", "2025-06-09T23:59", Usage(1000, 1000), 50_000_000, id="before a new price"),
        pytest.param("openai", "o3", "2025-06-10T00:00", Usage(1000, 1000), 10_000_000, id="after a new price"),
        # https://api-docs.deepseek.com/quick_start/pricing: from 00:30 to 16:30 UTC 0.27 and 1.1 USD, else half.
        pytest.param("deepseek", "deepseek-chat", "2025-08-01T00:29", Usage(1000, 1000), 685_000, id="off-peak"),
        pytest.param("deepseek", "deepseek-chat", "2025-08-01T00:30", Usage(1000, 1000), 1_370_000, id="peak"),
        pytest.param("deepseek", "deepseek-chat", "2025-08-01T16:30", Usage(1000, 1000), 685_000, id="off-peak again"),
    ],
)
def test_cost_by_hand_at_a_time_and_length(provider: str, model: str, moment: str, usage: Usage, nano_usd: int) -> None:
    tariff = Catalogue().tariff(provider, model)

    assert tariff is not None
    started_at = int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp())
    assert cost_of(usage, tariff.price(started_at, usage.input_tokens or 0)) == nano_usd
