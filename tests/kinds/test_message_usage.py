"""What a message reports: disjoint counts of the input, parts that replace each other, iterations, refusals."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_broker.core.usage import Usage
from hero_broker.kinds.message_usage import read_message_report, sum_of
from hero_broker.kinds.report import NOTHING, Report, UsageDetails, UsageShare
from hero_broker.kinds.usage_dialect import cut_to_wholes
from tests.kinds.targets import NO_COUNTS


def whole(usage: object, **members: object) -> Report:
    """Return the report of a whole message."""
    message = {"type": "message", "content": [{"type": "text", "text": "a"}], "usage": usage, **members}
    return read_message_report(json.dumps(message).encode())


def streamed(*usages: Mapping[str, object] | None) -> Report:
    """Return the last report of a stream: the first usage is that of its start, the others those of its deltas."""
    start, *deltas = usages
    events: list[dict[str, object]] = [{"type": "message_start", "message": {"model": "m", "usage": start}}]
    events += [{"type": "message_delta", "delta": {}, "usage": usage} for usage in deltas]
    report = NOTHING
    for event in events:
        report = read_message_report(json.dumps(event).encode(), report)
    return report


def details(report: Report) -> UsageDetails:
    assert report.details is not None
    return report.details


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        pytest.param({"input_tokens": 5, "output_tokens": 7}, Usage(5, 7), id="plain"),
        pytest.param(
            {
                "input_tokens": 5,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 30,
                "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
                "output_tokens": 7,
                "output_tokens_details": {"thinking_tokens": 4},
                "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
            },
            Usage(135, 7, 100, 30, 4, cache_write_1h_tokens=20, web_searches=2),
            id="everything",
        ),
        pytest.param(
            {"input_tokens": 5, "cache_creation": {"ephemeral_1h_input_tokens": 20}, "output_tokens": 7},
            Usage(25, 7, cache_write_tokens=20, cache_write_1h_tokens=20),
            id="writes by duration alone",
        ),
        pytest.param(
            {"input_tokens": 5, "cache_creation": {"ephemeral_5m_input_tokens": 20}, "output_tokens": 7},
            Usage(25, 7, cache_write_tokens=20),
            id="writes of five minutes alone",
        ),
        pytest.param({"input_tokens": 0, "output_tokens": 7}, Usage(0, 7), id="no input"),
        pytest.param(
            {"input_tokens": 5, "output_tokens": 7, "output_tokens_details": {"thinking_tokens": 9}},
            Usage(5, 7, reasoning_tokens=7),
            id="more thinking than output",
        ),
    ],
)
def test_usage_of_a_whole_message_is_read(usage: object, expected: Usage) -> None:
    report = whole(usage)

    assert report.usage == expected
    assert report.cut_parts == (("reasoning_tokens",) if expected.reasoning_tokens == 7 else ())


FULL = {"input_tokens": 1000, "output_tokens": 1}


@pytest.mark.parametrize(
    ("usages", "expected"),
    [
        pytest.param(
            [{"input_tokens": 10, "cache_read_input_tokens": 90, "output_tokens": 3}, {"output_tokens": 42}],
            Usage(100, 42, 90),
            id="Anthropic",
        ),
        pytest.param([FULL, {"output_tokens": 20}, {"output_tokens": 42}], Usage(1000, 42), id="cumulative"),
        pytest.param(
            [FULL, {"input_tokens": 1000, "cache_read_input_tokens": None, "output_tokens": 42}],
            Usage(1000, 42),
            id="the same input again",
        ),
        pytest.param(
            [FULL, {"input_tokens": 200, "cache_read_input_tokens": 800, "output_tokens": 42}],
            Usage(1000, 42, 800),
            id="Kimi, Qwen: the whole prompt at the start, its parts at the end",
        ),
        pytest.param(
            [
                {"input_tokens": 0, "output_tokens": 0},
                {"input_tokens": 7, "cache_read_input_tokens": 3, "output_tokens": 42},
            ],
            Usage(10, 42, 3),
            id="OpenRouter: all at the end",
        ),
        pytest.param([None, {"input_tokens": 7, "output_tokens": 42}], Usage(7, 42), id="no usage at the start"),
        pytest.param(
            [
                {
                    "input_tokens": 1,
                    "cache_creation_input_tokens": 30,
                    "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
                },
                {"cache_creation_input_tokens": 25, "output_tokens": 4},
            ],
            Usage(26, 4, cache_write_tokens=25, cache_write_1h_tokens=20),
            id="corrected writes keep those of an hour",
        ),
        pytest.param(
            [
                {
                    "input_tokens": 1,
                    "cache_creation_input_tokens": 20,
                    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 20},
                },
                {"cache_creation_input_tokens": 15, "output_tokens": 4},
            ],
            Usage(16, 4, cache_write_tokens=15, cache_write_1h_tokens=15),
            id="fewer writes than those of an hour",
        ),
    ],
)
def test_members_of_later_events_replace_those_of_earlier_ones(usages: list[Any], expected: Usage) -> None:
    report = streamed(*usages)

    assert report.usage == expected
    assert details(report).partial is None


@pytest.mark.parametrize(
    ("usages", "partial", "least"),
    [
        pytest.param([{"input_tokens": 10, "output_tokens": 3}], Usage(10), 3, id="placeholder"),
        pytest.param([{"input_tokens": 0, "output_tokens": 0}], Usage(), 0, id="zeros of a start"),
        pytest.param([{"input_tokens": 10, "output_tokens": 3}, {"output_tokens": None}], Usage(10), 3, id="null"),
        pytest.param([None, {"output_tokens": 5}], Usage(None, 5), 0, id="output alone"),
    ],
)
def test_usage_that_lacks_a_side_is_partial(usages: list[Any], partial: Usage, least: int) -> None:
    report = streamed(*usages)

    assert report.usage is None
    assert (details(report).partial, details(report).least_output_tokens) == (partial, least)


@pytest.mark.parametrize("value", [value for value in NO_COUNTS if value.id != "null"])
@pytest.mark.parametrize("name", ["input_tokens", "output_tokens", "cache_read_input_tokens"])
def test_implausible_count_is_no_usage_and_what_was_known_stays(name: str, value: object) -> None:
    assert whole({"input_tokens": 5, "output_tokens": 7, name: value}).usage is None

    report = streamed({"input_tokens": 5, "output_tokens": 1}, {"output_tokens": 7, name: value})

    assert report.usage is None
    assert details(report).partial == Usage(5)


def test_sum_of_the_input_is_bounded() -> None:
    most = 1_000_000_000

    assert whole({"input_tokens": most, "cache_read_input_tokens": 1, "output_tokens": 1}).usage is None
    assert (
        whole(
            {
                "input_tokens": 1,
                "output_tokens": most,
                "iterations": [
                    {"type": "compaction", "input_tokens": 1, "output_tokens": most},
                    {"type": "message", "input_tokens": 1, "output_tokens": most},
                ],
            }
        ).usage
        is None
    )


@pytest.mark.parametrize(
    ("usage", "tier"),
    [
        ({"service_tier": "standard"}, "standard"),
        ({"service_tier": "priority", "speed": "standard"}, "priority"),
        ({"service_tier": "standard", "speed": "fast"}, "fast"),
        ({}, None),
        ({"service_tier": 7}, None),
    ],
)
def test_tier_that_served_is_in_the_usage_and_speed_comes_first(usage: dict[str, object], tier: str | None) -> None:
    assert whole({"input_tokens": 1, "output_tokens": 1, **usage}).service_tier == tier


def test_model_and_cost_are_read() -> None:
    report = whole({"input_tokens": 1, "output_tokens": 1, "cost": 0.25}, model="claude-x")

    assert (report.answered_model, report.cost_usd) == ("claude-x", Decimal("0.25"))
    assert streamed({"input_tokens": 1}).answered_model == "m"


@pytest.mark.parametrize(
    ("usages", "usage", "cost"),
    [
        pytest.param(
            [{"input_tokens": 10, "cost": 5}, {"output_tokens": 42}],
            Usage(10, 42),
            None,
            id="of the start, not the end",
        ),
        pytest.param(
            [{"input_tokens": 10, "cost": 5}, {"output_tokens": 42, "cost": 7}],
            Usage(10, 42),
            Decimal(7),
            id="of the end",
        ),
        pytest.param(
            [{"input_tokens": 10}, {"output_tokens": 42, "cost": 5}, {}],
            Usage(10, 42),
            Decimal(5),
            id="nothing follows",
        ),
        pytest.param(
            [{"input_tokens": 10}, {"output_tokens": 42}, {"cost": 5}],
            Usage(10, 42),
            Decimal(5),
            id="alone, at the end",
        ),
        pytest.param([{"input_tokens": 10, "cost": 5}], None, None, id="of a usage without output"),
        pytest.param([{"cost": 5}], None, Decimal(5), id="without counts"),
        pytest.param([{"input_tokens": -1, "cost": 5}], None, None, id="of a usage that is refused"),
        pytest.param(
            [
                {"input_tokens": 10, "output_tokens": 1},
                {"output_tokens": 42, "cost": 5},
                {"output_tokens": -1, "cost": 7},
            ],
            None,
            Decimal(5),
            id="before a usage that is refused",
        ),
        pytest.param(
            [{"input_tokens": 10}, {"output_tokens": 42, "cost": 5}, {"output_tokens": -1, "cost": 7}, {}],
            Usage(10, 42),
            Decimal(5),
            id="before a usage that is refused and one that is empty",
        ),
    ],
)
def test_cost_of_a_stream_is_that_of_the_event_whose_counts_are_the_last(
    usages: list[dict[str, object]], usage: Usage | None, cost: Decimal | None
) -> None:
    report = streamed(*usages)

    assert (report.usage, report.cost_usd) == (usage, cost)


@pytest.mark.parametrize(
    ("body", "is_object", "is_error", "has_choices"),
    [
        (b'{"type":"error","error":{"type":"api_error","message":"x"}}', True, True, False),
        (b'{"type":"message","content":[],"usage":{}}', True, False, False),
        (b'{"content":[{"type":"text"}],"odd":NaN}', True, False, True),
        (b'\xef\xbb\xbf{"content":[]}', True, False, False),
        (b"[1]", False, False, False),
        (b"[NaN]", False, False, False),
        (b"nonsense", False, False, False),
        (b"", False, False, False),
    ],
)
def test_any_body_is_read(body: bytes, is_object: bool, is_error: bool, has_choices: bool) -> None:
    report = read_message_report(body)

    assert (report.is_object, report.is_error, report.has_choices) == (is_object, is_error, has_choices)
    assert not report.is_usage_event


@pytest.mark.parametrize("number", [b"9" * 5000, b"-" + b"9" * 5000, b"1e99999999999999999999"])
def test_number_that_is_absurd_takes_nothing_else_with_it(number: bytes) -> None:
    beside = read_message_report(b'{"content":[],"usage":{"input_tokens":4,"output_tokens":2,"cost":%s}}' % number)
    inside = read_message_report(b'{"content":[],"usage":{"input_tokens":4,"output_tokens":%s}}' % number)

    assert (beside.usage, beside.cost_usd) == (Usage(4, 2), None)
    assert (inside.usage, inside.is_object) == (None, True)


def test_odd_json_that_is_long_is_not_read() -> None:
    assert read_message_report(b'{"odd":NaN,"long":"' + b"a" * 1024 * 1024 + b'"}') == NOTHING


def test_event_that_cannot_be_read_changes_nothing() -> None:
    before = streamed({"input_tokens": 5, "output_tokens": 1})

    assert read_message_report(b'{"usage":', before) == before


@pytest.mark.parametrize(
    ("members", "has_refused"),
    [
        ({"content": [], "stop_reason": "refusal"}, True),
        ({"content": [{"type": "text", "text": "no"}], "stop_reason": "refusal"}, False),
        ({"content": [], "stop_reason": "end_turn"}, False),
    ],
)
def test_refusal_is_told_by_its_reason_and_empty_content(members: dict[str, object], has_refused: bool) -> None:
    report = whole({"input_tokens": 9, "output_tokens": 1}, **members)

    assert details(report).has_refused is has_refused
    assert report.usage == Usage(9, 1)


def test_refusal_of_a_stream_stays_known() -> None:
    event = b'{"type":"message_delta","delta":{"stop_reason":"refusal"},"usage":{"input_tokens":9,"output_tokens":1}}'

    first = read_message_report(event)
    second = read_message_report(b'{"type":"message_delta","delta":{},"usage":{"output_tokens":1}}', first)

    assert details(first).has_refused
    assert details(second).has_refused


COMPACTION = {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3_500}
MESSAGE = {"type": "message", "input_tokens": 23_000, "output_tokens": 1_000}
TOP = {"input_tokens": 23_000, "output_tokens": 1_000}
ADVISOR = {"type": "advisor_message", "model": "claude-opus-4-6", "input_tokens": 800, "output_tokens": 60}


@pytest.mark.parametrize(
    ("iterations", "expected", "models"),
    [
        pytest.param([MESSAGE], Usage(23_000, 1_000), (), id="one"),
        pytest.param([], Usage(23_000, 1_000), (), id="none"),
        pytest.param([7, MESSAGE], Usage(23_000, 1_000), (), id="no entry"),
        pytest.param([COMPACTION, MESSAGE], Usage(203_000, 4_500), (None, None, None), id="compaction"),
        pytest.param([MESSAGE, ADVISOR], Usage(23_800, 1_060), (None, "claude-opus-4-6", None), id="advisor"),
        pytest.param(
            [
                {"type": "message", "model": "claude-opus-4-6", "input_tokens": 500, "output_tokens": 40},
                {**MESSAGE, "type": "fallback_message", "model": "claude-haiku-4-5"},
            ],
            Usage(23_500, 1_040),
            ("claude-opus-4-6", "claude-haiku-4-5", "claude-haiku-4-5"),
            id="fallback after output",
        ),
        pytest.param(
            [
                {"type": "message", "model": "claude-opus-4-6", "input_tokens": 500, "output_tokens": 0},
                {**MESSAGE, "type": "fallback_message", "model": "claude-haiku-4-5"},
            ],
            Usage(23_000, 1_000),
            (),
            id="fallback after a refusal that is free",
        ),
        pytest.param(
            [{**MESSAGE, "input_tokens": 20_000}, {**MESSAGE, "input_tokens": 3_000, "output_tokens": 0}],
            Usage(23_000, 1_000),
            (None, None, None),
            id="messages of one attempt",
        ),
    ],
)
def test_iterations_add_up_and_keep_their_models(
    iterations: list[object], expected: Usage, models: tuple[str | None, ...]
) -> None:
    report = whole({**TOP, "server_tool_use": {"web_search_requests": 3}, "iterations": iterations})

    assert report.usage == Usage(expected.input_tokens, expected.output_tokens, web_searches=3)
    assert tuple(share.model for share in details(report).shares) == models
    assert report.unexplained_tokens == 0
    if models:
        assert details(report).shares[-1].usage == Usage(web_searches=3)


def test_one_model_of_fallbacks_may_be_the_only_one_that_is_charged() -> None:
    declined = {"type": "message", "model": "claude-opus-4-6", "input_tokens": 500, "output_tokens": 0}
    fallback = {**MESSAGE, "type": "fallback_message", "model": "claude-haiku-4-5"}

    report = whole({**TOP, "iterations": [declined, fallback]}, model="claude-haiku-4-5")

    assert (report.usage, report.answered_model) == (Usage(23_000, 1_000), "claude-haiku-4-5")


def test_iterations_that_contradict_the_other_counts_are_not_billed_and_are_told() -> None:
    report = whole({**TOP, "iterations": [COMPACTION, {**MESSAGE, "output_tokens": 1_100}]})

    assert (report.usage, report.unexplained_tokens) == (Usage(23_000, 1_000), 100)
    assert details(report).shares == ()


def test_iterations_of_a_stream_come_with_its_end() -> None:
    report = streamed({"input_tokens": 23_000, "output_tokens": 1}, {**TOP, "iterations": [COMPACTION, MESSAGE]})

    assert report.usage == Usage(203_000, 4_500)
    assert details(report).shares[:2] == (
        UsageShare(None, Usage(180_000, 3_500)),
        UsageShare(None, Usage(23_000, 1_000)),
    )


COUNTS = st.none() | st.integers(0, 1000)
USAGES = st.fixed_dictionaries(
    {},
    optional={
        "input_tokens": COUNTS,
        "output_tokens": COUNTS,
        "cache_read_input_tokens": COUNTS,
        "cache_creation_input_tokens": COUNTS,
        "cache_creation": st.none()
        | st.fixed_dictionaries({"ephemeral_5m_input_tokens": COUNTS, "ephemeral_1h_input_tokens": COUNTS}),
        "output_tokens_details": st.none() | st.fixed_dictionaries({"thinking_tokens": COUNTS}),
    },
)


@given(usages=st.lists(USAGES, min_size=1, max_size=4))
def test_usage_never_contradicts_itself(usages: list[dict[str, object]]) -> None:
    report = streamed(*usages)

    for usage in (report.usage, details(report).partial):
        if usage is not None:
            assert cut_to_wholes(usage) == (usage, ())


@given(usages=st.lists(USAGES, min_size=1, max_size=3))
def test_repeating_the_last_event_changes_nothing(usages: list[dict[str, object]]) -> None:
    deltas = usages[1:]

    once, twice = streamed(usages[0], *deltas), streamed(usages[0], *deltas, *deltas[-1:])

    assert (once.usage, details(once).partial) == (twice.usage, details(twice).partial)


def test_sum_has_a_unit_if_any_part_has_it() -> None:
    assert sum_of([Usage(1, None, 3), Usage(None, None, 4)]) == Usage(1, None, 7)
    assert sum_of([]) == Usage()
