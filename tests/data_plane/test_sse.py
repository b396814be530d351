"""Events stay byte for byte the same, however they are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hero_broker.data_plane.sse import EventSplitter, EventTooLong, event_data, last_data
from hero_broker.kinds.stream_rules import MAX_EVENT_BYTES

DELTA = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
NULL = b'data: {"choices":[{"delta":{"content":"a"}}],"usage":null}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\n'
DONE = b"data: [DONE]\n\n"
RETURNS = b'data: {"a":1}\r\n\r\n'


@given(st.lists(st.sampled_from([DELTA, NULL, USAGE, DONE, RETURNS, b": ping\n\n"]), max_size=8), st.integers(1, 50))
def test_events_come_out_as_they_went_in(events: list[bytes], size: int) -> None:
    stream = b"".join(events)
    splitter = EventSplitter(MAX_EVENT_BYTES)
    split = [event for at in range(0, len(stream), size) for event in splitter.feed(stream[at : at + size])]

    assert split == events
    assert splitter.is_at_boundary


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: a\n\n", b"a"),
        (b"data:a\r\n\r\n", b"a"),
        (b"\xef\xbb\xbfdata: a\n\n", b"a"),
        (b"id: 1\ndata: a\ndata: b\n\n", b"a\nb"),
        (b": ping\n\n", b""),
        (b"event: e\ndata: a\n\n", b"a"),
        (b"event: e\ndata: a\r\n\n", b"a"),
        (b"event: e\r\ndata: a\r\n\r\n", b"a"),
        (b"event: e\ndata: a\ndata: b\n\n", b"a\nb"),
        (b"event: e\ndata:a\n\n", b"a"),
        (b"event: e\nid: 1\ndata: a\n\n", b"a"),
        (b"event: e\ndata: a", b"a"),
        (b"event: e\n\n", b""),
        (b"event: e", b""),
    ],
)
def test_data_of_an_event(event: bytes, data: bytes) -> None:
    assert event_data(event) == data


def test_event_without_an_end_is_refused_however_it_is_cut() -> None:
    splitter = EventSplitter(MAX_EVENT_BYTES)
    for _ in range(MAX_EVENT_BYTES // 1024):
        splitter.feed(b"a" * 1024)

    with pytest.raises(EventTooLong):
        splitter.feed(b"a")


@pytest.mark.parametrize("size", [1, 7, 100])
def test_event_may_be_as_long_as_the_bound_however_it_is_cut(size: int) -> None:
    event = b"data: " + b"a" * 92 + b"\n\n"
    pieces = [event[at : at + size] for at in range(0, len(event), size)]
    splitter, narrower = EventSplitter(len(event)), EventSplitter(len(event) - 1)

    assert [found for piece in pieces for found in splitter.feed(piece)] == [event]
    with pytest.raises(EventTooLong):
        list(map(narrower.feed, pieces))


@pytest.mark.parametrize(
    ("events", "data"),
    [
        (b"data: a\n\ndata: b\n\n", b"b"),
        (b"data: a\r\n\r\n: ping\r\n\r\n", b"a"),
        (b"data: a\n\nid: 1\n\ndata:\n\n", b"a"),
        (b"data: a\ndata: b", b"a\nb"),
        (b": ping\n\n", b""),
        (b"", b""),
    ],
)
def test_last_data_is_that_of_the_last_event_with_data(events: bytes, data: bytes) -> None:
    assert last_data(events) == data
