"""Texts that a model read and wrote, in bodies of every shape."""

import json

import pytest
from msgspec import Raw

from hero_broker.kinds.texts import (
    Reading,
    compact,
    delivered_body,
    delivered_events,
    load,
    part_texts,
    read_members,
    texts_or_ids,
    tool_call_texts,
)
from hero_broker.kinds.wide_json import MAX_VALUES


@pytest.mark.parametrize(
    ("value", "reading"),
    [
        ("one", Reading(("one",))),
        (["one", "two"], Reading(("one", "two"))),
        ([1, 2, 3], Reading((), 3)),
        ([[1, 2], [3]], Reading((), 3)),
        ([{"text": "one"}, {"image": "x"}], Reading(("one",))),
        ([True, None, 1.5], Reading()),
        ([[True, "a"], {"text": 7}], Reading()),
        (None, Reading()),
        ("", Reading()),
    ],
)
def test_input_is_text_or_token_ids(value: object, reading: Reading) -> None:
    assert texts_or_ids(value) == reading


def test_a_whole_answer_is_all_that_was_written() -> None:
    message = {
        "content": "text",
        "reasoning_content": "thought",
        "refusal": "no",
        "audio": {"transcript": "spoken"},
        "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}],
    }
    answer = {"choices": [{"index": 0, "message": message}, {"index": 1, "message": {"content": [{"text": "two"}]}}]}

    written = delivered_body(json.dumps(answer).encode())

    assert written == ("text", "thought", "no", "spoken", "f", "{}", "two")


def test_reasoning_under_two_names_is_written_once() -> None:
    answer = b'{"choices":[{"message":{"content":"a","reasoning":"b","reasoning_content":"b"}}]}'

    assert delivered_body(answer) == ("a", "b")


def test_deltas_of_a_stream_are_joined_by_choice_and_place() -> None:
    deltas: list[dict[str, object]] = [
        {"index": 0, "delta": {"role": "assistant", "content": ""}},
        {"index": 0, "delta": {"reasoning": "th"}},
        {"index": 0, "delta": {"reasoning": "ought"}},
        {"index": 0, "delta": {"content": "one "}},
        {"index": 1, "delta": {"content": "two"}},
        {"index": 0, "delta": {"content": "word"}},
        {"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": '{"a":'}}]}},
        {"index": 0, "delta": {"tool_calls": [{"index": 1, "function": {"name": "g", "arguments": "{}"}}]}},
        {"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}},
        {"index": 0, "delta": {"audio": {"transcript": "spoken"}}},
    ]
    events = b"\n".join(json.dumps({"choices": [delta]}).encode() for delta in deltas)

    written = delivered_events(events + b'\n{"choices":[],"usage":null}\n{broken\n[DONE]')

    assert written == ("thought", "one word", "two", "f", '{"a":1}', "g", "{}", "spoken")


def test_halves_of_a_character_in_two_deltas_are_written() -> None:
    events = b'{"choices":[{"text":"\\ud83d"}]}\n{"choices":[{"text":"\\ude00"}]}'

    assert delivered_events(events) == ("\ud83d\ude00",)


def test_an_answer_that_is_nested_too_deep_has_no_text() -> None:
    assert delivered_body(b"[" * 100_000 + b"]" * 100_000) == ()


def test_body_with_too_many_values_is_one_text() -> None:
    body = b'{"choices":[%s]}' % b",".join([b"{}"] * MAX_VALUES)

    assert delivered_body(body) == (body.decode(),)


def test_calls_with_the_same_index_are_all_written() -> None:
    calls = [{"index": 0, "function": {"name": name, "arguments": "{}"}} for name in ("f", "g")]
    body = json.dumps({"choices": [{"message": {"tool_calls": calls}}]}).encode()
    event = json.dumps({"choices": [{"delta": {"tool_calls": calls}}]}).encode()

    assert [text for _, text in tool_call_texts({"tool_calls": calls}) if text] == ["f", "{}", "g", "{}"]
    assert "".join(delivered_body(body)) == "".join(delivered_events(event)) == "fg{}{}"


@pytest.mark.parametrize(
    ("lines", "texts"),
    [
        (
            b'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: {"choices":[{"delta":{"content":"b"}}]}\n\n',
            ("ab",),
        ),
        (b'{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"}}]}', ("a", "b")),
        (b'{"choices":[{"index":"0","delta":{"content":"a"}}]}', ("a",)),
        (b": comment\nid: 1\ndata: [DONE]\n", ()),
        (b"", ()),
    ],
)
def test_lines_of_events_are_read_with_and_without_their_field_name(lines: bytes, texts: tuple[str, ...]) -> None:
    assert delivered_events(lines) == texts


@pytest.mark.parametrize(
    ("choice", "texts"),
    [
        pytest.param({"text": "a", "%": {"content": "a"}}, ("a",), id="content, and the same text"),
        pytest.param({"text": "a", "%": {"reasoning": "a"}}, ("a",), id="reasoning, and the same text"),
        pytest.param({"text": "a", "%": {"content": ""}}, ("a",), id="no content"),
        pytest.param({"text": "a", "%": {"content": []}}, ("a",), id="no parts of content"),
        pytest.param({"text": "a"}, ("a",), id="text alone"),
        pytest.param({"text": "", "%": {"content": "a"}}, ("a",), id="empty text"),
        pytest.param(
            {"%": {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "a"}, {"text": 7}]}]}},
            ("a",),
            id="thinking",
        ),
        pytest.param(
            {"%": {"content": [{"thinking": [{"text": "a"}]}, {"type": "text", "text": "b"}]}},
            ("b", "a"),
            id="thinking and text",
        ),
        pytest.param({"%": {"content": [{"thinking": "a"}]}}, ("a",), id="thinking in a string"),
        pytest.param({"%": {"content": [{"thinking": [[{"text": "a"}]]}, 7]}}, (), id="another form of thinking"),
    ],
)
def test_text_is_counted_once_and_thinking_too(choice: dict[str, object], texts: tuple[str, ...]) -> None:
    def answer(name: str) -> bytes:
        return json.dumps({"choices": [{name if key == "%" else key: value for key, value in choice.items()}]}).encode()

    assert delivered_body(answer("message")) == delivered_events(answer("delta")) == texts


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ("a", ["a"]),
        ([{"text": "a"}, {"refusal": "b"}, {"text": 7}, {}, None, "c"], ["a", "b"]),
        (None, []),
        ({"text": "a"}, []),
    ],
)
def test_content_is_a_string_or_parts(content: object, texts: list[str]) -> None:
    assert part_texts(content) == texts


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b'[ {"a" : "\\u00fc"} ]', '[{"a":"ü"}]'),
        (b"1e999", "1e999"),
        (b'"\\ud83d"', '"\\ud83d"'),
        (b"\xff", "\ufffd"),
        (b"[" * 100_000, "[" * 100_000),
    ],
)
def test_json_is_compacted_if_it_can_be_decoded(raw: bytes, text: str) -> None:
    assert compact(Raw(raw)) == text


@pytest.mark.parametrize(
    ("data", "value"),
    [(b'{"a":1}', {"a": 1}), (b'"\\ud83d"', "\ud83d"), (b"nonsense", None), (b"", None), (b"[" * 100_000, None)],
)
def test_json_is_loaded_with_lone_surrogates(data: bytes, value: object) -> None:
    assert load(data) == value


def test_members_of_an_object_stay_undecoded() -> None:
    members = read_members(b'{"a": [1, 2]}')

    assert members is not None
    assert bytes(members["a"]) == b"[1, 2]"
    assert read_members(b"[]") is None


def test_long_number_takes_nothing_else_with_it() -> None:
    data = b'{"text":"a","ids":[1],"long":%s}' % (b"9" * 5000)

    assert load(data) == {"text": "a", "ids": [1], "long": float("inf")}
