"""From an observed call to its row: which usage counts, which price applies, what is estimated."""

import asyncio
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from hero_broker.core.calls import Attempt, Caller, Outcome
from hero_broker.core.clock import SystemClock
from hero_broker.core.errors import BrokerError, ClientLeft
from hero_broker.core.records import RequestLog
from hero_broker.core.usage import Usage, UsageSource
from hero_broker.metering.billing_row import interrupted_row
from hero_broker.metering.estimates import Estimates
from hero_broker.metering.meter import MAX_KEPT_BYTES, ZERO_USAGE, Meter
from hero_broker.metering.tokens import TokenCounter
from hero_broker.pricing.price import Price
from hero_broker.pricing.tariff import Tariff
from tests.ledger.rows import note_of
from tests.ledger.rows import row as row_of_a_call

TEXT = Price(input_per_million=Decimal("0.59"), output_per_million=Decimal("0.79"))
BY_CHARACTERS = Price(characters_per_million=Decimal(15))
BY_MINUTE = Price(audio_per_minute=Decimal("0.006"))
BY_SEARCH = Price(per_thousand_searches=Decimal(2))


class Form:
    """An upload of which only the duration and the failure matter."""

    content_type = "multipart/form-data"
    length: int | None = 32_000

    def __init__(self, failure: BrokerError | None = None) -> None:
        self.failure = failure

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b""

    def audio_ms(self, is_over: Callable[[], bool]) -> int:
        return 0 if is_over() else 30_000

    async def close(self) -> None:
        return


def meter(kind: str, price: Price | None, *, is_override: bool = False, **of_call: Any) -> Meter:
    call = Attempt(
        **{
            "request_id": "id",
            "kind": kind,
            "model": "m",
            "provider": "p",
            "upstream_model": "gpt-4o",
            "url": "http://p/v1",
            "body": b"{}",
            "caller": Caller("192.0.2.1", None),
            "started_at": 1_700_000_000,
            **of_call,
        }
    )
    return Meter(call, None if price is None else Tariff.fixed(price, is_override=is_override), SystemClock())


def answered(watching: Meter, body: object) -> Meter:
    watching.on_response()
    watching.on_body(body if isinstance(body, bytes) else msgspec.json.encode(body))
    return watching


def closed(watching: Meter, estimate: Usage | None = None, outcome: Outcome = Outcome.OK) -> RequestLog:
    return watching.close(outcome, 200, None, estimate).row


def estimated(watching: Meter) -> RequestLog:
    async def run() -> Usage:
        counter = TokenCounter(timeout_s=30)
        estimates = Estimates(counter)
        try:
            return await estimates.usage(watching)
        finally:
            estimates.close()
            counter.close()

    assert watching.needs_estimate
    return closed(watching, asyncio.run(run()))


def units(row: RequestLog) -> dict[str, int]:
    return {name: value for name in Usage.__struct_fields__ if (value := getattr(row, name)) is not None}


def test_reported_usage_is_billed_in_disjoint_parts() -> None:
    price = msgspec.json.decode(TEXT.rates)
    cached = Price.from_rates(msgspec.json.encode({**price, "cached_input_per_million": "0.295"}).decode())
    usage = {"prompt_tokens": 40, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 30}}
    row = closed(answered(meter("chat", cached), {"choices": [1], "usage": usage}))

    assert units(row) == {"input_tokens": 40, "output_tokens": 3, "cached_input_tokens": 30}
    assert row.cost_nano_usd == 10 * 590 + 30 * 295 + 3 * 790
    assert row.usage_source is UsageSource.REPORTED


REPORTED = [
    pytest.param(
        {"provider": "x-ai"},
        {"completion_tokens_details": {"reasoning_tokens": 100}, "total_tokens": 112},
        Price(input_per_million=Decimal("0.4"), output_per_million=Decimal("0.5")),
        {"input_tokens": 10, "output_tokens": 102, "reasoning_tokens": 100},
        10 * 400 + 102 * 500,
        id="reasoning on top",
    ),
    pytest.param(
        {"url": "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions"},
        {"total_tokens": 112},
        Price(input_per_million=Decimal("0.3"), output_per_million=Decimal("2.5")),
        {"input_tokens": 10, "output_tokens": 102, "reasoning_tokens": 100},
        10 * 300 + 102 * 2_500,
        id="thinking only in the total",
    ),
    pytest.param(
        {},
        {"cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.0042}},
        TEXT,
        {"input_tokens": 10, "output_tokens": 2},
        4_200_000,
        id="the operator's own key",
    ),
    pytest.param(
        {},
        {"cost": {"total_cost": 0.00502}},
        TEXT,
        {"input_tokens": 10, "output_tokens": 2},
        5_020_000,
        id="cost in an object",
    ),
    pytest.param(
        {},
        {"cost_in_usd_ticks": 37_756_000},
        TEXT,
        {"input_tokens": 10, "output_tokens": 2},
        3_775_600,
        id="cost in ticks",
    ),
    pytest.param(
        {"provider": "perplexity"},
        {"total_tokens": 12, "reasoning_tokens": 1_000, "citation_tokens": 200},
        Price(input_per_million=Decimal(2), output_per_million=Decimal(8), reasoning_per_million=Decimal(3)),
        {"input_tokens": 210, "output_tokens": 1_002, "reasoning_tokens": 1_000},
        210 * 2_000 + 2 * 8_000 + 1_000 * 3_000,
        id="units at the top",
    ),
    pytest.param(
        {"provider": "together"},
        {"total_tokens": 12, "cached_tokens": 6},
        Price(
            input_per_million=Decimal("0.95"),
            cached_input_per_million=Decimal("0.16"),
            output_per_million=Decimal(4),
        ),
        {"input_tokens": 10, "output_tokens": 2, "cached_input_tokens": 6},
        4 * 950 + 6 * 160 + 2 * 4_000,
        id="cached tokens beside the prompt",
    ),
    pytest.param(
        {"provider": "mistral"},
        {"total_tokens": 387, "prompt_tokens_details": {"audio_tokens": 375}},
        TEXT,
        {"input_tokens": 385, "output_tokens": 2, "audio_input_tokens": 375},
        385 * 590 + 2 * 790,
        id="audio on top of the prompt",
    ),
]


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("of_call", "reported", "price", "expected", "cost"), REPORTED)
def test_usage_is_billed_as_the_provider_means_it(
    of_call: dict[str, Any],
    reported: dict[str, object],
    price: Price,
    expected: dict[str, int],
    cost: int,
    is_stream: bool,
) -> None:
    reply = {"usage": {"prompt_tokens": 10, "completion_tokens": 2, **reported}}
    watching = meter("chat", price, stream=is_stream, **of_call)
    if is_stream:
        watching.on_response()
        assert watching.on_event(msgspec.json.encode({"choices": [], **reply}))
    else:
        answered(watching, {"choices": [1], **reply})

    row = closed(watching)

    assert (units(row), row.cost_nano_usd, row.usage_source) == (expected, cost, UsageSource.REPORTED)


@pytest.mark.parametrize(
    ("kind", "price", "body", "expected", "cost"),
    [
        ("embedding", TEXT, {"usage": {"prompt_tokens": 8}}, {"input_tokens": 8, "output_tokens": 0}, 4_720),
        ("stt", BY_MINUTE, {"usage": {"type": "duration", "seconds": 9}}, {"audio_ms": 9_000}, 900_000),
        ("stt", BY_MINUTE, b'{"duration":8.4701}', {"audio_ms": 8_471}, 847_100),
        ("stt", BY_MINUTE, b'{"duration":"8.47"}', {"audio_ms": 8_470}, 847_000),
        (
            "stt",
            Price(
                input_per_million=Decimal("2.5"),
                audio_input_per_million=Decimal(6),
                output_per_million=Decimal(10),
            ),
            {"usage": {"input_tokens": 14, "input_token_details": {"audio_tokens": 10}, "output_tokens": 5}},
            {"input_tokens": 14, "audio_input_tokens": 10, "output_tokens": 5},
            4 * 2_500 + 10 * 6_000 + 5 * 10_000,
        ),
        ("rerank", BY_SEARCH, {"meta": {"billed_units": {"search_units": 2}}}, {"search_units": 2}, 4_000_000),
        (
            "rerank",
            Price(input_per_million=Decimal("0.02")),
            {"usage": {"total_tokens": 500}},
            {"input_tokens": 500, "output_tokens": 0},
            10_000,
        ),
    ],
)
def test_each_kind_reports_in_its_own_units(
    kind: str, price: Price, body: object, expected: dict[str, int], cost: int
) -> None:
    row = closed(answered(meter(kind, price), body))

    assert (units(row), row.cost_nano_usd, row.usage_source) == (expected, cost, UsageSource.REPORTED)


def test_characters_are_no_estimate_where_they_are_billed() -> None:
    watching = meter("tts", BY_CHARACTERS, characters=5)
    watching.on_response()

    assert not watching.needs_estimate
    row = closed(watching)
    assert (units(row), row.cost_nano_usd, row.usage_source) == ({"characters": 5}, 75_000, UsageSource.REPORTED)


def test_speech_priced_by_tokens_is_estimated_unless_reported() -> None:
    price = Price(input_per_million=Decimal("0.6"), output_per_million=Decimal(12))
    body = b'{"input":"hello there"}'
    silent = meter("tts", price, characters=11, body=body)
    silent.on_response()
    row = estimated(silent)
    telling = meter("tts", price, characters=11, body=body)
    telling.on_response()
    telling.on_event(b'{"type":"speech.audio.done","usage":{"input_tokens":2,"output_tokens":20}}')

    assert (row.input_tokens, row.audio_output_tokens, row.usage_source) == (2, 16, UsageSource.ESTIMATED)
    assert row.cost_nano_usd == 2 * 600 + 16 * 12_000
    assert closed(telling).cost_nano_usd == 2 * 600 + 20 * 12_000


def test_transcript_without_a_report_is_billed_by_the_uploads_duration() -> None:
    row = estimated(answered(meter("stt", BY_MINUTE, body=Form()), b"plain text"))

    assert (units(row), row.cost_nano_usd, row.usage_source) == ({"audio_ms": 30_000}, 3_000_000, UsageSource.ESTIMATED)


def test_transcript_priced_by_tokens_is_estimated_by_time_and_text() -> None:
    row = estimated(answered(meter("stt", TEXT, body=Form()), b"plain text"))

    assert (row.audio_input_tokens, row.output_tokens) == (300, 2)
    assert row.cost_nano_usd == 300 * 590 + 2 * 790


def test_rerank_without_a_report_is_one_search() -> None:
    row = estimated(answered(meter("rerank", BY_SEARCH), {"results": []}))

    assert (row.search_units, row.cost_nano_usd, row.usage_source) == (1, 2_000_000, UsageSource.ESTIMATED)


TOOL = {"type": "function", "function": {"name": "f"}}
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}


@pytest.mark.parametrize(
    ("model", "input_tokens", "output_tokens"),
    [
        pytest.param("gpt-4o", 798, 20, id="gpt-4o: 5 + 3.7 + 10 + 765 + 45 x 0.115 + 9"),
        pytest.param("gpt-4o-mini", 25_527, 20, id="gpt-4o-mini: 3 + 5.6 + 10 + 25501 + 45 x 0.161"),
        pytest.param("x/claude-4", 1_778, 22, id="claude: 6 + 4 + 11 + 1399 + 45 x 0.867 + 318"),
        pytest.param("llama-3.3-70b", 795, 20, id="unknown: 3 + 4 + 10 + 765 + 13 of the tools"),
    ],
)
def test_input_and_output_count_as_the_family_of_the_model_does(
    model: str, input_tokens: int, output_tokens: int
) -> None:
    content = [{"type": "text", "text": "one two three four five six seven eight nine ten"}, PICTURE]
    body = msgspec.json.encode({"messages": [{"role": "user", "content": content}], "tools": [TOOL]})
    answer = {"choices": [{"message": {"content": " a" * 20}}]}

    row = estimated(answered(meter("chat", TEXT, upstream_model=model, body=body), answer))

    assert (row.input_tokens, row.output_tokens) == (input_tokens, output_tokens)


def test_stream_without_usage_is_counted_from_its_text() -> None:
    watching = meter("chat", TEXT, stream=True, body=b'{"messages":[{"role":"user","content":"hello"}]}')
    watching.on_response()
    for word in ("one", " two", " three"):
        watching.on_event(b'{"choices":[{"delta":{"content":"%s"}}]}' % word.encode())

    assert estimated(watching).output_tokens == 3


@pytest.mark.parametrize(
    ("event", "words"),
    [
        pytest.param({"text": " word", "delta": {"content": " word"}}, 50, id="text that is sent twice"),
        pytest.param(
            {"delta": {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": " word"}]}]}},
            50,
            id="thinking in parts",
        ),
    ],
)
def test_text_of_each_form_is_counted_once(event: dict[str, object], words: int) -> None:
    watching = meter("chat", TEXT, stream=True, body=b'{"messages":[]}')
    watching.on_response()
    for _ in range(words):
        watching.on_event(msgspec.json.encode({"choices": [event]}))

    assert watching.deltas == words
    assert estimated(watching).output_tokens == words


def test_thinking_of_a_whole_answer_is_counted_beside_its_text() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": " word" * 50}]}
    content = [thinking, {"type": "text", "text": "ok"}]

    row = estimated(answered(meter("chat", TEXT), {"choices": [{"message": {"content": content}}]}))

    assert row.output_tokens == 51


def test_stream_that_is_too_long_to_keep_is_scaled_up() -> None:
    watching = meter("chat", TEXT, stream=True)
    watching.on_response()
    event = b'{"choices":[{"delta":{"content":" word"}}]}'
    count = 3 * MAX_KEPT_BYTES // len(event)
    for _ in range(count):
        watching.on_event(event)

    assert estimated(watching).output_tokens == pytest.approx(count, rel=0.01)
    assert len(watching.delivered().events) < MAX_KEPT_BYTES + 2 * len(event)


def test_last_usage_of_a_stream_counts_and_null_is_none() -> None:
    watching = meter("chat", TEXT, stream=True)
    watching.on_response()
    watching.on_event(b'{"choices":[{"delta":{"content":"a"}}],"usage":null}')
    watching.on_event(b'{"choices":[{"delta":{}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}')
    is_usage_event = watching.on_event(b'{"choices":[],"usage":{"prompt_tokens":40,"completion_tokens":3}}')

    assert is_usage_event
    assert closed(watching).cost_nano_usd == 25_970


@pytest.mark.parametrize(
    ("usages", "tokens", "cost"),
    [
        pytest.param(
            ['"prompt_tokens":10,"completion_tokens":1,"cost":5', '"prompt_tokens":40,"completion_tokens":3'],
            (40, 3),
            (25_970, "price"),
            id="the last usage has no cost",
        ),
        pytest.param(
            ['"prompt_tokens":40,"completion_tokens":3', '"prompt_tokens":-5,"cost":7'],
            (40, 3),
            (25_970, "price"),
            id="the usage with the cost is refused",
        ),
        pytest.param(
            ['"prompt_tokens":40,"completion_tokens":3,"cost":5', '"prompt_tokens":-5,"cost":7'],
            (40, 3),
            (5_000_000_000, "provider"),
            id="the last of two costs is refused with its usage",
        ),
        pytest.param(
            ['"prompt_tokens":10,"cost":5', '"prompt_tokens":40,"completion_tokens":3,"cost":7'],
            (40, 3),
            (7_000_000_000, "provider"),
            id="both have a cost",
        ),
        pytest.param(
            ['"prompt_tokens":40,"completion_tokens":3', '"cost":7'],
            (40, 3),
            (25_970, "price"),
            id="a cost alone, last",
        ),
        pytest.param(
            ['"cost":7', '"prompt_tokens":40,"completion_tokens":3'],
            (40, 3),
            (25_970, "price"),
            id="a cost alone, first",
        ),
    ],
)
def test_usage_of_a_stream_counts_with_its_own_cost(
    usages: list[str], tokens: tuple[int, int], cost: tuple[int, str]
) -> None:
    row = closed(streamed(*(b'{"choices":[],"usage":{%s}}' % usage.encode() for usage in usages)))

    assert (row.input_tokens, row.output_tokens) == tokens
    assert (row.cost_nano_usd, row.cost_source) == cost


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        pytest.param('"prompt_tokens":-5,"cost":7', (25_970, "price"), id="refused usage"),
        pytest.param('"cost":7', (7_000_000_000, "provider"), id="no counts"),
    ],
)
def test_cost_without_usage_counts_unless_the_usage_was_refused(
    usage: str, cost: tuple[int, str], is_stream: bool
) -> None:
    body = b'{"choices":[],"usage":{%s}}' % usage.encode()
    row = closed(streamed(body) if is_stream else answered(meter("chat", TEXT), body), Usage(40, 3))

    assert (row.usage_source, row.cost_nano_usd, row.cost_source) == (UsageSource.ESTIMATED, *cost)


@pytest.mark.parametrize(("output_tokens", "cost", "text"), [(0, 0, "no tokens"), (100, 79_000, "no input tokens")])
def test_zero_usage_of_an_answer_is_kept_and_marked(
    output_tokens: int, cost: int, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    row = closed(answered(meter("chat", TEXT), {"usage": {"prompt_tokens": 0, "completion_tokens": output_tokens}}))

    assert (row.cost_nano_usd, row.usage_source, row.error_code) == (cost, UsageSource.REPORTED, ZERO_USAGE)
    assert [one.message for one in caplog.records] == [f"meter: the provider p reports {text}"]


@pytest.mark.parametrize(
    ("cost", "is_override", "expected"),
    [
        ("0.5", False, (500_000_000, "provider")),
        ("0", False, (0, "provider")),
        ("0.00000000050000000001", False, (1, "provider")),
        ("0.5", True, (25_970, "price")),
        ("-1", False, (25_970, "price")),
        ("1e400", False, (25_970, "price")),
        ('"0.5"', False, (25_970, "price")),
        ("true", False, (25_970, "price")),
    ],
)
def test_providers_cost_goes_before_the_list_and_after_the_operator(
    cost: str, is_override: bool, expected: tuple[int, str]
) -> None:
    body = f'{{"usage":{{"prompt_tokens":40,"completion_tokens":3,"cost":{cost}}}}}'.encode()
    row = closed(answered(meter("chat", TEXT, is_override=is_override), body))

    assert (row.cost_nano_usd, row.cost_source) == expected


def test_model_without_a_price_is_unpriced_not_free() -> None:
    row = closed(answered(meter("chat", None), {"usage": {"prompt_tokens": 40, "completion_tokens": 3}}))

    assert (row.cost_nano_usd, row.cost_source, row.price_id) == (None, None, None)


def test_upload_that_broke_off_costs_nothing() -> None:
    row = closed(meter("stt", BY_MINUTE, body=Form(ClientLeft("gone"))), outcome=Outcome.CLIENT_DISCONNECTED)

    assert (row.cost_nano_usd, row.usage_source) == (0, UsageSource.NONE)


@pytest.mark.parametrize(
    ("kind", "price", "of_call", "cost"),
    [
        ("chat", TEXT, {"input_bytes": 400}, 100 * 590),
        ("tts", BY_CHARACTERS, {"characters": 5}, 75_000),
        ("stt", BY_MINUTE, {"input_bytes": 160_000, "body": Form()}, 1_000_000),
        ("rerank", BY_SEARCH, {"input_bytes": 400}, 2_000_000),
    ],
)
def test_note_of_a_call_prices_what_is_known_before_it_is_made(
    kind: str, price: Price, of_call: dict[str, Any], cost: int
) -> None:
    row = interrupted_row(meter(kind, price, **of_call).call_started()).row

    assert (row.outcome, row.usage_source) == (Outcome.INTERRUPTED, UsageSource.ESTIMATED)
    assert row.cost_nano_usd == cost


@pytest.mark.parametrize(
    "usage",
    [
        b'{"prompt_tokens":4,"completion_tokens":2},"odd":"\\ud83d"',
        b'{"prompt_tokens":4,"completion_tokens":2},"odd":NaN',
        b'{"prompt_tokens":4,"completion_tokens":2},"odd":{"usage":null}',
    ],
)
def test_usage_counts_beside_what_strict_readers_refuse(usage: bytes) -> None:
    row = closed(answered(meter("chat", TEXT), b'{"choices":[],"usage":' + usage + b"}"))
    streamed = meter("chat", TEXT)
    streamed.on_response()

    assert streamed.on_event(b'{"choices":[],"usage":' + usage + b"}")
    assert (row.input_tokens, row.output_tokens, row.usage_source) == (4, 2, UsageSource.REPORTED)
    assert closed(streamed).input_tokens == 4


@pytest.mark.parametrize(
    ("body", "source"),
    [
        ({"error": {"message": "no"}}, UsageSource.NONE),
        ({"error": "no", "choices": []}, UsageSource.NONE),
        ({"error": {"message": "no"}, "usage": {"prompt_tokens": 4}}, UsageSource.REPORTED),
        ({"error": {"message": "no"}, "choices": [{}]}, UsageSource.ESTIMATED),
    ],
)
def test_error_with_status_200_costs_what_was_used(body: object, source: UsageSource) -> None:
    row = closed(answered(meter("chat", TEXT), body), outcome=Outcome.PROVIDER_ERROR)

    assert row.usage_source is source


@pytest.mark.parametrize(("rate", "cost"), [(10**6, 10**15), (10**6 + 1, None), (10**15, None), (10**40, None)])
def test_cost_that_no_ledger_can_sum_is_no_price_and_the_usage_is_kept(
    rate: int, cost: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    price = Price(per_request=Decimal(rate))
    usage = {"prompt_tokens": 40, "completion_tokens": 3}

    row = closed(answered(meter("chat", price), {"usage": usage}))

    assert (row.input_tokens, row.output_tokens, row.usage_source) == (40, 3, UsageSource.REPORTED)
    assert (row.cost_nano_usd, row.cost_source) == (cost, None if cost is None else "price")
    assert [one.message.count("1000000 USD") for one in caplog.records] == ([] if cost else [1])


def test_note_with_a_price_too_high_is_an_interrupted_row_without_a_price() -> None:
    rates = Price(input_per_million=Decimal(10**12)).rates

    due = interrupted_row(note_of(row_of_a_call(), rates))

    assert (due.row.input_tokens, due.row.cost_nano_usd, due.row.price_id, due.rates) == (40, None, None, None)


USAGE = b'"usage":{"prompt_tokens":8,"completion_tokens":10,"total_tokens":18}'
TIMINGS = b'"timings":{"cache_n":30,"prompt_n":10,"predicted_n":5}'


def streamed(*events: bytes, is_plain: bool = False) -> Meter:
    watching = meter("chat", TEXT, stream=True, body=b'{"messages":[{"role":"user","content":"hello"}]}')
    watching.on_response()
    for event in events:
        if is_plain and b'"usage"' not in event:
            watching.on_plain_events(b"data: " + event + b"\n\n")
        else:
            watching.on_event(event)
    watching.on_event(b"[DONE]")
    return watching


@pytest.mark.parametrize("is_plain", [False, True])
@pytest.mark.parametrize(
    ("events", "tier", "model"),
    [
        pytest.param(
            (b'{"model":"m-1","service_tier":"auto","choices":[{}]}', b'{"choices":[],%s}' % USAGE),
            "auto",
            "m-1",
            id="in the first event",
        ),
        pytest.param(
            (
                b'{"model":"m-1","service_tier":"auto","choices":[{}]}',
                b'{"model":"m-2","service_tier":"priority","choices":[],%s}' % USAGE,
            ),
            "priority",
            "m-2",
            id="in the event with usage",
        ),
        pytest.param(
            (
                b'{"model":"m-1","service_tier":"auto","choices":[{}]}',
                b'{"model":"m-2","service_tier":"default","choices":[{}]}',
            ),
            "default",
            "m-2",
            id="in the last event",
        ),
        pytest.param((b'{"model":7,"service_tier":null,"choices":[{}]}',), None, None, id="of another type"),
        pytest.param((b'{"choices":[{"text":"\\"model\\":\\"m\\""}]}',), None, None, id="in the text"),
    ],
)
def test_last_tier_and_model_of_a_stream_are_kept(
    events: tuple[bytes, ...], tier: str | None, model: str | None, is_plain: bool
) -> None:
    watching = streamed(*events, is_plain=is_plain)

    row = closed(watching, Usage(1, 1))

    assert (row.service_tier, watching.answered_model) == (tier, model)


def test_tier_and_model_of_a_whole_answer_are_kept() -> None:
    watching = answered(meter("chat", TEXT), b'{"model":"m-2","service_tier":"flex","choices":[1],%s}' % USAGE)

    assert (closed(watching).service_tier, watching.answered_model) == ("flex", "m-2")


@pytest.mark.parametrize("is_plain", [False, True])
def test_timings_of_the_last_event_are_usage_if_there_is_none(is_plain: bool) -> None:
    early = b'{"choices":[{}],"timings":{"prompt_n":10,"predicted_n":1}}'
    silent = streamed(early, b'{"choices":[{}],%s}' % TIMINGS, is_plain=is_plain)
    telling = streamed(b'{"choices":[],%s}' % USAGE, b'{"choices":[{}],%s}' % TIMINGS, is_plain=is_plain)

    assert not silent.needs_estimate
    row = closed(silent)
    assert units(row) == {"input_tokens": 40, "output_tokens": 5, "cached_input_tokens": 30}
    assert row.usage_source is UsageSource.REPORTED
    assert units(closed(telling)) == {"input_tokens": 8, "output_tokens": 10}


def test_usage_in_the_last_chunk_of_groq_is_reported() -> None:
    watching = streamed(b'{"choices":[{}]}', b'{"choices":[{}],"x_groq":{"id":"r",%s}}' % USAGE)

    assert not watching.needs_estimate
    assert units(closed(watching)) == {"input_tokens": 8, "output_tokens": 10}


def test_faults_of_the_usage_that_counts_are_kept() -> None:
    first = b'{"choices":[],"usage":{"prompt_tokens":8,"completion_tokens":10,"total_tokens":99}}'
    last = (
        b'{"choices":[],"usage":{"prompt_tokens":8,"completion_tokens":10,"total_tokens":18,'
        b'"prompt_tokens_details":{"cached_tokens":9}}}'
    )

    assert streamed(first).unexplained_tokens == 81
    watching = streamed(first, last)
    assert (watching.unexplained_tokens, watching.cut_parts) == (0, ("cached_input_tokens",))
    assert closed(watching).cached_input_tokens == 8
