"""The usage of OpenAI's Responses: of the model, of its tools, and what is wrong or odd."""

import json
from collections.abc import Mapping
from decimal import Decimal

import pytest

from hero_broker.core.usage import Usage
from hero_broker.kinds.report import NOTHING, Report, UsageShare
from hero_broker.kinds.response_usage import read_error_code, read_response_report
from tests.kinds.targets import NO_COUNTS
from tests.kinds.test_responses import BEGUN, CREATED, END, ENDED, USAGE

OWN = Usage(2310, 42, cached_input_tokens=2000, cache_write_tokens=100, reasoning_tokens=30)
LEAST = {"input_tokens": 10, "output_tokens": 5}
SEARCH = {"type": "web_search_call", "status": "completed", "action": {"type": "search", "queries": ["a", "b"]}}
OPEN_PAGE = {**SEARCH, "action": {"type": "open_page"}}
FILE_SEARCH = {"type": "file_search_call", "status": "completed", "results": None}
DRAWN = {"input_tokens": 20, "input_tokens_details": {"text_tokens": 12, "image_tokens": 8}, "output_tokens": 1056}


def report(**members: object) -> Report:
    """Return the report of a whole response with these members."""
    return read_response_report(json.dumps({"usage": LEAST, **members}).encode())


def of(event: Mapping[str, object]) -> Report:
    return read_response_report(json.dumps(event).encode())


def test_usage_of_a_whole_response_and_of_the_last_event_is_the_same() -> None:
    whole, last = of(ENDED), of(END)

    assert whole == last
    assert (whole.usage, whole.details, whole.unexplained_tokens) == (OWN, None, 0)
    assert (whole.service_tier, whole.answered_model, whole.is_error, whole.has_choices) == (
        "default",
        "gpt-5.1",
        False,
        True,
    )


@pytest.mark.parametrize(
    ("members", "response_id"),
    [
        ({}, None),
        ({"id": "resp_1"}, "resp_1"),
        ({"id": "resp_1", "object": "response", "store": True}, "resp_1"),
        ({"id": "a" * 128}, "a" * 128),
        ({"id": "resp_MQ==", "store": None}, "resp_MQ=="),
        ({"id": "0f1e:2d~3c.4b-5a_69+78"}, "0f1e:2d~3c.4b-5a_69+78"),
        ({"id": "resp_1", "store": False}, None),
        ({"id": "resp_1", "object": "response.compaction"}, None),
        ({"id": "resp_1", "error": {"message": "m"}}, None),
        ({"id": "a" * 129}, None),
        ({"id": ""}, None),
        ({"id": 5}, None),
        ({"id": "resp_é"}, None),
        ({"id": "../files"}, None),
        ({"id": ".."}, None),
        ({"id": "a/b"}, None),
        ({"id": "a%2fb"}, None),
        ({"id": "a?b"}, None),
        ({"id": "a#b"}, None),
        ({"id": "resp_1\n"}, None),
        ({"id": "resp 1"}, None),
    ],
)
def test_id_is_that_of_a_response_that_the_provider_keeps(members: dict[str, object], response_id: str | None) -> None:
    assert report(**members).response_id == response_id


def test_id_of_a_stream_is_that_of_its_last_event() -> None:
    failed = {"type": "response.failed", "response": {**BEGUN, "status": "failed", "error": {"code": "c"}}}

    assert [of(event).response_id for event in (CREATED, END, failed)] == [None, "resp_1", None]


def test_id_is_read_of_json_that_only_a_lenient_parser_accepts() -> None:
    body = json.dumps({"id": "resp_1", "object": "response", "usage": LEAST, "n": float("nan")}).encode()

    assert read_response_report(body).response_id == "resp_1"


@pytest.mark.parametrize(
    "event",
    [
        CREATED,
        {**CREATED, "response": {**BEGUN, "usage": USAGE}},
        {"type": "response.in_progress", "response": {**BEGUN, "usage": USAGE}},
        {"type": "response.output_item.done", "item": {"usage": USAGE}, "usage": USAGE},
        {**END, "usage": USAGE, "response": {**ENDED, "usage": None}},
    ],
)
def test_no_other_event_reports_usage(event: Mapping[str, object]) -> None:
    assert of(event).usage is None


@pytest.mark.parametrize(
    ("members", "web", "files"),
    [
        pytest.param({}, None, None, id="none"),
        pytest.param({"tools": [{"type": "web_search"}, {"type": "file_search"}]}, None, None, id="only declared"),
        pytest.param({"output": [SEARCH, OPEN_PAGE, SEARCH]}, 2, None, id="items"),
        pytest.param({"output": [{"type": "web_search_call", "status": "completed"}]}, 1, None, id="no action"),
        pytest.param({"output": [{**SEARCH, "status": "failed"}]}, None, None, id="failed"),
        pytest.param({"output": [{"type": "web_search_call"}, 5]}, None, None, id="not only items"),
        pytest.param(
            {"output": [SEARCH, SEARCH], "tool_usage": {"web_search": {"num_requests": 1}}}, 1, None, id="charged"
        ),
        pytest.param(
            {"output": [SEARCH], "tool_usage": {"web_search": {"num_requests": 0}}}, None, None, id="none charged"
        ),
        pytest.param({"output": [FILE_SEARCH, FILE_SEARCH, SEARCH]}, 1, 2, id="files"),
        pytest.param({"output": [{"content": 'a "web_search_call" in a text'}]}, None, None, id="text"),
    ],
)
def test_searches_are_those_that_were_made(members: dict[str, object], web: int | None, files: int | None) -> None:
    assert report(**members).usage == Usage(10, 5, web_searches=web, file_searches=files)


@pytest.mark.parametrize(
    ("tools", "model"),
    [
        ([{"type": "web_search"}, {"type": "image_generation", "model": "gpt-image-1"}], "gpt-image-1"),
        ([{"type": "image_generation"}], "image_generation"),
        ([], "image_generation"),
        (None, "image_generation"),
    ],
)
def test_images_of_a_tool_are_a_share_of_their_own_model(tools: object, model: str) -> None:
    found = report(tools=tools, tool_usage={"image_gen": DRAWN})

    drawn = Usage(20, 1056, image_input_tokens=8, image_output_tokens=1056)
    assert found.usage == Usage(30, 1061, image_input_tokens=8, image_output_tokens=1056)
    assert found.details is not None
    assert found.details.shares == (UsageShare(None, Usage(10, 5)), UsageShare(model, drawn))


def test_details_of_images_are_never_above_their_whole() -> None:
    odd = {**DRAWN, "output_tokens_details": {"image_tokens": 1000}, "input_tokens_details": {"image_tokens": 900}}

    found = report(tool_usage={"image_gen": odd})

    assert found.usage == Usage(30, 1061, image_input_tokens=20, image_output_tokens=1000)


IMAGE = {"type": "image_generation_call", "status": "completed", "result": "AAAA"}


@pytest.mark.parametrize(
    ("used", "drawn"),
    [
        (DRAWN, Usage(20, 1056, image_input_tokens=8, image_output_tokens=1056, images=2)),
        (None, Usage(images=2)),
    ],
)
def test_images_that_were_finished_are_counted(used: object, drawn: Usage) -> None:
    found = report(output=[IMAGE, IMAGE, {**IMAGE, "status": "failed"}], tool_usage={"image_gen": used})

    assert found.usage is not None
    assert found.usage.images == 2
    assert found.details is not None
    assert found.details.shares[1] == UsageShare("image_generation", drawn)


@pytest.mark.parametrize("drawn", [None, {}, {"input_tokens": 0, "output_tokens": 0}, 5])
def test_tool_that_drew_nothing_has_no_share(drawn: object) -> None:
    found = report(tool_usage={"image_gen": drawn})

    assert (found.usage, found.details) == (Usage(10, 5), None)


def test_sum_that_no_ledger_stores_is_no_usage() -> None:
    assert report(tool_usage={"image_gen": {"input_tokens": 10**9, "output_tokens": 10**9}}).usage is None


@pytest.mark.parametrize("value", NO_COUNTS)
@pytest.mark.parametrize("side", ["input_tokens", "output_tokens"])
def test_usage_with_an_odd_or_missing_side_is_none(side: str, value: object) -> None:
    assert report(usage={**LEAST, side: value}).usage is None
    assert report(usage={name: 5 for name in LEAST if name != side}).usage is None


def test_parts_are_cut_to_their_whole_and_named() -> None:
    found = report(usage={**LEAST, "input_tokens_details": {"cached_tokens": 11}})

    assert (found.usage, found.cut_parts) == (Usage(10, 5, cached_input_tokens=10), ("cached_input_tokens",))


@pytest.mark.parametrize(
    ("total", "output", "unexplained"), [(15, 5, 0), (18, 8, 0), (16, 5, 1), (None, 5, 0)], ids=str
)
def test_total_says_whether_reasoning_is_on_top(total: int | None, output: int, unexplained: int) -> None:
    found = report(usage={**LEAST, "output_tokens_details": {"reasoning_tokens": 3}, "total_tokens": total})

    assert found.usage == Usage(10, output, reasoning_tokens=3)
    assert found.unexplained_tokens == unexplained


@pytest.mark.parametrize(
    ("more", "cost"),
    [
        ({"cost_in_usd_ticks": 37_756_000}, "0.0037756"),
        ({"cost": 0.5}, "0.5"),
        ({"cost": 0.25, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.5}}, "0.75"),
        ({"cost": 0.25, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.25}}, "0.25"),
    ],
)
def test_cost_of_the_provider_is_read(more: dict[str, object], cost: str) -> None:
    assert report(usage={**LEAST, **more}).cost_usd == Decimal(cost)


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ({"type": "error", "code": "server_error", "message": "a"}, "server_error"),
        ({"type": "error", "error": {"type": "server_error", "code": "rate_limit_exceeded"}}, "rate_limit_exceeded"),
        ({"type": "error", "error": {"type": "server_error", "code": None}}, "server_error"),
        ({"type": "response.failed", "response": {"error": {"code": "server_is_overloaded"}}}, "server_is_overloaded"),
        ({"type": "response.failed", "response": {"error": None}}, None),
        ({"type": "error", "code": "sk-Key"}, None),
        ({"type": "error", "error": "a"}, None),
    ],
)
def test_error_events_have_their_code(event: dict[str, object], code: str | None) -> None:
    assert of(event).is_error
    assert read_error_code(json.dumps(event).encode()) == code


def test_whole_response_with_an_error_is_one() -> None:
    found = report(usage=None, status="failed", error={"code": "server_error", "message": "a"}, output=[])

    assert (found.is_error, found.has_choices, found.usage) == (True, False, None)


@pytest.mark.parametrize("data", [b"", b"[]", b"nonsense", b'"a"', b"{", b"[" * 100_000, b"{" + b" " * 1_100_000])
def test_what_is_no_object_reports_nothing(data: bytes) -> None:
    assert read_response_report(data) == NOTHING
    assert read_error_code(data) is None


def test_json_that_only_a_lenient_parser_accepts_is_read() -> None:
    odd = b'\xef\xbb\xbf{"type":"response.completed","odd":NaN,"response":'
    assert read_response_report(odd + json.dumps(ENDED).encode() + b"}").usage == OWN
    assert read_response_report(b'{"response":5,"usage":{"input_tokens":10,"output_tokens":5}}').usage == Usage(10, 5)
