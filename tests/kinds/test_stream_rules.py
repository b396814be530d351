"""Plain events are recognised, and pieces of text are counted."""

import pytest

from hero_broker.kinds.stream_rules import FINISH_REASON, StreamRules

RULES = StreamRules(last_types=(b'"audio.done"',), finish=FINISH_REASON)
DELTA = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
NULL = b'data: {"choices":[{"delta":{"content":"a"}}],"usage":null}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\n'
DONE = b"data: [DONE]\n\n"
RETURNS = b'data: {"a":1}\r\n\r\n'


@pytest.mark.parametrize(
    ("chunk", "length"),
    [
        (b"", 0),
        (DELTA, len(DELTA)),
        (DELTA + NULL, len(DELTA + NULL)),
        (DELTA + USAGE + DONE, len(DELTA)),
        (USAGE, 0),
        (DELTA + DONE, len(DELTA)),
        (DELTA + b'data: {"type":"audio.done"}\n\n', len(DELTA)),
        (DELTA + b'data: {"error":{}}\n\n', len(DELTA)),
        (b'data: {"error":null}\n\n', len(b'data: {"error":null}\n\n')),
        (DELTA + DELTA[:10], len(DELTA)),
        (DELTA[:10], 0),
        (RETURNS, 0),
    ],
)
def test_plain_events_end_before_the_first_that_matters(chunk: bytes, length: int) -> None:
    assert RULES.plain_length(chunk) == length


@pytest.mark.parametrize(
    ("data", "is_so"),
    [
        (b"[DONE]", True),
        (b"[DONE] ", True),
        (b'{"type":"audio.done"}', True),
        (b'{ "usage": {}, "type" : "audio.done" }', True),
        (b'{"type":"audio.delta","delta":"audio.done"}', False),
        (b'{"delta":"[DONE]"}', False),
        (b'{"delta":{"type":"audio.done"}}', False),
        (b'{"type":"audio.done","usa', False),
        (b'["audio.done"]', False),
        (b'{"type":"audio.done","x":' + b"[" * 100_000, False),
        (b"", False),
    ],
)
def test_last_event_is_known_by_its_type(data: bytes, is_so: bool) -> None:
    assert RULES.is_last(data) is is_so
    assert StreamRules().is_last(data) is data.startswith(b"[DONE]")


@pytest.mark.parametrize(
    ("data", "is_so"),
    [
        (b'{"delta":{"content":"a"}}', True),
        (b'{"text":"a"}', True),
        (b'{"delta":{"content":""}}', False),
        (b'{"delta":{"content":null}}', False),
        (b'{"delta":{}}', False),
    ],
)
def test_delta_has_a_piece_of_text(data: bytes, is_so: bool) -> None:
    assert RULES.is_delta(data) is is_so


@pytest.mark.parametrize(("events", "deltas"), [(DELTA * 3, 3), (DELTA + b": ping\n\n", 2), (b": ping\n\n", 0)])
def test_events_of_a_chunk_with_text_are_counted(events: bytes, deltas: int) -> None:
    assert RULES.count_deltas(events) == deltas


@pytest.mark.parametrize(
    ("events", "is_so"),
    [(b'{"finish_reason":"stop"}', True), (b'{"finish_reason" : "stop"}', True), (b'{"finish_reason":null}', False)],
)
def test_stream_with_a_finish_reason_is_complete(events: bytes, is_so: bool) -> None:
    assert RULES.is_finished(events) is is_so
    assert StreamRules().is_finished(events)


def test_plain_events_of_rules_without_a_last_type_end_before_done() -> None:
    assert StreamRules().plain_length(DELTA + b'data: {"type":"audio.done"}\n\n' + DONE) == len(DELTA) + 29
