"""Every way in which a call of Anthropic's Messages can end: its row, its cost, and what its client got."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from hero_broker.core.cost_shares import decode_shares
from hero_broker.core.records import RequestLog
from hero_broker.core.usage import Usage
from hero_broker.data_plane.client_call import ClientCall
from hero_broker.data_plane.responses import MAX_ERROR_BODY_BYTES
from hero_broker.kinds.wires import ANTHROPIC_WIRE, endpoint_of_wire
from hero_broker.pricing.price import Price
from hero_broker.pricing.tariff import Tariff
from hero_broker.providers.provider import Provider
from hero_broker.providers.routes import Route
from tests.data_plane.scripted import KEY, LIMITS, PAUSE, Head, Play, Script, json_call, run, turns
from tests.kinds.test_messages import BLOCK, DELTAS, END, PING, START, STOP, WHOLE, stream

EVENTS = Head(content_type="text/event-stream")
PRICE = Price(
    input_per_million=Decimal(3),
    output_per_million=Decimal(15),
    cached_input_per_million=Decimal("0.3"),
    cache_write_per_million=Decimal("3.75"),
    cache_write_1h_per_million=Decimal(6),
    web_searches_per_thousand=Decimal(10),
)
OTHER = Price(input_per_million=Decimal(5), output_per_million=Decimal(25))
OWN = Price(input_per_million=Decimal(2), output_per_million=Decimal(4))
ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
ENDPOINT = endpoint_of_wire(ANTHROPIC_WIRE, "https://api.anthropic.example")
PROVIDER = Provider("anthropic", ENDPOINT.base_url, (KEY,), True, None, ENDPOINT.dialect, ANTHROPIC_WIRE)
WAY = Route.to("m", None, PROVIDER, "claude-sonnet-4-5", tariff=Tariff.fixed(PRICE))


def listed(provider: str, model: str) -> Tariff | None:
    """Return the prices of the list: it knows one other model."""
    return Tariff.fixed(OTHER) if (provider, model) == ("anthropic", "claude-opus-4-6") else None


def configured(provider: str, model: str) -> Tariff | None:
    """Return the operator's own prices: they have one further model."""
    return Tariff.fixed(OWN, is_override=True) if (provider, model) == ("anthropic", "claude-haiku-4-5") else None


def asked(*, is_stream: bool = True) -> ClientCall:
    body = {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": "a b c"}], "stream": is_stream}
    return json_call("messages", json.dumps(body).encode())


def played(script: Script, *, is_stream: bool = True, way: Route = WAY) -> tuple[Play, RequestLog]:
    """Play a call to its end."""

    async def main() -> tuple[Play, RequestLog]:
        play = Play([script], asked(is_stream=is_stream), replace(LIMITS, max_answer_bytes=10_000), way=way)
        play.listed, play.configured = listed, configured
        play.__post_init__()
        return play, await play.whole()

    return run(main())


def message(**members: object) -> bytes:
    """Return a whole message."""
    usage = {"input_tokens": 10, "output_tokens": 42}
    content = [{"type": "text", "text": "Two rows"}]
    return json.dumps({"type": "message", "content": content, "usage": usage, **members}).encode()


def tokens(row: RequestLog) -> tuple[int | None, int | None]:
    return row.input_tokens, row.output_tokens


def cost(row: RequestLog) -> tuple[str, int | None, str | None]:
    return row.usage_source, row.cost_nano_usd, row.cost_source


def test_stream_is_billed_with_both_lengths_of_cache_writes() -> None:
    play, row = played([EVENTS, WHOLE])

    assert (row.kind, row.outcome, row.error_code, row.service_tier) == ("messages", "ok", None, "standard")
    assert cost(row) == ("reported", 10 * 3000 + 2000 * 300 + 100 * 3750 + 200 * 6000 + 42 * 15_000, "price")
    assert play.client.body == WHOLE
    assert play.provider.urls == ["https://api.anthropic.example/v1/messages"]


def test_whole_message_is_billed() -> None:
    play, row = played([Head(), message()], is_stream=False)

    assert cost(row) == ("reported", 10 * 3000 + 42 * 15_000, "price")
    assert play.client.body == message()


def test_headers_of_the_provider_pass_and_its_request_id_under_another_name() -> None:
    more = (
        ("request-id", "req_1"),
        ("anthropic-ratelimit-tokens-remaining", "7"),
        ("retry-after", "3"),
        ("retry-after-ms", "3000"),
        ("x-should-retry", "true"),
        ("anthropic-organization-id", "org"),
        ("set-cookie", "a=b"),
    )

    play, _ = played([Head(more=more), message()], is_stream=False)

    assert {name: value for name, value in play.client.headers.items() if not name.startswith(b"content-")} == {
        b"x-upstream-request-id": b"req_1",
        b"anthropic-ratelimit-tokens-remaining": b"7",
        b"retry-after": b"3",
        b"retry-after-ms": b"3000",
        b"x-should-retry": b"true",
        b"x-request-id": b"id",
    }


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param([START], (2310, 1), id="placeholder alone"),
        pytest.param([START, BLOCK, DELTAS[0]], (2310, 2), id="one word"),
        pytest.param([START, BLOCK, *DELTAS], (2310, 7), id="all words"),
        pytest.param([START, BLOCK, *DELTAS, END], (2310, 42), id="reported at the end"),
    ],
)
def test_stream_that_breaks_off_is_billed_by_what_was_seen(
    events: Sequence[Mapping[str, object]], expected: tuple[int, int]
) -> None:
    play, row = played([EVENTS, stream(*events)])

    assert (row.outcome, row.error_code) == ("provider_error", "stream_broke_off")
    assert row.usage_source == ("reported" if END in events else "estimated")
    assert row.input_tokens == 2310
    assert row.output_tokens is not None
    assert row.output_tokens >= expected[1] if END not in events else row.output_tokens == 42
    assert (row.cached_input_tokens, row.cache_write_1h_tokens) == (2000, 200)
    *_, last = play.client.body.split(b"\n\n")[:-1]
    assert last.startswith(b'event: error\ndata: {"type":"error","error":{"type":"api_error"')
    assert json.loads(last.partition(b"data: ")[2])["request_id"] == "id"


def test_output_of_a_broken_stream_is_estimated_by_its_words() -> None:
    many = [{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " word"}}] * 50

    _, row = played([EVENTS, stream(START, BLOCK, *many)])

    assert row.output_tokens == 55  # of Claude's family: 1.1 for each token of the tokenizer
    assert row.input_tokens == 2310


def test_input_that_no_event_reported_is_estimated() -> None:
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 0, "output_tokens": 0}}}

    _, row = played([EVENTS, stream(start, BLOCK, DELTAS[0])])

    assert row.usage_source == "estimated"
    assert row.input_tokens


@pytest.mark.parametrize(
    ("before", "usage", "expected"),
    [
        pytest.param([], "none", (None, None), id="first event"),
        pytest.param([START, PING], "none", (None, None), id="before output"),
        pytest.param([START, END], "reported", (2310, 42), id="after the usage"),
    ],
)
def test_error_event_ends_the_call_with_its_code(
    before: Sequence[Mapping[str, object]], usage: str, expected: tuple[int | None, int | None]
) -> None:
    play, row = played([EVENTS, stream(*before, ERROR)])

    assert (row.outcome, row.error_code, row.http_status) == ("provider_error", "overloaded_error", 200)
    assert (row.usage_source, *tokens(row)) == (usage, *expected)
    assert row.cost_nano_usd == 0 or usage == "reported"
    assert play.client.body == stream(*before, ERROR)


def test_error_event_after_output_is_billed_by_an_estimate() -> None:
    _, row = played([EVENTS, stream(START, BLOCK, *DELTAS, ERROR)])

    assert (row.outcome, row.error_code, row.usage_source) == ("provider_error", "overloaded_error", "estimated")
    assert row.input_tokens == 2310
    assert row.cost_nano_usd


def test_error_event_about_our_key_does_not_blame_the_client() -> None:
    error = {"type": "error", "error": {"type": "authentication_error", "message": f"invalid x-api-key {KEY}"}}

    play, row = played([EVENTS, stream(START, error)])

    assert row.error_code == "provider_credentials"
    assert KEY.encode() not in play.client.body
    assert play.client.body.endswith(b'"request_id":"id"}\n\n')
    assert b"\n\nevent: error\n" in play.client.body


@pytest.mark.parametrize("status", [400, 404, 413, 429, 500, 503, 529])
def test_error_of_the_provider_passes_as_it_was_sent(status: int) -> None:
    body = b'{ "type": "error", "error": {"type": "x", "message": "prompt is too long"}, "request_id": "req_1" }'
    more = (("request-id", "req_1"), ("retry-after", "9"), ("x-should-retry", "false"))

    play, row = played([Head(status, more=more), body])

    assert (play.client.status, play.client.body) == (status, body)
    assert play.client.headers[b"x-upstream-request-id"] == b"req_1"
    assert (play.client.headers[b"retry-after"], play.client.headers[b"x-should-retry"]) == (b"9", b"false")
    assert (row.outcome, row.error_code, row.http_status) == ("provider_error", f"provider_{status}", status)
    assert cost(row) == ("none", 0, "price")


def test_error_that_passes_has_no_key_and_no_id_of_the_account() -> None:
    other = "sk-ant-" + "a1B2" * 8
    text = f"{KEY} {other} org-abcdefghijkl of your organization 8b4a0c9e-1111-2222-3333-444455556666"
    body = json.dumps({"type": "error", "error": {"type": "x", "message": text}}).encode()

    play, _ = played([Head(429), body])

    assert json.loads(play.client.body)["error"]["message"] == "*** *** *** of your organization ***"


@pytest.mark.parametrize("status", [401, 402, 403])
def test_error_about_our_key_is_502_in_anthropics_shape(status: int) -> None:
    error = {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}

    play, row = played([Head(status), json.dumps(error).encode()])

    document = json.loads(play.client.body)
    assert (play.client.status, row.http_status, row.error_code) == (502, 502, f"provider_{status}")
    assert (document["type"], document["error"]["type"], document["request_id"]) == ("error", "api_error", "id")
    assert "Your request and your key are not the cause" in document["error"]["message"]


def test_empty_account_is_told_as_ours_though_its_status_is_400() -> None:
    text = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade."
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": text}}

    play, row = played([Head(400), json.dumps(error).encode()])

    assert (play.client.status, row.error_code) == (502, "provider_credentials")


@pytest.mark.parametrize(
    ("status", "body", "passed"),
    [(302, b"x", 502), (204, b"", 502), (500, b"", 500), (500, b"x" * (MAX_ERROR_BODY_BYTES + 1), 500)],
    ids=["redirect", "no content", "empty", "too long"],
)
def test_error_without_a_body_to_pass_has_one_of_ours(status: int, body: bytes, passed: int) -> None:
    play, _ = played([Head(status), body])

    assert play.client.status == passed
    if status != 302:
        assert json.loads(play.client.body)["error"]["message"] == f"The provider responded with status {status}."


def test_error_inside_a_success_is_an_error() -> None:
    play, row = played([Head(), json.dumps(ERROR).encode()], is_stream=False)

    assert (play.client.status, json.loads(play.client.body)) == (502, ERROR)
    assert (row.outcome, cost(row)) == ("provider_error", ("none", 0, "price"))


REFUSED = {"type": "message_delta", "delta": {"stop_reason": "refusal"}, "usage": {"output_tokens": 1}}


def test_refusal_before_output_is_free() -> None:
    _, row = played([EVENTS, stream(START, REFUSED, STOP)])

    assert (row.outcome, row.error_code, tokens(row)) == ("ok", "refusal", (2310, 1))
    assert (cost(row), row.price_id) == (("reported", 0, "free"), None)


def test_refusal_of_a_whole_message_is_free() -> None:
    _, row = played([Head(), message(content=[], stop_reason="refusal")], is_stream=False)

    assert (row.error_code, cost(row)) == ("refusal", ("reported", 0, "free"))


@pytest.mark.parametrize("is_stream", [True, False])
def test_refusal_after_output_is_charged(is_stream: bool) -> None:
    streamed: Script = [EVENTS, stream(START, BLOCK, DELTAS[0], REFUSED, STOP)]
    whole: Script = [Head(), message(stop_reason="refusal")]

    _, row = played(streamed if is_stream else whole, is_stream=is_stream)

    assert (row.error_code, row.cost_source) == (None, "price")
    assert row.cost_nano_usd


def test_cost_that_the_provider_reports_comes_before_the_rules_for_refusals() -> None:
    usage = {"input_tokens": 10, "output_tokens": 1, "cost": 0.5}

    _, row = played([Head(), message(content=[], stop_reason="refusal", usage=usage)], is_stream=False)

    assert cost(row) == ("reported", 500_000_000, "provider")


COMPACTION = {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3_500}
MESSAGE = {"type": "message", "input_tokens": 23_000, "output_tokens": 1_000}
ADVISOR = {"type": "advisor_message", "model": "claude-opus-4-6", "input_tokens": 800, "output_tokens": 60}


def iterated(*iterations: object, searches: int = 0) -> bytes:
    usage = {
        "input_tokens": 23_000,
        "output_tokens": 1_000,
        "server_tool_use": {"web_search_requests": searches},
        "iterations": iterations,
    }
    return message(usage=usage)


def test_compaction_is_billed_at_the_price_of_the_call() -> None:
    _, row = played([Head(), iterated(COMPACTION, MESSAGE, searches=2)], is_stream=False)

    assert tokens(row) == (203_000, 4_500)
    assert cost(row) == ("reported", 203_000 * 3_000 + 4_500 * 15_000 + 2 * 10_000_000, "price")
    assert row.price_id == PRICE.price_id


def test_other_models_of_a_call_are_billed_at_their_own_prices() -> None:
    _, row = played([Head(), iterated(MESSAGE, ADVISOR, searches=1)], is_stream=False)

    main, advice = 23_000 * 3_000 + 1_000 * 15_000, 800 * 5_000 + 60 * 25_000
    assert tokens(row) == (23_800, 1_060)
    assert (cost(row), row.price_id) == (("reported", main + advice + 10_000_000, "mixed"), None)


def test_operators_own_price_of_another_model_comes_first() -> None:
    advisor = {**ADVISOR, "model": "claude-haiku-4-5"}

    _, row = played([Head(), iterated(MESSAGE, advisor)], is_stream=False)

    assert cost(row) == ("reported", 23_000 * 3_000 + 1_000 * 15_000 + 800 * 2_000 + 60 * 4_000, "mixed")


def test_fallback_is_billed_with_the_attempt_that_had_output() -> None:
    first = {"type": "message", "model": "claude-opus-4-6", "input_tokens": 500, "output_tokens": 40}
    last = {**MESSAGE, "type": "fallback_message", "model": "claude-sonnet-4-5"}

    _, row = played([Head(), iterated(first, last)], is_stream=False)

    assert cost(row) == ("reported", 500 * 5000 + 40 * 25_000 + 23_000 * 3000 + 1000 * 15_000, "mixed")


@pytest.mark.parametrize(
    ("model", "tariff"),
    [("claude-unknown", Tariff.fixed(PRICE)), ("claude-opus-4-6", None)],
    ids=["another model", "the model of the call"],
)
def test_call_is_unpriced_if_one_of_its_models_is(model: str, tariff: Tariff | None) -> None:
    way = Route.to("m", None, PROVIDER, "claude-sonnet-4-5", tariff=tariff)

    _, row = played([Head(), iterated(MESSAGE, {**ADVISOR, "model": model})], is_stream=False, way=way)

    assert cost(row) == ("reported", None, None)


def test_searches_without_a_rate_leave_a_call_of_several_models_unpriced() -> None:
    way = Route.to("m", None, PROVIDER, "claude-sonnet-4-5", tariff=Tariff.fixed(replace(OTHER)))
    advisor = {**ADVISOR, "model": "claude-opus-4-6"}

    _, row = played([Head(), iterated(MESSAGE, advisor, searches=1)], is_stream=False, way=way)

    assert row.cost_nano_usd is None


def test_price_per_request_is_charged_once_for_several_models() -> None:
    with_fee = replace(PRICE, per_request=Decimal("0.5"))
    way = Route.to("m", None, PROVIDER, "claude-sonnet-4-5", tariff=Tariff.fixed(with_fee))

    _, row = played([Head(), iterated(MESSAGE, ADVISOR)], is_stream=False, way=way)

    parts = 500_000_000, 23_000 * 3_000, 1_000 * 15_000, 800 * 5_000, 60 * 25_000
    assert cost(row) == ("reported", sum(parts), "mixed")


def test_row_has_one_share_for_each_model_however_many_iterations_there_were() -> None:
    iterations = [{**MESSAGE, "input_tokens": 575, "output_tokens": 25}, ADVISOR] * 40

    _, row = played([Head(), iterated(*iterations)], is_stream=False)

    assert [(share.model, share.price_id, share.usage) for share in decode_shares(row.cost_shares)] == [
        ("claude-sonnet-4-5", PRICE.price_id, Usage(input_tokens=23_000, output_tokens=1_000, web_searches=0)),
        ("claude-opus-4-6", OTHER.price_id, Usage(input_tokens=32_000, output_tokens=2_400)),
    ]


@pytest.mark.parametrize("iterations", [(), (COMPACTION, MESSAGE), (MESSAGE, {**ADVISOR, "model": "unknown"})])
def test_cost_that_is_not_mixed_has_no_shares(iterations: Sequence[object]) -> None:
    _, row = played([Head(), iterated(*iterations)], is_stream=False)

    assert (row.cost_source in ("price", None), row.cost_shares) == (True, None)


def test_iterations_that_contradict_the_other_counts_are_told_in_the_row() -> None:
    _, row = played([Head(), iterated({**MESSAGE, "output_tokens": 1_007}, COMPACTION)], is_stream=False)

    assert (tokens(row), row.unexplained_tokens) == ((23_000, 1_000), 7)


SEARCH_TOOL = {"type": "web_search_20250305", "name": "web_search", "max_uses": 5}
FAILED_SEARCH = {
    "type": "web_search_tool_result",
    "content": {"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"},
}


@pytest.mark.parametrize(
    ("reported", "content", "searches"),
    [
        pytest.param({}, [], 0, id="declared"),
        pytest.param({"server_tool_use": None}, [], 0, id="null"),
        pytest.param({"server_tool_use": {"web_search_requests": 0}}, [FAILED_SEARCH], 0, id="failed"),
        pytest.param({"server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 7}}, [], 3, id="made"),
    ],
)
@pytest.mark.parametrize("is_stream", [True, False])
def test_web_searches_are_charged_if_they_were_made(
    reported: dict[str, object], content: list[object], searches: int, is_stream: bool
) -> None:
    usage = {"input_tokens": 10, "output_tokens": 42, **reported}
    blocks = [{"type": "content_block_start", "index": at, "content_block": one} for at, one in enumerate(content)]
    events = stream(START, BLOCK, *DELTAS, *blocks, {**END, "usage": {"output_tokens": 42, **reported}}, STOP)
    whole = message(usage=usage, content=[{"type": "text", "text": "Two rows"}, *content])

    _, row = played([EVENTS, events] if is_stream else [Head(), whole], is_stream=is_stream)

    of_tokens = 10 * 3000 + 42 * 15_000 + (2000 * 300 + 100 * 3750 + 200 * 6000 if is_stream else 0)
    assert (row.web_searches or 0, row.cost_nano_usd) == (searches, of_tokens + searches * 10_000_000)


@pytest.mark.parametrize(
    ("asked_for", "reported", "tier", "cost_of_tokens"),
    [
        pytest.param({"service_tier": "auto"}, {"service_tier": "standard"}, "standard", 660_000, id="ordinary"),
        pytest.param(
            {"service_tier": "standard_only"}, {"service_tier": "priority"}, "priority", 90_000, id="priority"
        ),
        pytest.param({"service_tier": "auto"}, {"service_tier": "batch"}, "batch", 330_000, id="batch"),
        pytest.param(
            {"speed": "fast"}, {"service_tier": "standard", "speed": "standard"}, "standard", 660_000, id="slow"
        ),
        pytest.param({}, {"service_tier": "standard", "speed": "fast"}, "fast", 3_960_000, id="fast"),
        pytest.param({"speed": "fast"}, {}, None, 660_000, id="none named"),
    ],
)
@pytest.mark.parametrize("is_stream", [True, False])
def test_tier_that_served_is_charged_and_not_the_one_asked_for(
    asked_for: dict[str, object], reported: dict[str, object], tier: str | None, cost_of_tokens: int, is_stream: bool
) -> None:
    rates = {
        "batch": (Decimal("1.5"), Decimal("7.5")),
        "priority": (Decimal(9), Decimal(0)),
        "fast": (Decimal(18), Decimal(90)),
    }
    tiers = {name: Price(input_per_million=into, output_per_million=out) for name, (into, out) in rates.items()}
    way = Route.to("m", None, PROVIDER, "claude-sonnet-4-5", tariff=Tariff.fixed(PRICE, tiers))
    usage = {"input_tokens": 10, **reported}
    start = {"type": "message_start", "message": {"usage": {**usage, "output_tokens": 1}}}
    script: Script = [EVENTS, stream(start, BLOCK, *DELTAS, END, STOP)]
    if not is_stream:
        script = [Head(), message(usage={**usage, "output_tokens": 42})]
    body = {"model": "m", "max_tokens": 99, "messages": [], "stream": is_stream, **asked_for}

    async def main() -> RequestLog:
        call = json_call("messages", json.dumps(body).encode())
        return await Play([script], call, replace(LIMITS, max_answer_bytes=10_000), way=way).whole()

    row = run(main())

    assert (row.service_tier, row.cost_nano_usd, row.usage_source) == (tier, cost_of_tokens, "reported")


ALL: Sequence[Mapping[str, object]] = (START, BLOCK, *DELTAS, END, STOP)


@pytest.mark.parametrize("seen", range(len(ALL)))
def test_client_that_leaves_at_any_event_is_billed_by_the_whole_stream(seen: int) -> None:
    async def main() -> RequestLog:
        play = Play([[EVENTS, stream(*ALL[:seen]), PAUSE, stream(*ALL[seen:])]], asked(), way=WAY)
        play.begin()
        await play.provider.paused()
        play.client.leave()
        await turns()
        play.provider.go_on()
        return await play.end()

    row = run(main())

    assert (row.outcome, row.usage_source) == ("client_disconnected", "reported")
    assert tokens(row) == (2310, 42)


def test_answer_that_reports_no_input_is_marked() -> None:
    _, row = played([Head(), message(usage={"input_tokens": 0, "output_tokens": 5})], is_stream=False)

    assert (row.outcome, row.error_code) == ("ok", "zero_usage")
