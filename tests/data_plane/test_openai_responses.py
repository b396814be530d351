"""Every way in which a call of OpenAI's Responses can end: its row, its cost, and what its client got."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType

import pytest

from hero_broker.core.calls import Attempt, Caller
from hero_broker.core.clock import SystemClock
from hero_broker.core.errors import BrokerError, InvalidRequest, ModelNotFound
from hero_broker.core.records import RequestLog
from hero_broker.data_plane.client_call import ClientCall
from hero_broker.data_plane.event_stream import EventStream
from hero_broker.data_plane.long_event import MIN_LONG_BYTES
from hero_broker.kinds.wires import RESPONSES_WIRE
from hero_broker.metering.meter import Meter
from hero_broker.pricing.price import Price
from hero_broker.pricing.tariff import Tariff
from hero_broker.providers.provider import Provider
from hero_broker.providers.routes import Route
from tests.data_plane.scripted import KEY, LIMITS, PAUSE, Head, Play, Script, json_call, run, turns
from tests.data_plane.test_endpoint import Endpoint
from tests.kinds.test_responses import BEGUN, CREATED, DELTAS, END, ENDED, MESSAGE, WHOLE, stream

EVENTS = Head(content_type="text/event-stream")
PRICE = Price(
    input_per_million=Decimal("1.25"),
    output_per_million=Decimal(10),
    cached_input_per_million=Decimal("0.125"),
    cache_write_per_million=Decimal("1.5"),
    web_searches_per_thousand=Decimal(10),
    file_searches_per_thousand=Decimal("2.5"),
)
FLEX = replace(PRICE, input_per_million=Decimal("0.625"), output_per_million=Decimal(5))
IMAGES = Price(input_per_million=Decimal(5), image_input_per_million=Decimal(10), image_output_per_million=Decimal(40))
PROVIDER = Provider("openai", "https://api.openai.example/v1", (KEY,), stream_usage=True, wire=RESPONSES_WIRE)
WAY = Route.to("m", None, PROVIDER, "gpt-5.1", tariff=Tariff.fixed(PRICE, {"flex": FLEX}))
USAGE = {"input_tokens": 10, "output_tokens": 5}
ERROR = {"type": "error", "code": "rate_limit_exceeded", "message": "try again in 3 s", "sequence_number": 9}
NESTED = {"type": "error", "error": {"type": "tokens", "code": "rate_limit_exceeded"}, "sequence_number": 9}
FAILURE = {**BEGUN, "status": "failed", "error": {"code": "rate_limit_exceeded", "message": "try again in 3 s"}}
FAILED = {"type": "response.failed", "sequence_number": 9, "response": FAILURE}


def listed(provider: str, model: str) -> Tariff | None:
    """Return the prices of the list: it knows two other models."""
    found = {"gpt-image-1": IMAGES, "flux": Price(per_image=Decimal("0.03"))}.get(model)
    return None if found is None or provider != "openai" else Tariff.fixed(found)


def asked(*, is_stream: bool = True) -> ClientCall:
    body = {"model": "m", "input": "a b c", "stream": is_stream, "service_tier": "priority"}
    return json_call("responses", json.dumps(body).encode())


def played(script: Script, *, is_stream: bool = True, way: Route = WAY) -> tuple[Play, RequestLog]:
    """Play a call to its end."""

    async def main() -> tuple[Play, RequestLog]:
        play = Play(
            [script],
            asked(is_stream=is_stream),
            replace(LIMITS, max_answer_bytes=10_000, max_long_event_bytes=16_000_000),
            way=way,
        )
        play.listed = listed
        play.__post_init__()
        return play, await play.whole()

    return run(main())


def whole(**members: object) -> bytes:
    """Return a whole response."""
    return json.dumps({**ENDED, "usage": USAGE, **members}).encode()


def tokens(row: RequestLog) -> tuple[int | None, int | None]:
    return row.input_tokens, row.output_tokens


def cost(row: RequestLog) -> tuple[str, int | None, str | None]:
    return row.usage_source, row.cost_nano_usd, row.cost_source


def last_event(play: Play) -> dict[str, object]:
    """Return the data of the client's last event."""
    *_, last = play.client.body.split(b"\n\n")[:-1]
    assert last.startswith(b"event: error\ndata: ")
    event: dict[str, object] = json.loads(last.partition(b"data: ")[2])
    return event


def test_stream_is_billed_by_its_last_event() -> None:
    play, row = played([EVENTS, WHOLE])

    assert (row.kind, row.outcome, row.error_code, row.service_tier) == ("responses", "ok", None, "default")
    assert cost(row) == ("reported", 210 * 1250 + 2000 * 125 + 100 * 1500 + 42 * 10_000, "price")
    assert play.client.body == WHOLE
    assert play.provider.urls == ["https://api.openai.example/v1/responses"]


def test_last_event_waits_for_the_row() -> None:
    async def main() -> tuple[bytes, int]:
        play = Play([[EVENTS, stream(CREATED, *DELTAS, END)[:-1], PAUSE, b"\n"]], asked(), way=WAY)
        play.begin()
        await play.provider.paused()
        await turns()
        before = play.client.body, len(play.ledger.rows)
        play.provider.go_on()
        await play.end()
        return before

    assert run(main()) == (stream(CREATED, *DELTAS), 0)


def test_whole_response_is_billed() -> None:
    play, row = played([Head(), whole()], is_stream=False)

    assert cost(row) == ("reported", 10 * 1250 + 5 * 10_000, "price")
    assert play.client.body == whole()


@pytest.mark.parametrize(
    ("served", "cost_of_tokens"),
    [
        pytest.param("default", 62_500, id="a priority that was declined"),
        pytest.param("flex", 31_250, id="flex"),
        pytest.param("priority", 125_000, id="priority"),
        pytest.param("fast", 62_500, id="a tier without prices of its own"),
    ],
)
@pytest.mark.parametrize("asked_for", ["auto", "default", "flex", "priority", "fast"])
@pytest.mark.parametrize("is_stream", [True, False])
def test_tier_that_served_is_charged_and_not_the_one_asked_for(
    asked_for: str, served: str, cost_of_tokens: int, is_stream: bool
) -> None:
    priority = replace(PRICE, input_per_million=Decimal("2.5"), output_per_million=Decimal(20))
    tariff = Tariff.fixed(PRICE, {"flex": FLEX, "priority": priority})
    way = Route.to("m", None, PROVIDER, "gpt-5.1", tariff=tariff)
    created = {**CREATED, "response": {**BEGUN, "service_tier": asked_for}}
    ended = {**END, "response": {**ENDED, "usage": USAGE, "service_tier": served}}
    script: Script = [EVENTS, stream(created, *DELTAS, ended)] if is_stream else [Head(), whole(service_tier=served)]
    body = {"model": "m", "input": "a b c", "stream": is_stream, "service_tier": asked_for}

    async def main() -> RequestLog:
        call = json_call("responses", json.dumps(body).encode())
        return await Play([script], call, replace(LIMITS, max_answer_bytes=10_000), way=way).whole()

    row = run(main())

    assert (row.service_tier, row.cost_nano_usd, row.usage_source) == (served, cost_of_tokens, "reported")


def test_headers_of_the_provider_that_clients_act_on_pass() -> None:
    names = ("retry-after", "retry-after-ms", "x-should-retry", "x-codex-turn-state", "x-models-etag")
    more = dict.fromkeys((*names, "x-ratelimit-remaining-requests", "x-generation-id"), "1")
    others = {"set-cookie": "a=b", "x-codex-primary-used-percent": "5", "openai-organization": "org"}

    play, _ = played([Head(more=tuple({**more, **others}.items())), whole()], is_stream=False)

    passed = {name.decode(): value.decode() for name, value in play.client.headers.items()}
    assert {name: value for name, value in passed.items() if not name.startswith("content-")} == {
        **more,
        "x-request-id": "id",
    }


@pytest.mark.parametrize("before", [(CREATED,), (CREATED, *DELTAS)], ids=["no output", "output"])
def test_stream_that_breaks_off_is_estimated_and_has_our_event(before: Sequence[Mapping[str, object]]) -> None:
    play, row = played([EVENTS, stream(*before)])

    event = last_event(play)
    assert (row.outcome, row.error_code, row.usage_source) == ("provider_error", "stream_broke_off", "estimated")
    assert row.input_tokens
    assert bool(row.output_tokens) is (len(before) > 1)
    assert (event["type"], event["code"], event["sequence_number"]) == ("error", "stream_broke_off", len(before))
    assert event["error"] == {
        "type": "provider_error",
        "code": "stream_broke_off",
        "message": event["message"],
        "param": None,
    }
    assert b"data: [DONE]" not in play.client.body


@pytest.mark.parametrize("error", [ERROR, NESTED, FAILED], ids=["flat", "nested", "failed"])
def test_error_before_output_is_free_and_passes_as_sent(error: Mapping[str, object]) -> None:
    play, row = played([EVENTS, stream(CREATED, error)])

    assert (row.outcome, row.error_code, row.http_status) == ("provider_error", "rate_limit_exceeded", 200)
    assert cost(row) == ("none", 0, "price")
    assert play.client.body == stream(CREATED, error)


@pytest.mark.parametrize("error", [ERROR, NESTED, FAILED], ids=["flat", "nested", "failed"])
def test_error_after_output_is_estimated(error: Mapping[str, object]) -> None:
    _, row = played([EVENTS, stream(CREATED, *DELTAS, error)])

    assert (row.outcome, row.error_code, row.usage_source) == ("provider_error", "rate_limit_exceeded", "estimated")
    assert row.cost_nano_usd


def test_failure_that_reports_usage_is_billed_by_it() -> None:
    _, row = played([EVENTS, stream(CREATED, {**FAILED, "response": {**FAILURE, "usage": USAGE}})])

    assert (row.outcome, tokens(row), cost(row)) == ("provider_error", (10, 5), ("reported", 62_500, "price"))


def test_incomplete_response_is_ok_and_billed() -> None:
    _, row = played([EVENTS, stream(CREATED, *DELTAS, {**END, "type": "response.incomplete"})])

    assert (row.outcome, row.error_code, tokens(row)) == ("ok", None, (2310, 42))


@pytest.mark.parametrize(
    "error",
    [
        {"type": "error", "code": "invalid_api_key", "message": f"no {KEY}", "sequence_number": 1},
        {**FAILED, "sequence_number": 1, "response": {**BEGUN, "error": {"code": "invalid_api_key", "message": KEY}}},
    ],
    ids=["error", "failed"],
)
def test_error_event_about_our_key_is_replaced_by_one_with_its_number(error: Mapping[str, object]) -> None:
    play, row = played([EVENTS, stream(CREATED, error)])

    event = last_event(play)
    assert row.error_code == "provider_credentials"
    assert (event["code"], event["sequence_number"]) == ("provider_credentials", 1)
    assert KEY.encode() not in play.client.body


@pytest.mark.parametrize("status", [400, 404, 413, 429, 500, 503, 529])
def test_error_of_the_provider_passes_as_it_was_sent(status: int) -> None:
    body = b'{ "error": {"message": "Rate limit reached", "type": "tokens", "code": "context_length_exceeded"} }'

    play, row = played([Head(status), body])

    assert (play.client.status, play.client.body) == (status, body)
    assert (row.outcome, row.error_code, cost(row)) == ("provider_error", f"provider_{status}", ("none", 0, "price"))


def test_error_about_our_key_is_502_in_openais_shape() -> None:
    play, row = played([Head(401), b'{"error": {"code": "invalid_api_key", "message": "Incorrect API key"}}'])

    assert (play.client.status, row.error_code) == (502, "provider_401")
    assert json.loads(play.client.body)["error"]["code"] == "provider_credentials"


@pytest.mark.parametrize("body", [{"error": {"code": 429, "message": "a"}}, FAILURE], ids=["error alone", "failed"])
def test_error_inside_a_success_is_an_error(body: object) -> None:
    play, row = played([Head(), json.dumps(body).encode()], is_stream=False)

    assert play.client.status == 502
    assert (row.outcome, cost(row)) == ("provider_error", ("none", 0, "price"))


def test_searches_are_billed_beside_the_tokens() -> None:
    output = [{"type": "file_search_call", "status": "completed"}]
    used = {"web_search": {"num_requests": 2}}

    _, row = played([Head(), whole(output=output, tool_usage=used)], is_stream=False)

    assert (row.web_searches, row.file_searches) == (2, 1)
    assert row.cost_nano_usd == 62_500 + 2 * 10_000_000 + 2_500_000


DRAWN = {
    "image_gen": {
        "input_tokens": 20,
        "input_tokens_details": {"text_tokens": 12, "image_tokens": 8},
        "output_tokens": 1056,
    }
}


def test_images_of_a_tool_are_billed_at_the_price_of_their_model() -> None:
    tools = [{"type": "image_generation", "model": "gpt-image-1"}]

    _, row = played([Head(), whole(tools=tools, tool_usage=DRAWN)], is_stream=False)

    drawn = 12 * 5000 + 8 * 10_000 + 1056 * 40_000
    assert (tokens(row), row.image_input_tokens, row.image_output_tokens) == ((30, 1061), 8, 1056)
    assert (cost(row), row.price_id) == (("reported", 62_500 + drawn, "mixed"), None)


@pytest.mark.parametrize("tools", [[], [{"type": "image_generation", "model": "unknown"}]])
def test_images_of_a_model_without_a_price_leave_the_call_unpriced(tools: object) -> None:
    _, row = played([Head(), whole(tools=tools, tool_usage=DRAWN)], is_stream=False)

    assert cost(row) == ("reported", None, None)


IMAGE = {"type": "image_generation_call", "status": "completed", "result": "AAAA"}


@pytest.mark.parametrize(("model", "drawn"), [("flux", 2 * 30_000_000), ("gpt-image-1", None), ("unknown", None)])
def test_images_without_tokens_are_billed_by_their_number_if_they_have_a_price(model: str, drawn: int | None) -> None:
    tools = [{"type": "image_generation", "model": model}]

    _, row = played([Head(), whole(tools=tools, output=[IMAGE, IMAGE])], is_stream=False)

    assert row.images == 2
    assert cost(row) == (("reported", 62_500 + drawn, "mixed") if drawn is not None else ("reported", None, None))


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"cost_in_usd_ticks": 37_756_000}, 3_775_600),
        ({"cost": 0.01, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.2}}, 210_000_000),
        ({"cost": 0.2, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.2}}, 200_000_000),
    ],
    ids=["ticks", "own key", "credits"],
)
def test_cost_of_the_provider_counts(more: dict[str, object], expected: int) -> None:
    _, row = played([Head(), whole(usage={**USAGE, **more})], is_stream=False)

    assert cost(row) == ("reported", expected, "provider")


ALL: Sequence[Mapping[str, object]] = (CREATED, *DELTAS, END)


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
    assert (row.outcome, row.usage_source, tokens(row)) == ("client_disconnected", "reported", (2310, 42))


OTHERS = Provider("other", "https://other.example/v1", (), stream_usage=True)
WAYS = (Route.to("m", "chat", PROVIDER, "gpt-5.1"), Route.to("elsewhere", "chat", OTHERS, "gpt-5"))
ASKED = {"model": "m", "input": "hi"}
COUNTED: Script = [Head(), b'{"object": "response.input_tokens", "input_tokens": 11}']


def sent(
    folder: Path, script: Script, path: str, body: object = ASKED, exact: Mapping[str, str] = MappingProxyType({})
) -> tuple[Endpoint, BaseException | None]:
    async def main() -> tuple[Endpoint, BaseException | None]:
        endpoint = Endpoint(folder, script, ways=WAYS)
        endpoint.sends(json.dumps(body).encode())
        endpoint.exact = exact
        endpoint.begin(path)
        return endpoint, await endpoint.end()

    return run(main())


def test_count_of_tokens_passes_and_has_no_row(tmp_path: Path) -> None:
    endpoint, raised = sent(tmp_path, COUNTED, "/v1/responses/input_tokens", {**ASKED, "api_key": "theirs"})

    assert raised is None
    assert (endpoint.client.status, endpoint.client.body) == (200, COUNTED[1])
    assert endpoint.provider.urls == ["https://api.openai.example/v1/responses/input_tokens"]
    assert (endpoint.ledger.notes, endpoint.ledger.rows) == ([], [])


def test_compaction_is_billed(tmp_path: Path) -> None:
    compaction = json.dumps({"object": "response.compaction", "output": [{}], "usage": USAGE}).encode()

    endpoint, raised = sent(tmp_path, [Head(), compaction], "/v1/responses/compact")

    assert raised is None
    assert endpoint.client.body == compaction
    assert endpoint.provider.urls == ["https://api.openai.example/v1/responses/compact"]
    (row,) = endpoint.ledger.rows
    assert (row.kind, tokens(row), row.usage_source) == ("responses", (10, 5), "reported")


def test_headers_of_codex_are_forwarded_and_no_others(tmp_path: Path) -> None:
    theirs = {
        "openai-beta": "responses=experimental",
        "session_id": "s",
        "originator": "codex_cli_rs",
        "version": "0.130.0",
        "x-openai-subagent": "review",
        "x-codex-turn-state": "t",
        "x-codex-beta-features": "f",
    }

    others = {"authorization": "Bearer k", "cookie": "c", "codex": "x", "x-api-key": "k"}

    endpoint, raised = sent(tmp_path, [Head(), whole()], "/v1/responses", exact={**theirs, **others})

    assert raised is None
    assert dict(endpoint.provider.headers[0]) == theirs


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/responses/compact", "/v1/responses/input_tokens"])
@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"input": 5}, InvalidRequest, "'input' must be a string or an array"),
        ({"model": "elsewhere"}, ModelNotFound, "does not speak the wire 'responses'"),
        ({"background": True}, InvalidRequest, "'background' is not supported here"),
        ({"conversation": {"id": "conv_1"}}, InvalidRequest, "'conversation' is not supported here"),
        ({"prompt": {"id": "pmpt_1"}}, InvalidRequest, "'prompt' is not supported here"),
        ({"previous_response_id": "resp_1"}, InvalidRequest, "id 'resp_1' not found"),
        ({"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}, InvalidRequest, "vector_store_ids"),
    ],
)
def test_request_is_refused_before_anything_is_sent(
    tmp_path: Path, path: str, change: dict[str, object], error: type[BrokerError], words: str
) -> None:
    endpoint, raised = sent(tmp_path, COUNTED, path, {**ASKED, **change})

    assert isinstance(raised, error)
    assert words in str(raised)
    assert (endpoint.provider.urls, endpoint.ledger.rows) == ([], [])


def sized(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1_000, 20_000, 64 * 1024])
def test_long_events_pass_byte_for_byte_and_the_last_one_is_billed(size: int) -> None:
    picture = {"type": "image_generation_call", "status": "completed", "result": "iVBOR\u00e9\\\n" * 60_000}
    item = {"type": "response.output_item.done", "item": picture}
    end = {**END, "response": {**ENDED, "output": [MESSAGE, picture]}}
    events = stream(CREATED, *DELTAS, item, DELTAS[0], end)

    play, row = played([EVENTS, *sized(events, size)])

    assert (row.outcome, row.usage_source, row.images) == ("ok", "reported", 1)
    assert play.client.body == events


def test_long_error_passes_without_the_key() -> None:
    failure = {**FAILED, "response": {**FAILURE, "instructions": KEY + "x" * 2 * MIN_LONG_BYTES}}

    play, row = played([EVENTS, *sized(stream(CREATED, failure), 64 * 1024)])

    assert (row.outcome, row.error_code, row.cost_nano_usd) == ("provider_error", "rate_limit_exceeded", 0)
    assert KEY.encode() not in play.client.body
    assert play.client.body.endswith(b"x" * MIN_LONG_BYTES + b'"}}\n\n')


def test_long_event_that_is_no_json_passes_as_it_came() -> None:
    odd = b"event: odd\ndata: " + b'"x' * MIN_LONG_BYTES + b"\n\n"
    events = stream(CREATED, *DELTAS) + odd + stream(END)

    play, row = played([EVENTS, *sized(events, 64 * 1024)])

    assert (row.outcome, row.usage_source) == ("ok", "reported")
    assert play.client.body == events


@pytest.mark.parametrize("missing", [1, 2])
def test_long_event_at_the_end_without_its_blank_line_is_not_joined(missing: int) -> None:
    end = stream({**END, "response": {**ENDED, "instructions": "x" * 2 * MIN_LONG_BYTES}})[:-missing]
    call = Attempt("id", "responses", "m", "p", "m", "http://p", b"{}", Caller("192.0.2.1", None), 0, True, True)
    watched = EventStream(call, (KEY,), Meter(call, None, SystemClock()), 16_000_000)

    passed = [watched.feed(piece) for piece in (stream(CREATED), *sized(end, 64 * 1024))]
    watched.end()

    tail = [item for item in watched.tail if isinstance(item, bytes)]
    assert (b"".join(passed), b"".join(tail)) == (stream(CREATED), end)
    assert max(map(len, tail)) < len(end)


def test_client_that_leaves_in_a_long_tail_is_billed_all_the_same() -> None:
    end = {**END, "response": {**ENDED, "instructions": "x" * 4 * MIN_LONG_BYTES}}

    async def main() -> tuple[Play, RequestLog]:
        script: Script = [EVENTS, *sized(stream(CREATED, *DELTAS, end), 64 * 1024)]
        play = Play([script], asked(), replace(LIMITS, max_long_event_bytes=16_000_000), way=WAY)
        play.begin()
        await turns()
        play.client.leave()
        await play.end()
        return play, play.ledger.rows[0]

    _, row = run(main())

    assert cost(row) == ("reported", 210 * 1250 + 2000 * 125 + 100 * 1500 + 42 * 10_000, "price")
