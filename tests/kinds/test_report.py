"""What a provider reports is read leniently, and believed within bounds."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_broker.core.money import MAX_COST_USD
from hero_broker.core.usage import MAX_UNITS, Usage
from hero_broker.kinds.counts import ImplausibleError
from hero_broker.kinds.kind import Kind
from hero_broker.kinds.report import (
    BYTE_ORDER_MARK,
    MAX_NAME_CHARACTERS,
    MAX_ODD_BYTES,
    NOTHING,
    Report,
    input_usage,
    read_report,
    read_text_report,
    text_usage,
)
from hero_broker.kinds.usage_dialect import OPENAI_USAGE, USAGE_DIALECTS, UsageDialect

KIND = Kind()
TOKENS = Usage(4, 0)


@pytest.mark.parametrize(
    ("body", "report"),
    [
        pytest.param(b"{}", Report(is_object=True), id="empty"),
        pytest.param(b'{"usage":null,"choices":null}', Report(is_object=True), id="null"),
        pytest.param(b'{"usage":{"prompt_tokens":4},"choices":[]}', Report(TOKENS, None, True, True), id="usage event"),
        pytest.param(b'{"usage":{},"choices":[]}', Report(None, None, True, True), id="usage event without usage"),
        pytest.param(
            b'{"usage":{"prompt_tokens":4},"choices":[{}]}',
            Report(TOKENS, is_object=True, has_choices=True),
            id="usage beside a choice",
        ),
        pytest.param(b'{"usage":{"prompt_tokens":4}}', Report(TOKENS, is_object=True), id="no choices"),
        pytest.param(b'{"usage":7,"choices":[]}', Report(None, None, True, True), id="usage of another type"),
        pytest.param(b'{"usage":{"cost":0.5}}', Report(None, Decimal("0.5"), is_object=True), id="cost alone"),
        pytest.param(b'{"error":{"message":"no"}}', Report(is_object=True, is_error=True), id="error"),
        pytest.param(b'{"error":"no"}', Report(is_object=True, is_error=True), id="error in a string"),
        pytest.param(b'{"error":{}}', Report(is_object=True), id="empty error"),
        pytest.param(b'{"error":""}', Report(is_object=True), id="empty string of an error"),
        pytest.param(b'{"error":null}', Report(is_object=True), id="no error"),
        pytest.param(b'{"error":false}', Report(is_object=True), id="false error"),
        pytest.param(b"[1]", NOTHING, id="array"),
        pytest.param(b"7", NOTHING, id="number"),
        pytest.param(b"", NOTHING, id="nothing"),
        pytest.param(b'{"usage":{"prompt_tokens":4}', NOTHING, id="half"),
        pytest.param(b"[DONE]", NOTHING, id="mark of the end"),
        pytest.param(b'{"a":' * 100_000, NOTHING, id="too deep"),
        pytest.param(
            b'{"usage":{"prompt_tokens":%s}}' % (b"9" * 5000), Report(is_object=True), id="count of 5,000 digits"
        ),
    ],
)
def test_members_of_a_response_are_reported(body: bytes, report: Report) -> None:
    read = KIND.report(body)

    assert read == report


ODD = [
    pytest.param(b'{"odd":"\\ud83d",%s}', id="lone surrogate"),
    pytest.param(b'{"odd":NaN,%s}', id="NaN"),
    pytest.param(b'\xef\xbb\xbf{"odd":1,%s}', id="byte order mark"),
]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize(
    ("choices", "is_usage_event", "has_choices"),
    [(b"[]", True, False), (b"[{}]", False, True), (b"null", False, False)],
)
def test_json_that_only_lenient_parsers_accept_is_read_alike(
    odd: bytes, choices: bytes, is_usage_event: bool, has_choices: bool
) -> None:
    body = odd % (b'"error":{"a":1},"usage":{"prompt_tokens":4,"cost":0.10},"choices":' + choices)

    assert KIND.report(body) == Report(TOKENS, Decimal("0.10"), is_usage_event, True, True, has_choices)


ABSURD = [
    pytest.param(b"9" * 5000, id="5,000 digits"),
    pytest.param(b"-" + b"9" * 5000, id="5,000 digits below zero"),
    pytest.param(b"9" * 5000 + b".5", id="5,000 digits and a half"),
    pytest.param(b"1e99999999999999999999", id="exponent of 20 digits"),
    pytest.param(b"1e-99999999999999999999", id="exponent of 20 digits below zero"),
]


@pytest.mark.parametrize("number", ABSURD)
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"choices":[],"usage":{"prompt_tokens":4,"total_tokens":%s}}', id="total"),
        pytest.param(b'{"choices":[],"usage":{"prompt_tokens":4,"cost":%s}}', id="cost"),
        pytest.param(b'{"choices":[],"usage":{"prompt_tokens":4,"cost":{"total_cost":%s}}}', id="cost in an object"),
        pytest.param(b'{"choices":[],"usage":{"prompt_tokens":4,"cost_in_usd_ticks":%s}}', id="ticks"),
        pytest.param(b'{"choices":[],"usage":{"prompt_tokens":4,"queue_time":%s}}', id="other member of the usage"),
        pytest.param(b'{"choices":[],"usage":{"prompt_tokens":4},"model":%s}', id="model"),
        pytest.param(b'{"choices":[],"usage":{"prompt_tokens":4},"duration":%s}', id="duration"),
        pytest.param(b'{"choices":[],"usage":{"prompt_tokens":4},"timings":{"prompt_n":%s}}', id="timings"),
    ],
)
def test_number_that_is_absurd_takes_nothing_else_with_it(body: bytes, number: bytes) -> None:
    assert KIND.report(body % number) == Report(TOKENS, None, True, True)
    assert read_text_report(body % number) == Report(TOKENS, None, True, True)


@pytest.mark.parametrize("number", ABSURD)
def test_usage_in_a_choice_is_read_beside_an_absurd_number(number: bytes) -> None:
    inside = b'{"choices":[{"usage":{"prompt_tokens":4,"total_tokens":%s}}]}' % number
    beside = b'{"choices":[{"usage":{"prompt_tokens":4}}],"model":%s}' % number
    before = b'{"choices":[{"index":%s},{"usage":{"prompt_tokens":4}}]}' % number

    assert [KIND.report(body).usage for body in (inside, beside, before)] == [TOKENS] * 3


@pytest.mark.parametrize("number", ABSURD)
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens"])
def test_usage_with_an_absurd_count_is_refused(name: str, number: bytes) -> None:
    body = b'{"choices":[{}],"usage":{"prompt_tokens":4,"%s":%s}}' % (name.encode(), number)

    assert KIND.report(body) == Report(is_object=True, has_choices=True)


def test_odd_json_is_read_up_to_a_length() -> None:
    member = b'"usage":{"prompt_tokens":4},"x":"%s"'
    longest = MAX_ODD_BYTES - len(b'{"odd":NaN,%s}' % (member % b""))

    assert KIND.report(b'{"odd":NaN,%s}' % (member % (b"x" * longest))).usage == TOKENS
    assert KIND.report(b'{"odd":NaN,%s}' % (member % (b"x" * (longest + 1)))) == NOTHING
    assert KIND.report(b"{%s}" % (member % (b"x" * MAX_ODD_BYTES))).usage == TOKENS


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("0", Decimal(0)),
        ("0.000000000000000000001", Decimal("1E-21")),
        (str(MAX_COST_USD), Decimal(MAX_COST_USD)),
        (f"{MAX_COST_USD}.001", None),
        ("-0.1", None),
        ("1e999", None),
        ('"0.5"', None),
        ("true", None),
        ("null", None),
        ("[1]", None),
        ("NaN", None),
        ("Infinity", None),
    ],
)
def test_cost_is_an_exact_number_within_bounds(text: str, cost: Decimal | None) -> None:
    report = KIND.report(f'{{"usage":{{"prompt_tokens":4,"cost":{text}}}}}'.encode())

    assert (report.usage, report.cost_usd) == (TOKENS, cost)


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        ({"prompt_tokens": 4, "total_tokens": 9}, Usage(4, 0)),
        ({"total_tokens": 9}, Usage(9, 0)),
        ({"completion_tokens": 9}, None),
        ({}, None),
    ],
)
def test_total_counts_as_input_if_it_is_alone(reported: dict[str, object], usage: Usage | None) -> None:
    assert input_usage(reported) == usage


@given(
    reported=st.dictionaries(
        st.sampled_from(["prompt_tokens", "completion_tokens", "prompt_tokens_details"]),
        st.none()
        | st.integers()
        | st.text()
        | st.dictionaries(st.sampled_from(["cached_tokens"]), st.none() | st.integers()),
    )
)
def test_any_usage_is_read_or_refused(reported: dict[str, object]) -> None:
    try:
        usage = text_usage(reported)
    except ImplausibleError:
        return
    counts = [] if usage is None else [usage.input_tokens, usage.output_tokens, usage.cached_input_tokens]
    assert all(value is None or 0 <= value <= MAX_UNITS for value in counts)


COUNTS = st.one_of(st.none(), st.integers(-2, 2**40), st.floats(), st.booleans(), st.text(max_size=3))
DETAILS = st.one_of(
    st.none(),
    st.integers(),
    st.dictionaries(
        st.sampled_from(
            [
                "cached_tokens",
                "cache_write_tokens",
                "cache_creation_input_tokens",
                "audio_tokens",
                "reasoning_tokens",
                "image_tokens",
                "x",
            ]
        ),
        COUNTS,
    ),
)
SMALL = st.one_of(st.none(), st.integers(0, 40))
COST = st.one_of(
    COUNTS,
    st.fixed_dictionaries({}, optional={"total_cost": st.one_of(COUNTS, st.decimals(0, 9, places=3).map(float))}),
)
REPORTED = st.one_of(
    st.none(),
    st.text(max_size=3),
    st.fixed_dictionaries(
        {},
        optional={
            "prompt_tokens": COUNTS,
            "completion_tokens": COUNTS,
            "total_tokens": COUNTS,
            "prompt_tokens_details": DETAILS,
            "completion_tokens_details": DETAILS,
            "cost": COST,
            "is_byok": st.one_of(st.booleans(), COUNTS),
            "cost_details": st.one_of(COUNTS, st.dictionaries(st.just("upstream_inference_cost"), COUNTS)),
            "cost_in_usd_ticks": COUNTS,
            "cached_tokens": SMALL,
            "prompt_cache_hit_tokens": SMALL,
            "reasoning_tokens": COUNTS,
            "citation_tokens": SMALL,
            "num_search_queries": SMALL,
            "prompt_audio_seconds": COUNTS,
        },
    ),
)
# Usage that providers may well report, in which parts and totals can agree.
PLAUSIBLE_INPUT_DETAILS = [
    "cached_tokens",
    "cache_write_tokens",
    "cache_creation_input_tokens",
    "audio_tokens",
    "image_tokens",
]
PLAUSIBLE_MEMBERS = [
    "cached_tokens",
    "prompt_cache_hit_tokens",
    "reasoning_tokens",
    "citation_tokens",
    "num_search_queries",
    "prompt_audio_seconds",
]
PLAUSIBLE = st.fixed_dictionaries(
    {"prompt_tokens": st.integers(0, 40), "completion_tokens": st.integers(0, 40)},
    optional={
        "total_tokens": st.integers(0, 120),
        "prompt_tokens_details": st.dictionaries(
            st.sampled_from(PLAUSIBLE_INPUT_DETAILS),
            SMALL,
        ),
        "completion_tokens_details": st.dictionaries(
            st.sampled_from(["reasoning_tokens", "audio_tokens", "image_tokens"]), SMALL
        ),
        **dict.fromkeys(PLAUSIBLE_MEMBERS, SMALL),
    },
)
NAMES = st.sampled_from(
    [None, "", "m", 7, "n" * MAX_NAME_CHARACTERS, "n" * (MAX_NAME_CHARACTERS + 1), "\u00fc" * MAX_NAME_CHARACTERS]
)
ELSEWHERE = {
    "x_groq": st.one_of(COUNTS, st.fixed_dictionaries({}, optional={"usage": st.one_of(REPORTED, PLAUSIBLE)})),
    "timings": st.one_of(
        COUNTS,
        st.fixed_dictionaries({}, optional={"prompt_n": COUNTS, "predicted_n": COUNTS, "cache_n": COUNTS}),
    ),
}
DIALECTS = st.sampled_from([OPENAI_USAGE, *USAGE_DIALECTS])
REPLIES = st.fixed_dictionaries(
    {},
    optional={
        "usage": st.one_of(REPORTED, PLAUSIBLE),
        "choices": st.one_of(
            st.sampled_from([None, [], [1], {}, "x", False]),
            st.lists(st.fixed_dictionaries({}, optional={"usage": st.one_of(REPORTED, PLAUSIBLE)}), max_size=2),
        ),
        "error": st.sampled_from([None, {}, "", "x", {"message": "m"}, 0, []]),
        "duration": COUNTS,
        "model": NAMES,
        "service_tier": NAMES,
        **ELSEWHERE,
    },
)


def careful_report(body: bytes, dialect: UsageDialect = OPENAI_USAGE) -> Report:
    return read_report(body, lambda reported, _reply: text_usage(reported), dialect)


@given(REPLIES, st.binary(max_size=2), DIALECTS)
def test_quick_reader_of_text_reports_what_the_careful_one_does(
    reply: dict[str, object], rest: bytes, dialect: UsageDialect
) -> None:
    for body in (json.dumps(reply).encode(), json.dumps(reply).encode() + rest, rest):
        assert read_text_report(body, dialect) == careful_report(body, dialect)


@given(REPLIES, DIALECTS)
def test_lenient_parser_reports_what_the_strict_one_does(reply: dict[str, object], dialect: UsageDialect) -> None:
    body = json.dumps({**reply, "choices": [1]}).encode()

    assert careful_report(BYTE_ORDER_MARK + body, dialect) == careful_report(body, dialect)


WHOLES = {
    "cached_input_tokens": "input_tokens",
    "cache_write_tokens": "input_tokens",
    "audio_input_tokens": "input_tokens",
    "image_input_tokens": "input_tokens",
    "reasoning_tokens": "output_tokens",
    "audio_output_tokens": "output_tokens",
    "image_output_tokens": "output_tokens",
}


def total_of(usage: Usage, *names: str) -> int:
    return sum(getattr(usage, name) or 0 for name in names)


@given(PLAUSIBLE, DIALECTS)
def test_row_never_contradicts_itself(reported: dict[str, object], dialect: UsageDialect) -> None:
    report = read_text_report(json.dumps({"usage": reported}).encode(), dialect)

    usage = report.usage
    assert usage is not None
    assert usage.input_tokens is not None
    assert usage.output_tokens is not None
    for part, whole in WHOLES.items():
        assert total_of(usage, part) <= total_of(usage, whole)
    assert total_of(usage, "cached_input_tokens", "cache_write_tokens") <= usage.input_tokens
    assert total_of(usage, "audio_input_tokens", "image_input_tokens") <= usage.input_tokens
    assert total_of(usage, "reasoning_tokens", "audio_output_tokens", "image_output_tokens") <= usage.output_tokens
    total = reported.get("total_tokens")
    counts_beside_total = any(member.whole for member in dialect.members)
    if isinstance(total, int) and report.unexplained_tokens == 0 and not counts_beside_total:
        assert usage.input_tokens + usage.output_tokens == total


@given(PLAUSIBLE, st.dictionaries(st.text(max_size=5).map("x_{}".format), COUNTS, max_size=3), DIALECTS)
def test_unknown_members_change_nothing(
    reported: dict[str, object], unknown: dict[str, object], dialect: UsageDialect
) -> None:
    in_details = {
        name: {**unknown, **value, "messages": [unknown]} for name, value in reported.items() if isinstance(value, dict)
    }
    body = json.dumps({"usage": reported}).encode()
    longer = json.dumps({**unknown, "usage": {**unknown, **reported, **in_details}, "x": unknown}).encode()

    assert read_text_report(longer, dialect) == read_text_report(body, dialect)


def test_properties_know_every_member_of_every_dialect() -> None:
    known = set(PLAUSIBLE_MEMBERS) | set(PLAUSIBLE_INPUT_DETAILS)

    assert {member.name for dialect in USAGE_DIALECTS for member in dialect.members} <= known


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        pytest.param({"cost": {"total_cost": 0.00502, "request_cost": 0.005}}, "0.00502", id="an object"),
        pytest.param({"cost": {}}, None, id="an object without a total"),
        pytest.param({"cost": {"total_cost": "0.1"}}, None, id="an object with a string"),
        pytest.param({"cost_in_usd_ticks": 10}, "0.000000001", id="ten ticks are a nano-USD"),
        pytest.param({"cost_in_usd_ticks": 37_756_000}, "0.0037756", id="ticks"),
        pytest.param({"cost_in_usd_ticks": -1}, None, id="negative ticks"),
        pytest.param({"cost_in_usd_ticks": 1.5}, None, id="part of a tick"),
        pytest.param({"cost": 0.5, "cost_in_usd_ticks": 10}, "0.5", id="dollars before ticks"),
        pytest.param(
            {"cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.0042}}, "0.0042", id="own key"
        ),
        pytest.param(
            {"cost": 0.0002, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.0042}},
            "0.0044",
            id="own key and a fee",
        ),
        pytest.param(
            {"cost": 0.0042, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.0042}},
            "0.0042",
            id="the provider's key",
        ),
        pytest.param(
            {"cost": 0.0042, "cost_details": {"upstream_inference_cost": 0.0042}}, "0.0042", id="nobody's key"
        ),
        pytest.param({"cost": 0, "is_byok": True}, None, id="own key without its cost"),
        pytest.param(
            {"cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": None}}, None, id="null cost"
        ),
        pytest.param(
            {"cost": MAX_COST_USD, "is_byok": True, "cost_details": {"upstream_inference_cost": 1}},
            None,
            id="a sum beyond the bound",
        ),
    ],
)
def test_costs_are_read_in_each_form(usage: dict[str, object], cost: str | None) -> None:
    body = json.dumps({"usage": {"prompt_tokens": 4, **usage}}).encode()

    for report in (KIND.report(body), read_text_report(body)):
        assert report.cost_usd == (None if cost is None else Decimal(cost))


@pytest.mark.parametrize(
    ("reply", "usage"),
    [
        pytest.param({"timings": {"cache_n": 30, "prompt_n": 10, "predicted_n": 5}}, Usage(40, 5, 30), id="llama.cpp"),
        pytest.param({"timings": {"prompt_n": 10, "predicted_n": 5}}, Usage(10, 5, 0), id="an older llama.cpp"),
        pytest.param({"timings": {"prompt_n": 10}}, None, id="timings without output"),
        pytest.param({"timings": {"prompt_n": "10", "predicted_n": 5}}, None, id="timings with a string"),
        pytest.param({"timings": {"prompt_n": -1, "predicted_n": 5}}, None, id="negative timings"),
        pytest.param(
            {"x_groq": {"usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}}},
            Usage(10, 5),
            id="Groq",
        ),
        pytest.param({"x_groq": {"id": "req_1"}}, None, id="Groq without usage"),
        pytest.param(
            {"choices": [{"finish_reason": "stop", "usage": {"prompt_tokens": 10, "completion_tokens": 5}}]},
            Usage(10, 5),
            id="Moonshot: in a choice",
        ),
        pytest.param(
            {"choices": [{"usage": None}, {"usage": {"prompt_tokens": 10, "completion_tokens": 5}}]},
            Usage(10, 5),
            id="in the second choice",
        ),
        pytest.param({"choices": [{"usage": 7}]}, None, id="a number in a choice"),
        pytest.param({"choices": ["usage"]}, None, id="a string for a choice"),
        pytest.param(
            {
                "usage": {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6},
                "timings": {"prompt_n": 10, "predicted_n": 5},
                "x_groq": {"usage": {"prompt_tokens": 10, "completion_tokens": 5}},
            },
            Usage(4, 2),
            id="usage comes first",
        ),
    ],
)
def test_usage_that_stands_elsewhere_is_read_if_there_is_none(reply: dict[str, object], usage: Usage | None) -> None:
    report = read_text_report(json.dumps(reply).encode())

    assert (report.usage, report.is_usage_event) == (usage, False)


def test_served_tier_and_answering_model_are_reported() -> None:
    body = b'{"model":"deepseek-v4-flash","service_tier":"priority","usage":{"prompt_tokens":4}}'

    for report in (read_text_report(body), KIND.report(body)):
        assert (report.answered_model, report.service_tier) == ("deepseek-v4-flash", "priority")
