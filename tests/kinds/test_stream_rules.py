"""Plain events are recognised, and pieces of text are counted."""

import pytest

from hero_broker.kinds.stream_rules import StreamRules

RULES = StreamRules(last_events=(b"[DONE]", b'{"type":"audio.done"'), last_mark=b'"audio.done"')
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
