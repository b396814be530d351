"""What a provider reports is read leniently, and believed within bounds."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_broker.core.money import MAX_COST_USD
from hero_broker.core.usage import MAX_UNITS, Usage
from hero_broker.kinds.kind import Kind
from hero_broker.kinds.report import (
    MAX_ODD_BYTES,
    NOTHING,
    ImplausibleError,
    Report,
    count,
    details,
    input_usage,
    milliseconds,
    read_report,
    read_text_report,
    text_usage,
)
from tests.kinds.targets import NO_COUNTS

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
        pytest.param(b'{"usage":{"prompt_tokens":%s}}' % (b"9" * 5000), NOTHING, id="number of 5,000 digits"),
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


@given(value=st.integers(-10, MAX_UNITS + 10) | st.sampled_from([0, MAX_UNITS, MAX_UNITS + 1, -1]))
def test_count_is_an_integer_from_zero_to_the_maximum(value: int) -> None:
    if 0 <= value <= MAX_UNITS:
        assert count(value) == value
    else:
        with pytest.raises(ImplausibleError):
            count(value)


@pytest.mark.parametrize("value", NO_COUNTS)
def test_another_value_is_no_count(value: object) -> None:
    with pytest.raises(ImplausibleError):
        count(value, may_be_null=False)
    assert count(None) is None


@given(ms=st.integers(0, MAX_UNITS), zeros=st.integers(0, 15))
def test_duration_is_rounded_up(ms: int, zeros: int) -> None:
    seconds = Decimal(ms) / 1000

    assert milliseconds(seconds) == milliseconds(str(seconds)) == ms
    if ms > 0:
        assert milliseconds(f"{ms - 1}.{'0' * zeros}1e-3") == ms


@pytest.mark.parametrize(
    "value", [-1, MAX_UNITS, "1e999999", "1e9999999999999999999", "", "1s", "NaN", True, 1.5, None, b"1"]
)
def test_implausible_duration_is_refused(value: object) -> None:
    with pytest.raises(ImplausibleError):
        milliseconds(value)


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


@pytest.mark.parametrize(("value", "expected"), [({"a": 1}, {"a": 1}), ([1], {}), (None, {}), ("a", {})])
def test_details_of_another_type_are_empty(value: object, expected: dict[str, int]) -> None:
    assert details({"x": value}, "x") == expected
    assert details({}, "x") == {}


COUNTS = st.one_of(st.none(), st.integers(-2, 2**40), st.floats(), st.booleans(), st.text(max_size=3))
DETAILS = st.one_of(
    st.none(),
    st.integers(),
    st.dictionaries(
        st.sampled_from(["cached_tokens", "cache_write_tokens", "audio_tokens", "reasoning_tokens", "x"]), COUNTS
    ),
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
            "cost": COUNTS,
        },
    ),
)
REPLIES = st.fixed_dictionaries(
    {},
    optional={
        "usage": REPORTED,
        "choices": st.sampled_from([None, [], [1], {}, "x", False]),
        "error": st.sampled_from([None, {}, "", "x", {"message": "m"}, 0, []]),
        "duration": COUNTS,
    },
)


@given(REPLIES, st.binary(max_size=2))
def test_quick_reader_of_text_reports_what_the_careful_one_does(reply: dict[str, object], rest: bytes) -> None:
    for body in (json.dumps(reply).encode(), json.dumps(reply).encode() + rest, rest):
        assert read_text_report(body) == read_report(body, lambda reported, _reply: text_usage(reported))
